#!/usr/bin/env python3
"""sendmail of the Linux program against real servers, good and hostile, called as other programs call it."""
import email
import email.policy
import fcntl
import os
import re
import resource
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import DOMAIN, DROP, HOST, SILENT, Skip, main, test, wait_for  # noqa: E402


def body_of(raw):
    """The body as it came, with LF."""
    return raw.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") if b"\r\n\r\n" in raw else raw.partition(b"\n\n")[2]


def decoded(raw):
    """The body's bytes as a mail reader has them."""
    return email.message_from_bytes(raw, policy=email.policy.default).get_payload(decode=True)


# ---- the message ----

@test("recipients-on-the-line-postfix", server="postfix")
@test("recipients-on-the-line-exim", server="exim")
def recipients_on_the_line(case, server):
    case.config(case.servers.named(server).port("implicit"))
    case.sendmail("-i", case.address, case.address2, code=0)
    for box in (case.box, case.box2):
        mail = case.mails(box)[0]
        case.expect(mail["Subject"] == "a test" and mail["From"] and mail["Date"] and mail["Message-ID"], str(mail))
    case.expect(not case.queued(), "nothing is left")


@test("recipients-in-the-header")
def recipients_in_the_header(case):
    """-t: To, Cc and Bcc; Bcc does not travel."""
    case.config(case.servers.exim.port("starttls"), "starttls")
    text = (f"To: \"A (b)\" <{case.address}>,\n  undisclosed: {case.address2};\n"
            f"bcc: nobody-else@{DOMAIN},\n\t{case.box2}@{DOMAIN}\nSubject: x\n\nbody\n")
    case.sendmail("-t", "-oi", text=text)
    mails = [case.mails(case.box)[0], case.mails(case.box2)[0]]
    case.expect(all(mail["Bcc"] is None and "nobody-else" not in str(mail) for mail in mails), "no Bcc")


BODIES = {
    "dots": b".\n..\n.x\n. \n..end\n",
    "blanks": b"trailing \nand\t\n \n\n\n",
    "long": b"a" * 5000 + b"\nshort\n" + b"b" * 998 + b"\n" + b"c" * 999 + b"\n",
    "eight-bit": "grün — да\n".encode() * 20,
    "latin": "gr\xfcn\n".encode("latin-1"),
    "zero": b"a\0b\nc\n",
    "bare-cr": b"a\rb\nc\r\rd\n",
    "from": b"From me\n>From you\nFrom\n",
    "empty": b"",
    "binary": bytes(range(256)) * 40 + b"\n",
}


@test("bodies", eight_bit=True)
@test("bodies-without-8bitmime", eight_bit=False)
def bodies(case, eight_bit):
    """What the message held is what a reader gets, whatever it is and whatever the server takes."""
    offers = ("PIPELINING", "SIZE 10240000", "AUTH PLAIN LOGIN") + (("8BITMIME",) if eight_bit else ())
    evil = case.evil([{}], offers=offers)
    case.config(evil.port)
    for name, body in BODIES.items():
        case.sendmail("-i", "a@b.example", text=f"Subject: {name}\n\n".encode() + body, code=0)
        raw = evil.mails[-1]
        got = decoded(raw).replace(b"\r\n", b"\n")
        wanted = body.replace(b"\r\n", b"\n")
        case.expect(got.rstrip(b"\n") == wanted.rstrip(b"\n") and got.count(b"\n") - wanted.count(b"\n") in (0, 1),
                    f"{name}: {got[:200]!r} is not {wanted[:200]!r}")
        case.expect(max(map(len, raw.split(b"\r\n"))) <= 998 and b"\0" not in raw, f"{name}: its lines")
        case.expect(eight_bit or max(raw) < 128, f"{name}: 7 bits")


@test("body-unchanged")
def body_unchanged(case):
    """Nothing is touched that a server takes: the bytes of the body as they were."""
    case.config(case.servers.exim.port("implicit"))
    body = b".\n..\n. \ntrailing \n\ttab\n\nFrom x\nend without newline"
    case.sendmail("-i", case.address, text=b"Subject: y\nX-Odd:nothing\n\n" + body, code=0)
    case.expect(body_of(case.raw()[0]).startswith(body), f"{case.raw()[0]!r}")


@test("dot-ends-without-i")
def dot_ends(case):
    case.config(case.servers.exim.port("implicit"))
    case.sendmail(case.address, text=b"Subject: z\n\nbefore\n.\nafter\n", code=0)
    case.expect(b"after" not in case.raw()[0] and b"before" in case.raw()[0], "the dot ended it")


@test("crlf-message")
def crlf_message(case):
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-t", "-i", text=f"To: {case.address}\r\nSubject: crlf\r\n\r\none\r\ntwo\r\n".encode(), code=0)
    case.expect(body_of(case.raw()[0]) == b"one\ntwo\n", "its body")


@test("utf8-subject")
def utf8_subject(case):
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-t", "-i", "-F", "Wächter «1»", text=f"To: {case.address}\nSubject: Größe 100 € да\n\nx\n")
    mail = case.mails()[0]
    case.expect(mail["Subject"] == "Größe 100 € да" and "Wächter «1»" in mail["From"], f"{mail['Subject']}")


@test("large")
def large(case):
    """Eight megabytes pass through without being held."""
    case.config(case.servers.exim.port("implicit"))
    body = b"".join(b"%07d %s\n" % (number, b"x" * 56) for number in range(128 * 1024))
    case.sendmail("-i", case.address, text=b"Subject: large\n\n" + body, code=0)
    case.expect(body_of(case.raw()[0]).rstrip(b"\n") == body.rstrip(b"\n"), "all of it")


@test("many-recipients")
def many_recipients(case):
    """More than one envelope takes; each once."""
    evil = case.evil([{}])
    case.config(evil.port)
    names = [f"r{number}@{DOMAIN}" for number in range(95)]
    case.sendmail("-t", "-i", text="To: " + ",\n ".join(names + names[:5]) + "\n\nx\n", code=0)
    told = [line[8:].strip("<>") for lines in evil.commands for line in lines if line.startswith("RCPT TO:")]
    case.expect(sorted(told) == sorted(names), f"{len(told)} told")
    case.expect(len(evil.commands) == 1, "over one connection")


# ---- who ----

@test("sender-and-aliases")
def sender_and_aliases(case):
    aliases = case.folder / "aliases"
    aliases.write_text(f"# people\nroot: watch\nwatch: {case.address},\n   {case.address2}\nnull: /dev/null\n")
    evil = case.evil([{}])
    case.config(evil.port, aliases=aliases)
    case.sendmail("-i", "-f", "me", "root", code=0)
    case.expect(f"MAIL FROM:<me@{DOMAIN}>" in " ".join(evil.commands[0]), f"{evil.commands}")
    told = {line[8:].strip("<>") for line in evil.commands[0] if line.startswith("RCPT TO:")}
    case.expect(told == {case.address, case.address2}, f"{told}")
    case.sendmail("-i", "-f", "<>", "root", code=0)
    case.expect(any(line.startswith("MAIL FROM:<>") for line in evil.commands[-1]), "the null reverse-path")
    case.expect("2 of" not in case.call("sendmail", "-bi").out, "newaliases")


@test("ssmtp-configuration")
def ssmtp_configuration(case):
    """ssmtp's two files as they stand."""
    folder = case.folder / "ssmtp"
    folder.mkdir()
    case.conf = folder / "ssmtp.conf"
    root = case.certificates.root("ecdsa")
    case.conf.write_text(f"#\n# Config file for sSMTP sendmail\n#\nroot=postmaster\nmailhub={HOST}:"
                         f"{case.servers.exim.port('starttls')}\nrewriteDomain={DOMAIN}\nhostname=box.example.test\n"
                         f"#FromLineOverride=YES\nUseTLS=YES\nUseSTARTTLS=YES\nAuthUser=device\n"
                         f"AuthPass={case.dovecot.password}\nAuthMethod=LOGIN\nTLS_CA_File={root}\n"
                         f"host={HOST} 127.0.0.1\nspool={case.spool}\nlog={case.log}\n")
    case.conf.chmod(0o600)
    other = case.servers.exim.port("starttls", "wildcard")
    (folder / "revaliases").write_text(f"root:sentry@{DOMAIN}:{HOST}:{other}\n")
    case.sendmail("-t", text=f"To: {case.address}\nFrom: somebody@elsewhere.example\nSubject: s\n\nx\n", code=0)
    mail = case.mails()[0]
    case.expect(f"sentry@{DOMAIN}" in mail["From"], f"From: {mail['From']}")


@test("secrets")
def secrets(case):
    """The password by a file or a command; nowhere in the log, in -v or in arguments."""
    secret = case.folder / "secret"
    secret.write_text(case.dovecot.password + "\n")
    secret.chmod(0o600)
    case.config(case.servers.exim.port("implicit"), auth_pass=None, auth_pass_file=secret)
    done = case.sendmail("-i", "-v", case.address, code=0)
    case.expect("********" in done.err and case.dovecot.password not in done.err, done.err)
    import base64
    case.expect(base64.b64encode(case.dovecot.password.encode()).decode()[:8] not in done.err, "nor in base64")
    case.config(case.servers.exim.port("implicit"), auth_pass=None, passwordeval=f"cat {secret}")
    case.sendmail("-i", case.address, code=0)
    case.mails(count=2)
    case.config(case.servers.exim.port("implicit"), auth_pass=None, passwordeval="exit 3")
    done = case.sendmail("-i", case.address, code=0)
    case.expect("the command failed" in done.err and len(case.queued()) == 1, done.err)
    case.expect(case.dovecot.password not in case.log_text(), "not in the log")


@test("readable-configuration")
def readable_configuration(case):
    case.config(case.servers.exim.port("implicit"))
    case.conf.chmod(0o644)
    done = case.sendmail("-i", case.address, code=0)
    case.expect("everybody may read the password" in done.err, done.err)


# ---- failures ----

@test("server-away")
def server_away(case):
    """Kept, and sent with the next mail, over one connection."""
    port = case.bench.free_port()
    case.config(port)
    for number in range(3):
        done = case.sendmail("-i", case.address, text=f"Subject: {number}\n\nx\n", code=0)
        case.expect("is queued, not sent yet" in done.err and "refused" in done.err, done.err)
    case.expect(len(case.queued()) == 3 and "connection refused" in case.mailq(), case.mailq())
    tap = case.tap(case.servers.exim.port("implicit"), at=port)
    case.sendmail("-i", case.address, text="Subject: 3\n\nx\n", code=0)
    subjects = sorted(mail["Subject"] for mail in case.mails(count=4))
    case.expect(subjects == ["0", "1", "2", "3"] and not case.queued(), f"{subjects}")
    case.expect(len(tap.conversations) == 1, "over one connection")
    case.expect("Mail queue is empty" in case.mailq(), case.mailq())


@test("in-memory")
def in_memory(case):
    """A spool that does not survive a power cut is told of where a person looks, and where a mail is left in it."""
    if not os.access("/dev/shm", os.W_OK) or "tmpfs /dev/shm tmpfs" not in Path("/proc/mounts").read_text():
        raise Skip("/dev/shm is no tmpfs")
    warning = "does not survive a power cut"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        case.spool = Path(folder) / "spool"
        case.config(case.bench.free_port())
        done = case.call("tocsin", "config", "check", str(case.conf), code=0)
        case.expect(f"{case.spool} is in memory" in done.err and warning in done.err, done.err)
        case.expect("state" not in done.err and not case.spool.exists(), "nothing else is told, and nothing made")
        case.sendmail("-i", case.address, code=0)
        case.expect(case.log_text().count(f"{case.queued()[0]}: kept in {case.spool}, which is in memory") == 1,
                    case.log_text())
        case.expect(f"{case.spool} is in memory" in case.mailq(), case.mailq())
        case.config(case.servers.exim.port("implicit"))
        case.sendmail("-i", case.address, text="Subject: 2\n\nx\n", code=0)
        case.mails(count=2)
        case.expect(case.log_text().count(warning) == 1, "a mail that leaves at once is not told of")
    case.spool = case.folder / "spool"
    case.config(case.bench.free_port())
    case.sendmail("-i", case.address, code=0)
    case.expect(case.log_text().count(warning) == 1 and warning not in case.mailq(), "of a disk nothing is told")
    case.expect(not case.call("tocsin", "config", "check", str(case.conf), code=0).err, "nor here")


@test("no-queue")
def no_queue(case):
    case.config(case.bench.free_port(), queue="no")
    done = case.sendmail("-i", case.address, code=75)
    case.expect("not queued" in done.err, done.err)
    case.config(case.servers.exim.port("implicit"), queue="no")
    case.sendmail("-i", case.address, code=0)
    case.mails()
    case.expect(not case.spool.exists(), "no spool was made")


@test("refused-recipient")
def refused_recipient(case):
    """One of two: the other has it, and the refused one is kept for a person."""
    case.config(case.servers.exim.port("implicit"))
    done = case.sendmail("-i", case.address, f"nobody-here@{DOMAIN}")
    case.expect(done.returncode in (67, 69) and "nobody-here" not in done.out, f"{done.returncode} {done.err}")
    case.mails()
    case.expect(len(case.failed()) == 1 and not case.queued(), "kept as failed")
    shown = case.mailq()
    case.expect("refused" in shown and "550" in shown, shown)
    case.call("tocsin", "mailq", "drop", case.failed()[0], code=0)
    case.expect(not case.failed(), "dropped")


@test("later")
def later(case):
    """451 to one: it waits by itself, and others are not held up."""
    case.servers.exim.hold(case.box)
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-i", case.address, code=0)
    case.sendmail("-i", case.address2, code=0)
    case.mails(case.box2)
    case.expect(len(case.queued()) == 1, "one waits")
    case.servers.exim.release(case.box)
    case.call("sendmail", "-q", code=0)
    case.mails(case.box)


@test("wrong-password")
def wrong_password(case):
    case.config(case.servers.exim.port("implicit"), auth_pass="wrong")
    done = case.sendmail("-i", case.address, code=0)
    case.expect("535" in done.err and len(case.queued()) == 1, done.err)
    case.config(case.servers.exim.port("implicit"))
    case.call("sendmail", "-q", code=0)
    case.mails()


@test("second-server")
def second_server(case):
    case.config(case.bench.free_port(), mailhub2=f"localhost:{case.servers.exim.port('implicit')}", tls2="implicit",
                tls_name2=HOST, auth_user2=case.dovecot.user, auth_pass2=case.dovecot.password)
    case.sendmail("-i", case.address, code=0)
    case.mails()


@test("second-server-when-the-first-defers")
def second_server_defers(case):
    evil = case.evil([{"RCPT": "451 4.3.0 Later"}])
    case.config(evil.port, mailhub2=f"localhost:{case.servers.exim.port('implicit')}", tls2="implicit",
                tls_name2=HOST, auth_user2=case.dovecot.user, auth_pass2=case.dovecot.password)
    case.sendmail("-i", case.address, code=0)
    case.mails()
    case.expect(not case.queued(), "nothing is left")


@test("refused-expired", certificate="expired")
@test("refused-wrong-name", certificate="wrong-name")
@test("refused-unknown", certificate="unknown")
@test("refused-not-a-ca", certificate="not-a-ca")
def refused_certificate(case, certificate):
    """Nothing of the application is sent to a server that is not verified; the mail is kept."""
    tap = case.tap(case.servers.exim.port("implicit", certificate))
    case.config(tap.port)
    done = case.sendmail("-i", case.address, code=0)
    case.expect("(security)" in done.err and len(case.queued()) == 1, done.err)
    case.expect(tap.conversations and not tap.secret_sent(), "nothing secret was sent")


@test("starttls-stripped", attack="strip")
@test("starttls-injected", attack="inject")
@test("starttls-refused", attack="refuse")
def starttls_attacked(case, attack):
    tap = case.tap(case.servers.exim.port("starttls"), attack)
    case.config(tap.port, "starttls")
    done = case.sendmail("-i", case.address, code=0)
    case.expect(len(case.queued()) == 1 and done.err, done.err)
    case.expect(tap.conversations and not tap.secret_sent(), "nothing secret was sent")


STAGES = ("GREETING", "TLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "DOT")


@test("dies-at-every-stage")
def dies_at_every_stage(case):
    """The server dies at each stage; the mail comes in the end, with one Message-ID."""
    port = case.bench.free_port()
    script = [{stage: DROP} for stage in STAGES] + [{}]
    evil = case.evil(script, at=port)
    case.config(port)
    case.sendmail("-i", "a@b.example", code=0)
    for _ in STAGES:
        case.expect(len(case.queued()) == 1, "it waits")
        case.call("sendmail", "-q")
    case.expect(len(evil.mails) == 1 and not case.queued(), f"{len(evil.mails)} came")
    ids = {re.search(rb"Message-ID: <(.*?)>", mail, re.IGNORECASE)[1] for mail in evil.mails}
    case.expect(len(ids) == 1, f"{ids}")


@test("stalls-at-every-stage")
def stalls_at_every_stage(case):
    """A server that says nothing more is left within the time that was set."""
    for stage in ("GREETING", "EHLO", "AUTH", "MAIL", "DATA", "DOT"):
        evil = case.evil([{stage: SILENT}])
        case.config(evil.port, greeting_timeout="1", command_timeout="1", accept_timeout="1", body_timeout="1")
        began = time.monotonic()
        case.sendmail("-i", "a@b.example", code=0)
        case.expect(time.monotonic() - began < 8, f"{stage}: {time.monotonic() - began:.1f} s")
        case.expect(len(case.queued()) == 1, f"{stage}: it waits")
        case.call("tocsin", "mailq", "drop", case.queued()[0], code=0)


@test("total-timeout")
def total_timeout(case):
    evil = case.evil([{"GREETING": SILENT}])
    case.config(evil.port, total_timeout="2")
    began = time.monotonic()
    done = case.sendmail("-i", "a@b.example", code=0)
    case.expect(time.monotonic() - began < 6 and "total_timeout" in done.err, done.err)


@test("nothing-listens-ipv6-first")
def ipv6_first(case):
    """A name with a dead address first: the next one is tried."""
    port = case.servers.exim.port("implicit")
    case.config(port, mailhub=f"localhost:{port}")
    case.sendmail("-i", case.address, code=0)
    case.mails()


@test("ipv6")
def ipv6(case):
    """An address in brackets, and the name that its certificate has."""
    port = case.servers.exim.port("implicit")
    try:
        listener = socket.create_server(("::1", port), family=socket.AF_INET6)
    except OSError as why:
        raise Skip(f"no IPv6 here: {why}") from None

    def lead(from_, to):
        try:
            while data := from_.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        with listener, listener.accept()[0] as client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=lead, args=(client, server), daemon=True).start()
            lead(server, client)
    threading.Thread(target=serve, daemon=True).start()
    case.config(port, mailhub=f"[::1]:{port}")
    case.sendmail("-i", case.address, code=0)
    case.mails()
    case.expect("[::1]" in case.log_text(), case.log_text())


@test("broken-configuration")
def broken_configuration(case):
    case.config(case.servers.exim.port("implicit"))
    case.conf.write_text(case.conf.read_text() + "no_such_key = 1\n")
    done = case.sendmail("-i", case.address, code=78)
    case.expect("no such key" in done.err and re.search(r"tocsin.conf:\d+", done.err), done.err)
    case.config(case.servers.exim.port("implicit"))
    case.call("sendmail", "-q")
    case.mails()


@test("no-server-configured")
def no_server_configured(case):
    """A configuration for who only fetches mail: what is missing to send is said."""
    case.config(1, mailhub=None, tls=None, tls_name=None, auth_user=None, auth_pass=None)
    done = case.sendmail("-i", case.address, code=78)
    case.expect("no mail server" in done.err, done.err)


@test("disk-full")
def disk_full(case):
    """Files may not grow: nothing is pretended, nothing is left half."""
    case.config(case.servers.exim.port("implicit"))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    done = case.sendmail("-i", case.address, text="Subject: x\n\n" + "y\n" * 5000, preexec_fn=limit)
    case.expect(done.returncode in (73, 74, 75) and done.err, f"{done.returncode} {done.err}")
    case.expect(not case.queued() and not list((case.spool / "tmp").iterdir()), "nothing is left")


@test("usage")
def usage(case):
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-i", text="Subject: x\n\n", code=64)
    case.sendmail("-t", text="Subject: x\n\nnobody\n", code=64)
    case.sendmail("-i", "--no-such-option", "-Z", case.address, code=0)
    case.mails()


# ---- what callers, clocks and disks do ----

@test("closed-descriptors")
def closed_descriptors(case):
    """Whichever of the standard descriptors is closed: no word for a person gets into the mail or its connection."""
    evil = case.evil([{}])
    case.config(evil.port)
    for closed in ((1,), (2,), (1, 2)):
        case.sendmail("-i", "--no-such-option", "-v", "a@b.example", text="Subject: c\n\nonly this\n", code=0,
                      preexec_fn=lambda closed=closed: [os.close(fd) for fd in closed])
        case.expect(body_of(evil.mails[-1]) == b"only this\n" and b"option" not in evil.mails[-1], f"{evil.mails[-1]}")
    case.expect(">>>" not in case.log_text() and "option" not in case.log_text(), "nor into the log")
    done = case.sendmail("-i", "a@b.example", preexec_fn=lambda: os.close(0))
    case.expect(done.returncode != 0 and len(evil.mails) == 3 and not case.queued(), f"{done.returncode} {done.err}")


@test("address-that-no-command-carries")
def unfit_address(case):
    """It costs nobody else his mail, and is told at once."""
    evil = case.evil([{}])
    case.config(evil.port)
    done = case.sendmail("-i", "a@b.example", "gr\u00fcn@b.example", "c@b.example", code=69)
    told = [line for line in evil.commands[0] if line.startswith("RCPT TO:")]
    case.expect(told == ["RCPT TO:<a@b.example>", "RCPT TO:<c@b.example>"] and len(evil.mails) == 1, f"{told}")
    case.expect("ASCII" in done.err and len(case.failed()) == 1 and not case.queued(), done.err)


@test("sender-as-people-write-it")
def sender_as_written(case):
    """-f takes what a header would have; what is no address is told, and no mail is lost for it."""
    evil = case.evil([{}])
    case.config(evil.port)
    for given, sender in (("<me@b.example>", "me@b.example"), ("My Name <me@b.example>", "me@b.example"),
                          (" me@b.example ", "me@b.example"), ("me", f"me@{DOMAIN}"), ("<>", ""),
                          ("a b c", f"device@{DOMAIN}"),
                          ("gr\u00fcn@b.example", f"device@{DOMAIN}")):
        done = case.sendmail("-i", "-f", given, "a@b.example", code=0)
        case.expect(any(line.startswith(f"MAIL FROM:<{sender}>") for line in evil.commands[-1]),
                    f"{given!r}: {evil.commands[-1]}")
        case.expect(("-f" in done.err) == sender.startswith("device"), f"{given!r}: {done.err}")


def rewrite_envelope(case, **values):
    """Changes lines of the only envelope in the queue, with the checksum that belongs to it."""
    path, = (case.spool / "queue").glob("*.env")
    lines = path.read_bytes().splitlines(keepends=True)
    words = {line.split()[0].decode(): number for number, line in enumerate(lines)}
    for word, value in values.items():
        lines[words[word]] = f"{word} {value}\n".encode()
    check = 2166136261
    for byte in b"".join(lines[:-1]):
        check = (check ^ byte) * 16777619 & 0xFFFFFFFF
    path.write_bytes(b"".join(lines[:-1]) + f"end {lines[-1].split()[1].decode()} {check:08x}\n".encode())


@test("clock-was-not-set", age_s=None, comes=True)
@test("expires-after-a-last-try", age_s=10 * 86400, comes=True)
@test("expires", age_s=10 * 86400, comes=False)
def old_mail(case, age_s, comes):
    """A mail whose time is over has one more try; one of 1970 came before the clock was set, and is not old."""
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-odq", "-i", case.address, code=0)
    rewrite_envelope(case, attempts=3, queued=5000 if age_s is None else int((time.time() - age_s) * 1000))
    if age_s is None:
        case.config(case.bench.free_port())
        case.call("sendmail", "-q", code=75)
        case.expect(len(case.queued()) == 1 and not case.failed(), "it is not given up")
    case.config(case.servers.exim.port("implicit") if comes else case.bench.free_port())
    case.call("sendmail", "-q")
    if comes:
        case.mails()
    case.expect(not case.queued() and len(case.failed()) == (0 if comes else 1), case.mailq())


@test("clock-went-back")
def clock_went_back(case):
    """A next try that is years ahead was planned by a wrong clock."""
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-odq", "-i", case.address, code=0)
    rewrite_envelope(case, attempts=1, due=int((time.time() + 10 * 365 * 86400) * 1000))
    runner = case.start("sendmail", "-v", "-q1s")
    try:
        case.mails()
    finally:
        runner.terminate()
        runner.communicate(timeout=10)


@test("one-that-breaks-connections")
def one_that_breaks_connections(case):
    """`-q` takes the mail that broke the connection twice behind all others."""
    evil = case.evil([{"BODY": DROP}, {"BODY": DROP}, {}])
    case.config(evil.port)
    for name in ("bad", "good"):
        case.sendmail("-odq", "-i", f"{name}@b.example", code=0)
    for _ in range(3):
        case.call("sendmail", "-q")
    told = [line for line in evil.commands[2] if line.startswith("RCPT TO:")]
    case.expect(told == ["RCPT TO:<good@b.example>", "RCPT TO:<bad@b.example>"], f"{told}")
    case.expect(not case.queued(), "all have left")


@test("busy-and-then-broken")
def busy_and_then_broken(case):
    """Who finds another call sending may rely on it, even if that one's session breaks."""
    evil = case.evil([{"DOT": SILENT}, {}])
    case.config(evil.port, accept_timeout="3")
    first = case.start("sendmail", "-i", "first@b.example")
    first.stdin.write(b"Subject: 1\n\nx\n")
    first.stdin.close()
    wait_for(lambda: any("DATA" in lines for lines in evil.commands), 10)
    case.sendmail("-i", "second@b.example", code=0)
    case.expect(first.wait(20) == 0, "the first ended")
    first.stdout.close()
    first.stderr.close()
    told = [line for line in evil.commands[-1] if line.startswith("RCPT TO:")]
    case.expect(told[0] == "RCPT TO:<second@b.example>" and len(case.queued()) == 1, f"{told}")


@test("stopped-sender")
def stopped_sender(case):
    """Who holds the queue for very long is told of: a process that is stopped would hold it for ever."""
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-odq", "-i", case.address, code=0)
    with open(case.spool / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = case.sendmail("-i", case.address, code=0)
        case.expect(not done.err, done.err)
        os.utime(case.spool / "lock", (0, time.time() - 7200))
        done = case.sendmail("-i", case.address, code=0)
        case.expect("another process" in done.err and "queued" in done.err, done.err)
        case.expect("another process" in case.call("sendmail", "-q", code=75).err, "-q tells as well")
    case.call("sendmail", "-q", code=0)
    case.mails(count=3)
    case.expect(time.time() - (case.spool / "lock").stat().st_mtime < 60, "whoever sends next begins anew")


@test("read-only-spool")
def read_only_spool(case):
    """What could not be marked as sent is not sent, again and again."""
    evil = case.evil([{}])
    case.config(evil.port, log="off")
    case.sendmail("-odq", "-i", "a@b.example", code=0)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    for path in (case.conf, case.spool, *case.spool.rglob("*")):
        os.chown(path, 65534, 65534)
    case.bench.folder.chmod(0o755)
    case.folder.chmod(0o755)
    for folder in ("tmp", "queue"):
        (case.spool / folder).chmod(0o500)
    done = case.call("sendmail", "-q", code=75, **nobody)
    case.expect("permission denied" in done.err and not evil.mails and not evil.commands, done.err)
    for folder in ("tmp", "queue"):
        (case.spool / folder).chmod(0o700)
    case.call("sendmail", "-q", code=0, **nobody)
    case.expect(len(evil.mails) == 1 and not case.queued(), "it left")


@test("no-storm")
def no_storm(case):
    """A server that refuses the password is not asked again for each mail that waits."""
    evil = case.evil([{"AUTH": "535 5.7.8 no"}])
    case.config(evil.port, retry_min="60", retry_max="600")
    for number in range(5):
        case.sendmail("-odq", "-i", f"r{number}@b.example", code=0)
    runner = case.start("sendmail", "-v", "-q1s")
    time.sleep(4.5)
    runner.terminate()
    runner.communicate(timeout=10)
    case.expect(1 <= len(evil.commands) <= 3, f"{len(evil.commands)} connections")
    case.expect(len(case.queued()) == 5, "all wait")


@test("no-spool-and-no-configuration")
def no_spool_and_no_configuration(case):
    """Nothing says that a mail is kept which is not."""
    case.config(case.servers.exim.port("implicit"), spool="/dev/null/spool")
    case.conf.write_text(case.conf.read_text() + "no_such_key = 1\n")
    done = case.sendmail("-i", case.address, code=78)
    case.expect("kept" not in done.err and "not queued" in done.err, done.err)


@test("odd-files")
def odd_files(case):
    """A configuration that is a pipe, or has no end; a trace that cannot be written."""
    case.config(case.servers.exim.port("implicit"))
    text = case.conf.read_text()
    case.conf.unlink()
    os.mkfifo(case.conf)
    case.sendmail("-i", case.address, code=78, limit_s=20)
    case.conf.unlink()
    case.conf.symlink_to("/dev/zero")
    done = case.sendmail("-i", case.address, code=78, limit_s=20)
    case.expect("kept" not in done.err, f"the system's spool is not for it: {done.err}")
    case.conf.unlink()
    case.conf.write_text(text)
    done = case.sendmail("-i", "-X", "/nowhere/trace", case.address, code=0)
    case.expect("/nowhere/trace" in done.err, done.err)
    case.mails()


@test("nobody-reads-the-trace")
def nobody_reads_the_trace(case):
    """-v into a pipe that is full does not hold the queue."""
    evil = case.evil([{}])
    case.config(evil.port)
    names = ", ".join(f"{'r' * 50}{number}@b.example" for number in range(1000))
    call = case.start("sendmail", "-i", "-v", "-t")
    call.stdin.write(f"To: {names}\n\nx\n".encode())
    call.stdin.close()
    try:
        case.expect(call.wait(30) == 0 and len(evil.mails) == 34, f"{len(evil.mails)}")
    finally:
        call.kill()
        call.wait()
        call.stdout.close()
        call.stderr.close()


@test("endless-alias")
def endless_alias(case):
    """An alias of more names than are taken: not a part of them, and no success."""
    evil = case.evil([{}])
    aliases = case.folder / "aliases"
    aliases.write_text("all: " + ",\n ".join(f"r{number}@b.example" for number in range(4500)) + "\n")
    case.config(evil.port, aliases=aliases)
    done = case.sendmail("-i", "all", code=75)
    case.expect(not evil.mails and not case.queued() and "recipients" in done.err, done.err)


# ---- many ----

@test("two-hundred-calls")
def two_hundred_calls(case):
    """At once: each mail comes once."""
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-i", case.address, text="Subject: first\n\nx\n", code=0)
    calls = []
    for number in range(200):
        call = case.start("sendmail", "-i", case.address)
        call.stdin.write(f"Subject: n{number}\n\nx\n".encode())
        call.stdin.close()
        calls.append(call)
        while sum(call.poll() is None for call in calls) > 40:
            time.sleep(0.01)
    codes = [call.wait(60) for call in calls]
    for call in calls:
        call.stdout.close()
        call.stderr.close()
    case.expect(set(codes) == {0}, f"{codes}")
    wait_for(lambda: not case.queued(), 20)
    subjects = [mail["Subject"] for mail in case.mails(count=201)]
    case.expect(len(set(subjects)) == 201 and not case.queued(), f"{len(set(subjects))} different")


@test("hundred-over-one-connection")
def hundred(case):
    port = case.servers.exim.port("implicit")
    tap = case.tap(port)
    case.config(tap.port)
    for number in range(100):
        case.sendmail("-odq", "-i", case.address, text=f"Subject: {number}\n\nx\n", code=0)
    case.call("sendmail", "-q", code=0)
    case.mails(count=100)
    case.expect(len(tap.conversations) == 1 and not case.queued(), f"{len(tap.conversations)} connections")


@test("queue-runner")
def queue_runner(case):
    """-q1s in the background sends what is due, and ends by SIGTERM."""
    port = case.bench.free_port()
    case.config(port)
    case.sendmail("-i", case.address, code=0)
    runner = case.start("sendmail", "-v", "-q1s")
    try:
        tap = case.tap(case.servers.exim.port("implicit"), at=port)
        case.mails()
        case.expect(tap.conversations, "by the runner")
        runner.terminate()
        runner.communicate(timeout=10)
        case.expect(runner.returncode == 0, f"{runner.returncode}")
    finally:
        runner.kill()
        runner.wait()


# ---- -bs ----

class Pipe(smtplib.SMTP):
    """smtplib over a child's standard input and output."""

    def __init__(self, command):
        self.ours, theirs = socket.socketpair()
        self.child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        super().__init__(timeout=30)
        code, _ = self.connect("pipe", 1)
        assert code == 220

    def _get_socket(self, host, port, timeout):
        return self.ours


@test("bs")
def bs(case):
    case.config(case.servers.exim.port("implicit"))
    client = Pipe(case.command("sendmail", "-bs"))
    client.sendmail("me@example.test", [case.address, case.address2], "Subject: bs\r\n\r\n..\r\n.\r\n")
    client.sendmail("me@example.test", [case.address], "Subject: again\r\n\r\nx\r\n")
    client.quit()
    case.expect(client.child.wait(20) == 0, "it ended")
    case.expect(sorted(mail["Subject"] for mail in case.mails(count=2)) == ["again", "bs"], "both came")
    case.mails(case.box2)


# ---- a signal, a crash ----

@test("killed-while-sending")
def killed_while_sending(case):
    """kill -9 at random moments of a call: what was reported as kept is there, and comes."""
    import random
    dice = random.Random(case.name)
    case.config(case.servers.exim.port("implicit"))
    for number in range(25):
        call = case.start("sendmail", "-i", case.address)
        call.stdin.write(f"Subject: k{number}\n\nx\n".encode())
        call.stdin.close()
        killer = threading.Timer(dice.random() * 0.25, call.kill)
        killer.start()
        call.wait(30)
        killer.cancel()
        call.stdout.close()
        call.stderr.close()
    case.call("sendmail", "-q", code=0)
    case.expect(not case.queued(), "all have left")
    time.sleep(1)
    mails = case.dovecot.read(case.box)
    by_subject = {}
    for mail in mails:
        by_subject.setdefault(mail["Subject"], set()).add(mail["Message-ID"])
        case.expect(mail.get_content().replace("\r", "") == "x\n", f"whole: {mail.get_content()!r}")
    case.expect(all(len(ids) == 1 for ids in by_subject.values()), "one Message-ID each")


if __name__ == "__main__":
    sys.exit(main(__doc__, "linux-sendmail"))
