#!/usr/bin/env python3
"""Proves the test servers themselves, with Python's own clients in the place of the device."""
import poplib
import smtplib
import socket
import ssl
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import (Bench, Certificates, Chrony, Courier, Dnsmasq, Dovecot, Evil, EvilPop3, Exim, Gate,  # noqa: E402
                   Mailer, PeerError, Postfix, Tap)
from peers.bench import DOMAIN, HOST, NOBODY, wait_for  # noqa: E402
from peers.certificates import SERVERS  # noqa: E402
from peers.dovecot import Pop3Tls  # noqa: E402
from peers.evil import DROP  # noqa: E402


class Client(smtplib.SMTP):
    """Connects to loopback and expects the certificate of mail.example.test."""

    def __init__(self, port, mode, context):
        self._implicit = context if mode == "implicit" else None
        super().__init__(timeout=10)
        self.connect("127.0.0.1", port)
        self._host = HOST
        if mode == "starttls":
            self.starttls(context=context)

    def _get_socket(self, host, port, timeout):
        plain = super()._get_socket(host, port, timeout)
        return self._implicit.wrap_socket(plain, server_hostname=HOST) if self._implicit else plain


def context(certificates, name):
    made = ssl.create_default_context(cafile=str(certificates.root(name)))
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(action, kind, code=None):
    try:
        action()
    except kind as error:
        said = getattr(error, "smtp_code", None)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            said = next(iter(error.recipients.values()))[0]
        expect(code is None or said == code, f"expected {code}, got {error}")
        return
    raise AssertionError(f"expected {kind.__name__}")


def check_submission(server, dovecot, certificates):
    """Every good combination delivers; every bad certificate is one; refusals have the right codes."""
    sender, text = f"device@{DOMAIN}", "Subject: {}\r\n\r\n.dot\r\n"
    for (mode, name), port in server.ports.items():
        good = name in ("ecdsa", "rsa", "p384", "wildcard", "self")
        if not good:
            refused(lambda m=mode, n=name, p=port: Client(p, m, context(certificates, n)), ssl.SSLError)
            continue
        client = Client(port, mode, context(certificates, name))
        client.login(dovecot.user, dovecot.password)
        mailbox = server.name.lower()
        client.sendmail(sender, [f"{mailbox}@{DOMAIN}"], text.format(f"{mode} {name}"))
        client.quit()
    mails = dovecot.wait(server.name.lower(), 10)
    expect(len(mails) == 10, f"{len(mails)} of 10 mails came")
    expect({mail["Subject"] for mail in mails} >= {"implicit ecdsa", "starttls rsa"}, "subjects")
    expect(all("TLS" in mail["Received"] for mail in mails), "Received tells TLS")

    client = Client(server.port("starttls"), "clear", None)
    refused(lambda: client.login(dovecot.user, dovecot.password), smtplib.SMTPNotSupportedError)
    client.close()
    client = Client(server.port("implicit"), "implicit", context(certificates, "ecdsa"))
    refused(lambda: client.sendmail(sender, [f"admin@{DOMAIN}"], ""), smtplib.SMTPException)
    refused(lambda: client.login(dovecot.user, "wrong"), smtplib.SMTPAuthenticationError, 535)
    for method in ("PLAIN", "LOGIN"):
        client = Client(server.port("implicit"), "implicit", context(certificates, "ecdsa"))
        client.ehlo()
        client.user, client.password = dovecot.user, dovecot.password
        client.auth(method, getattr(client, f"auth_{method.lower()}"))
    for mailbox, code in (("full", 452), ("nobody-here", 550)):
        refused(lambda m=mailbox: client.sendmail(sender, [f"{m}@{DOMAIN}"], ""), smtplib.SMTPRecipientsRefused, code)
    server.hold("admin")
    refused(lambda: client.sendmail(sender, [f"admin@{DOMAIN}"], ""), smtplib.SMTPRecipientsRefused, 451)
    server.release("admin")
    client.sendmail(sender, [f"admin@{DOMAIN}"], text.format("later"))


def check_tap(bench, server, certificates):
    """The attacks reach the client, and the tap tells a secret from none."""
    port, trusted = server.port("starttls"), context(certificates, "ecdsa")
    for attack in ("strip", "refuse", "inject", "garbage"):
        tap = Tap(bench, port, attack)
        try:
            Client(tap.port, "starttls", trusted).close()
        except (smtplib.SMTPException, ssl.SSLError, OSError):
            pass
        expect(not tap.secret_sent(), f"{attack}: nothing secret was sent")
        expect(tap.conversations[0].server, f"{attack}: the server was heard")
    for mode in ("implicit", "starttls"):
        tap = Tap(bench, server.port(mode))
        Client(tap.port, mode, trusted).quit()
        expect(tap.secret_sent(), f"{mode}: application data is recognised")
    tap = Tap(bench, server.port("implicit", "expired"))
    refused(lambda: Client(tap.port, "implicit", trusted), ssl.SSLError)
    expect(tap.conversations and not tap.secret_sent(), "expired: nothing of the application was sent")


def check_evil(bench, server, dovecot, certificates):
    script = [{"BODY": DROP}, {"DATA": "451 4.3.0 Later"}, {}, {"forward": server.port("implicit")}]
    evil = Evil(bench, certificates, script)
    trusted = context(certificates, "ecdsa")
    for error in (smtplib.SMTPServerDisconnected, smtplib.SMTPDataError, None, None):
        client = Client(evil.port, "implicit", trusted)
        client.login(dovecot.user, dovecot.password)

        def send():
            client.sendmail("a@example.test", ["admin@example.test"], "Subject: x\r\n\r\n..\r\n")
        if error:
            refused(send, error)
        else:
            send()
            client.quit()
    expect(evil.mails == [b"Subject: x\r\n\r\n..\r\n"], f"one mail was accepted: {evil.mails}")


def check_gate(bench, server, dovecot, certificates):
    """Each stage is told in its order, and what a stage holds back has not got there."""
    stages, told = [], []

    def on_stage(stage):
        stages.append(stage)
        if stage == "TOLD":
            told.append(len(dovecot.wait(server.name.lower(), before + 1)))

    before = len(dovecot.read(server.name.lower()))
    gate = Gate(bench, certificates, server.port("implicit"), on_stage=on_stage)
    client = Client(gate.port, "implicit", context(certificates, "ecdsa"))
    client.ehlo()
    client.login(dovecot.user, dovecot.password)
    client.sendmail("a@example.test", [f"{server.name.lower()}@example.test"], "Subject: x\r\n\r\n..\r\nDATA\r\n")
    client.quit()
    wanted = ["CONNECT", "HELLO", "TLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "DOT", "SAID", "TOLD", "QUIT"]
    expect(stages == wanted, f"stages: {stages}")
    expect(told == [before + 1], f"the mail was there when its 250 was told: {told}")


def reader(port, implicit, trusted):
    """A POP3 client that stands before its login."""
    client = Pop3Tls(port, trusted if implicit else None)
    if not implicit:
        client.stls(trusted)
    return client


def check_pop3(server, dovecot, certificates):
    """TLS on connect and STLS, the listing, one message, its end; a wrong password."""
    trusted, box = context(certificates, "ecdsa"), server.name.lower()
    for mode in ("implicit", "starttls"):
        dovecot.put(box, "Subject: one\n\n.dot\n", "Subject: two\n\nbody\n")
        client = reader(server.port(mode), mode == "implicit", trusted)
        expect({"UIDL", "TOP"} <= client.capa().keys(), f"{server.name}: {client.capa()}")
        client.user(box)
        client.pass_(dovecot.reader_password)
        expect(client.stat() == (2, sum(size + text.count(b"\n") for size, text in (
            (len(path.read_bytes()), path.read_bytes()) for path in dovecot.files(box)))), f"{client.stat()}")
        expect(len({line.split()[1] for line in client.uidl()[1]}) == 2, "unique ids")
        expect(client.top(1, 0)[1] == [b"Subject: one", b""], f"TOP: {client.top(1, 0)}")
        expect(client.retr(1)[1][-1] == b".dot", "RETR")
        client.dele(1)
        client.quit()
        # The reply to QUIT may come before the file has gone.
        wait_for(lambda: len(dovecot.files(box)) == 1, 5)
        expect([mail["Subject"] for mail in dovecot.left(box)] == ["two"], f"left: {dovecot.files(box)}")
        for path in dovecot.files(box):
            path.unlink()
    client = reader(server.port("implicit"), True, trusted)
    client.user(box)
    refused(lambda: client.pass_("wrong"), poplib.error_proto)
    client.close()
    for attack in ("strip", "refuse"):
        tap = Tap(server.bench, server.port("starttls"), attack, pop3=True)
        client = Pop3Tls(tap.port, None)
        refused(lambda c=client: c.stls(trusted), poplib.error_proto)
        client.close()
        expect(not tap.secret_sent() and tap.conversations[0].turns in (1, 2), f"{attack}: the tap was there")


def check_full_mailbox(dovecot, certificates):
    """10,000 messages are there in a moment, and are listed."""
    dovecot.fill("many", 10000)
    client = reader(dovecot.pop3s, True, context(certificates, "ecdsa"))
    client.user("many")
    client.pass_(dovecot.reader_password)
    expect(client.stat()[0] == 10000 and len(client.uidl()[1]) == 10000, "10,000 are listed")
    client.quit()


def check_evil_pop3(bench, certificates):
    evil = EvilPop3(bench, certificates, [{"PASS": "-ERR [IN-USE] Later"}, {"RETR": DROP}, {}])
    evil.put("Subject: a\n\n.b\n", "Subject: c\n\n")
    trusted = context(certificates, "ecdsa")
    for error in (poplib.error_proto, poplib.error_proto, None):
        client = reader(evil.port, True, trusted)
        client.user("any")

        def read():
            client.pass_("any")
            return client.retr(1)[1]
        if error:
            refused(read, error)
            client.close()
            continue
        expect(read() == [b"Subject: a", b"", b".b"], "RETR")
        client.dele(1)
        client.quit()
    expect([message.uid for message in evil.messages] == ["evil00000002"], "DELE")
    expect(evil.asked("RETR") == 2, f"{evil.commands}")


def check_mailer(bench, server, dovecot):
    """A mail program's mail arrives, and what cannot be delivered comes back."""
    mailer = Mailer(bench, server, dovecot)
    mailer.send(f"writer@{DOMAIN}", "status", "otp AB CD EF\nstatus — «да»\n")
    mail = dovecot.wait("writer", 1)[0]
    expect("status — «да»" in mail.get_content() and mail["Message-ID"], f"{mail}")
    dovecot.files("writer")[0].unlink()
    Mailer(bench, server, dovecot, f"writer@{DOMAIN}").send(f"gone@{DOMAIN}", "lost", "Where to?\n")
    mail = dovecot.wait("writer", 1)[0]
    expect(mail.get_content_type() == "multipart/report", f"a bounce: {mail.get_content_type()}")
    dovecot.files("writer")[0].unlink()


def main():
    with Bench("check-peers", limit_s=150) as bench:
        certificates = Certificates(bench)
        dovecot = Dovecot(bench, certificates, ["admin", "full", "exim", "postfix", "dovecot", "courier", "many",
                                                "writer"])
        expect(dovecot.read("admin", implicit=False) == [], "POP3 with STLS reads an empty mailbox")
        if bench.root_user:
            expect(Path(f"/proc/{dovecot.process.popen.pid}").stat().st_uid == NOBODY, "Dovecot is not root")
        print("ok Dovecot: POP3 over TLS")
        for server in (dovecot, Courier(bench, dovecot)):
            check_pop3(server, dovecot, certificates)
            print(f"ok {server.name}: STLS, TLS, a message read and deleted")
        check_full_mailbox(dovecot, certificates)
        check_evil_pop3(bench, certificates)
        print("ok 10,000 messages; the evil POP3 server")
        Chrony(bench)
        Dnsmasq(bench)
        print("ok chrony, dnsmasq")
        servers = [Exim] if Postfix.why_not() else [Exim, Postfix]
        for kind in servers:
            server = kind(bench, dovecot, SERVERS)
            check_submission(server, dovecot, certificates)
            check_tap(bench, server, certificates)
            check_evil(bench, server, dovecot, certificates)
            check_gate(bench, server, dovecot, certificates)
            check_mailer(bench, server, dovecot)
            print(f"ok {kind.name}: submission, refusals, tap, evil, gate, a mail program, a bounce")
        processes = [process.popen.pid for process in bench.processes]
        folder = bench.folder
    expect(not any(Path(f"/proc/{pid}").exists() for pid in processes) and not folder.exists(), "all is gone")
    if Postfix.why_not():
        print(f"skip Postfix: {Postfix.why_not()}")


if __name__ == "__main__":
    try:
        main()
    except (PeerError, AssertionError) as problem:
        sys.exit(f"tests/peers/check.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
