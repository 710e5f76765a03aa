"""What each QEMU test is made of: shared servers, and a Case with a board, a mailbox and words to check with."""
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "qemu")]

from board import Board  # noqa: E402
from device import GUEST_HOST, elf_of, flash_tool_of, make_image, settings, text_of  # noqa: E402
from peers import Certificates, Chrony, Courier, Dnsmasq, Dovecot, Exim, Postfix  # noqa: E402
from peers.bench import DOMAIN  # noqa: E402
from peers.certificates import SERVERS  # noqa: E402
from peers.evil import Evil, Gate, Tap  # noqa: E402

ACCEPTED = r" accepted by "
DELIVERY_S = 15
LOGS = ROOT / "build" / "logs"


TESTS = {}  # name: function(case)


def test(name, /, limit_s=None, **arguments):
    """Registers a test; arguments are handed to the function after the case. limit_s: how long it may take, where
    that is more than others may."""
    def register(function):
        def run(case):
            function(case, **arguments)
        run.limit_s = limit_s
        TESTS[name] = run
        return function
    return register


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Servers:
    """All servers of a run. Every test has mailboxes of its own, so that they do not meet."""

    def __init__(self, bench, boards, mailboxes):
        self.bench = bench
        self.elf, self.flash_tool = {}, {}
        for board in boards:
            # Copies: a build beside the tests must not change what is tested.
            self.elf[board] = shutil.copy(elf_of(board), bench.folder / f"{board}.elf")
            self.flash_tool[board] = shutil.copy(flash_tool_of(board), bench.folder / f"tocsin-flash-{board}")
        self.certificates = Certificates(bench)
        self.dovecot = Dovecot(bench, self.certificates, [*mailboxes, "full"])
        self.courier = Courier(bench, self.dovecot)
        self.chrony = Chrony(bench)
        self.dnsmasq = Dnsmasq(bench)
        self.exim = Exim(bench, self.dovecot, SERVERS)
        self.postfix = None if Postfix.why_not() else Postfix(bench, self.dovecot, SERVERS)

    def named(self, name):
        server = getattr(self, name)
        if server is None:
            raise Skip(Postfix.why_not())
        return server


def geometry(board):
    """The constants of the board's geometry.h, as numbers."""
    found = {}
    text = (ROOT / "boards" / board / "geometry.h").read_text()
    for name, value in re.findall(r"^#define (FLASH_\w+) (.+)$", text, re.MULTILINE):
        words = re.sub(r"\b(0x[0-9A-Fa-f]+|\d+)u\b", r"\1", value)
        found[name] = eval(words, {"__builtins__": {}}, dict(found))  # Our own header: sums and shifts.
    return found


class Case:
    """One test on one board. box, box2: its mailboxes."""

    def __init__(self, name, board_name, servers, boxes):
        self.name = name
        self.board_name = board_name
        self.servers = servers
        self.bench = servers.bench
        self.box, self.box2 = boxes
        self.dovecot = servers.dovecot
        self.certificates = servers.certificates
        self.boards = []
        self.syslog = None
        self.folder = self.bench.folder / f"case-{name}-{board_name}"
        self.folder.mkdir()
        self.console = LOGS / f"qemu-{name}-{board_name}.log"
        self.console.unlink(missing_ok=True)
        self.random = random.Random(f"{name} {board_name}")

    # Setting up.

    def config(self, port, mode="implicit", certificate="ecdsa", boxes=None, **more):
        """A configuration that leads to a port here. Without alerts of the device's own, and hasty; each alert is a
        mail, also one like another."""
        more = {"alert_boot": "no", "alert_link": "no", "retry_min": "1", "retry_max": "2", "repeat_window": "off",
                "alerts_per_hour": "off", **more}
        return settings(port, mode, self.certificates.root(certificate), boxes or [self.box],
                        more.pop("user", self.dovecot.user), more.pop("password", self.dovecot.password),
                        **{"sntp": f"{GUEST_HOST}:{self.servers.chrony.port}", **more})

    def image(self, made):
        """The flash image of a configuration (a dict, or a file's text)."""
        config, image = self.folder / "device.conf", self.folder / "flash.img"
        config.write_text(made if isinstance(made, str) else text_of(made))
        make_image(self.servers.flash_tool[self.board_name], config, image)
        return image

    def boot(self, made=None, image=None, extra=()):
        """Starts the board with a configuration or with an image, and waits until it has an address."""
        image = image or self.image(made)
        self.syslog = self.bench.free_port()
        board = Board(self.board_name, self.servers.elf[self.board_name], image, [("udp", self.syslog, 514)], extra,
                      log=self.console, folder=self.bench.folder)
        self.boards.append(board)
        board.wait(r"^tocsin \S+ on ", 15)
        board.wait(r"network: address ", 15)
        board.wait_prompt()
        return board

    def power_again(self, board):
        """Cuts the power, and starts the board with the same flash."""
        board.cut_power(self.random.random() < 0.5)
        self.expect(board.wait_end(30), "QEMU ended")
        board.stop()
        return self.boot(image=self.folder / "flash.img")

    def reboot(self, board):
        since = board.mark()
        self.expect(board.command("reboot")[-1] == "ok", "reboot")
        self.wait_boot(board, since)

    def wait_boot(self, board, since, limit_s=15):
        board.wait(r"^tocsin \S+ on ", limit_s, since)
        board.wait(r"network: address ", 15, since)
        board.wait_prompt()

    def fill(self, image, *what):
        """Fills an image's log: see tools/fillflash.c."""
        tool = flash_tool_of(self.board_name).with_name(f"fillflash-{self.board_name}")
        subprocess.run([tool, image, *what], check=True, timeout=60)

    def tap(self, port, attack=None, at=None, pop3=False):
        return Tap(self.bench, port, attack, at, pop3)

    def evil(self, script, mode="implicit", **more):
        return Evil(self.bench, self.certificates, script, mode, **more)

    def gate(self, port):
        return Gate(self.bench, self.certificates, port)

    # Doing.

    def alert(self, board, text="a test", severity="err"):
        """Types an alert; returns its number."""
        answer = board.command(f"alert {severity} {text}")
        self.expect(answer[-1] == "ok", f"alert: {answer}")
        return int(re.match(r"alert (\d+) is queued", answer[0])[1])

    def alert_line(self, board, text, severity="err"):
        """Types an alert that may become of a digest or of another one; says what became of it."""
        answer = board.command(f"alert {severity} {text}")
        self.expect(answer[-1] == "ok", f"alert: {answer}")
        return answer[0]

    def logger(self, text, priority="auth.crit", tag="sshd", port=None, rfc="--rfc5424"):
        subprocess.run(["logger", "--udp", "--server", "127.0.0.1", "--port", str(port or self.syslog), rfc,
                        "--tag", tag, "--priority", priority, "--", text], check=True, timeout=10)

    def datagram(self, data):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.sendto(data, ("127.0.0.1", self.syslog))

    # Checking.

    def expect(self, condition, what):
        if not condition:
            raise AssertionError(what)

    def mails(self, box=None, count=1):
        """The mails of a mailbox once there are `count`; no more and no fewer may be there."""
        mails = self.dovecot.wait(box or self.box, count, DELIVERY_S)
        self.expect(len(mails) == count, f"{len(mails)} mails in {box or self.box}, {count} expected")
        return mails

    def nothing_came(self, box=None):
        mails = self.dovecot.read(box or self.box)
        self.expect(not mails, f"{len(mails)} mails in {box or self.box}, none expected")

    def text(self, mail):
        self.expect(mail.get_content_type() == "text/plain", f"it is {mail.get_content_type()}")
        self.expect(not mail.defects, f"defects: {mail.defects}")
        return mail.get_content()

    def accepted(self, board, count=1, limit_s=DELIVERY_S):
        board.wait(ACCEPTED, limit_s, count=count)

    def status(self, board, pattern):
        """The match of a pattern in the answer to `status`."""
        answer = "\n".join(board.command("status"))
        found = re.search(pattern, answer)
        self.expect(found, f"no {pattern!r} in status:\n{answer}")
        return found

    def told(self, board, pattern):
        """The console has a line with the pattern by now or in a moment."""
        return board.wait(pattern, DELIVERY_S)

    def close(self):
        for board in self.boards:
            board.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Runner:
    """Runs tests in threads; a test that takes too long has its board stopped, which fails it."""

    LIMIT_S = 90

    def __init__(self, jobs, keep):
        self._jobs = jobs
        self._keep = keep
        self._lock = threading.Lock()
        self._live = set()
        self._stopping = False
        self.results = {"ok": 0, "FAIL": 0, "skip": 0}

    def run(self, work):
        """work: a list of (label, make_case, function)."""
        work = list(reversed(work))
        threads = [threading.Thread(target=self._worker, args=(work,), daemon=True) for _ in range(self._jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)

    def stop_all(self):
        with self._lock:
            self._stopping = True
            live = list(self._live)
        for case in live:
            case.close()

    def _worker(self, work):
        while True:
            with self._lock:
                if not work or self._stopping:
                    return
                label, make_case, function = work.pop()
            self._one(label, make_case, function)

    def _one(self, label, make_case, function):
        began, word, why, case = time.monotonic(), "ok", "", None
        try:
            case = make_case()
            with self._lock:
                self._live.add(case)
            watch = threading.Timer(function.limit_s or self.LIMIT_S, lambda: [board.stop() for board in case.boards])
            watch.daemon = True
            watch.start()
            try:
                function(case)
            finally:
                watch.cancel()
        except Skip as reason:
            word, why = "skip", str(reason)
        except Exception as problem:  # Whatever it was, it is this test's, and the others go on.
            word, why = "FAIL", f"{type(problem).__name__}: {problem}"
        finally:
            if case is not None:
                case.close()
                with self._lock:
                    self._live.discard(case)
                if word != "FAIL" and not self._keep:
                    (LOGS / f"qemu-{case.name}-{case.board_name}.log").unlink(missing_ok=True)
        with self._lock:
            if self._stopping:
                return
            self.results[word] += 1
            text = f"{word:4} {label} ({time.monotonic() - began:.1f} s)"
            if word == "skip":
                text = f"skip {label}: {why}"
            if word == "FAIL":
                text += "".join(f"\n     {line}" for line in why.splitlines())
                text += f"\n     console: build/logs/qemu-{case.name}-{case.board_name}.log" if case else ""
            print(text, flush=True)
