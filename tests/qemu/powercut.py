#!/usr/bin/env python3
"""Power cuts: boards in QEMU that lose their power again and again, with a live mail server.

    powercut.py [--board NAME] [--cuts N] [--seed S] [--keep]

A board lives many short lives on one flash image. In each it is given alerts, by its console and by syslog, sends to
Exim what it has, and loses its power at a seeded instant: at an operation of its flash, some instructions on; at a
stage of the session with the server, which is made to wait there; while alerts pour in; while it boots. Now and then
its log is brought near the end of a block, so that the next one is opened in the life that follows, and settings are
changed. Then it is left alone until its queue is empty. Every alert that was acknowledged must have arrived, undamaged
and with one Message-ID; how many came twice is printed. A setting that was committed must hold from then on, and the
image must have no more torn records than there were cuts.
"""
import argparse
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "qemu")]

from board import Board, BoardError, boards  # noqa: E402
from device import (GUEST_HOST, ImageError, cut_plugin, elf_of, flash_tool_of, make_image, settings,  # noqa: E402
                    text_of)
from peers import Bench, Certificates, Chrony, Dovecot, Exim, Gate, PeerError  # noqa: E402
from peers.bench import wait_for  # noqa: E402

LOGS = ROOT / "build" / "logs"
CUTS = 40           # For each board.
LIFE_S = 1.5        # A life whose cut has not come by then ends here.
DRAIN_S = 90
QUEUED = re.compile(r"^alert (\d+) is queued")
LOGGED = re.compile(r"\balert (\d+) from [\d.]+: \w+: (cut \S+)")
EMPTY = re.compile(r"waiting 0, given up 0")
COMMITTED = re.compile(r"^restarting with number \d+")
SHOWN = re.compile(r"^from_name\s*=\s*(.*)$")
NAME = re.compile(r"cut \d+-\d+-\d+")

# Stages of a session, those more often where something can be lost or doubled.
STAGES = ["CONNECT", "HELLO", "TLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY",
          *["DOT"] * 3, *["SAID"] * 4, *["TOLD"] * 4, "QUIT"]
SEVERITIES = {"emerg": 0, "crit": 2, "err": 3, "warning": 4, "notice": 5}  # RFC 5424 table 2.
ONCE = {"CONNECT", "HELLO", "TLS", "EHLO", "AUTH", "QUIT"}


class Failure(Exception):
    """A promise was broken; the text says which."""


class Plan:
    """One life, from the seed: what the board is given, and where its power is cut."""

    def __init__(self, seed, board, life):
        draw = random.Random(f"{seed} {board} {life}")
        self.orderly = draw.random() < 0.5  # Of QEMU's end, not of the board's.
        self.near = draw.randint(1500, 5000) if draw.random() < 0.2 else None  # Bytes to the end of a block.
        self.kind = draw.choices(["operation", "stage", "queueing", "time"], [5, 5, 3, 1])[0]
        self.actions = [self._action(draw, f"cut {seed}-{life}-{index}") for index in range(draw.randint(2, 7))]
        self.delay_s = draw.choice([0, draw.uniform(0, 0.02), draw.uniform(0, 0.3)])
        if self.kind == "operation":
            self.operation = draw.choice([draw.randint(1, 8), draw.randint(1, 60)])
            self.after = draw.choice([0, draw.randint(1, 3000), draw.randint(1, 100000)])
        elif self.kind == "stage":
            self.stage = draw.choice(STAGES)
            self.times = 1 if self.stage in ONCE else draw.randint(1, 4)
            self.holds = draw.random() < 0.7  # The server waits, and the board with it.
        elif self.kind == "queueing":
            self.index = draw.randrange(len(self.actions))
            self.delay_s = draw.uniform(0, 0.03)
        else:
            self.delay_s = draw.uniform(0, 1.5)

    @staticmethod
    def _action(draw, name):
        kind = draw.choices(["console", "syslog", "pause", "commit"], [5, 3, 2, 1])[0]
        if kind == "pause":
            return kind, draw.uniform(0, 0.4), ""
        if kind == "commit":
            return kind, "", name
        severity = draw.choice(list(SEVERITIES))
        # Records of all lengths, so that they end everywhere in a page.
        return kind, severity, name + " " + "x" * draw.choice([0, draw.randint(1, 250)])

    def __str__(self):
        if self.kind == "operation":
            return f"flash operation {self.operation}, {self.after} instructions on"
        where = {"stage": lambda: f"{self.stage}, time {self.times}{', held' if self.holds else ''},",
                 "queueing": lambda: f"action {self.index}", "time": lambda: "start"}[self.kind]()
        return f"{where} and {self.delay_s * 1000:.0f} ms"


class Device:
    """One board with its flash image, through all its lives."""

    def __init__(self, bench, name, seed, peers):
        certificates, self.dovecot, self.exim, self.chrony = peers
        self.bench, self.name, self.seed = bench, name, seed
        self.box = f"power-{name}"
        self.gate = Gate(bench, certificates, self.exim.port("implicit"))
        self.elf = shutil.copy(elf_of(name), bench.folder / f"{name}.elf")
        made = settings(self.gate.port, "implicit", certificates.root(), [self.box], self.dovecot.user,
                        self.dovecot.password, sntp=f"{GUEST_HOST}:{self.chrony.port}", alert_boot="no",
                        alert_link="no", retry_min="1", retry_max="1", repeat_window="off", alerts_per_hour="off",
                        from_name="first")
        self.image = bench.folder / f"{name}.img"
        make_image(flash_tool_of(name), bench.write(f"{name}.conf", text_of(made)), self.image)
        self.log = open(LOGS / f"power-{name}.log", "w", encoding="utf-8")
        self.acknowledged = {}  # "cut SEED-LIFE-INDEX": number
        self.given = set()
        self.setting = "first"  # What from_name was committed to, and what it may have been committed to since.
        self.attempted = set()
        self.commits = 0
        self.kinds = Counter()

    def start(self, extra=()):
        self.syslog = self.bench.free_port()
        return Board(self.name, self.elf, self.image, [("udp", self.syslog, 514)], extra,
                     on_line=lambda line: self.log.write(line + "\n"), folder=self.bench.folder)

    # One life.

    def plugin(self, plan):
        return cut_plugin(self.elf, self.bench.folder / f"{self.name}.table", plan.operation, plan.after)

    def live(self, life):
        plan = Plan(self.seed, self.name, life)
        self.log.write(f"==== life {life}: {plan}\n")
        if plan.near:
            self.tool("fillflash", "near", str(plan.near))
        board = self.start(self.plugin(plan) if plan.kind == "operation" else ())
        cut = Cut(board, plan)
        self.gate.on_stage = cut.stage
        typed = []
        try:
            cut.time()
            self.act(board, plan, cut, typed)
            cut.over.wait(LIFE_S) if plan.kind == "stage" else board.wait_end(LIFE_S)
        except (BoardError, OSError) as problem:
            if not board.wait_end(1.0) and not cut.begun:
                raise Failure(f"life {life} ({plan}): {problem}") from None
        finally:
            came = not board.alive() or cut.begun
            self.gate.on_stage = None
            cut.end()
            board.stop()
        self.kinds[plan.kind if came else "late"] += 1
        self.take_acknowledgements(board, typed)

    def tool(self, name, *arguments):
        """Runs a tool of the board on the image; its words."""
        path = flash_tool_of(self.name).with_name(f"{name}-{self.name}")
        command = [path, self.image, *arguments] if name == "fillflash" else [path, *arguments, self.image]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        if name == "fillflash" and done.returncode:
            raise Failure(f"{path.name}: {done.stdout}")
        return done.stdout

    def act(self, board, plan, cut, typed):
        board.wait_prompt(10)
        self.look_at_setting(board)
        for index, (kind, what, text) in enumerate(plan.actions):
            cut.queueing(index)
            if kind == "pause":
                board.wait_end(what)
                continue
            if kind == "commit":
                self.commit(board, text.replace(" ", "-"))
                continue
            self.given.add(NAME.match(text)[0])
            if kind == "console":
                typed.append((board.mark(), text))
                board.command(f"alert {what} {text}", 10)
            else:
                board.wait("network: address", 10)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                    message = f"<{24 + SEVERITIES[what]}>1 - host app - - - {text}"
                    line.sendto(message.encode(), ("127.0.0.1", self.syslog))

    def commit(self, board, value):
        """Changes from_name; the device restarts with it."""
        board.command(f"config set from_name {value}", 10)
        since = board.mark()
        self.attempted.add(value)
        try:
            board.command("config commit", 10)
        finally:
            board.wait_end(0.05)
            if board.count(COMMITTED, since):
                self.setting, self.attempted = value, set()
                self.commits += 1
        board.wait(r"^tocsin \S+ on ", 10, since)
        board.wait_prompt(10)

    def look_at_setting(self, board):
        answer = board.command("config show", 10)
        found = next((hit[1] for line in answer if (hit := SHOWN.match(line))), None)
        if found not in {self.setting} | self.attempted:
            raise Failure(f"from_name is {found!r}, and {self.setting!r} was committed last")
        self.setting, self.attempted = found, set()

    def take_acknowledgements(self, board, typed):
        lines = board.lines()
        for (since, text), (until, _) in zip(typed, typed[1:] + [(len(lines), "")]):
            found = next((hit for line in lines[since:until] if (hit := QUEUED.match(line))), None)
            if found:
                self.acknowledge(NAME.match(text)[0], int(found[1]))
        for line in lines:
            if found := LOGGED.search(line):
                self.acknowledge(NAME.match(found[2])[0], int(found[1]))

    def acknowledge(self, name, number):
        if number in self.acknowledged.values():
            raise Failure(f"number {number} was given twice: to {name!r} as well")
        self.acknowledged[name] = number

    # The end.

    def drain(self):
        """Left alone until the queue is empty; the answer to `status`."""
        self.log.write("==== left alone\n")
        with self.start() as board:
            board.wait("network: address", 15)
            self.look_at_setting(board)
            board.command("queue retry")
            empty = wait_for(lambda: EMPTY.search("\n".join(board.command("queue"))), DRAIN_S, 0.3)
            answer = board.command("status")
            if not empty:
                raise Failure("the queue did not get empty:\n" + "\n".join(answer))
            return answer

    def mails(self):
        """{name: [Message-ID]} once all that was acknowledged is there, or the time is up."""
        def found():
            arrived = {}
            for mail in self.dovecot.read(self.box):
                name = NAME.search(mail.get_content())
                if name is None or "damaged" in mail.get_content():
                    damaged.append(mail["Message-ID"])
                else:
                    arrived.setdefault(name[0], []).append(mail["Message-ID"])
            return arrived
        damaged = []
        wait_for(lambda: self.acknowledged.keys() <= found().keys(), 10, 0.5)
        damaged.clear()
        return found(), set(damaged)

    def judge(self):
        """What the run proves, as a line; Failure if it does not."""
        arrived, damaged = self.mails()
        lost = sorted(self.acknowledged.keys() - arrived.keys(), key=lambda name: self.acknowledged[name])
        if lost:
            words = ", ".join(f"{name!r} (number {self.acknowledged[name]})" for name in lost[:10])
            raise Failure(f"{len(lost)} of {len(self.acknowledged)} acknowledged alerts are lost: {words}")
        if not self.acknowledged:
            raise Failure("no alert was ever acknowledged: the run proves nothing")
        strange = arrived.keys() - self.given
        if strange:
            raise Failure(f"mails that nobody asked for: {strange}")
        several = [name for name, ids in arrived.items() if len(set(ids)) > 1]
        if several:
            raise Failure(f"more than one Message-ID: {several[0]!r} has {set(arrived[several[0]])}")
        owners = Counter(identity for ids in arrived.values() for identity in set(ids))
        if owners and max(owners.values()) > 1:
            raise Failure(f"one Message-ID for two alerts: {owners.most_common(1)[0][0]}")
        words = self.tool("tocsin-flash", "verify")
        # What a cut leaves: a torn record, or a block whose second header was not begun.
        torn = re.search(r"(\d+) corrected, (\d+) damaged", words)
        left = int(torn[1]) + int(torn[2]) if torn else sys.maxsize
        if left > self.kinds.total() or "seed: right" not in words or "in force" not in words:
            raise Failure(f"the flash image does not verify:\n{words}")
        doubled = sum(len(ids) - 1 for ids in arrived.values())
        kinds = ", ".join(f"{count} {what}" for kind, what in (
            ("operation", "at flash operations"), ("stage", "at stages of a session"), ("queueing", "while queueing"),
            ("time", "at any time"), ("late", "after the last of it")) if (count := self.kinds[kind]))
        return (f"{self.kinds.total()} cuts ({kinds}); {len(self.acknowledged)} alerts acknowledged, all arrived, "
                f"{len(arrived) - len(self.acknowledged)} more unacknowledged, {doubled} doubled with their own "
                f"Message-ID, {len(damaged)} torn ones sent as damaged; {self.commits} settings committed and kept; "
                f"{torn[2]} torn records in flash")


class Cut:
    """Cuts one life's power when its plan says so."""

    def __init__(self, board, plan):
        self.board, self.plan = board, plan
        self.begun = False
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._left = plan.times if plan.kind == "stage" else 0
        self._timers = []

    def _cut(self):
        with self._lock:
            self.begun = True
            if not self.over.is_set():
                self.board.cut_power(self.plan.orderly)
            self.over.set()

    def _later(self):
        timer = threading.Timer(self.plan.delay_s, self._cut)
        self._timers.append(timer)
        timer.start()

    def time(self):
        if self.plan.kind == "time":
            self._later()

    def queueing(self, index):
        if self.plan.kind == "queueing" and index == self.plan.index:
            self._later()

    def stage(self, name):
        """Called by the gate. Where it holds, what it was about to hand on never gets there."""
        if self.plan.kind != "stage" or name != self.plan.stage:
            return
        self._left -= 1
        if self._left == 0:
            self._later()
            if self.plan.holds:
                self.over.wait(LIFE_S)

    def end(self):
        for timer in self._timers:
            timer.cancel()
        self.over.set()


def run(bench, name, options, peers):
    """All lives of one board: (passed, what to say)."""
    began = time.monotonic()
    device = Device(bench, name, options.seed, peers)
    life = 0
    try:
        for life in range(1, options.cuts + 1):
            device.live(life)
        device.drain()
        return True, f"{name}: {device.judge()} ({time.monotonic() - began:.0f} s)"
    except (Failure, BoardError, ImageError, PeerError, OSError) as problem:
        kept = LOGS / f"power-{name}.img"
        shutil.copy(device.image, kept)
        return False, (f"{name}: {problem}\n     after {life} of {options.cuts} cuts; console: build/logs/{kept.stem}"
                       f".log, flash: build/logs/{kept.name}\n     again: tests/qemu/powercut.py --board {name} "
                       f"--cuts {options.cuts} --seed {options.seed}")
    finally:
        device.log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", choices=boards(), action="append", help="this board only")
    parser.add_argument("--cuts", type=int, default=CUTS, help=f"for each board ({CUTS})")
    parser.add_argument("--seed", type=int, default=1, help="another run of another seed (1)")
    parser.add_argument("--keep", action="store_true", help="keep the servers' folder")
    options = parser.parse_args()
    chosen = options.board or boards()
    missing = [board for board in chosen if not elf_of(board).is_file()]
    if missing:
        raise PeerError(f"no firmware for {', '.join(missing)}: run `make firmware BOARD=...`")
    LOGS.mkdir(parents=True, exist_ok=True)
    results = []
    with Bench("power", limit_s=60 + 10 * options.cuts, keep=options.keep) as bench:
        certificates = Certificates(bench)
        dovecot = Dovecot(bench, certificates, [f"power-{board}" for board in chosen])
        peers = certificates, dovecot, Exim(bench, dovecot, ["ecdsa"]), Chrony(bench)

        def one(board):
            passed, text = run(bench, board, options, peers)
            results.append(passed)
            print(f"{'ok  ' if passed else 'FAIL'} {text}", flush=True)

        threads = [threading.Thread(target=one, args=(board,), daemon=True) for board in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    print(f"{sum(results)} passed, {len(chosen) - sum(results)} failed")
    return 0 if len(results) == len(chosen) and all(results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BoardError, ImageError, PeerError) as problem:
        print(f"tests/qemu/powercut.py: {problem}\n0 passed, 1 failed", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
