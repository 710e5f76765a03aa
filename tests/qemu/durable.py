"""QEMU tests of what must last: the queue over resets and power cuts, storms, limits, a second server, expiry."""
import re
import time

from case import ACCEPTED, DELIVERY_S, test
from peers.bench import HOST, wait_for
from peers.evil import SILENT

QUEUED = re.compile(r"^  (\d+) (\w+), tries \d+, ([^:]*): (.*)$")


def words(mail):
    """A mail's text on one line."""
    return " ".join(mail.get_content().split())


def listed(board):
    """{number: text} of the answer to `queue`."""
    return {int(hit[1]): hit[4] for line in board.command("queue") if (hit := QUEUED.match(line))}


def away(case, **more):
    """A board whose server does not answer, and the port at which it will."""
    port = case.bench.free_port()
    return case.boot(case.config(port, **more)), port


def comes_back(case, board, port):
    tap = case.tap(case.servers.exim.port("implicit"), at=port)
    board.command("queue retry")
    return tap


# ---- resets and power cuts ----

@test("reboot-keeps-the-queue")
def reboot_keeps_the_queue(case):
    """List, show, retry and drop, and what they did is the same after each reset."""
    board, port = away(case)
    first = case.alert(board, "the first", "crit")
    second = case.alert(board, "the second")
    third = case.alert(board, "the third", "notice")
    case.reboot(board)
    case.told(board, r"queue: still to be sent: 3")
    case.expect(listed(board) == {first: "the first", second: "the second", third: "the third"}, "the three are listed")
    shown = "\n".join(board.command(f"queue show {first}"))
    for pattern in (rf"alert +{first} of boot 1, critical", r"text +the first", r"from +console"):
        case.expect(re.search(pattern, shown), f"no {pattern!r} in\n{shown}")
    case.expect(board.command(f"queue drop {second}")[-1] == "ok", "drop")
    case.expect(board.command(f"queue drop {second}")[-1].startswith("error: "), "it is gone")
    case.expect(board.command(f"queue show {second}")[-1].startswith("error: "), "and not shown")
    case.reboot(board)
    case.expect(listed(board) == {first: "the first", third: "the third"}, "what was dropped stays away")
    case.expect(case.alert(board, "the fourth") > third, "numbers go on")
    comes_back(case, board, port)
    texts = [words(mail) for mail in case.mails(count=3)]
    case.expect(not any("the second" in text for text in texts), "what was dropped is not sent")
    case.status(board, r"queue +waiting 0, given up 0, displaced 0")
    case.status(board, r"in all accepted 3, refused 0, expired 0, repeated 0, in digests 0, dropped 1")


@test("power-cut-keeps-the-queue")
def power_cut_keeps_the_queue(case):
    """Server away, alerts queued, power cut, server back: all arrive."""
    board, port = away(case)
    names = [f"number {number}" for number in range(6)]
    for name in names[::2]:
        case.alert(board, name)
    for name in names[1::2]:
        case.logger(name)
        board.wait(f"alert .*{name}", 10)
    board = case.power_again(board)
    comes_back(case, board, port)
    texts = "\n".join(words(mail) for mail in case.mails(count=len(names)))
    case.expect(all(name in texts for name in names), texts)
    case.status(board, r"queue +waiting 0")


@test("number-and-identity")
def number_and_identity(case):
    """A mail whose 250 was lost comes twice, before and after a power cut, with one Message-ID."""
    gate = case.gate(case.servers.exim.port("implicit"))
    board = case.boot(case.config(gate.port))
    told = []
    gate.on_stage = lambda stage: stage == "SAID" and not told and (told.append(stage), time.sleep(3))
    case.alert(board, "twice")
    wait_for(lambda: told, DELIVERY_S)
    board = case.power_again(board)
    case.told(board, r"queue: still to be sent: 1")
    mails = case.mails(count=2)
    case.expect(mails[0]["Message-ID"] == mails[1]["Message-ID"], f"{[mail['Message-ID'] for mail in mails]}")
    case.accepted(board)
    case.status(board, r"queue +waiting 0")


@test("full-queue")
def full_queue(case):
    """No room for one more alert: the oldest of the least severe gives way, which is told; the severe is not lost."""
    port = case.bench.free_port()
    image = case.image(case.config(port))
    case.fill(image, "ring")
    case.fill(image, "queue", "1024")
    board = case.boot(image=image)
    case.status(board, r"queue +waiting 1024, given up 0, displaced 0")
    case.alert(board, "the severe one", "emerg")
    case.status(board, r"queue +waiting 1024, given up 0, displaced 1")
    board = case.power_again(board)
    case.status(board, r"queue +waiting 1024, given up 0, displaced 1")
    case.expect(board.command("alert notice a mild one")[-1].startswith("error: "), "a mild one is not taken, and told")
    case.status(board, r"queue +waiting 1024, given up 0, displaced 2")
    evil = case.evil([{}], at=port)
    board.command("queue retry")
    told = wait_for(lambda: len(evil.mails) > 1024 and [mail for mail in evil.mails if b"displaced" in mail], 60, 0.5)
    case.expect(b"the severe one" in evil.mails[0], "the severe one goes first")
    case.expect(told, f"the loss is told by mail; {len(evil.mails)} mails came")
    case.expect(len(evil.mails) == 1025, f"{len(evil.mails)} mails")
    case.status(board, r"queue +waiting 0, given up 0, displaced 2")


# ---- storms and limits ----

def pour(case, board, texts):
    """Sends syslog messages of severity error, and says how many the device has taken in all: a datagram that comes
    while its receive ring is full is gone, and counted as dropped. How long the others take depends on the computer:
    they have all come when one behind them has, which is filtered out. Once a boot."""
    def last_came():
        counts = case.status(board, r"received \d+, taken (\d+), filtered (\d+)")
        return int(counts[2]) > 0 and counts

    def all_came():
        case.datagram(b"<31>1 - web1 app - - - the last one")
        return wait_for(last_came, 1, 0.1)

    for text in texts:
        case.datagram(b"<27>1 - web1 app - - - " + text)
        time.sleep(0.005)
    counts = wait_for(all_came, DELIVERY_S)
    case.expect(counts, "nothing comes any more")
    return int(counts[1])


@test("storm-of-one")
def storm_of_one(case):
    """Hundreds like one another: one mail at once, and one at the window's end that counts the others."""
    board = case.boot(case.config(case.servers.exim.port("implicit"), repeat_window="10"))
    case.datagram(b"<27>1 - web1 app - - - the disk is full")
    case.accepted(board)
    taken = pour(case, board, [b"the disk is full"] * 220)
    case.expect(taken > 100, f"only {taken} came")
    case.accepted(board, 2, 20)
    mails = case.mails(count=2)
    case.expect(f"{taken - 1} times" in words(mails[1]), f"{taken} were taken:\n{words(mails[1])}")
    case.status(board, r"queue +waiting 0, given up 0, displaced 0")


@test("storm-of-many")
def storm_of_many(case):
    """Different ones, of which 10 an hour are mails of their own: a digest lists the others. The critical ones go at
    once."""
    board = case.boot(case.config(case.servers.exim.port("implicit"), alerts_per_hour="10", digest_delay="10"))
    taken = pour(case, board, [b"different %d." % number for number in range(110)])
    case.expect(taken > 45, f"only {taken} came")
    for number in range(3):
        case.alert(board, f"critical {number}.", "crit")
    case.accepted(board, 14, 30)
    texts = [words(mail) for mail in case.mails(count=14)]
    for number in range(3):
        case.expect(sum(f"critical {number}." in text for text in texts) == 1, f"critical {number} went by itself")
    for number in range(110):
        name = f"different {number}."
        told = sum(name in text for text in texts)
        came = board.count(rf"alert \d+ from .*{re.escape(name)}")
        case.expect(told == came, f"{name} came {came} times and is told {told} times")
    digest = max(texts, key=lambda text: text.count("different"))
    case.expect(digest.count("different") == taken - 10, f"{taken} came; {digest.count('different')} lines:\n{digest}")
    case.status(board, r"queue +waiting 0, given up 0, displaced 0")
    case.status(board, rf"in digests {taken - 10}")


@test("storm-over-a-power-cut")
def storm_over_a_power_cut(case):
    """What is folded and counted when the power fails is in flash."""
    board = case.boot(case.config(case.servers.exim.port("implicit"), alerts_per_hour="2", digest_delay="5",
                                  repeat_window="10m"))
    for number in range(8):
        case.alert_line(board, f"different {number}.")
    case.accepted(board, 2)
    case.status(board, r"in all accepted 2")
    board = case.power_again(board)
    case.accepted(board, 1, 20)
    texts = [words(mail) for mail in case.mails(count=3)]
    named = [sum(f"different {number}." in text for text in texts) for number in range(8)]
    case.expect(named == [1] * 8, f"each is told once: {named}")


@test("limit-over-a-reboot")
def limit_over_a_reboot(case):
    """A reset does not give a new minute's worth of messages."""
    board = case.boot(case.config(case.servers.exim.port("implicit"), limit_minute="4"))
    for number in range(8):
        case.alert(board, f"number {number}")
    board.wait(r"minute", 10)
    came = len(case.dovecot.wait(case.box, 1, 5))
    case.expect(1 <= came <= 4, f"{came} came")
    case.reboot(board)
    board = case.power_again(board)
    board.wait(r"minute", 10)
    time.sleep(2)
    came = len(case.dovecot.read(case.box))
    case.expect(1 <= came <= 4, f"{came} came in the first seconds")
    case.status(board, rf"queue +waiting {8 - came}, .*next try in \d+ s")


# ---- a second server ----

def second(case, first, **more):
    """The first server is no use: the mail goes by the second."""
    board = case.boot(case.config(first, mailhub2=f"{HOST}:{case.servers.exim.port('implicit')}",
                                  auth_user2=case.dovecot.user, auth_pass2=case.dovecot.password,
                                  tls2="implicit", **more))
    case.alert(board, "by the second")
    case.expect("by the second" in words(case.mails()[0]), "it came")
    case.accepted(board)
    case.status(board, r"queue +waiting 0, given up 0")
    return board


@test("second-server-refused")
def second_server_refused(case):
    """Nobody listens at the first."""
    board = second(case, case.bench.free_port())
    case.told(board, r"sending failed: \S+: .*refused.*\(transient\)")


@test("second-server-dead")
def second_server_dead(case):
    """The first takes the connection and never says a word."""
    second(case, case.evil([{"GREETING": SILENT}]).port, greeting_timeout="1")


@test("second-server-hostile")
def second_server_hostile(case):
    """The first shows an expired certificate, and gets nothing."""
    tap = case.tap(case.servers.exim.port("implicit", "expired"))
    board = second(case, tap.port)
    case.told(board, r"sending failed: \S+: .*expired on 2020-01-01.*\(security\)")
    case.expect(tap.conversations and not tap.secret_sent(), "no sender and no credential was sent to the first")


@test("second-server-password")
def second_server_password(case):
    """Without auth_user2 there is no login at the second: the first's password is for the first."""
    evil = case.evil([{}])
    board = case.boot(case.config(case.bench.free_port(), mailhub2=f"{HOST}:{evil.port}", tls2="implicit"))
    case.alert(board)
    case.accepted(board)
    case.expect(not any(line.startswith("AUTH") for line in evil.commands[0]), f"sent: {evil.commands}")


# ---- too old ----

@test("expiry")
def expiry(case):
    """An alert that could not be sent for `expire` is given up: kept, told by mail, and sent when a person says so."""
    board, port = away(case, expire="3s")
    number = case.alert(board, "too late")
    board.wait(rf"alert {number} .*given up", 20)
    case.status(board, r"queue +waiting 0, given up 1")
    board = case.power_again(board)
    case.status(board, r"queue +waiting 0, given up 1")
    case.expect(any("given up" in line for line in board.command("queue")), "the list tells it")
    tap = case.tap(case.servers.exim.port("implicit"), at=port)
    case.alert(board, "in time")
    texts = [words(mail) for mail in case.mails(count=2)]
    case.expect(any("given up 1" in text for text in texts), f"told by mail: {texts}")
    case.expect(not any("too late" in text for text in texts), "it is not sent by itself")
    board.command("queue retry")
    case.expect("too late" in words(case.mails(count=3)[2]), "it is sent when a person says so")
    case.status(board, r"queue +waiting 0, given up 0")
    case.expect(tap.conversations, "by this server")
