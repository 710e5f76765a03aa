#!/usr/bin/env python3
"""The QEMU tests: boards against real servers, good ways and every failure.

    check.py [--board NAME] [--only PATTERN] [--list] [--keep] [--jobs N]

Each test boots a board of its own with a configuration of its own and sends to mailboxes of its own. What the
server got is asserted on the server's side, what a person is told on the console.
"""
import argparse
import email
import email.policy
import random
import re
import ssl
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from board import BoardError, boards  # noqa: E402
import durable  # noqa: E402,F401
import mailbox  # noqa: E402,F401
import reconfigure  # noqa: E402,F401
from case import LOGS, TESTS, Case, Runner, Servers, geometry, test  # noqa: E402
from device import GUEST_HOST, ImageError, elf_of  # noqa: E402
from peers import Bench, PeerError  # noqa: E402
from peers.bench import DOMAIN, HOST  # noqa: E402
from peers.evil import DROP, SILENT  # noqa: E402

# ---- the good ways ----

def received_tells(mail, server_name):
    """The server's own trace: TLS 1.2, and who was authenticated."""
    received = " ".join(mail["Received"].split())
    if server_name == "postfix":
        return "using TLSv1.2" in received and "Authenticated sender: device" in received
    return "with esmtpsa (TLS1.2)" in received


def send(case, server_name, mode, certificate):
    server = case.servers.named(server_name)
    board = case.boot(case.config(server.port(mode, certificate), mode, certificate))
    case.logger("disk almost full: 98 % of /var")
    mail = case.mails()[0]
    case.accepted(board)
    case.expect(received_tells(mail, server_name), f"Received: {mail['Received']}")
    case.expect("disk almost full: 98 % of /var" in case.text(mail), "the text is in the body")
    case.expect("disk almost full" in mail["Subject"], f"Subject: {mail['Subject']}")
    case.expect(mail["Auto-Submitted"] == "auto-generated", "Auto-Submitted")
    case.expect(mail["To"].addresses[0].addr_spec == f"{case.box}@{DOMAIN}", f"To: {mail['To']}")
    case.expect(mail["From"].addresses[0].addr_spec.endswith(f"@{DOMAIN}"), f"From: {mail['From']}")
    case.expect(re.fullmatch(r"<[^<>\s@]+@[^<>\s@]+>", mail["Message-ID"]), f"Message-ID: {mail['Message-ID']}")
    case.expect(abs(mail["Date"].datetime.timestamp() - time.time()) < 120, f"Date: {mail['Date']}")
    case.expect((mail["Importance"] or "").lower() == "high", f"Importance: {mail['Importance']}")
    case.status(board, r"TLS 1\.2 ECDHE-")
    case.status(board, r"accepted 1, failures 0, connections 1")
    case.status(board, r"queue +waiting 0")


for _server in ("exim", "postfix"):
    for _mode in ("implicit", "starttls"):
        for _certificate in ("ecdsa", "rsa"):
            test(f"send-{_server}-{_mode}-{_certificate}", server_name=_server, mode=_mode,
                 certificate=_certificate)(send)
for _certificate in ("p384", "wildcard", "self"):
    test(f"send-{_certificate}", server_name="exim", mode="implicit", certificate=_certificate)(send)


@test("chain-in-status")
def chain_in_status(case):
    """Version, suite, curve, peer name and chain reach status and log."""
    board = case.boot(case.config(case.servers.exim.port("implicit", "rsa"), certificate="rsa"))
    case.alert(board)
    case.accepted(board)
    chain = (rf"TLS 1\.2 ECDHE-RSA-\S+ (X25519|P-256); {HOST} RSA-2048 < "
             "Tocsin test issuer RSA RSA-2048 < Tocsin test root")
    case.status(board, chain)
    case.told(board, rf"log: .*{chain}")


@test("ssmtp-configuration", tls="UseTLS=YES", mode="implicit")
@test("ssmtp-configuration-starttls", tls="UseTLS=YES\nUseSTARTTLS=YES", mode="starttls")
def ssmtp_configuration(case, tls, mode):
    """ssmtp.conf's own names, without blanks, the form that its manual shows."""
    text = (f"root={case.box}@{DOMAIN}\nmailhub={HOST}:{case.servers.exim.port(mode)}\nrewriteDomain={DOMAIN}\n"
            f"hostname=router1\n{tls}\nAuthUser={case.dovecot.user}\nAuthPass={case.dovecot.password}\n"
            f"FromLineOverride=YES\nTLS_CA_File={case.certificates.root()}\n"
            f"host={HOST} {GUEST_HOST}\nsntp={GUEST_HOST}:{case.servers.chrony.port}\nalert_boot=no\n")
    board = case.boot(text)
    case.alert(board)
    mail = case.mails()[0]
    case.expect(received_tells(mail, "exim"), f"Received: {mail['Received']}")
    case.expect(mail["From"].addresses[0].domain == DOMAIN, f"From: {mail['From']}")


@test("session-resumes")
def session_resumes(case):
    """The second connection skips certificates and key exchange: on the wire, not only by our word."""
    server = case.servers.named("postfix")
    tap = case.tap(server.port("implicit"))
    board = case.boot(case.config(tap.port))
    for count in (1, 2):
        case.alert(board)
        case.accepted(board, count)
        case.told(board, r"accepted by")
        time.sleep(0.3)
    case.mails(count=2)
    case.status(board, r"connections 2, TLS resumed 1")
    first, second = (len(conversation.server) for conversation in tap.conversations)
    case.expect(second < first - 500, f"the server's half: {first}, then {second} bytes")


@test("one-connection")
def one_connection(case):
    """What waited goes over one connection."""
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    board.set_link(False)
    board.wait("link down")
    for number in range(3):
        case.alert(board, f"number {number}")
    board.set_link(True)
    mails = case.mails(count=3)
    case.expect({case.text(mail).count("number") > 0 for mail in mails} == {True}, "texts")
    case.accepted(board, 3)
    case.status(board, r"accepted 3, failures 0, connections 1,")


@test("pipelining")
def pipelining(case):
    """MAIL, RCPT and DATA leave in one record, as does each other turn."""
    evil = case.evil([{}])
    board = case.boot(case.config(evil.port, boxes=[case.box, case.box2]))
    case.alert(board)
    case.accepted(board)
    turns = evil.turns[0]
    case.expect([turn.count(b"\r\n") for turn in turns[:3]] == [1, 1, 4], f"turns: {turns[:3]}")
    case.expect(turns[2].startswith(b"MAIL FROM:") and turns[2].endswith(b"DATA\r\n"), f"turn: {turns[2]}")
    case.expect(b"SIZE=" in turns[2], f"SIZE is told: {turns[2]}")


@test("plain-server", offers=["AUTH PLAIN"])
@test("login-only-server", offers=["AUTH LOGIN", "SIZE"])
@test("old-auth-server", offers=["AUTH=LOGIN PLAIN", "AUTH CRAM-MD5 LOGIN", "X-OTHER"])
def modest_server(case, offers):
    """A server without PIPELINING and 8BITMIME: one command a turn, and Cyrillic in 7 bits."""
    evil = case.evil([{}], offers=offers)
    board = case.boot(case.config(evil.port))
    case.alert(board, "Дверь открыта")
    case.accepted(board)
    case.expect(all(turn.count(b"\r\n") == 1 for turn in evil.turns[0][:5]), f"turns: {evil.turns[0][:5]}")
    mail = email.message_from_bytes(evil.mails[0], policy=email.policy.default)
    case.expect(max(evil.mails[0]) < 128, "7 bits")
    case.expect("Дверь открыта" in mail.get_content() and "Дверь открыта" in mail["Subject"], "decoded")


@test("server-without-auth")
def server_without_auth(case):
    """AuthUser is set and the server has no AUTH: told, and no mail without it."""
    evil = case.evil([{}], offers=["PIPELINING"])
    board = case.boot(case.config(evil.port))
    case.alert(board)
    case.told(board, r"sending failed: .*AuthUser is set, but the server offers no AUTH")
    case.expect(not any(line.startswith("MAIL") for line in evil.commands[0]), f"sent: {evil.commands}")


@test("several-recipients")
def several_recipients(case):
    board = case.boot(case.config(case.servers.exim.port("implicit"), boxes=[case.box, case.box2]))
    case.alert(board)
    for box in (case.box, case.box2):
        addresses = [address.username for address in case.mails(box)[0]["To"].addresses]
        case.expect(addresses == [case.box, case.box2], f"To: {addresses}")


@test("boot-alert")
def boot_alert(case):
    board = case.boot(case.config(case.servers.exim.port("starttls"), "starttls", alert_boot="yes"))
    mail = case.mails()[0]
    case.expect("power on" in case.text(mail), case.text(mail))
    case.accepted(board)


@test("dns")
def dns(case):
    """The mail server by its name, from a name server."""
    made = case.config(case.servers.exim.port("implicit"), host=None, dns=f"{GUEST_HOST}:{case.servers.dnsmasq.port}")
    board = case.boot(made)
    case.alert(board)
    case.mails()
    case.status(board, rf"{HOST}:\d+, .*10\.0\.2\.2")


@test("test-command")
def test_command(case):
    board = case.boot(case.config(case.servers.exim.port("starttls"), "starttls"))
    answer = board.command("test", 30)
    stages = [line.split()[0] for line in answer[:-1]]
    wanted = ["link", "address", "clock", "DNS", "connect", "TLS", "AUTH", "recipient", "accepted"]
    case.expect(stages == wanted, f"stages: {stages}")
    case.expect(all(re.match(r"\s+\w+\s+ok\s+\d+ ms", line) for line in answer[:-1]), "\n".join(answer))
    case.expect(answer[-1] == "ok", answer[-1])
    case.mails()


# ---- TLS refused ----

REASONS = {
    "expired": r"expired on 2020-01-01",
    "early": r"not valid before 2090-01-01",
    "wrong-name": rf"is for other\.example\.test, not for {re.escape(HOST)}",
    "lookalike": rf"is for other\.example\.test, not for {re.escape(HOST)}",
    "unknown": r"signed by an unknown authority: Nobody's root",
    "not-a-ca": r"is no CA's|not.* CA",
}


def refused_certificate(case, certificate, mode, server_name):
    """The reason is told, and nothing of the application was sent: seen on the wire."""
    tap = case.tap(case.servers.named(server_name).port(mode, certificate))
    board = case.boot(case.config(tap.port, mode))
    case.alert(board)
    told = case.told(board, rf"sending failed: (.*(?:{REASONS[certificate]}).*)")
    case.expect("(security)" in told[1], f"it is of class security: {told[1]}")
    case.expect(tap.conversations and not tap.secret_sent(), "neither MAIL FROM nor a credential was sent")
    clear = [line for conversation in tap.conversations for line in conversation.clear_commands()]
    case.expect(all(line.startswith(("EHLO ", "STARTTLS")) for line in clear), f"in clear: {clear}")
    case.status(board, r"queue +waiting 1")
    case.nothing_came()
    answer = board.command("test", 30)
    case.expect(answer[-1].startswith("error: ") and any("TLS" in line and "FAIL" in line for line in answer),
                "\n".join(answer))
    case.expect(not tap.secret_sent(), "not by `test` either")


for _certificate in REASONS:
    for _mode, _server in (("implicit", "exim"), ("starttls", "postfix")):
        test(f"refused-{_certificate}-{_mode}", certificate=_certificate, mode=_mode,
             server_name=_server)(refused_certificate)


def refused_starttls(case, attack, reason, server_name):
    tap = case.tap(case.servers.named(server_name).port("starttls"), attack)
    board = case.boot(case.config(tap.port, "starttls"))
    case.alert(board)
    case.told(board, rf"sending failed: .*{reason}.*\(security\)")
    case.expect(not tap.secret_sent(), "neither MAIL FROM nor a credential was sent")
    clear = [line for conversation in tap.conversations for line in conversation.clear_commands()]
    case.expect(all(line.startswith(("EHLO ", "STARTTLS", "QUIT")) for line in clear), f"in clear: {clear}")
    case.status(board, r"queue +waiting 1")
    case.nothing_came()


for _server in ("exim", "postfix"):
    test(f"starttls-stripped-{_server}", attack="strip", reason="does not offer STARTTLS",
         server_name=_server)(refused_starttls)
    test(f"starttls-injection-{_server}", attack="inject", reason="STARTTLS",
         server_name=_server)(refused_starttls)
test("starttls-refused", attack="refuse", reason=r"454 4\.7\.0 .*TLS not available",
     server_name="exim")(refused_starttls)
test("starttls-garbage", attack="garbage", reason="STARTTLS", server_name="exim")(refused_starttls)


@test("clear-text-needs-consent")
def clear_text_needs_consent(case):
    """`tls = off` with a password is no configuration; with auth_without_tls it is the person's own wish."""
    evil = case.evil([{}], "clear")
    try:
        case.image(case.config(evil.port, "off"))
        raise AssertionError("the configuration was taken")
    except ImageError as refusal:
        case.expect("clear text" in str(refusal), str(refusal))
    board = case.boot(case.config(evil.port, "off", auth_without_tls="yes"))
    case.alert(board)
    case.accepted(board)
    case.expect(len(evil.mails) == 1, "the mail went")


@test("tls-1.3-only", version=ssl.TLSVersion.TLSv1_3, ciphers=None, reason=r"TLS 1\.2|version")
@test("tls-1.1-only", version=ssl.TLSVersion.TLSv1_1, ciphers="DEFAULT:@SECLEVEL=0", reason=r"TLS 1\.|version")
@test("cbc-suites-only", version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA256",
      reason="handshake_failure")
def no_common_tls(case, version, ciphers, reason):
    """A server that shares no version or suite with the device: said, and nothing sent."""
    evil = case.evil([{}], version=version, ciphers=ciphers)
    board = case.boot(case.config(evil.port))
    case.alert(board)
    case.told(board, rf"sending failed: .*(?:{reason}).*\(security\)")
    case.expect(not any(evil.commands), f"sent: {evil.commands}")
    case.status(board, r"queue +waiting 1")


def suite(case, ciphers, certificate, name):
    """Each suite that the device offers works."""
    evil = case.evil([{}], certificate=certificate, ciphers=ciphers, version=ssl.TLSVersion.TLSv1_2)
    board = case.boot(case.config(evil.port, certificate=certificate))
    case.alert(board)
    case.accepted(board)
    case.status(board, rf"TLS 1\.2 {name}\b")
    case.expect(len(evil.mails) == 1, f"{len(evil.mails)} mails")


for _kind, _certificate in (("ECDSA", "ecdsa"), ("RSA", "rsa")):
    for _cipher, _name in (("CHACHA20-POLY1305", "CHACHA20-POLY1305"), ("AES128-GCM-SHA256", "AES128-GCM-SHA256"),
                           ("AES256-GCM-SHA384", "AES256-GCM-SHA384")):
        test(f"suite-{_certificate}-{_cipher.lower()}", ciphers=f"ECDHE-{_kind}-{_cipher}", certificate=_certificate,
             name=f"ECDHE-{_kind}-{_name}")(suite)


@test("other-end-is-no-tls")
def other_end_is_no_tls(case):
    """TLS on connect against a port that speaks plain SMTP."""
    tap = case.tap(case.servers.exim.port("starttls"))
    board = case.boot(case.config(tap.port, "implicit"))
    case.alert(board)
    case.told(board, r"sending failed: .*does not speak TLS.*220")
    case.expect(not tap.secret_sent(), "nothing secret was sent")


# ---- the server says no, or nothing ----

def wrong_password(case, server_name):
    board = case.boot(case.config(case.servers.named(server_name).port("implicit"), password="not this one"))
    case.alert(board)
    told = case.told(board, r"sending failed: \S+: (AUTH: 535 .*)")
    case.expect("AuthUser" in told[1] or "AuthPass" in told[1] or "password" in told[1], f"says what to do: {told[1]}")
    case.status(board, r"queue +waiting 1")
    case.nothing_came()
    case.expect(not any("not this one" in line for line in board.lines()), "the password is not shown")


def later(case, server_name):
    """451 to RCPT, then accepted: delivered once, in the end."""
    server = case.servers.named(server_name)
    server.hold(case.box)
    board = case.boot(case.config(server.port("implicit")))
    case.alert(board)
    case.told(board, r"log: .*451 4\.7\.1 .*Greylisted")
    case.status(board, r"queue +waiting 1")
    server.release(case.box)
    case.mails()
    case.accepted(board)
    case.status(board, r"queue +waiting 0")


def full_mailbox(case, server_name):
    """One of two mailboxes is full: the other gets its mail at once, and the full one is tried again."""
    server = case.servers.named(server_name)
    board = case.boot(case.config(server.port("implicit"), boxes=["full", case.box]))
    case.alert(board)
    case.mails()
    case.told(board, rf"recipient full@{DOMAIN} has to wait: .*452 4\.2\.2 .*Mailbox full")
    board.wait(r"has to wait: ", 10, count=3)
    case.status(board, r"queue +waiting 1")
    case.mails()


def no_such_recipient(case, server_name):
    server = case.servers.named(server_name)
    board = case.boot(case.config(server.port("implicit"), boxes=["nobody-here", case.box]))
    case.alert(board)
    case.mails()
    case.told(board, rf"recipient nobody-here@{DOMAIN} was refused: .*550")
    case.status(board, r"queue +waiting 0")


for _server in ("exim", "postfix"):
    test(f"wrong-password-{_server}", server_name=_server)(wrong_password)
    test(f"4xx-then-success-{_server}", server_name=_server)(later)
    test(f"full-mailbox-{_server}", server_name=_server)(full_mailbox)
    test(f"no-such-recipient-{_server}", server_name=_server)(no_such_recipient)


@test("dies-in-data")
def dies_in_data(case):
    """The connection breaks in the body; the next one goes through, and there is one mail."""
    evil = case.evil([{"BODY": DROP}, {"forward": case.servers.exim.port("implicit")}])
    board = case.boot(case.config(evil.port))
    case.alert(board)
    case.told(board, r"sending failed: ")
    case.mails()
    case.accepted(board)
    case.status(board, r"accepted 1, failures 1, connections 2")


@test("dropped-at-every-stage")
def dropped_at_every_stage(case):
    """A connection that breaks at any stage is begun again. An end behind the final dot is not: the server may have
    the mail, but only a 250 says so."""
    stages = ["TLS", "GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "DOT"]
    evil = case.evil([{stage: DROP} for stage in stages] + [{"forward": case.servers.exim.port("implicit")}])
    board = case.boot(case.config(evil.port, retry_max="1"))
    case.alert(board)
    board.wait(r"sending failed: .*\(transient\)", 30, count=len(stages))
    case.mails()
    case.accepted(board)
    case.expect(not evil.mails, "nothing was accepted before")


@test("busy-then-success")
def busy_then_success(case):
    """421 in the greeting, 4xx to each command, then good."""
    evil = case.evil([{"GREETING": "421 4.3.2 Too busy, come back"}, {"MAIL": "451 4.3.0 Not now"},
                      {"DATA": "451 4.3.0 Not now"}, {"DOT": "452 4.3.1 Disk full"},
                      {"forward": case.servers.exim.port("implicit")}])
    board = case.boot(case.config(evil.port))
    case.alert(board)
    for words in ("Too busy", "Not now", "Disk full"):
        board.wait(words, 20)
    case.mails()
    case.accepted(board)


@test("refused-for-good")
def refused_for_good(case):
    """5xx to the message: no more tries, the reason is kept, and the next alert is not held up by it."""
    evil = case.evil([{"DOT": "554 5.7.1 Looks like spam"}, {"forward": case.servers.exim.port("implicit")}])
    board = case.boot(case.config(evil.port))
    case.alert(board, "first")
    case.told(board, r"was refused: .*554 5\.7\.1 Looks like spam")
    case.alert(board, "second")
    texts = [case.text(mail) for mail in case.mails(count=2)]
    case.expect(any("second" in text for text in texts), "the second came")
    told = any("refused for ever by the mail server 1" in " ".join(text.split()) for text in texts)
    case.expect(told, "told by mail")
    case.status(board, r"queue +waiting 0, given up 1")


@test("silent-server")
def silent_server(case):
    """A server that says nothing any more is given up in time."""
    evil = case.evil([{"GREETING": SILENT}, {"EHLO": SILENT}, {"DOT": SILENT},
                      {"forward": case.servers.exim.port("implicit")}])
    made = case.config(evil.port, greeting_timeout="1", command_timeout="1", accept_timeout="1")
    board = case.boot(made)
    case.alert(board)
    board.wait(r"sending failed: .*\(transient\)", 20, count=3)
    case.mails()


@test("no-server")
def no_server(case):
    board = case.boot(case.config(case.bench.free_port()))
    case.alert(board)
    case.told(board, r"sending failed: .*refused.*\(transient\)")


@test("no-dns-answer")
def no_dns_answer(case):
    """No name server answers: the mail waits, and goes once the name can be had."""
    made = case.config(case.servers.exim.port("implicit"), host=None, dns=f"{GUEST_HOST}:{case.bench.free_port()}",
                       connect_timeout="3")
    board = case.boot(made)
    case.alert(board)
    board.wait(r"sending failed: .*DNS.*", 25)
    case.status(board, r"queue +waiting 1")


@test("no-such-name")
def no_such_name(case):
    made = case.config(case.servers.exim.port("implicit"), host=None, mailhub="mail.nowhere.test:465",
                       dns=f"{GUEST_HOST}:{case.servers.dnsmasq.port}")
    board = case.boot(made)
    case.alert(board)
    board.wait(r"sending failed: .*not found in DNS", 25)
    case.status(board, r"queue +waiting 1")


@test("static-address")
def static_address(case):
    """No DHCP: address, gateway and DNS as written; the server's name comes from DNS."""
    made = case.config(case.servers.exim.port("implicit"), host=None, address="10.0.2.40/24",
                       gateway=GUEST_HOST, dns=f"{GUEST_HOST}:{case.servers.dnsmasq.port}")
    board = case.boot(made)
    board.wait(r"network: address 10\.0\.2\.40 as configured", 10)
    case.alert(board, "from a fixed address")
    mail = case.mails()[-1]
    case.expect("10.0.2.40" in case.text(mail), "the mail tells the address")
    case.status(board, r"10\.0\.2\.40 as configured, gateway 10\.0\.2\.2")


@test("no-link")
def no_link(case):
    board = case.boot(case.config(case.servers.exim.port("implicit"), alert_link="yes"))
    board.set_link(False)
    board.wait("network link down", 10)
    case.alert(board, "cable out")
    case.told(board, r"link is down")
    case.nothing_came()
    board.set_link(True)
    mails = case.mails(count=2)
    texts = [case.text(mail) for mail in mails]
    case.expect(any("cable out" in text for text in texts), "the alert came")
    case.expect(any("link up again" in text for text in texts), "the device's own alert came")


@test("no-time")
def no_time(case):
    """Without a clock and without SNTP nothing is sent, and the person is told why. A board with an RTC is started
    with one that was never set."""
    tap = case.tap(case.servers.exim.port("implicit"))
    board = case.boot(case.config(tap.port, sntp=f"{GUEST_HOST}:{case.bench.free_port()}"),
                      extra=["-rtc", "base=2001-01-01T00:00:00"])
    case.alert(board)
    case.told(board, r"sending waits: the time is not known")
    case.status(board, r"clock +not known")
    case.expect(not tap.conversations, "no connection was opened")


@test("rtc-never-set")
def rtc_never_set(case):
    """SNTP helps out where the board's own clock was never set."""
    board = case.boot(case.config(case.servers.exim.port("implicit")), extra=["-rtc", "base=2001-01-01T00:00:00"])
    case.alert(board)
    mail = case.mails()[0]
    case.expect(abs(mail["Date"].datetime.timestamp() - time.time()) < 120, f"Date: {mail['Date']}")
    case.status(board, r"clock .* from SNTP")


# ---- the device itself ----

def overwrite(image, where, size, byte=0xFF):
    with open(image, "r+b") as file:
        file.seek(where)
        file.write(bytes([byte]) * size)


@test("no-seed")
def no_seed(case):
    """A device without a seed refuses TLS and says what to do."""
    tap = case.tap(case.servers.exim.port("implicit"))
    image = case.image(case.config(tap.port))
    flash = geometry(case.board_name)
    overwrite(image, flash["FLASH_LOG_BASE"], flash["FLASH_LOG_BYTES"])
    board = case.boot(image=image)
    case.told(board, r"log: .*random numbers: .*make config")
    case.alert(board)
    case.told(board, r"sending waits: .*no seed")
    case.expect(not tap.secret_sent(), "nothing was sent")


def usable_without_configuration(case, board):
    case.told(board, r"log: .*configuration: ")
    case.expect(board.command("help")[-1] == "ok", "help")
    case.expect(board.command("config show")[-1] == "ok", "config show")
    case.expect(board.command("alert err lost?")[-1].startswith("error: "), "an alert is not taken in silence")
    case.expect(board.command("test")[-1].startswith("error: "), "test")
    case.status(board, r"network +link up")
    case.expect(board.command("nonsense")[-1].startswith("error: no such command"), "an unknown command")


@test("missing-configuration")
def missing_configuration(case):
    flash = geometry(case.board_name)
    image = case.image(case.config(465))
    overwrite(image, flash["FLASH_CONFIG_BASE"], flash["FLASH_CONFIG_BYTES"])
    usable_without_configuration(case, case.boot(image=image))


def damage(case, image, *places):
    """Turns one bit of the configuration's text at each place, counted from `mailhub`."""
    flash = geometry(case.board_name)
    with open(image, "r+b") as file:
        file.seek(flash["FLASH_CONFIG_BASE"])
        region = file.read(flash["FLASH_CONFIG_BYTES"])
        for place in places:
            at = region.index(b"mailhub") + place
            file.seek(flash["FLASH_CONFIG_BASE"] + at)
            file.write(bytes([region[at] ^ 1]))


@test("damaged-configuration")
def damaged_configuration(case):
    """Bits of the text are wrong: none of it is used."""
    image = case.image(case.config(465))
    damage(case, image, 0, 20)
    usable_without_configuration(case, case.boot(image=image))


@test("one-bad-bit")
def one_bad_bit(case):
    """One wrong bit of the text is put right, and told."""
    image = case.image(case.config(case.servers.exim.port("implicit")))
    damage(case, image, 0)
    board = case.boot(image=image)
    case.alert(board)
    case.mails()
    case.expect("one bit went bad and is put right" in "\n".join(board.command("config history")), "history tells")


@test("reset-causes")
def reset_causes(case):
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    case.told(board, r"reason of the reset: power on")
    since = board.mark()
    case.expect(board.command("reboot")[-1] == "ok", "reboot")
    board.wait(r"started, boot 2; reason of the reset: reboot command", 10, since)
    since = board.mark()
    board.monitor("system_reset")
    board.wait(r"started, boot 3; reason of the reset: (external|power on)", 10, since)
    board.wait("network: address", 10, since)
    case.alert(board)
    case.mails()


@test("fault")
def fault(case):
    """A fault prints what it was and resets; the next boot mails it."""
    board = case.boot(case.config(case.servers.exim.port("implicit"), alert_boot="yes"))
    case.accepted(board)
    since = board.mark()
    board.send(b"crash now\r")
    board.wait(r"pc=[0-9a-f]{8}", 10, since)
    board.wait(r"reason of the reset: fault", 10, since)
    mails = case.mails(count=2)
    case.expect(any(re.search(r"fault: .*pc=[0-9a-f]{8}", case.text(mail).replace("\n", " ")) for mail in mails),
                "the fault was mailed")


@test("secrets-are-masked")
def secrets_are_masked(case):
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    answer = board.command("config show")
    case.expect(any(re.match(r"auth_pass = \*+", line) for line in answer), "\n".join(answer))
    case.alert(board)
    case.mails()
    board.command("log")
    board.command("status")
    case.expect(not any(case.dovecot.password in line for line in board.lines()), "the password is on the console")


@test("line-editing")
def line_editing(case):
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    since = board.mark()
    board.send(b"alert err one twoX\x7f three\x17four\r")
    board.wait("^ok$", 10, since)
    case.expect("one two four" in case.text(case.mails()[0]), "backspace and Ctrl-W")


# ---- what goes in ----

@test("malformed-syslog")
def malformed_syslog(case):
    """Noise is counted and does no harm; the message behind it arrives."""
    board = case.boot(case.config(case.servers.exim.port("implicit"), syslog_severity="debug"))
    bad = [b"", b"<", b"<>", b"<999>x", b"no priority", b"<13", b"<1a>x", b"\0" * 40, b"\xff" * 1400, b"<-1>x"]
    bad += [bytes(case.random.randrange(256) for _ in range(case.random.randrange(1, 300))).replace(b"<", b"-")
            for _ in range(20)]
    bad = [data for data in bad if data]  # lwIP does not hand on an empty datagram's absence of bytes.
    for data in bad:
        case.datagram(data)
        time.sleep(0.01)
    case.status(board, rf"malformed {len(bad)}\b")
    case.logger("after the noise")
    case.expect("after the noise" in case.text(case.mails()[0]), "it arrived")


@test("syslog-filter")
def syslog_filter(case):
    """Severity, facility and text decide."""
    made = case.config(case.servers.exim.port("implicit"), syslog_severity="warning", syslog_ignore="boring")
    board = case.boot(made)
    case.logger("too mild", priority="daemon.notice")
    case.logger("very Boring", priority="daemon.err")
    case.logger("this one", priority="daemon.warning", rfc="--rfc3164")
    case.expect("this one" in case.text(case.mails()[0]), "the right one came")
    case.status(board, r"received 3, taken 1, filtered 2, malformed 0")


@test("sender-reaches-the-mail")
def sender_reaches_the_mail(case):
    case.boot(case.config(case.servers.exim.port("implicit")))
    case.datagram(b"<34>1 2026-03-01T10:00:00.5Z fridge.example.test cooler 77 ID7 - Compressor hot")
    text = case.text(case.mails()[0])
    for words in ("fridge.example.test", "cooler", "Compressor hot", "critical"):
        case.expect(words in text, f"{words!r} is in the body:\n{text}")


@test("cyrillic")
def cyrillic(case):
    words = "Диск /var заполнен на 98 % — сервер «Ёж» остановится"
    case.boot(case.config(case.servers.named("exim").port("starttls"), "starttls"))
    case.logger(words)
    mail = case.mails()[0]
    case.expect(words in case.text(mail), case.text(mail))
    case.expect("Диск /var заполнен" in mail["Subject"], f"Subject: {mail['Subject']}")


@test("header-injection")
def header_injection(case):
    """What comes from outside ends no header line and adds no recipient."""
    case.boot(case.config(case.servers.exim.port("implicit")))
    other = f"{case.box2}@{DOMAIN}".encode()
    attacks = [b"<34>Oct 11 22:14:15 host app: hello\r\nBcc: " + other + b"\r\n\r\nbody",
               b"<34>1 - h\r\nBcc:x a\r\nX-Evil:1 - - - text\r\n.\r\nRCPT TO:<" + other + b">",
               b"<34>1 - host =?utf-8?q?=0D=0ABcc:_x?= - - - =?utf-8?q?=0D=0AX-Evil:_1?="]
    for attack in attacks:
        case.datagram(attack)
    mails = case.mails(count=3)
    plain = {name.lower() for name in mails[0].keys()}
    for mail in mails:
        names = [name.lower() for name in mail.keys()]
        case.expect("bcc" not in names and "x-evil" not in names, f"headers: {names}")
        case.expect(len(mail["To"].addresses) == 1, f"To: {mail['To']}")
        case.expect(set(names) <= plain | {"content-transfer-encoding"}, f"headers: {names}")
    case.nothing_came(case.box2)


# ---- running ----

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", choices=boards(), action="append", help="this board only")
    parser.add_argument("--only", default="", help="tests whose name has this pattern")
    parser.add_argument("--list", action="store_true", help="name the tests and end")
    parser.add_argument("--keep", action="store_true", help="keep the servers' folder and all console logs")
    parser.add_argument("--jobs", type=int, default=3, help="tests at a time (3)")
    options = parser.parse_args()
    names = [name for name in TESTS if re.search(options.only, name)]
    if options.list:
        print("\n".join(names))
        return 0
    chosen = options.board or boards()
    missing = [board for board in chosen if not elf_of(board).is_file()]
    if missing:
        raise PeerError(f"no firmware for {', '.join(missing)}: run `make firmware BOARD=...`")
    LOGS.mkdir(parents=True, exist_ok=True)
    labels = [(name, board) for name in names for board in chosen]
    random.Random(1).shuffle(labels)  # Long ones do not stand together, and the order is the same each time.
    boxes = [(f"box{index}a", f"box{index}b") for index in range(len(labels))]
    runner = Runner(options.jobs, options.keep)
    with Bench("qemu", limit_s=1500, keep=options.keep) as bench:
        bench.on_close(runner.stop_all)
        servers = Servers(bench, chosen, [box for pair in boxes for box in pair])
        work = [(f"{name} on {board}",
                 lambda name=name, board=board, pair=pair: Case(name, board, servers, pair), TESTS[name])
                for (name, board), pair in zip(labels, boxes)]
        runner.run(work)
    counts = runner.results
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] or not counts["ok"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BoardError, ImageError, PeerError) as problem:
        print(f"tests/qemu/check.py: {problem}\n0 passed, 1 failed, 0 skipped", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
