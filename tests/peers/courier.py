"""Courier: a second POP3 server, over the same Maildirs as Dovecot and with the same passwords.

Its login program asks a daemon at /run/courier/authdaemon/socket for accounts; unpacked.c leads it to the
bench's folder, where a thread of ours answers from the bench's accounts.
"""
import socketserver
import threading

from .bench import PeerError

_TLS = {"POP3_TLS_REQUIRED": "1", "POP3AUTH": "", "POP3AUTH_TLS": "PLAIN LOGIN", "TLS_VERIFYPEER": "NONE",
        "MAILDIRPATH": "Maildir"}
_CONNECTIONS = "100"


class Courier:
    """pop3: STLS, pop3s: TLS on connect. The login name is a mailbox's.

    It announces LOGIN-DELAY 10, which it does not enforce, and answers a wrong password after five seconds."""

    name = "Courier"

    def __init__(self, bench, dovecot, certificate="ecdsa"):
        self.bench = bench
        self.pop3, self.pop3s = bench.free_port(), bench.free_port()
        self._accounts = _Accounts(bench, dovecot)
        bench.on_close(self._accounts.stop)
        files = dovecot.certificates
        # couriertls wants the key and the chain in one file.
        pem = bench.write("courier.pem", files.key(certificate).read_text() + files.chain(certificate).read_text())
        tls = bench.program("usr/bin/couriertls")
        common = {**_TLS, "TLS_CERTFILE": str(pem), "COURIERTLS": tls}
        clear = self._start("courier-stls", self.pop3, [], {**common, "POP3_STARTTLS": "YES"})
        implicit = self._start("courier-tls", self.pop3s, [tls, "-server", "-tcpd"],
                               {**common, "POP3_TLS": "1", "POP3_STARTTLS": "NO", "POP3_TLS_REQUIRED": "0"})
        bench.wait_ready(clear, self.pop3, b"+OK")
        bench.wait_ready(implicit, self.pop3s)

    def _start(self, name, port, before, settings):
        programs = [self.bench.program(f"usr/lib/courier/courier/{program}")
                    for program in ("courierpop3login", "courierpop3d")]
        return self.bench.start(name, [
            self.bench.program("usr/sbin/couriertcpd"), "-address=127.0.0.1", f"-maxprocs={_CONNECTIONS}",
            f"-maxperip={_CONNECTIONS}", "-nodnslookup", "-noidentlookup", str(port), *before, *programs,
            "Maildir"], environment=settings)

    def port(self, mode):
        return self.pop3s if mode == "implicit" else self.pop3


class _Accounts:
    """Courier's authdaemon protocol: `AUTH n` and n bytes (service, kind, user, password) for an account or FAIL."""

    def __init__(self, bench, dovecot):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                line = self.rfile.readline(200)
                while line.startswith(b"TCPREMOTEIP="):
                    line = self.rfile.readline(200)
                words = line.split()
                if words[:1] != [b"AUTH"] or not words[1].isdigit():
                    self.wfile.write(b"FAIL\n")
                    return
                _, kind, user, password = (self.rfile.read(int(words[1])).decode() + "\n" * 4).split("\n")[:4]
                name = user.split("@")[0]
                if kind != "login" or not dovecot.right(name, password):
                    self.wfile.write(b"FAIL\n")
                    return
                home = bench.folder / "mail" / name
                for part in ("tmp", "new", "cur"):
                    bench.private(f"mail/{name}/{part}")
                self.wfile.write((f"UID={bench.uid}\nGID={bench.gid}\nHOME={home}\n"
                                  f"ADDRESS={user}\nMAILDIR={home}\n.\n").encode())

        folder = bench.private("run/courier/authdaemon", 0o755)
        path = folder / "socket"
        if len(str(path)) > 107:
            raise PeerError(f"{path} is too long a path for a socket")
        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        path.chmod(0o777)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
