"""Dovecot: the mailboxes over POP3, and the passwords for Postfix's AUTH."""
import email
import email.policy
import itertools
import os
import poplib
import ssl
import subprocess
import time

from .bench import DOMAIN, HOST, PeerError, wait_for

# 2.3 (Debian 12) and 2.4 (Debian 13) have different words for the same things.
_COMMON = """
base_dir = {run}
state_dir = {run}
libexec_dir = {tree}/usr/lib/dovecot
mail_plugin_dir = {tree}/usr/lib/dovecot/modules
login_plugin_dir = {tree}/usr/lib/dovecot/modules/login
log_path = {run}/log
info_log_path = {run}/log
auth_verbose = yes
auth_failure_delay = 0
protocols = pop3
listen = 127.0.0.1
default_internal_user = tocsin
default_internal_group = tocsin
default_login_user = tocsin
first_valid_uid = 1
first_valid_gid = 1
auth_mechanisms = plain login
default_client_limit = 200
service anvil {{
  chroot =
  # No waiting longer after each wrong password.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service pop3-login {{
  chroot =
  process_min_avail = 1
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
"""

_CONFIG_23 = """
default_vsz_limit = 0
import_environment = TZ {variables_23}
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = yes
mail_location = maildir:{folder}/mail/%n
passdb {{
  driver = passwd-file
  args = username_format=%n {folder}/dovecot-users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%n
}}
"""

_CONFIG_24 = """
default_vsz_limit = unlimited
import_environment {{
{variables_24}
}}
ssl = required
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
auth_allow_cleartext = no
mail_driver = maildir
mail_home = {folder}/mail/%{{user | username}}
mail_path = {folder}/mail/%{{user | username}}
mail_uid = {uid}
mail_gid = {gid}
passdb passwd-file {{
  passwd_file_path = {folder}/dovecot-users
  auth_username_format = %{{user | username}}
}}
userdb static {{
}}
"""


_NEWLINE = b"\n"


class Dovecot:
    """pop3: STLS, pop3s: TLS on connect; the login name is a mailbox's, the password reader_password.

    mailboxes: local parts that exist. device: (user, password) of the submission account.
    """

    name = "Dovecot"

    def __init__(self, bench, certificates, mailboxes, device=("device", "kept in flash"),
                 certificate="ecdsa"):
        self.bench = bench
        self.mailboxes = list(mailboxes)
        self.user, self.password = device
        self.reader_password = "reads mail"
        self._names = itertools.count()
        self.certificates = certificates
        self.certificate = certificate
        self.pop3, self.pop3s = bench.free_port(), bench.free_port()
        self.log = bench.folder / "dovecot" / "log"
        self.auth_socket = bench.folder / "dovecot" / "auth-client"
        bench.private("dovecot", 0o755)
        bench.private("mail")
        for name in self.mailboxes:
            bench.private(f"mail/{name}")
        users = [f"{self.user}:{{PLAIN}}{self.password}::::::"]
        users += [f"{name}:{{PLAIN}}{self.reader_password}::::::" for name in self.mailboxes]
        bench.write("dovecot-users", "\n".join(users) + "\n")
        config = bench.write("dovecot.conf", self._config())
        self.process = bench.start("dovecot-console", [bench.program("usr/sbin/dovecot"), "-F", "-c", str(config)])
        bench.wait_ready(self.process, self.pop3, b"+OK", logs=[self.log])

    def port(self, mode):
        return self.pop3s if mode == "implicit" else self.pop3

    def _config(self):
        new = self._version() >= (2, 4)
        head = ""
        if new:
            head = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
        text = head + _COMMON + (_CONFIG_24 if new else _CONFIG_23)
        variables = self.bench.environment()
        return text.format(variables_23=" ".join(variables),
                           variables_24="\n".join(f"  {key} = {value}" for key, value in variables.items()),
                           folder=self.bench.folder, run=self.bench.folder / "dovecot", tree=self.bench.tree,
                           pop3=self.pop3, pop3s=self.pop3s, uid=self.bench.uid, gid=self.bench.gid,
                           certificate=self.certificates.chain(self.certificate),
                           key=self.certificates.key(self.certificate))

    def _version(self):
        """(2, 3) or (2, 4), by what the package says of itself."""
        variables = self.bench.environment()
        done = subprocess.run([self.bench.program("usr/sbin/dovecot"), "--version"], env=variables,
                              capture_output=True, text=True, timeout=20)
        try:
            major, minor = done.stdout.split(" ")[0].split(".")[:2]
            return int(major), int(minor)
        except ValueError:
            raise PeerError(f"dovecot --version said: {done.stdout}{done.stderr}") from None

    def right(self, name, password):
        """Whether a mailbox's name and its password are these."""
        return name in self.mailboxes and password == self.reader_password

    def tls(self):
        context = ssl.create_default_context(cafile=str(self.certificates.root(self.certificate)))
        return context

    def read(self, mailbox, implicit=True):
        """All mails of a mailbox, over POP3 inside verified TLS, as parsed messages, oldest first."""
        return [email.message_from_bytes(raw, policy=email.policy.default) for raw in self.read_raw(mailbox, implicit)]

    def read_raw(self, mailbox, implicit=True):
        # The certificate bears the mail server's name; the connection goes to loopback.
        reader = Pop3Tls(self.pop3s, self.tls()) if implicit else Pop3Tls(self.pop3, None)
        try:
            if not implicit:
                reader.stls(self.tls())
            reader.user(mailbox)
            reader.pass_(self.reader_password)
            count, _ = reader.stat()
            return [b"\r\n".join(reader.retr(number + 1)[1]) + b"\r\n" for number in range(count)]
        finally:
            try:
                reader.quit()
            except (OSError, poplib.error_proto):
                reader.close()

    def wait(self, mailbox, count=1, limit_s=20.0):
        """The mails of a mailbox once there are count of them; what there is when the time is up."""
        folder = self.bench.folder / "mail" / mailbox
        # A mail that was read once is in cur.
        wait_for(lambda: sum(1 for part in ("new", "cur") for _ in folder.glob(f"{part}/*")) >= count, limit_s)
        return self.read(mailbox)


    # Mailboxes without a server in between: they are Maildirs.

    def put(self, mailbox, *messages):
        """Delivers messages (bytes or str, any line ends), in this order."""
        folder = self.bench.folder / "mail" / mailbox
        for part in ("tmp", "new", "cur"):
            if not (folder / part).is_dir():
                self.bench.private(f"mail/{mailbox}/{part}")
        for message in messages:
            data = (message.encode() if isinstance(message, str) else message).replace(b"\r\n", b"\n")
            # W is the size with CRLF: with it, Dovecot need not read a message to tell its size.
            name = f"{time.time_ns() // 1000000000}.M{next(self._names):08}.{HOST},S={len(data)}" \
                   f",W={len(data) + data.count(_NEWLINE)}"
            path = folder / "tmp" / name
            path.write_bytes(data)
            if self.bench.root_user:
                os.chown(path, self.bench.uid, self.bench.gid)
            path.rename(folder / "new" / name)

    def fill(self, mailbox, count, text="Nobody asked for this.\n"):
        """Delivers `count` messages that are no orders."""
        self.put(mailbox, *(f"From: someone@example.com\nTo: {mailbox}@{DOMAIN}\nSubject: number {number}\n"
                            f"Message-ID: <{number}@example.com>\nDate: Sun, 01 Mar 2026 10:00:00 +0000\n\n{text}"
                            for number in range(count)))

    def files(self, mailbox):
        """The files of a mailbox's messages, oldest first."""
        folder = self.bench.folder / "mail" / mailbox
        return sorted((path for part in ("new", "cur") for path in folder.glob(f"{part}/*")),
                      key=lambda path: path.name)

    def left(self, mailbox):
        """The messages that are in a mailbox now, parsed, read from its files."""
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                for path in self.files(mailbox)]


class Pop3Tls(poplib.POP3):
    """poplib takes the certificate's expected name from the host that it connects to; here they differ."""

    def __init__(self, port, context):
        self._first = context
        super().__init__("127.0.0.1", port, timeout=10)

    def _create_socket(self, timeout):
        plain = super()._create_socket(timeout)
        return self._first.wrap_socket(plain, server_hostname=HOST) if self._first else plain

    def stls(self, context=None):
        self.host = HOST
        return super().stls(context)
