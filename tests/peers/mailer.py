"""A person's mail program: Debian's s-nail, which writes a mail and submits it."""
import subprocess

from .bench import DOMAIN, PeerError

_LIMIT_S = 20


class Mailer:
    """Sends through a submission server (Exim or Postfix here) as its user.

    Its own quoting, encoding and headers are what is wanted from it; the certificate is not its affair here."""

    def __init__(self, bench, server, dovecot, sender=f"admin@{DOMAIN}"):
        self.bench, self.sender = bench, sender
        self._program = bench.program("usr/bin/s-nail")
        user, password = (word.replace(" ", "%20") for word in (dovecot.user, dovecot.password))
        self._mta = f"smtps://{user}:{password}@127.0.0.1:{server.port('implicit')}"

    def send(self, to, subject, text, *more):
        """more: further arguments, such as -a FILE for an attachment."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.bench.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC",
                       "MAILRC": "/dev/null", **self.bench.environment()}
        settings = ["v15-compat", f"mta={self._mta}", f"from={self.sender}", "smtp-auth=plain", "tls-verify=ignore",
                    "sendwait", "nosave", "encoding=quoted-printable"]
        command = [self._program, "-:/", *(f"-S{word}" for word in settings), "-s", subject, *more, to]
        done = subprocess.run(command, input=text, env=environment, cwd=self.bench.folder, capture_output=True,
                              text=True, timeout=_LIMIT_S, check=False)
        if done.returncode:
            raise PeerError(f"s-nail: {done.stdout}{done.stderr}")
