"""QEMU tests of the device's mailbox: polls, orders by mail, answers, round trips, reports about delivery.

A test's first mailbox is the person's, which gets alerts and answers; its second is the device's own.
"""
import base64
import email
import email.policy
import hashlib
import hmac
import re
import subprocess
import time

from board import BoardError
from case import ROOT, test
from device import cut_plugin
from durable import words
from peers.bench import DOMAIN, HOST, wait_for
from peers.evil import DROP, SILENT
from peers.evil_pop3 import EvilPop3
from peers.mailer import Mailer
from reconfigure import history, setting

ANSWER_S = 30
TOOL = ROOT / "build" / "tools" / "tocsin"
KEY = hashlib.sha256(b"a device's key").digest()
OTHER_KEY = hashlib.sha256(b"another device's key").digest()
SEED, PHRASE, SEQUENCE = "qe11234", "this is no secret", 60


# ---- the device and its mailbox ----

def made_for(case, port, mode="implicit", **more):
    """A configuration with a mailbox at a port here, read every second; signed orders are taken."""
    made = {"from": f"{case.box2}@{DOMAIN}", "pop3": f"{HOST}:{port}", "pop3_tls": mode, "pop3_user": case.box2,
            "pop3_pass": case.dovecot.reader_password, "poll": "1", "poll_fast": "1", "command_key": KEY.hex(),
            "answers_per_hour": "1000", **more}
    return case.config(case.servers.exim.port("implicit"), **made)


def boot(case, port=None, mode="implicit", extra=(), **more):
    board = case.boot(made_for(case, port or case.dovecot.port(mode), mode, **more), extra=extra)
    case.device = case.status(board, r"\bid ([0-9a-f]{16})")[1]
    case.counter = 0
    return board


def evil(case, script=({},), mode="implicit", **more):
    return EvilPop3(case.bench, case.certificates, script, mode, **more)


def settled(case, board, count=1):
    """Until the device has read its mailbox so many times without a failure."""
    def polls():
        return int(re.search(r"polls (\d+)", "\n".join(board.command("status")))[1])
    first = polls()
    case.expect(wait_for(lambda: polls() >= first + count + 1, ANSWER_S, 0.2), "the mailbox is read")


# ---- orders ----

def payload_of(device, counter, command, text=None):
    head = f"tocsin 1\ndevice {device}\ncounter {counter}\ncommand {command}\n"
    return (head + (f"\n{text}" if text is not None else "")).encode()


def block_of(payload, signature):
    def lines(data):
        coded = base64.b64encode(data).decode()
        return "\n".join(coded[at:at + 64] for at in range(0, len(coded), 64))
    return (f"-----BEGIN TOCSIN COMMAND-----\n{lines(payload)}\n-----TOCSIN SIGNATURE-----\n{lines(signature)}\n"
            "-----END TOCSIN COMMAND-----\n")


def signed(case, command, text=None, key=KEY, device=None, counter=None):
    """The block of an order, with the next counter unless told another."""
    case.counter += 1
    payload = payload_of(device or case.device, case.counter if counter is None else counter, command, text)
    return block_of(payload, hmac.digest(key, payload, "sha256"))


def mail_of(case, body, name, subject="tocsin, please", more=""):
    """A person's mail to the device; name makes its Message-ID."""
    return (f"Return-Path: <owner@{DOMAIN}>\nFrom: The owner <owner@{DOMAIN}>\nTo: {case.box2}@{DOMAIN}\n"
            f"Subject: {subject}\nMessage-ID: <{name}@phone.{DOMAIN}>\nDate: Sun, 22 Nov 2026 10:00:00 +0000\n"
            f"MIME-Version: 1.0\n{more}\n{body}")


def order(case, command, text=None, name=None, subject="tocsin, please", **how):
    """Puts a signed order into the device's mailbox; returns its name."""
    block = signed(case, command, text, **how)
    name = name or f"{command.split(' ')[0]}-{case.counter}"
    case.dovecot.put(case.box2, mail_of(case, f"Hello device,\n\n{block}\n-- \nThe owner\n", name, subject))
    return name


def answers(case, name):
    """The mails in the person's mailbox that answer an order, one a Message-ID."""
    found = {mail["Message-ID"]: mail for mail in case.dovecot.left(case.box)
             if (mail["In-Reply-To"] or "").strip() == f"<{name}@phone.{DOMAIN}>"}
    return list(found.values())


def answer(case, name, limit_s=ANSWER_S):
    """The one answer to an order: threaded, said to be automatic, to the configured address only."""
    wait_for(lambda: answers(case, name), limit_s, 0.1)
    found = answers(case, name)
    case.expect(len(found) == 1, f"{len(found)} answers to {name}")
    mail = found[0]
    case.expect(f"<{name}@phone.{DOMAIN}>" in (mail["References"] or ""), f"References: {mail['References']}")
    case.expect(mail["Auto-Submitted"] == "auto-replied", f"Auto-Submitted: {mail['Auto-Submitted']}")
    case.expect([one.addr_spec for one in mail["To"].addresses] == [f"{case.box}@{DOMAIN}"], f"To: {mail['To']}")
    return mail


def text_of(mail):
    """The text of a mail whose counters may be attached."""
    return mail.get_body(("plain",)).get_content()


def emptied(case):
    """What the device took is deleted from its mailbox."""
    case.expect(wait_for(lambda: not case.dovecot.files(case.box2), ANSWER_S, 0.1),
                f"left in the device's mailbox: {[mail['Subject'] for mail in case.dovecot.left(case.box2)]}")


def asked(case, command, text=None, **how):
    """Orders something; the answer's text."""
    return text_of(answer(case, order(case, command, text, **how)))


# ---- good ways ----

def status_order(case, server_name, mode):
    """A status order comes in and its answer goes out; then the mailbox is empty."""
    board = boot(case, getattr(case.servers, server_name).port(mode), mode)
    name = order(case, "status", subject="Tocsin: how are you?")
    mail = answer(case, name, ANSWER_S + 15)
    case.expect(mail["Subject"] == "Re: Tocsin: how are you?", f"Subject: {mail['Subject']}")
    for what in (case.device, "queue", "mailbox", "waiting"):
        case.expect(what in text_of(mail), f"no {what!r} in\n{text_of(mail)}")
    emptied(case)
    case.status(board, r"orders 1, refused 0")
    case.told(board, r"order by mail: status")


for _server in ("dovecot", "courier"):
    for _mode in ("implicit", "starttls"):
        test(f"order-{_server}-{_mode}", server_name=_server, mode=_mode)(status_order)


@test("order-by-the-tool")
def order_by_the_tool(case):
    """What `tocsin sign` writes is taken as it is, by HMAC and by ECDSA."""
    def tool(*arguments):
        done = subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=20)
        case.expect(done.returncode == 0, f"tocsin {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=20)

    key, private, public = (str(case.folder / name) for name in ("key", "private.pem", "public.der"))
    with open(key, "w", encoding="ascii") as file:
        file.write(KEY.hex() + "\n")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-outform", "DER", "-out", public)
    with open(public, "rb") as file:
        written = base64.b64encode(file.read()).decode()
    board = boot(case, command_public_key=written)
    made = tool("sign", "--key", key, "--device", case.device, "--counter", "5", "--to", f"{case.box2}@{DOMAIN}",
                "--from", f"owner@{DOMAIN}", "status")
    case.dovecot.put(case.box2, made)
    case.mails()
    made = tool("sign", "--key", private, "--device", case.device, "--counter", "6", "--body", "queue")
    case.dovecot.put(case.box2, mail_of(case, made, "by-ecdsa"))
    answer(case, "by-ecdsa")
    with open(private, "wb") as file:
        file.write(b"")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
    made = tool("sign", "--key", private, "--device", case.device, "--counter", "7", "--body", "queue")
    case.dovecot.put(case.box2, mail_of(case, made, "by-another"))
    case.told(board, r"an order by mail was refused: the signature is wrong")
    case.expect(not answers(case, "by-another"), "another's key is none")


@test("orders-of-all-kinds")
def orders_of_all_kinds(case):
    """Each command does what it says, and its answer tells."""
    board = boot(case, commands="all")
    for command, wanted in (
            ("help", r"status"), ("status", r"queue +waiting"), ("report", case.device), ("test", r"test"),
            ("queue", r"queue|empty|nothing|waiting"), ("history", r"number 1"), ("config show", r"mailhub = "),
            ("mute web1 2h", r"web1 is muted until 2\d\d\d-"), ("poll 10m", r"more often until"),
            ("mute web1 off", r"web1 is no longer muted"), ("ack 4000", r"no alert"), ("nonsense", r"no such command")):
        text = asked(case, command)
        case.expect(re.search(wanted, text), f"{command}: no {wanted!r} in\n{text}")
        case.expect(case.dovecot.password not in text and KEY.hex() not in text, f"{command} tells a secret")
    attached = [part.get_content_type() for mail in case.dovecot.left(case.box) for part in mail.iter_attachments()]
    case.expect("text/csv" in attached, f"the report's counters: {attached}")
    board.command("mute web2 1h")
    case.datagram(b"<27>1 - web2 app - - - kept back")
    name = order(case, "reboot")
    answer(case, name)
    board.wait(r"reason of the reset: reboot command", ANSWER_S)
    settled(case, board)
    case.expect(len(answers(case, name)) == 1 and board.count(r"reason of the reset: reboot command") == 1,
                "it restarted once")
    case.expect(not any("kept back" in text_of(mail) for mail in case.dovecot.left(case.box)), "muted")
    emptied(case)


@test("commands-are-a-list")
def commands_are_a_list(case):
    """What `commands` does not name is refused, and nothing of it takes effect."""
    board = boot(case, commands="status queue")
    text = asked(case, "config set from_name Mallory")
    case.expect("not done" in text and "commands" in text, text)
    case.expect(setting(board, "from_name") != "Mallory" and "number 2" not in history(board), "nothing was set")
    case.expect("waiting" in asked(case, "status"), "what is named works")


def reencoded(case):
    """The same kind of order as mail programs send it on."""
    def quoted(block):
        return "".join(f"> {line}\n" for line in block.splitlines())

    def html(block):
        lines = "<br>\n".join(block.splitlines())
        head = "<html><head><style>p { color: red }</style></head>"
        return f"{head}<body><p>Hi&nbsp;there</p><p>{lines}</p></body></html>"

    coded = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n"
    yield "quoted", "", quoted
    yield "base64", coded, lambda block: base64.encodebytes(("Привет!\n" + block).encode()).decode()
    yield "html", "Content-Type: text/html; charset=windows-1251\n", html
    yield "wrapped", "Content-Type: text/plain; format=flowed\n", lambda block: "\n".join(
        line[at:at + 40] for line in block.splitlines() for at in range(0, len(line), 40)) + "\n"
    yield "alternative", "Content-Type: multipart/alternative; boundary=\"=_b\"\n", lambda block: (
        f"This is MIME.\n--=_b\nContent-Type: text/plain\n\n{block}\n--=_b\n"
        f"Content-Type: text/html\n\n{html(block)}\n--=_b--\n")


@test("orders-reencoded")
def orders_reencoded(case):
    """Quoted, encoded, wrapped, as HTML, in two alternatives."""
    board = boot(case)
    for kind, head, change in reencoded(case):
        case.dovecot.put(case.box2, mail_of(case, change(signed(case, "queue")), kind, more=head))
        answer(case, kind)
    emptied(case)
    case.status(board, r"orders 5, refused 0")


# ---- one-time passwords ----

def otp(number):
    """RFC 2289 appendix A: the response of that number, as 16 hexadecimal digits."""
    value = (SEED + PHRASE).encode()
    for _ in range(number + 1):
        digest = hashlib.sha1(value).digest() + b"\0" * 4
        parts = [int.from_bytes(digest[at:at + 4], "big") for at in range(0, 20, 4)]
        folded = (parts[0] ^ parts[2] ^ parts[4], parts[1] ^ parts[3])
        value = b"".join(part.to_bytes(4, "little") for part in folded)
    return value.hex().upper()


def spaced(text):
    return " ".join(text[at:at + 4] for at in range(0, len(text), 4))


@test("otp-from-a-mail-program")
def otp_from_a_mail_program(case):
    """A phone, a printed list and a mail program: s-nail writes the mail and Exim brings it."""
    board = boot(case, otp=f"{SEQUENCE} {SEED} {otp(SEQUENCE)}", commands="all")
    mailer = Mailer(case.bench, case.servers.exim, case.dovecot, f"{case.box}@{DOMAIN}")
    to = f"{case.box2}@{DOMAIN}"

    def came():
        return [mail for mail in case.dovecot.left(case.box) if mail["In-Reply-To"]]

    def send(number, text):
        mailer.send(to, "Tocsin — пожалуйста", f"otp {spaced(otp(number))}\n\n{text}\n-- \nSent from my phone\n")

    def ask(number, text, count):
        send(number, text)
        wait_for(lambda: len(came()) >= count, ANSWER_S, 0.1)
        return came()

    text = text_of(ask(SEQUENCE - 1, "status", 1)[0])
    case.expect("waiting" in text, text)
    case.expect(str(SEQUENCE - 2) in text and SEED in text, f"the next one's number and the seed are told:\n{text}")
    send(SEQUENCE - 1, "reboot")  # The same one again.
    board.wait(r"an order by mail was refused", ANSWER_S)
    case.expect(not board.count(r"reason of the reset: reboot"), "a used one does nothing")
    send(SEQUENCE - 3, "reboot")  # A later one is none either: it is the next one's turn.
    board.wait(r"an order by mail was refused", ANSWER_S, count=2)
    found = ask(SEQUENCE - 2, "config set from_name Mallory", 2)
    case.expect(len(found) == 2 and "signed" in text_of(found[1]), "what has a text must be signed")
    case.expect(setting(board, "from_name") != "Mallory", "nothing was set")
    board = case.power_again(board)
    found = ask(SEQUENCE - 3, "queue", 3)
    case.expect(len(found) == 3, f"the next one works after a power cut: {len(found)} answers")


# ---- refused ----

@test("forged-orders")
def forged_orders(case):
    """Forged, replayed, for another device, cut short: none of them acts, and after several an alert tells."""
    board = boot(case, commands="all", repeat_window="off")
    name = order(case, "status", counter=50)
    answer(case, name)
    emptied(case)
    config = "config set from_name Mallory"
    good = signed(case, config, counter=51)
    forged = [signed(case, config, key=OTHER_KEY, counter=51), signed(case, config, device="0" * 16, counter=51),
              signed(case, config, counter=50), signed(case, config, counter=3), good.replace("-----TOCSIN", "--TCSN"),
              good[:len(good) // 2], signed(case, config, key=b"", counter=51),
              block_of(payload_of(case.device, 51, config), b"\0" * 32), signed(case, config, counter=-1),
              f"otp {spaced(otp(5))}\n{config}\n",
              signed(case, "status", counter=51).replace("BEGIN", "BEGIN ") + "reboot\n"]
    for number, block in enumerate(forged[:-1]):
        case.dovecot.put(case.box2, mail_of(case, block, f"forged-{number}"))
    case.told(board, r"an order by mail was refused: ")
    wait_for(lambda: board.count(r"an order by mail was refused: ") >= 7, ANSWER_S)
    case.expect(board.count(r"an order by mail was refused: ") >= 7, "each is told")
    told = wait_for(lambda: [mail for mail in case.dovecot.left(case.box)
                             if "several orders by mail were refused" in words(mail)], ANSWER_S, 0.2)
    case.expect(told, "an alert says so")
    case.expect(setting(board, "from_name") != "Mallory" and "number 2" not in history(board), "none of them acted")
    case.expect(not any(answers(case, f"forged-{number}") for number in range(len(forged))), "none is answered")
    name = order(case, "status", counter=51)
    answer(case, name)
    case.status(board, r"orders 2, refused")


@test("replayed-order")
def replayed_order(case):
    """The very same mail again, at once, after others, and after a power cut: it has run once."""
    board = boot(case)
    mail = mail_of(case, signed(case, "queue"), "once")
    case.dovecot.put(case.box2, mail, mail)
    answer(case, "once")
    emptied(case)
    answer(case, order(case, "status"))
    case.dovecot.put(case.box2, mail)
    emptied(case)
    board = case.power_again(board)
    case.dovecot.put(case.box2, mail)
    emptied(case)
    time.sleep(1)
    case.expect(len(answers(case, "once")) == 1, f"{len(answers(case, 'once'))} answers")


@test("automatic-mail")
def automatic_mail(case):
    """Lists, bounces and answering machines order nothing and get no answer, however well signed they are; what is
    for nobody here stays where it is, unread."""
    board = boot(case)
    heads = ["Auto-Submitted: auto-replied\n", "List-Id: <a.example.com>\n", "Precedence: bulk\n",
             "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n"]
    for number, head in enumerate(heads):
        case.dovecot.put(case.box2, mail_of(case, signed(case, "status"), f"automatic-{number}", more=head))
    bounce = mail_of(case, signed(case, "status"), "automatic-bounce").replace(f"<owner@{DOMAIN}>", "<>", 1)
    case.dovecot.put(case.box2, bounce, mail_of(case, "Lunch?\n", "other", "Lunch"))
    name = order(case, "queue")
    answer(case, name)
    settled(case, board)
    for number in (*range(len(heads)), "bounce"):
        case.expect(not answers(case, f"automatic-{number}"), f"automatic-{number} was answered")
    case.expect("Lunch" in [mail["Subject"] for mail in case.dovecot.left(case.box2)], "other mail is left alone")
    case.status(board, r"orders 1, refused 0")


@test("mailbox-beside-plain-server")
def mailbox_beside_plain_server(case):
    """The mailbox's certificates count although the mail server has no TLS."""
    made = made_for(case, case.dovecot.port("implicit"))
    made.update({"mailhub": f"{HOST}:{case.bench.free_port()}", "tls": "off"})
    del made["AuthUser"], made["AuthPass"]
    case.dovecot.put(case.box2, "Subject: for nobody\n\ntext\n")
    board = case.boot(made)
    case.told(board, r"mailbox: 1 messages, 1 new")


@test("no-orders-by-default")
def no_orders_by_default(case):
    """Without a key, mail to the device orders nothing."""
    board = boot(case, command_key=None)
    order(case, "status")
    settled(case, board, 3)
    case.nothing_came()
    case.status(board, r"orders 0")


@test("answers-are-limited")
def answers_are_limited(case):
    """answers_per_hour: further orders wait in the mailbox."""
    board = boot(case, answers_per_hour="2")
    settled(case, board)
    names = [order(case, "queue") for _ in range(4)]
    case.told(board, r"waits: .*answers_per_hour")
    time.sleep(1)
    count = sum(len(answers(case, name)) for name in names)
    case.expect(1 <= count <= 2, f"{count} answers")
    case.expect(len(case.dovecot.files(case.box2)) >= 2, "the others are still there")


# ---- settings by mail ----

@test("config-set-by-mail")
def config_set_by_mail(case):
    """In force after the restart, confirmed by its own answer; it lasts."""
    board = boot(case, commands="all")
    name = order(case, "config set from_name = Boiler room")
    board.wait(r"configuration 2 is confirmed", ANSWER_S)
    mail = answer(case, name)
    case.expect(mail["From"].addresses[0].display_name == "Boiler room", f"From: {mail['From']}")
    case.expect(setting(board, "from_name") == "Boiler room", "in force")
    emptied(case)
    name = order(case, "config set", "from_name = Two lines\nretry_max = 3\n")
    board.wait(r"configuration 3 is confirmed", ANSWER_S)
    answer(case, name)
    board = case.power_again(board)
    case.expect(setting(board, "from_name") == "Two lines" and setting(board, "retry_max") == "3", "both last")
    case.expect("number 4" not in history(board), "once each")
    case.expect("nothing was changed" in asked(case, "config set retry_min soon"), "what is wrong is told")
    case.expect("number 4" not in history(board), "and changes nothing")


@test("config-import-by-mail")
def config_import_by_mail(case):
    """A whole configuration with its certificate, in one signed mail."""
    board = boot(case, commands="all")
    made = made_for(case, case.dovecot.port("starttls"), "starttls", commands="all", from_name="Imported")
    with open(made.pop("TLS_CA_File"), encoding="ascii") as file:
        certificate = file.read()
    lines = [f"{key} = {value}" for key, values in made.items()
             for value in (values if isinstance(values, list) else [values])]
    name = order(case, "config import", "\n".join(lines) + "\n" + certificate)
    board.wait(r"configuration 2 is confirmed", ANSWER_S)
    answer(case, name)
    case.expect(setting(board, "from_name") == "Imported" and setting(board, "pop3_tls") in ("starttls", "stls"),
                "in force")
    case.expect(case.dovecot.password not in "\n".join(board.lines()), "no password on the console")
    emptied(case)
    case.expect("waiting" in asked(case, "status"), "and the mailbox is read by the new ones")


@test("config-by-mail-fails", change="auth_pass not this one")
@test("config-by-mail-shuts-out", change="pop3_pass not this one")
def config_by_mail_fails(case, change):
    """No answer gets out with the new settings, or the mailbox cannot be read: the old ones come back, and that is the
    answer."""
    board = boot(case, commands="all", confirm_timeout="10")
    name = order(case, f"config set {change}")
    board.wait(r"configuration 2 was not confirmed", ANSWER_S + 10)
    wait_for(lambda: [mail for mail in case.dovecot.left(case.box) if "not confirmed" in words(mail)], ANSWER_S, 0.2)
    told = [mail for mail in case.dovecot.left(case.box) if "not confirmed" in words(mail)]
    case.expect(told, "it is told")
    case.expect(any(mail["In-Reply-To"] == f"<{name}@phone.{DOMAIN}>" for mail in told), "as an answer to the order")
    emptied(case)
    case.expect("tried and taken back" in history(board), history(board))
    case.expect("waiting" in asked(case, "status"), "the device is reachable as before")
    case.expect("number 3" not in history(board), "the order ran once")


# ---- servers that misbehave ----

def hostile(case, script, told, mode="implicit", **more):
    """A bad session is told with its class; the next one is good, and the order runs once."""
    server = evil(case, [script, {}], mode)
    board = boot(case, server.port, mode, greeting_timeout="2", command_timeout="2", **more)
    server.put(mail_of(case, signed(case, "queue"), "good"))
    if told:
        board.wait(rf"mailbox: \S+: .*{told}", ANSWER_S)
    answer(case, "good", ANSWER_S + 10)
    case.expect(wait_for(lambda: not server.messages, ANSWER_S, 0.1), "the order is deleted")
    time.sleep(0.5)
    case.expect(len(answers(case, "good")) == 1, "answered once")
    return board, server


def half(session):
    """The connection ends in the middle of a message."""
    session.client.sendall(b"+OK\r\nSubject: tocsin, please\r\n\r\n-----BEGIN TOCSIN")
    return DROP


for _name, _script, _told in (
        ("in-use", {"AUTH": "-ERR [IN-USE] Somebody else reads it"}, r"Somebody else.*\(transient\)"),
        ("sys-temp", {"AUTH": "-ERR [SYS/TEMP] Disk is full"}, r"Disk is full.*\(transient\)"),
        ("auth-code", {"AUTH": "-ERR [AUTH] Not you"}, r"Not you.*\(configuration\)"),
        ("login-delay", {"AUTH": "-ERR [LOGIN-DELAY] Too soon"}, r"Too soon.*\(transient\)"),
        ("greeting", {"GREETING": "-ERR Go away"}, r"Go away"),
        ("greeting-silent", {"GREETING": SILENT}, r"\(transient\)"),
        ("greeting-smtp", {"GREETING": "220 mail.example.test ESMTP"}, r"\(transient\)"),
        ("login-drops", {"AUTH": DROP}, r"\(transient\)"),
        ("stat-silent", {"STAT": SILENT}, r"\(transient\)"),
        ("stat-garbage", {"STAT": "+OK many"}, None),
        ("stat-lies", {"STAT": "+OK 4000000000 99999999999"}, None),
        ("listing-garbage", {"LIST": b"+OK \xff\x00 x\r\n", "UIDL": b"+OK one two three\r\n.\r\n"}, None),
        ("top-drops", {"TOP": DROP}, r"\(transient\)"),
        ("retr-err", {"RETR": "-ERR [SYS/TEMP] Not now"}, None),
        ("retr-half", {"RETR": half}, r"\(transient\)"),
        ("dele-err", {"DELE": "-ERR Not mine"}, None),
        ("quit-drops", {"QUIT": DROP}, None),
        ("quit-err", {"QUIT": "-ERR Some deleted messages not removed"}, None)):
    test(f"pop3-{_name}", script=_script, told=_told)(hostile)


def endless(session):
    """A reply whose line never ends; a device gives it up in its time."""
    session.client.sendall(b"+OK\r\n")
    end = time.monotonic() + 5
    while time.monotonic() < end:
        session.client.sendall(b"a" * 1000)
        time.sleep(0.01)
    return DROP


@test("pop3-endless-line")
def endless_line(case):
    """A header line without end does no harm: the session ends, the next one is good."""
    hostile(case, {"TOP": endless}, None)


@test("pop3-without-capa")
def without_capa(case):
    """A server of RFC 1939 alone: USER, PASS, one command a time."""
    server = evil(case, [{"CAPA": "-ERR What?", "AUTH": "-ERR What?"}])
    boot(case, server.port)
    server.put(mail_of(case, signed(case, "queue"), "good"))
    answer(case, "good")
    case.expect(server.asked("PASS") and not server.asked("AUTH"), "USER and PASS")
    case.expect(all(turn.count(b"\r\n") == 1 for turn in server.turns[0]), f"one a turn: {server.turns[0]}")


@test("pop3-huge-mail")
def huge_mail(case):
    """50 MB for the device: its header is read, and no more."""
    server = evil(case)
    tap = case.tap(server.port)
    board = boot(case, tap.port)
    server.put(mail_of(case, "x" * 50_000_000, "huge"), mail_of(case, signed(case, "queue"), "good"))
    answer(case, "good")
    case.told(board, r"larger than pop3_size")
    case.expect(sum(len(one.server) for one in tap.conversations) < 100_000, "nor was it on the wire")
    asked_for = [line for lines in server.commands for line in lines if line.startswith("RETR")]
    case.expect(asked_for == ["RETR 2"], f"downloaded: {asked_for}")
    case.expect(len(server.messages) == 1, "it stays")


@test("pop3-wrong-password")
def wrong_password(case):
    """Said with its class and what to do; alerts go out all the same."""
    board = boot(case, pop3_pass="not this one")
    told = case.told(board, r"mailbox: \S+: (.*\(configuration\).*)")
    case.expect("pop3_pass" in told[1] or "password" in told[1], f"says what to do: {told[1]}")
    case.alert(board)
    case.mails()
    case.expect(not any("not this one" in line for line in board.lines()), "the password is not shown")
    case.status(board, r"failed [1-9]\d*, orders 0, refused 0: .*\(configuration\)")


REASONS = {"expired": r"expired on 2020-01-01", "wrong-name": r"is for other\.example\.test",
           "unknown": r"unknown authority", "early": r"not valid before 2090", "not-a-ca": r"is no CA's|not.* CA"}


def refused_certificate(case, certificate, mode):
    """The reason is told, and no name and no password was sent: seen by the server."""
    server = evil(case, mode=mode, certificate=certificate)
    tap = case.tap(server.port)
    board = boot(case, tap.port, mode)
    case.told(board, rf"mailbox: .*(?:{REASONS[certificate]}).*\(security\)")
    case.expect(tap.conversations and not tap.secret_sent(), "nothing secret was sent")
    case.expect(not server.asked("USER") and not server.asked("AUTH"), f"sent: {server.commands}")
    case.alert(board)
    case.mails()


for _certificate in REASONS:
    test(f"pop3-refused-{_certificate}", certificate=_certificate, mode="implicit")(refused_certificate)
test("pop3-refused-expired-stls", certificate="expired", mode="starttls")(refused_certificate)


def refused_stls(case, attack, told, server_name="dovecot"):
    """STLS taken away, refused, answered by noise, or followed by an attacker's bytes: no login."""
    tap = case.tap(getattr(case.servers, server_name).port("starttls"), attack, pop3=True)
    board = boot(case, tap.port, "starttls")
    case.told(board, rf"mailbox: .*{told}")
    settled(case, board)
    case.expect(tap.conversations and not tap.secret_sent(), "nothing secret was sent")
    clear = [line for one in tap.conversations for line in one.clear_commands()]
    case.expect(all(line in ("CAPA", "STLS", "QUIT") for line in clear), f"in clear: {clear}")


for _server in ("dovecot", "courier"):
    test(f"stls-stripped-{_server}", attack="strip", told=r"STLS.*\(security\)", server_name=_server)(refused_stls)
    test(f"stls-injection-{_server}", attack="inject", told=r"STLS.*\(security\)", server_name=_server)(refused_stls)
test("stls-refused", attack="refuse", told=r"\((security|transient)\)")(refused_stls)
test("stls-garbage", attack="garbage", told=r"\((security|transient)\)")(refused_stls)


# ---- many messages ----

@test("ten-thousand-kept", limit_s=240)
def ten_thousand_kept(case):
    """10,000 messages that are not for the device: once they are known, a poll costs a few KB, and an order among them
    is found, also when others have gone."""
    case.dovecot.fill(case.box2, 10_000)
    tap = case.tap(case.dovecot.pop3s)
    board = boot(case, tap.port)

    def costs():
        """Bytes of each poll that is over."""
        return [len(one.client) + len(one.server) for one in tap.conversations[:-1]]

    board.wait(r"mailbox: 10000 messages, \d+ new", 60)
    name = order(case, "queue")
    answer(case, name)
    known = wait_for(lambda: len(costs()) > 3 and max(costs()[-3:]) < 4096, 180, 0.2)
    case.expect(known, f"bytes of polls: {costs()}")
    name = order(case, "queue")
    answer(case, name)
    case.expect(wait_for(lambda: len(case.dovecot.files(case.box2)) == 10_000, ANSWER_S, 0.2), "all are still there")
    for path in case.dovecot.files(case.box2)[:20]:
        path.unlink()
    name = order(case, "status")
    answer(case, name)
    known = wait_for(lambda: max(costs()[-3:]) < 4096, ANSWER_S, 0.2)
    case.expect(known, f"bytes of polls after 20 messages have gone: {costs()}")
    board = case.power_again(board)
    before = len(costs()) + 1
    settled(case, board, 2)
    case.expect(max(costs()[before:]) < 4096, f"bytes of polls after a power cut: {costs()[before:]}")


# ---- what comes back ----

def bounced(case, server_name):
    """A server takes an alert, and its delivery fails: that comes back as a report and is shown."""
    made = {"from": f"{case.box2}@{DOMAIN}", "root": f"gone@{DOMAIN}"}
    server = case.servers.named(server_name)
    board = boot(case, mailhub=f"{HOST}:{server.port('implicit')}", command_key=None, **made)
    number = case.alert(board, "nobody reads this")
    case.accepted(board)
    told = board.wait(r"alert (\d+) came back, it was not delivered: 5\.\d\.\d+", ANSWER_S)
    case.expect(int(told[1]) == number, f"alert {number}, and {told[1]} is told")
    case.status(board, rf"bounced +1 alerts? came back, last {number}: 5\.")
    emptied(case)
    board = case.power_again(board)
    case.status(board, r"bounced +1 ")


for _server in ("exim", "postfix"):
    test(f"bounce-{_server}", server_name=_server)(bounced)


@test("round-trip")
def round_trip(case):
    """`test --round-trip`: out by SMTP, back by POP3, each stage with its time."""
    board = boot(case)
    answer_lines = board.command("test --round-trip", 40)
    stages = [line.split()[0] for line in answer_lines[:-1]]
    case.expect(answer_lines[-1] == "ok" and {"accepted", "back"} <= set(stages), "\n".join(answer_lines))
    emptied(case)
    case.nothing_came()


@test("round-trip-fails")
def round_trip_fails(case):
    """The mailbox cannot be read: said at its stage."""
    board = boot(case, pop3_pass="not this one")
    since = board.mark()
    board.send(b"test --round-trip\r")
    board.wait(r"mailbox: .*\(configuration\)", ANSWER_S, since)
    board.send(b"\x03")
    board.wait_prompt(ANSWER_S)


@test("report-is-mailed")
def report_is_mailed(case):
    """`report send`: a text for a phone and the counters as CSV; and when the next one is due."""
    board = boot(case, report="daily 07:00")
    case.expect(board.command("report send")[-1] == "ok", "report send")
    mail = case.mails()[0]
    text = text_of(mail)
    case.expect(case.device in text, text)
    case.expect(re.search(r"next.*07:00", text, re.IGNORECASE), f"the next one's time:\n{text}")
    tables = [part for part in mail.iter_attachments() if part.get_content_type() == "text/csv"]
    case.expect(len(tables) == 1, f"{len(tables)} tables")
    rows = [line.split(",") for line in tables[0].get_content().splitlines() if line]
    case.expect(len(rows) > 5 and all(len(row) == 2 for row in rows), f"rows: {rows[:4]}")
    case.expect(mail["Auto-Submitted"] == "auto-generated", f"Auto-Submitted: {mail['Auto-Submitted']}")


@test("orders-in-one-session")
def orders_in_one_session(case):
    """Several at once, one of them new settings: each is done once, in its turn, and answered."""
    board = boot(case, commands="all")
    settled(case, board)
    names = [order(case, command) for command in ("queue", "config set from_name = Second", "status",
                                                  "config set from_name = Third", "help")]
    for name in names:
        answer(case, name, ANSWER_S * 2)
    case.expect(setting(board, "from_name") == "Third", "the last one is in force")
    emptied(case)
    time.sleep(1)
    case.expect([len(answers(case, name)) for name in names] == [1] * len(names), "one answer each")


# ---- power cuts ----

class Cuts:
    """A server before which the power fails, once: at a stage of a session and a while after."""

    def __init__(self, draw):
        self._draw = draw
        self._stage = self._board = None
        self._delay_s = 0
        self.script = {stage: self._at(stage) for stage in ("TOP", "RETR", "DELE", "QUIT", "GONE")}

    def plan(self, board):
        self._delay_s = self._draw.choice([0, self._draw.uniform(0, 0.3), self._draw.uniform(0, 1.5)])
        self._board = board
        self._stage = self._draw.choice(["TOP", "RETR", "DELE", "QUIT", "GONE", "GONE"])

    def _at(self, stage):
        def happens(_session):
            if self._stage != stage:
                return None
            self._stage = None
            time.sleep(self._delay_s)
            self._board.cut_power(self._draw.random() < 0.5)
            return DROP
        return happens


def boot_to_cut(case, operation, after):
    """A board whose power fails at an operation of its flash, which may be while it starts."""
    extra = cut_plugin(case.servers.elf[case.board_name], case.folder / "cut.table", operation, after)
    try:
        return case.boot(image=case.folder / "flash.img", extra=extra)
    except BoardError:
        case.expect(case.boards[-1].wait_end(5), "its power was cut")
        return case.boards[-1]


@test("order-over-power-cuts", lives=7, operations=False)
@test("order-over-flash-cuts", lives=8, operations=True)
def order_over_power_cuts(case, lives, operations):
    """The power fails while orders are handled, wherever the server stands, or at operations of the flash: each has
    run once, and is answered."""
    draw, names, cut_count = case.random, [], 0
    cuts = Cuts(draw)
    server = evil(case, [cuts.script])
    board = boot(case, server.port, commands="all")
    settled(case, board)
    for life in range(lives):
        if operations:
            board.stop()
            board = boot_to_cut(case, draw.randint(2, 24), draw.randint(0, 20000))
        elif life > 0:
            board = case.boot(image=case.folder / "flash.img")
        if not operations:
            cuts.plan(board)
        command = draw.choice(["status", "config set from_name = Life", "queue", "mute web1 1h"])
        command += f" {life}" if command.startswith("config") else ""
        names.append((f"cut-{life}", command))
        server.put(mail_of(case, signed(case, command), names[-1][0]))
        ended = board.wait_end(5 if operations else ANSWER_S)
        case.expect(ended or operations, f"life {life} was cut")
        cut_count += ended
        board.stop()
    case.expect(cut_count >= lives // 2, f"{cut_count} of {lives} lives were cut")
    board = case.boot(image=case.folder / "flash.img")
    case.expect(wait_for(lambda: all(answers(case, name) for name, _ in names), ANSWER_S * 2, 0.3),
                f"without an answer: {[name for name, _ in names if not answers(case, name)]}")
    case.expect(wait_for(lambda: not server.messages, ANSWER_S, 0.2), "the orders are deleted")
    time.sleep(1)
    for name, command in names:
        case.expect(len(answers(case, name)) == 1, f"{len(answers(case, name))} answers to {name} ({command})")
    commits = [command for _, command in names if command.startswith("config")]
    if commits:
        case.expect(setting(board, "from_name") == commits[-1].split("= ")[1], "the last one set is in force")
