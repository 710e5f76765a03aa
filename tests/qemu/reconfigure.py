"""QEMU tests of a configuration that is changed on the device: set, import, commit, trial, revert, history."""
import re
import time

from case import test
from durable import words
from peers.bench import DOMAIN


def commit(case, board):
    """`config commit`, and the restart that follows it."""
    since = board.mark()
    answer = board.command("config commit")
    case.expect(answer[-1] == "ok", "\n".join(answer))
    case.wait_boot(board, since)
    return "\n".join(answer)


def setting(board, key):
    """What `config show` says of a key."""
    found = (re.match(rf"{key}\s*=\s*(.*)$", line) for line in board.command("config show"))
    return next((hit[1] for hit in found if hit), None)


def history(board):
    return "\n".join(board.command("config history"))


@test("config-set-and-commit")
def config_set_and_commit(case):
    """Staged, checked as a whole, committed, in force from the restart on; and taken back."""
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    case.expect(board.command("config set from_name Boiler room")[-1] == "ok", "set")
    case.expect(setting(board, "from_name") != "Boiler room", "no effect before commit")
    answer = "\n".join(board.command("config test"))
    case.expect("Boiler room" in answer and answer.endswith("ok"), f"config test:\n{answer}")
    number = case.alert(board, "queued before")
    case.accepted(board)
    commit(case, board)
    case.expect(setting(board, "from_name") == "Boiler room", "in force")
    case.expect(re.search(r"number 2, .*in force\n.*number 1, .*before", history(board)), history(board))
    case.expect(case.alert(board, "after") > number, "numbers go on")
    case.expect(case.mails(count=2)[1]["From"].addresses[0].display_name == "Boiler room", "the mail has it")
    board = case.power_again(board)
    case.expect(setting(board, "from_name") == "Boiler room", "it stays")
    since = board.mark()
    case.expect(board.command("config revert 1")[-1] == "ok", "revert")
    case.wait_boot(board, since)
    case.expect(setting(board, "from_name") != "Boiler room", "the one before is back")
    board = case.power_again(board)
    case.expect(setting(board, "from_name") != "Boiler room", "and stays")


@test("config-errors")
def config_errors(case):
    """What is wrong is told, and nothing of it takes effect; a reset drops what is staged."""
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    case.expect(board.command("config set nonsense 1")[-1].startswith("error: "), "no such key")
    board.command("config set retry_min soon")
    answer = board.command("config commit")
    case.expect(answer[-1].startswith("error: ") and any("retry_min" in line for line in answer), "\n".join(answer))
    case.expect(board.command("config revert")[-1] == "ok", "revert drops it")
    board.command("config set from_name Staged")
    board = case.power_again(board)
    case.expect(board.command("config commit")[-1].startswith("error: "), "nothing is staged after a power cut")
    case.expect("number 2" not in history(board), history(board))
    case.alert(board)
    case.mails()


@test("config-import")
def config_import(case):
    """A whole text with its certificate, pasted, ended by a lone dot."""
    board = case.boot(case.config(case.bench.free_port()))
    made = case.config(case.servers.exim.port("implicit"), from_name="Pasted", boxes=[case.box2])
    root = made.pop("TLS_CA_File")
    with open(root, encoding="ascii") as file:
        certificate = file.read()
    lines = [f"{key} = {value}" for key, values in made.items()
             for value in (values if isinstance(values, list) else [values])]
    board.wait_prompt()
    since = board.mark()
    board.send(b"config import\r")
    board.wait("paste the text", 5, since)
    for line in [*lines, *certificate.splitlines(), "."]:
        board.send(line.encode() + b"\r")
        time.sleep(0.01)
    board.wait("^ok$", 10, since)
    case.expect(not any(case.dovecot.password in line for line in board.lines()), "the password is not shown")
    commit(case, board)
    case.expect(setting(board, "from_name") == "Pasted", "in force")
    case.alert(board)
    mail = case.mails(case.box2)[0]
    case.expect(mail["To"].addresses[0].addr_spec == f"{case.box2}@{DOMAIN}", f"To: {mail['To']}")


def on_trial(case, board, *settings):
    for line in ("confirm yes", "confirm_timeout 10", *settings):
        answer = board.command(f"config set {line}")
        case.expect(answer[-1] == "ok", "\n".join(answer))
    case.expect("on trial" in commit(case, board), "it is on trial")


def taken_back(case, board, why):
    """Number 1 is in force again, and an alert says so."""
    case.told(board, rf"configuration 2 was not confirmed: .*{why}.*number 1 is in force again")
    case.expect(setting(board, "confirm") == "no", "the old settings are back")
    case.expect("tried and taken back" in history(board), history(board))
    texts = [words(mail) for mail in case.mails()]  # The trial's own mail ended with it.
    case.expect(any(re.search(r"configuration 2 was not confirmed: .*number 1 is in force again", text)
                    for text in texts), f"told by mail: {texts}")
    case.alert(board, "as before")
    case.mails(count=2)


@test("trial-confirmed")
def trial_confirmed(case):
    """A mail gets out with the new settings: they stay."""
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    on_trial(case, board, "from_name New")
    case.told(board, r"configuration 2 is confirmed: a mail got out with it")
    case.expect("configuration 2 is being tried" in words(case.mails()[0]), "the test mail")
    board = case.power_again(board)
    case.expect(setting(board, "from_name") == "New", "they stay")
    case.expect(not board.count("not confirmed"), "and nobody says otherwise")


@test("trial-fails")
def trial_fails(case):
    """No mail gets out with the new settings in their time: the old ones come back."""
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    since = board.mark()
    on_trial(case, board, "auth_pass not this one")
    board.wait(r"configuration 2 was not confirmed: no mail got out in 10 s.*535.*restarting with number 1", 25, since)
    case.wait_boot(board, board.mark() - 1)
    taken_back(case, board, "no mail got out in 10 s")


@test("trial-power-cut")
def trial_power_cut(case):
    """The power fails during a trial: the old settings come back."""
    board = case.boot(case.config(case.servers.exim.port("implicit")))
    on_trial(case, board, f"mailhub mail.example.test:{case.bench.free_port()}")
    board = case.power_again(board)
    taken_back(case, board, "reset meanwhile")
