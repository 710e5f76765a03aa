#!/usr/bin/env python3
"""`make run`: the whole way of an alert, from a syslog message to a mail in a mailbox, over a power cut, and back.

Without --config: Exim and Dovecot (and chrony for the time) are started on loopback with a CA of their own, the
board boots in QEMU, `logger` sends it a syslog message, and the mail is read back over POP3 inside TLS. Then its
cable is pulled, an alert is queued, the power is cut, and the mail is read when both are back. Last, a person orders
by signed mails: `status`, which is answered, and a new setting, which is tried, confirmed and answered. With
--config the board uses that configuration and the servers it names; nothing else is started, and the proof is
the server's own reply. --interactive leaves the console to you afterwards.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import termios
import textwrap
import threading
import tty
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from board import Board, BoardError, boards  # noqa: E402
from device import GUEST_HOST, ImageError, elf_of, flash_tool_of, make_image, settings, text_of  # noqa: E402
from peers import Bench, Certificates, Chrony, Dovecot, Exim, Mailer, PeerError  # noqa: E402
from peers.bench import DOMAIN, HOST, port_free, wait_for  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180     # Of the whole run, the person's own time at the console not counted.
BOOT_S = 20
DELIVERY_S = 45
SYSLOG_TEXT = "Failed password for root from 192.0.2.7 port 51122 ssh2"
OUTAGE_TEXT = "pump 3 stopped"
SIGNER = ROOT / "build" / "tools" / "tocsin"
BOX = "router1"  # The device's own mailbox.
NEW_NAME = "Boiler room"


class Failure(Exception):
    """What went wrong, in a sentence."""


class Screen:
    """What the person sees: headings, the console behind a bar, notes."""

    def __init__(self):
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._bold, self._dim, self._off = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "")

    def _write(self, line):
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def step(self, text):
        self._write(f"{self._bold}{text}{self._off}")

    def note(self, text):
        self._write(f"  {text}")

    def console(self, line):
        if line.strip():
            self._write(f"  {self._dim}|{self._off} {line}")

    def mail(self, message, lines_max=None):
        for name in ("From", "To", "Subject", "Date"):
            if message[name]:
                self.note(f"{name}: {message[name]}")
        self._write("")
        lines = message.get_body(("plain",)).get_content().splitlines()
        for line in lines[:lines_max]:
            self._write(textwrap.fill(line, 96, initial_indent="  ", subsequent_indent="  "))
        if lines_max and len(lines) > lines_max:
            self.note(f"... and {len(lines) - lines_max} lines more")


def guest_syslog_port(config):
    """The UDP port that the configuration lets the board listen on; 0: none."""
    ports = re.findall(r"(?im)^\s*syslog_?port\s*=\s*(\S+)", config.read_text(errors="replace"))
    if not ports:
        return 514
    return int(ports[-1]) if ports[-1].isdigit() else 0


def send_syslog(port, text):
    logger = shutil.which("logger")
    if logger is None:
        raise Failure("`logger` is missing: install the package bsdutils")
    done = subprocess.run([logger, "--udp", "--server", "127.0.0.1", "--port", str(port), "--rfc5424", "--tag", "sshd",
                           "--priority", "auth.crit", "--", text], capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise Failure(f"logger: {done.stderr.strip()}")


class Owner:
    """The person: has the device's key and a mail program."""

    def __init__(self, bench, exim, dovecot):
        self.dovecot = dovecot
        self._mailer = Mailer(bench, exim, dovecot, f"admin@{DOMAIN}")
        self._key = bench.folder / "device.key"
        self.line = self._tool("key", "hmac", str(self._key)).strip().splitlines()[-1]
        self._counter = 0

    @staticmethod
    def _tool(*arguments):
        if not SIGNER.is_file():
            raise Failure(f"{SIGNER.relative_to(ROOT)} is not built: run `make tools`")
        done = subprocess.run([SIGNER, *arguments], capture_output=True, text=True, timeout=10)
        if done.returncode:
            raise Failure(f"tocsin {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def order(self, device, command):
        """Signs an order and mails it to the device."""
        self._counter += 1
        block = self._tool("sign", "--key", str(self._key), "--device", device, "--counter", str(self._counter),
                           "--body", *command.split(" "))
        self._mailer.send(f"{BOX}@{DOMAIN}", f"tocsin {command}", block)

    def answer(self, command):
        subject = f"Re: tocsin {command}"
        mails = wait_for(lambda: [mail for mail in self.dovecot.read("admin") if mail["Subject"] == subject],
                         DELIVERY_S, 0.2)
        if not mails:
            raise Failure(f"no answer to `{command}` came within {DELIVERY_S} s")
        return mails[0]


def own_servers(bench, screen):
    """Exim, Dovecot and chrony; the configuration that leads to them, and who reads the mail."""
    certificates = Certificates(bench)
    dovecot = Dovecot(bench, certificates, ["admin", BOX])
    exim = Exim(bench, dovecot, ["ecdsa"])
    chrony = Chrony(bench)
    port = exim.port("implicit")
    screen.note(f"Exim, submission over TLS   127.0.0.1:{port}")
    screen.note(f"Dovecot, POP3 over TLS      127.0.0.1:{dovecot.pop3s}")
    screen.note(f"chrony, SNTP                127.0.0.1:{chrony.port}")
    owner = Owner(bench, exim, dovecot)
    key, _, value = owner.line.partition("=")
    mailbox = {"from": f"{BOX}@{DOMAIN}", "pop3": f"{HOST}:{dovecot.pop3s}", "pop3_user": BOX,
               "pop3_pass": dovecot.reader_password, "poll": "2s", "poll_fast": "1s", "commands": "all",
               key.strip(): value.strip()}
    made = settings(port, "implicit", certificates.root(), ["admin"], dovecot.user, dovecot.password,
                    sntp=f"{GUEST_HOST}:{chrony.port}", **mailbox)
    return bench.write("device.conf", text_of(made)), owner


def device_of(answer):
    """The device's id, from its answer to `status`."""
    found = next((hit[1] for line in answer if (hit := re.search(r"\bid ([0-9a-f]{16})\b", line))), None)
    if found is None:
        raise Failure("`status` does not tell the device's id")
    return found


def size_line(board):
    """Flash and RAM, in the words of tools/size.py."""
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "size.py"), "--line", board], capture_output=True,
                          text=True, timeout=60)
    return done.stdout.strip().partition(": ")[2] or None


class Counter:
    """Guest instructions, by the TCG plugin of `make bench`; without one there is no count."""

    def __init__(self, board, folder):
        self.arguments = []
        plugin = ROOT / "build" / "tools" / "marks.so"
        if not plugin.is_file():
            return
        sys.path.append(str(ROOT / "tools"))
        import bench as tool
        table, self._out = folder / "marks.table", folder / "marks.out"
        try:
            tool.make_table(board, table)
        except (tool.Failure, tool.size.Failure, OSError):
            return
        self.arguments = ["-plugin", f"{plugin},table={table},out={self._out}"]

    def to_accepted(self):
        """From reset to the first 250, or None."""
        if not self.arguments or not self._out.is_file():
            return None
        found = re.search(r"^mark accepted (\d+)$", self._out.read_text(), re.MULTILINE)
        return int(found[1]) if found else None


def figures(screen, board, answer, counter):
    """From reset to the server's first 250, sizes, stack."""
    boot, accepted = board.time_of(r"^tocsin \S+ on "), board.time_of(r" accepted by ")
    if boot is not None and accepted is not None:
        instructions = counter.to_accepted()
        screen.note(f"reset to the server's 250   {accepted - boot:.2f} s"
                    + (f", {instructions:,} guest instructions" if instructions else ""))
    sizes = size_line(board.name)
    if sizes:
        screen.note(f"size                        {sizes}")
    stack = next((found for line in answer if (found := re.match(r"stack\s+(.*)", line))), None)
    if stack:
        screen.note(f"stack                       {stack[1]}")


def wait_accepted(board, number, since):
    """Until the server has taken the alert. What only a person can mend is not waited for."""
    end = rf"alert {number} accepted by |alert {number} was refused: (.*)|sending failed: (.*\((?:security|config)\).*)"
    try:
        found = board.wait(end, DELIVERY_S, since)
    except BoardError as late:
        if not board.alive():
            raise
        why = [found[1] for line in board.lines(since)
               if (found := re.search(r"(?:sending (?:failed|waits)|has to wait): (.*)", line))]
        last = why[-1] if why else "the console says why"
        raise Failure(f"no server took the mail within {DELIVERY_S} s: {last}") from late
    if found[1] or found[2]:
        raise Failure(f"no mail was sent: {found[1] or found[2]}")


def prove(screen, board, owner, syslog):
    """Sends one syslog message and follows it; returns when its mail is proven."""
    board.wait(r"network: address (\S+)", BOOT_S)
    board.wait_prompt()
    since = board.mark()
    if syslog:
        screen.step(f"A syslog message, by logger, to 127.0.0.1:{syslog}")
        send_syslog(syslog, SYSLOG_TEXT)
    else:
        screen.step("An alert, typed at the console")
        board.command(f"alert crit {SYSLOG_TEXT}")
    queued = board.wait(r"alert (\d+) (?:from|is queued)", 10, since)
    wait_accepted(board, queued[1], since)
    if owner is None:
        return
    message = find_mail(owner.dovecot, SYSLOG_TEXT)
    screen.step(f"The mail, from {DOMAIN}'s mailbox `admin`, over POP3 inside TLS")
    screen.mail(message)


def find_mail(dovecot, text):
    mails = wait_for(lambda: [mail for mail in dovecot.read("admin") if text in mail.get_content()], DELIVERY_S, 0.1)
    if not mails:
        raise Failure(f"the server took the mail, but it was not in the mailbox within {DELIVERY_S} s")
    return mails[0]


def queue_and_cut(screen, board):
    """Without a network, an alert is acknowledged, and the power fails. Returns its number."""
    screen.step("The cable is pulled, an alert is queued, and the power is cut")
    board.set_link(False)
    since = board.mark()
    board.command(f"alert crit {OUTAGE_TEXT}")
    number = board.wait(r"alert (\d+) is queued", 10, since)[1]
    board.cut_power()
    return number


def prove_again(screen, board, owner, number):
    """Power and cable are back: the alert arrives."""
    board.wait(r"network: address (\S+)", BOOT_S)
    wait_accepted(board, number, 0)
    message = find_mail(owner.dovecot, OUTAGE_TEXT)
    screen.note(f"In the mailbox: {message['Subject']}")


def order_by_mail(screen, board, owner, device):
    """The device's own mailbox: an order and its answer, then a new setting that is tried and confirmed."""
    screen.step("The other way: a signed order, `status`, mailed to the device's own mailbox")
    owner.order(device, "status")
    answer = owner.answer("status")
    screen.step("Its answer, from admin's mailbox")
    screen.mail(answer, 14)
    screen.step(f"A setting by mail: `config set from_name {NEW_NAME}`, tried, and confirmed by its own answer")
    since = board.mark()
    command = f"config set from_name {NEW_NAME}"
    owner.order(device, command)
    board.wait(r"configuration 2 is confirmed", DELIVERY_S, since)
    answer = owner.answer(command)
    if answer["From"].addresses[0].display_name != NEW_NAME:
        raise Failure(f"the answer is From: {answer['From']}")
    screen.step("Its answer")
    screen.mail(answer, 6)


def leave_console(screen, board, syslog):
    screen.step("The console is yours; Ctrl-A x ends.")
    if syslog:
        screen.note(f"logger --udp --server 127.0.0.1 --port {syslog} --priority auth.crit 'your text'")
    sys.stdout.flush()
    keyboard = sys.stdin.fileno()
    saved = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    try:
        if saved:
            tty.setraw(keyboard)
        board.attach(keyboard, sys.stdout.fileno())
    finally:
        if saved:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
        print()


def run(options, screen):
    elf = elf_of(options.board)
    if not elf.is_file():
        raise Failure(f"{elf.relative_to(ROOT)} is not built: run `make firmware BOARD={options.board}`")
    with Bench("run", limit_s=LIMIT_S) as bench:
        owner, config = None, options.config
        if config is None:
            screen.step("Mail servers on loopback")
            config, owner = own_servers(bench, screen)
        elif not config.is_file():
            raise Failure(f"there is no file {config}")
        if options.syslog_port and not port_free(options.syslog_port):
            raise Failure(f"port {options.syslog_port} of 127.0.0.1 is in use")
        image = bench.folder / "flash.img"
        make_image(flash_tool_of(options.board), config, image)
        guest_port = guest_syslog_port(config)
        syslog = (options.syslog_port or bench.free_port()) if guest_port else None
        screen.step(f"{options.board} in QEMU")
        forwards = [("udp", syslog, guest_port)] if syslog else []
        counter = Counter(options.board, bench.folder)
        with Board(options.board, elf, image, forwards, counter.arguments, on_line=screen.console,
                   folder=bench.folder) as board:
            problem = None
            try:
                prove(screen, board, owner, syslog)
                board.on_line = None
                answer = board.command("status")
                if owner is not None and not options.interactive:
                    board.on_line = screen.console
                    queued = queue_and_cut(screen, board)
                else:
                    screen.step("Figures")
                    figures(screen, board, answer, counter)
            except Failure as failure:
                if not options.interactive:
                    raise
                problem = failure
                screen.step(f"It did not work: {failure}")
            if options.interactive:
                bench.untimed()
                leave_console(screen, board, syslog)
            if problem:
                raise problem
        if owner is not None and not options.interactive:
            screen.step("Power and cable are back")
            with Board(options.board, elf, image, (), (), on_line=screen.console, folder=bench.folder) as again:
                prove_again(screen, again, owner, queued)
                order_by_mail(screen, again, owner, device_of(answer))
            screen.step("Figures")
            figures(screen, board, answer, counter)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", default="emcraft-sf2", choices=boards())
    parser.add_argument("--config", type=Path, help="the device's configuration, instead of servers of our own")
    parser.add_argument("--interactive", action="store_true", help="leave the console to the person afterwards")
    parser.add_argument("--syslog-port", type=int, default=0, help="UDP port here that leads to the board; 0: any")
    options = parser.parse_args()
    screen = Screen()
    try:
        run(options, screen)
    except BoardError as problem:
        print(f"make run: {problem.problem}", file=sys.stderr)  # Its lines were shown as they came.
        return 1
    except (Failure, ImageError, PeerError) as problem:
        print(f"make run: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake run: interrupted; everything is stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
