#!/usr/bin/env python3
"""The device on Linux, as people and their scripts use it: `tocsin alert`, `test`, `status`, `queue`, the daemon with
its syslog port, its socket and its flash file, against real servers.

    python3 tests/linux/device.py [--program build/host/linux/tocsin] [--only 'PATTERN|PATTERN']

Ends with `N passed, N failed, N skipped`.
"""
import argparse
import base64
import ctypes
import hashlib
import hmac
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import Bench, Certificates, Dovecot, Exim, PeerError  # noqa: E402
from peers.bench import DOMAIN, HOST, wait_for  # noqa: E402
from peers.certificates import SERVERS  # noqa: E402
from peers.evil import SILENT, Evil, Tap  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 540
CALL_S = 60
EX_USAGE, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 64, 69, 75, 77, 78
FLASH_BYTES = 512 << 10
NOBODY = 65534
ADDR_NO_RANDOMIZE = 0x0040000  # personality(2)
OWN = "own"  # The mailbox of the device itself.
KEY = hashlib.sha256(b"a device's key").digest()

TESTS = {}


def test(function):
    TESTS[function.__name__] = function
    return function


class Skip(Exception):
    """The test cannot run here; the text says why."""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Case:
    """One test: a folder, a mailbox, a way to the server that can be shut, and the program."""

    def __init__(self, name, servers):
        self.name, self.servers, self.bench = name, servers, servers.bench
        self.dovecot = servers.dovecot
        self.box = servers.boxes[name]
        self.folder = self.bench.folder / f"case-{name}"
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.port = self.bench.free_port()
        self.syslog = self.bench.free_port()
        self.file = self.folder / "tocsin.conf"
        self.log = self.folder / "log"
        self.way = None
        self.daemons = []
        self.random = random.Random(name)
        self.configure()

    def configure(self, **more):
        made = {
            "hostname": "router1.example.test",
            "root": f"{self.box}@{DOMAIN}",
            "mailhub": f"{HOST}:{self.port}",
            "host": f"{HOST} 127.0.0.1",
            "tls": "implicit",
            "tls_ca_file": self.servers.certificates.root("ecdsa"),
            "auth_user": self.dovecot.user,
            "auth_pass": self.dovecot.password,
            "state": self.state,
            "spool": self.folder / "spool",
            "log": self.log,
            "syslog_port": self.syslog,
            "alert_boot": "no",
            "alert_link": "no",
            "retry_min": 1,
            "retry_max": 2,
            "repeat_window": "off",
            "alerts_per_hour": "off",
            **more,
        }
        lines = [f"{key} = {value}" for key, value in made.items() if value is not None]
        self.file.write_text("\n".join(lines) + "\n")
        self.file.chmod(0o600)

    # The server.

    def open_way(self):
        self.way = Tap(self.bench, self.servers.exim.port("implicit"), at=self.port)

    def shut_way(self):
        self.way.close()
        self.way = None

    def subjects(self, count):
        """The subjects in the mailbox once there are count mails."""
        return [mail["Subject"] for mail in self.dovecot.wait(self.box, count)]

    def expect_mails(self, *texts):
        """Each text is in one mail, and there are no others but the same mail again."""
        mails = self.dovecot.wait(self.box, len(texts))
        seen = {}
        for mail in mails:
            seen.setdefault(mail["Message-ID"], []).append(mail.get_content() + str(mail["Subject"]))
        for text in texts:
            having = sum(text in words[0] for words in seen.values())
            expect(having == 1, f"{having} mails have {text!r}: {list(seen.values())}")
        expect(len(seen) == len(texts), f"{len(seen)} mails, expected {len(texts)}")

    # The program.

    def command(self, *words, file=None):
        return [str(self.servers.program), "-C", str(file or self.file), *words]

    def call(self, *words, code=0, given=None, file=None, **more):
        """Runs it to its end; returns (standard output, standard error)."""
        done = subprocess.run(self.command(*words, file=file), input=given, capture_output=True, text=True,
                              timeout=CALL_S, **more)
        if code is not None:
            expect(done.returncode == code,
                   f"{words}: exit code {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def daemon(self, ready=True):
        errors = open(self.folder / "daemon.err", "a")
        popen = subprocess.Popen(self.command("daemon", "-f"), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        self.daemons.append(popen)
        if ready:
            self.wait_ready(popen)
        return popen

    def wait_ready(self, popen):
        def answers():
            expect(popen.poll() is None, f"the daemon ended: {(self.folder / 'daemon.err').read_text()}")
            return self.ask("help").endswith("ok\n")
        expect(wait_for(answers, 10), "the daemon answers")

    def ask(self, line):
        """Over the socket, as any program could."""
        try:
            with self.connect() as client:
                client.sendall(line.encode() + b"\n")
                answer = b""
                while data := client.recv(4096):
                    answer += data
                return answer.decode()
        except OSError:
            return ""

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(CALL_S)
        here = os.getcwd()
        os.chdir(self.state)  # An address holds 107 bytes.
        try:
            client.connect("control")
        finally:
            os.chdir(here)
        return client

    def stop(self, popen, code=0):
        popen.terminate()
        expect(popen.wait(20) == code, f"the daemon's exit code is {popen.returncode}, not {code}")

    def logged(self, text, limit_s=10):
        return wait_for(lambda: self.log.exists() and text in self.log.read_text(), limit_s)

    def waiting(self):
        """How many alerts wait, as `queue` says."""
        return int(re.search(r"^waiting (\d+)", self.call("queue")[0], re.MULTILINE)[1])

    def end(self):
        for popen in self.daemons:
            if popen.poll() is None:
                popen.kill()
                popen.wait()
        if self.way is not None:
            self.way.close()


# ---- without a daemon ----


@test
def alone(case):
    """One alert, one mail; what a script passes on arrives as it was."""
    case.open_way()
    out, err = case.call("alert", "crit", "pump", "3 stopped: “größer” \"quoted\" $HOME -x")
    expect(out == "alert 1 is queued\n" and err == "", f"{out}{err}")
    case.call("alert", "warning", "-", given="first line\nsecond\tline\x1b[31m\n\n")
    case.call("alert", "err", "x" * 3000)
    case.expect_mails("pump 3 stopped: “größer” \"quoted\" $HOME -x", "first line second line [31m", "x" * 300)
    expect(case.waiting() == 0, "nothing waits")
    flash = case.state / "device.flash"
    expect(flash.stat().st_size == FLASH_BYTES and stat.S_IMODE(flash.stat().st_mode) == 0o600, "the flash file")
    expect(not (case.state / "control").exists(), "no socket is left")


@test
def away(case):
    """The server is away: the alert is kept, which is no failure, and leaves with the next one."""
    out, err = case.call("alert", "err", "kept while away")
    expect("is kept in" in err and "connection refused" in err, err)
    expect(case.waiting() == 1, "one waits")
    case.open_way()
    case.call("alert", "err", "the next one")
    case.expect_mails("kept while away", "the next one")
    expect(case.waiting() == 0, "none waits")


@test
def stages(case):
    case.open_way()
    out, _ = case.call("test")
    names = re.findall(r"^  (\w+) +ok ", out, re.MULTILINE)
    expect(names == ["link", "address", "clock", "DNS", "connect", "TLS", "AUTH", "recipient", "accepted"], out)
    case.shut_way()
    out, err = case.call("test", code=EX_TEMPFAIL)
    expect(re.search(r"^  connect +FAIL .*connection refused", out, re.MULTILINE), out)
    expect(len(case.dovecot.wait(case.box, 1)) == 1, "one test mail")
    expect(case.waiting() == 0, "a test that failed is not kept")


@test
def usage(case):
    _, err = case.call("alert", "loud", "x", code=EX_USAGE)
    expect("expected `alert SEVERITY TEXT`" in err, err)
    case.call("alert", "err", "", code=EX_USAGE)
    case.call("frobnicate", code=EX_USAGE)
    case.call("queue", "drop", "77", code=65)
    out, err = case.call("console", code=EX_UNAVAILABLE, given="")
    expect("no daemon" in err, err)
    out, _ = case.call("status")
    expect("daemon   none" in out, out)


@test
def at_once(case):
    """Twenty commands at once: one has the flash, the others go through it; none is refused, none lost."""
    case.open_way()
    popens = [subprocess.Popen(case.command("alert", "err", f"at once {number:02}"), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True) for number in range(20)]
    for popen in popens:
        _, err = popen.communicate(timeout=CALL_S)
        expect(popen.returncode == 0, err)
    case.call("alert", "info", "last")
    case.expect_mails("last", *(f"at once {number:02}" for number in range(20)))


@test
def interrupted(case):
    """^C while the server stalls: the alert is kept, and the program says so."""
    evil = Evil(case.bench, case.servers.certificates, [{"GREETING": SILENT}] * 3)
    case.configure(mailhub=f"{HOST}:{evil.port}")
    popen = subprocess.Popen(case.command("alert", "err", "interrupted"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    expect(popen.stdout.readline() == "alert 1 is queued\n", "it is queued")
    time.sleep(0.3)
    popen.send_signal(signal.SIGINT)
    popen.communicate(timeout=70)
    evil.close()
    expect(case.waiting() == 1, "it is kept")


@test
def total_timeout(case):
    """A server that stalls holds a call no longer than it may."""
    evil = Evil(case.bench, case.servers.certificates, [{"GREETING": SILENT}] * 3)
    case.configure(mailhub=f"{HOST}:{evil.port}", total_timeout=2)
    began = time.monotonic()
    _, err = case.call("alert", "err", "stalled")
    expect(time.monotonic() - began < 5, "within its time")
    expect("is kept" in err, err)
    evil.close()


@test
def refused(case):
    """A recipient that the server refuses for ever: told, kept, not tried again by itself."""
    case.open_way()
    case.configure(root=f"nobody-here@{DOMAIN}")
    _, err = case.call("alert", "err", "to nobody", code=EX_UNAVAILABLE)
    expect("queue retry" in err, err)
    out, _ = case.call("queue")
    expect("refused by the server with 550" in out, out)
    case.configure()
    case.call("queue", "retry")
    mails = case.dovecot.wait(case.box, 1)
    expect(any("to nobody" in mail.get_content() for mail in mails), "it leaves when a person says so")


# ---- the daemon ----


@test
def daemon(case):
    case.open_way()
    popen = case.daemon()
    out, _ = case.call("alert", "err", "by the daemon")
    expect(out == "alert 1 is queued\n", out)
    subprocess.run(["logger", "-n", "127.0.0.1", "-P", str(case.syslog), "--udp", "-p", "daemon.err", "-t", "smartd",
                    "by logger: disk 2 fails"], check=True, timeout=20)
    case.expect_mails("by the daemon", "by logger: disk 2 fails")
    out, err = case.call("test")
    expect(re.search(r"^  accepted +ok ", out, re.MULTILINE) and err == "", out + err)
    other = case.folder / "other.conf"
    shutil.copy(case.file, other)
    _, err = case.call("test", file=other)
    expect(f"by its own configuration: {case.file}" in err, err)
    out, _ = case.call("status")
    expect(f"syslog   port {case.syslog}, received 1, taken 1" in out and "accepted 4" in out, out)
    out, _ = case.call("log")
    expect("alert 2 from 127.0.0.1: error: by logger" in out and "accepted by" in out, out)
    expect(case.logged("accepted by"), "the log file has it")
    expect(case.dovecot.password not in case.log.read_text(), "no password in the log")
    case.stop(popen)
    expect(not (case.state / "control").exists(), "no socket is left")


@test
def background(case):
    """Without -f it returns once it stands; a second one is refused; a bad start is told at once."""
    case.open_way()
    case.call("daemon")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<11>smartd: at once", ("127.0.0.1", case.syslog))
    expect(case.ask("help").endswith("ok\n"), "it answers as soon as the command is over")
    _, err = case.call("daemon", "-f", code=EX_TEMPFAIL)
    expect("running already: process" in err, err)
    pid = int(re.search(r"process (\d+)", err)[1])
    case.call("alert", "err", "in the background")
    case.expect_mails("at once", "in the background")
    os.kill(pid, signal.SIGTERM)
    expect(wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text(), 10),
           "SIGTERM ends it")
    shutil.rmtree(case.state)
    case.state.write_text("no folder")
    _, err = case.call("daemon", code=None)
    expect("state" in err, err)


@test
def away_and_back(case):
    popen = case.daemon()
    case.call("alert", "err", "while it is away")
    subprocess.run(["logger", "-n", "127.0.0.1", "-P", str(case.syslog), "--udp", "-p", "user.crit", "a log line"],
                   check=True, timeout=20)
    expect(case.logged("connection refused"), "the log says why")
    expect(case.waiting() == 2, "both wait")
    case.open_way()
    case.expect_mails("while it is away", "a log line")
    case.stop(popen)


@test
def killed(case):
    """kill -9 at random moments, with alerts coming from commands all the while: what a command called queued
    arrives, and what arrives twice is the same mail."""
    case.open_way()
    told, failed, stop = [], [], threading.Event()

    def feed(thread):
        number = 0
        while not stop.is_set():
            text = f"alert {thread}-{number:03} of the storm"
            number += 1
            done = subprocess.run(case.command("alert", "err", text), capture_output=True, text=True, timeout=CALL_S)
            if done.returncode == 0:
                told.append(text)
            elif done.returncode != -9:
                failed.append(f"{done.returncode}: {done.stderr}")

    threads = [threading.Thread(target=feed, args=(number,)) for number in range(2)]
    popen = case.daemon()
    for thread in threads:
        thread.start()
    for _ in range(12):
        time.sleep(case.random.uniform(0.02, 0.5))
        popen.kill()
        popen.wait()
        popen = case.daemon(ready=False)
    stop.set()
    for thread in threads:
        thread.join()
    expect(not failed, f"no command failed: {failed[:3]}")
    case.wait_ready(popen)
    expect(wait_for(lambda: case.waiting() == 0, 60), "all have left")
    mails = case.dovecot.wait(case.box, len(told))
    found = {}
    for mail in mails:
        words = re.search(r"alert \d-\d{3} of the storm", mail.get_content())
        expect(words, f"a mail of another kind: {mail['Subject']}: {mail.get_content()}")
        found.setdefault(words[0], set()).add(mail["Message-ID"])
    missing = [text for text in told if text not in found]
    expect(not missing, f"{len(missing)} of {len(told)} are missing: {missing[:5]}")
    case.stop(popen)
    # A command whose answer was cut off may have been taken, and gives it again: that is another alert.
    twice = [text for text, ids in found.items() if len(ids) > 1]
    expect(len(twice) <= 12, f"{len(twice)} were taken twice")


@test
def crashed(case):
    """A daemon that died of a fault says so when it is started again."""
    case.open_way()
    case.configure(alert_boot="yes")
    popen = case.daemon()
    case.call("crash", "now", code=EX_TEMPFAIL)
    expect(popen.wait(10) < 0, "it died of a signal")
    popen = case.daemon()
    mails = case.dovecot.wait(case.box, 2)
    expect(any(f"signal {signal.SIGILL.value}" in mail.get_content() for mail in mails),
           [mail.get_content() for mail in mails])
    case.stop(popen)
    popen = case.daemon()
    expect("power on" in case.ask("status"), "once")
    case.stop(popen)


@test
def stalled_client(case):
    """Clients that say nothing, say half a line, or do not read hold nobody up."""
    case.open_way()
    popen = case.daemon()
    idle = [case.connect() for _ in range(30)]
    idle[0].sendall(b"alert er")
    time.sleep(0.2)
    began = time.monotonic()
    expect(case.ask("help").endswith("ok\n") and time.monotonic() - began < 5, "others get through")
    for client in idle:
        client.close()
    case.call("alert", "err", "past the idle ones")
    case.expect_mails("past the idle ones")
    with case.connect() as client:
        client.sendall(b"x" * 5000)
        answer = client.recv(200)
    expect(b"too long" in answer, answer)
    expect(case.ask("").startswith("error: "), "an empty line")
    case.stop(popen)


@test
def beside_a_test(case):
    """An alert does not wait for a test that takes its time, and a second test waits for the first."""
    evil = Evil(case.bench, case.servers.certificates, [{"GREETING": SILENT}] * 20)
    case.configure(mailhub=f"{HOST}:{evil.port}", greeting_timeout=3)
    popen = case.daemon()
    tests = [subprocess.Popen(case.command("test"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    time.sleep(0.5)
    began = time.monotonic()
    case.call("alert", "err", "meanwhile")
    case.call("status")
    expect(time.monotonic() - began < 2, "at once")
    for one in tests:
        out, _ = one.communicate(timeout=CALL_S)
        expect(one.returncode == EX_TEMPFAIL and b"FAIL" in out, out)
    evil.close()
    case.stop(popen)


@test
def rights(case):
    """Another user may send alerts and tests, and no more; not even that where the folder is closed to him."""
    if os.geteuid() != 0:
        raise Skip("only root can become another user")
    popen = case.daemon()
    case.state.chmod(0o711)
    (case.state / "control").chmod(0o666)

    def as_nobody(line):
        code = ("import socket,sys,os\n"
                f"os.chdir({str(case.state)!r})\n"
                f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
                "s=socket.socket(socket.AF_UNIX); s.connect('control'); s.sendall(sys.argv[1].encode()+b'\\n')\n"
                "d=b''\n"
                "while True:\n"
                "    b=s.recv(4096)\n"
                "    if not b: break\n"
                "    d+=b\n"
                "print(d.decode(), end='')\n")
        return subprocess.run([sys.executable, "-c", code, line], capture_output=True, text=True, timeout=20).stdout

    expect(as_nobody("alert err by nobody").endswith("ok\n"), "an alert")
    expect(as_nobody("status").endswith("ok\n"), "the status")
    for line in ("queue", "config show", "config set mailhub evil.example", "log", "reboot", "console", "mute x 1h",
                 "queue drop 1", "crash now", "  CONFIG show", "alerts", "yield"):
        answer = as_nobody(line)
        expect(answer.startswith("error: "), f"{line}: {answer}")
    expect(case.ask("queue").endswith("ok\n"), "root may")
    case.stop(popen)


@test
def configuration(case):
    """A change by hand counts at SIGHUP; one on the device stays until a person edits the file."""
    case.open_way()
    popen = case.daemon()
    case.call("config", "set", "from_name", "Boiler room")
    case.call("config", "commit")
    expect(wait_for(lambda: "Boiler room" in case.ask("config show"), 10), "the device's own change")
    case.stop(popen)
    popen = case.daemon()
    expect("Boiler room" in case.ask("config show"), "stays over a new start")
    popen.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    expect("Boiler room" in case.ask("config show"), "stays: the file has not changed")
    case.file.write_text("nonsense = 3\n")
    popen.send_signal(signal.SIGHUP)
    expect(case.logged("the configuration is not taken"), "a bad file is told")
    expect(case.logged("nonsense"), "with its line")
    case.configure(from_name="Attic")
    popen.send_signal(signal.SIGHUP)
    expect(wait_for(lambda: "Attic" in case.ask("config show"), 10), "the person's change")
    case.call("alert", "err", "from the attic")
    mails = case.dovecot.wait(case.box, 1)
    expect(any("Attic" in mail["From"] for mail in mails), [mail["From"] for mail in mails])
    case.stop(popen)


@test
def secret_elsewhere(case):
    """A password from a file or a command does not get into the flash file."""
    case.open_way()
    word = case.folder / "word"
    word.write_text(case.dovecot.password + "\n")
    word.chmod(0o600)
    case.configure(auth_pass=None, auth_pass_file=word)
    case.call("alert", "err", "by a file's password")
    case.configure(auth_pass=None, auth_pass_command=f"cat {word}")
    case.call("alert", "err", "by a command's password")
    case.expect_mails("by a file's password", "by a command's password")
    expect(case.dovecot.password.encode() not in (case.state / "device.flash").read_bytes(), "not in flash")
    case.configure(auth_pass=None, auth_pass_command="exit 3")
    _, err = case.call("alert", "err", "without a password")
    expect("auth_pass" in err and "is kept" in err, err)


@test
def damaged(case):
    """A flash file that was cut short, written over or filled with noise: told, and the device goes on."""
    case.open_way()
    flash = case.state / "device.flash"
    case.call("alert", "err", "before")
    for name, spoil, words in (
            ("noise", lambda: flash.write_bytes(case.random.randbytes(FLASH_BYTES)), "device.flash.bad"),
            ("empty", lambda: flash.write_bytes(b""), "device.flash.bad"),
            ("short", lambda: os.truncate(flash, FLASH_BYTES // 2), "cut short"),
            ("long", lambda: os.truncate(flash, FLASH_BYTES * 2), "device.flash.bad"),
            ("text", lambda: flash.write_text("hello\n"), "device.flash.bad")):
        spoil()
        _, err = case.call("alert", "err", f"after {name}")
        expect(words in err, f"{name}: {err}")
    with open(flash, "r+b") as file:  # Noise in every block but the first.
        for block in range(1, FLASH_BYTES // 4096):
            file.seek(block * 4096 + case.random.randrange(4000))
            file.write(case.random.randbytes(64))
    case.call("alert", "err", "after holes")
    case.expect_mails("before", "after noise", "after empty", "after short", "after long", "after text", "after holes")


@test
def no_room(case):
    """The disk is full, or read-only: a clear error, and nothing that was accepted is lost."""
    if os.geteuid() != 0:
        raise Skip("only root can mount a file system")
    small = case.folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        raise Skip("this system lets nobody mount")
    try:
        case.configure(state=small)
        _, err = case.call("alert", "err", "no room", code=73)
        expect("No space left" in err or "no room" in err.lower(), err)
        expect(not list(small.iterdir()), "nothing half made is left")
        subprocess.run(["mount", "-o", "remount,size=2m", small], check=True)
        case.call("alert", "err", "kept before")
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        _, err = case.call("alert", "err", "read-only", code=None)
        expect("Read-only" in err or "read-only" in err, err)
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)
        case.open_way()
        case.call("alert", "err", "afterwards")
        case.expect_mails("kept before", "afterwards")
    finally:
        subprocess.run(["umount", "-l", small], check=False)


@test
def console(case):
    case.open_way()
    popen = case.daemon()
    out, _ = case.call("console", given="alert err typed by a person\rqueue\rnonsense\r")
    expect("alert 1 is queued" in out and "no such command" in out, out)
    case.expect_mails("typed by a person")
    case.stop(popen)


@test
def yields(case):
    """A daemon that starts while a command has the flash gets it soon, and the alert is not lost."""
    evil = Evil(case.bench, case.servers.certificates, [{"GREETING": SILENT}] * 3)
    case.configure(mailhub=f"{HOST}:{evil.port}", greeting_timeout=2)
    popen = subprocess.Popen(case.command("alert", "err", "handed over"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    expect(popen.stdout.readline() == "alert 1 is queued\n", "it is queued")
    case.open_way()
    again = case.folder / "again.conf"
    shutil.copy(case.file, again)
    case.configure()
    daemon = case.daemon(ready=False)
    popen.communicate(timeout=CALL_S)
    evil.close()
    case.wait_ready(daemon)
    case.expect_mails("handed over")
    case.stop(daemon)


@test
def spool(case):
    """The daemon sends what other processes have queued as mail, once the server is back."""
    program = case.folder / "sendmail"
    program.symlink_to(case.servers.program)
    done = subprocess.run([str(program), "-C", str(case.file), "-i", f"{case.box}@{DOMAIN}"], capture_output=True,
                          input="Subject: through the spool\n\nwords\n", text=True, timeout=CALL_S)
    expect(done.returncode == 0, done.stderr)
    popen = case.daemon()
    case.open_way()
    expect(case.subjects(1) == ["through the spool"], "it arrives")
    case.shut_way()
    subprocess.run([str(program), "-C", str(case.file), "-i", f"{case.box}@{DOMAIN}"], check=True, text=True,
                   input="Subject: another\n\nwords\n", timeout=CALL_S, stderr=subprocess.DEVNULL)
    case.open_way()
    expect("another" in case.subjects(2), "and so does a later one")
    case.stop(popen)


@test
def queue_runner(case):
    """`sendmail -q` takes along what `tocsin alert` had to leave behind; without any, it makes nothing."""
    program = case.folder / "sendmail"
    program.symlink_to(case.servers.program)
    run_queue = [str(program), "-C", str(case.file), "-q"]
    done = subprocess.run(run_queue, capture_output=True, text=True, timeout=CALL_S)
    expect(done.returncode == 0 and done.stderr == "", f"{done.returncode}: {done.stderr}")
    expect(not case.state.exists(), "a queue runner makes no flash")
    case.call("alert", "err", "left behind")
    case.open_way()
    wait_for(lambda: subprocess.run(run_queue, timeout=CALL_S).returncode or case.waiting() == 0, 10)
    case.expect_mails("left behind")
    # -q1s is told to end while a server keeps its alert waiting, which is not lost.
    evil = Evil(case.bench, case.servers.certificates, [{"GREETING": SILENT}] * 9)
    case.shut_way()
    case.call("alert", "err", "left again")
    case.configure(mailhub=f"{HOST}:{evil.port}")
    popen = subprocess.Popen([*run_queue[:-1], "-q1s", "-v"], stderr=subprocess.DEVNULL)
    try:
        expect(wait_for(lambda: evil.commands, 10), "it asks the server")
        popen.terminate()
        expect(popen.wait(20) == 0, f"-q1s ended by {popen.returncode}")
    finally:
        evil.close()
        if popen.poll() is None:
            popen.kill()
            popen.wait()
    case.configure()
    expect(case.waiting() == 1, "it is not lost")
    case.open_way()
    popen = subprocess.Popen([*run_queue[:-1], "-q1s", "-v"], stderr=subprocess.DEVNULL)
    try:
        case.expect_mails("left behind", "left again")
    finally:
        popen.terminate()
        popen.wait(20)
    # Beside a daemon it leaves the flash alone.
    case.configure()
    daemon = case.daemon()
    done = subprocess.run(run_queue, capture_output=True, text=True, timeout=CALL_S)
    expect(done.returncode == 0 and done.stderr == "", f"{done.returncode}: {done.stderr}")
    case.stop(daemon)


def traced(case, words, *inject):
    """Runs a command under strace with faults; returns (exit code, standard output), -9 for a kill."""
    strace = shutil.which("strace")
    if strace is None:
        raise Skip("strace is not installed")
    options = [part for fault in inject for part in ("-e", f"inject={fault}")]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # Which cannot be under a tracer.
    done = subprocess.run([strace, "-f", "-o", "/dev/null", *options, *case.command(*words)], capture_output=True,
                          text=True, timeout=CALL_S, env=environment)
    return done.returncode, done.stdout


@test
def killed_at_each_call(case):
    """kill -9 at each system call that writes or sends: what was said to be queued arrives, and arrives as one mail."""
    case.open_way()
    told = []
    for when in (1, 60, 128, 129, 130):  # While the flash file is being made.
        traced(case, ("alert", "err", "x"), f"pwrite64:signal=KILL:when={when}")
    case.call("queue")
    expect([path.name for path in case.state.iterdir()] == ["device.flash"], list(case.state.iterdir()))
    for call in ("pwrite64", "fdatasync", "sendto", "write", "connect"):
        for when in range(1, 40):
            text = f"killed at {call} {when}."
            code, out = traced(case, ("alert", "err", text), f"{call}:signal=KILL:when={when}")
            if "is queued" in out:
                told.append(text)
            if code == 0:
                break
            expect(code in (-9, 137), f"{call} {when}: exit code {code}: {out}")
        expect(1 < when < 39, f"{call} was called {when - 1} times")
    case.call("alert", "info", "the last one")
    found = {}
    for mail in case.dovecot.wait(case.box, len(told) + 1):
        words = re.search(r"killed at \w+ \d+\.|the last one", mail.get_content())
        expect(words, f"a mail of another kind: {mail.get_content()}")
        found.setdefault(words[0], set()).add(mail["Message-ID"])
    missing = [text for text in told if text not in found]
    expect(not missing, f"{missing} are missing")
    expect(all(len(ids) == 1 for ids in found.values()), f"each is one mail: {found}")


@test
def failing_disk(case):
    """Each write or sync may fail: no alert is called queued that neither the flash nor the server has."""
    case.open_way()
    case.call("alert", "info", "a good start")
    for fault in ("pwrite64:error=ENOSPC", "pwrite64:error=EIO", "fdatasync:error=EIO"):
        for when in ("1+", "2+", "3+", "1", "2", "3", "4"):
            text = f"{fault} {when}."
            code, out = traced(case, ("alert", "err", text), f"{fault}:when={when}")
            expect(code >= 0, f"{text}: ended by signal {-code}")
            if code != 0:
                continue

            def is_somewhere(text=text):
                return text in case.call("queue")[0] or any(text in mail.get_content()
                                                            for mail in case.dovecot.read(case.box))
            expect(wait_for(is_somewhere, 10), f"{text}: neither waits nor has left")


@test
def mailboxes(case):
    """The daemon reads a mailbox into a Maildir."""
    maildir = case.folder / "Maildir"
    case.open_way()
    case.configure(deliver=f"maildir:{maildir}", pop3=f"{HOST}:{case.dovecot.pop3s}", pop3_tls="implicit",
                   pop3_user=case.box, pop3_pass=case.dovecot.reader_password, poll=2)
    popen = case.daemon()
    case.call("alert", "err", "to be fetched")
    expect(wait_for(lambda: any("to be fetched" in path.read_text() for path in maildir.glob("new/*")), 30),
           f"it is in the Maildir: {case.log.read_text()}")
    case.stop(popen)


def signed(device, counter, command, text=None):
    """A mail with an order, as `tocsin order` makes it."""
    def block(data):
        coded = base64.b64encode(data).decode()
        return "\n".join(coded[at:at + 64] for at in range(0, len(coded), 64))

    payload = f"tocsin 1\ndevice {device}\ncounter {counter}\ncommand {command}\n"
    payload = (payload + (f"\n{text}" if text else "")).encode()
    return (f"Return-Path: <owner@{DOMAIN}>\nFrom: owner@{DOMAIN}\nTo: {OWN}@{DOMAIN}\nSubject: tocsin, please\n"
            f"Message-ID: <{counter}@phone.{DOMAIN}>\nMIME-Version: 1.0\n\n-----BEGIN TOCSIN COMMAND-----\n"
            f"{block(payload)}\n-----TOCSIN SIGNATURE-----\n{block(hmac.digest(KEY, payload, 'sha256'))}\n"
            "-----END TOCSIN COMMAND-----\n")


@test
def orders(case):
    """The device's own mailbox: a mailed command is answered; a mailed change is tried, and stays over a start."""
    case.open_way()
    case.configure(pop3=f"{HOST}:{case.dovecot.pop3s}", pop3_tls="implicit", pop3_user=OWN, poll=1, poll_fast=1,
                   pop3_pass=case.dovecot.reader_password, command_key=KEY.hex(), commands="all",
                   **{"from": f"{OWN}@{DOMAIN}"})
    popen = case.daemon()
    device = re.search(r"\bid ([0-9a-f]{16})", case.call("status")[0])[1]

    def answer(counter):
        def look():
            return [mail for mail in case.dovecot.read(case.box)
                    if (mail["In-Reply-To"] or "").strip() == f"<{counter}@phone.{DOMAIN}>"]
        found = wait_for(look, 30, 0.2)
        expect(found, f"no answer to {counter}: {case.log.read_text()}")
        return found[0].get_body(("plain",)).get_content()

    case.dovecot.put(OWN, signed(device, 1, "status"))
    expect(f"id {device}" in answer(1), "the status comes by mail")
    case.dovecot.put(OWN, signed(device, 2, "config set", "from_name = Boiler room\n"))
    expect("confirmed" in answer(2) or "tried" in answer(2), answer(2))
    expect(wait_for(lambda: "Boiler room" in case.ask("config show"), 20), "the change is in force")
    expect(wait_for(lambda: "on trial" not in case.ask("status"), 20), "and confirmed")
    case.stop(popen)
    popen = case.daemon()
    expect("Boiler room" in case.ask("config show"), "it stays: nobody has edited the file")
    case.stop(popen)


class Servers:
    """What all tests share; each has a mailbox of its own."""

    def __init__(self, bench, program, names):
        self.bench = bench
        self.program = bench.folder / "tocsin"
        shutil.copy(program, self.program)  # A build beside the tests must not change what is tested.
        self.boxes = {name: f"d{number}" for number, name in enumerate(names)}
        self.certificates = Certificates(bench)
        self.dovecot = Dovecot(bench, self.certificates, [*self.boxes.values(), OWN, "full"])
        self.exim = Exim(bench, self.dovecot, SERVERS)


def run(name, servers):
    case = Case(name, servers)
    began = time.monotonic()
    try:
        TESTS[name](case)
        word, why = "ok", ""
    except Skip as skip:
        word, why = "skip", str(skip)
    except (AssertionError, PeerError, OSError, subprocess.SubprocessError, ValueError, LookupError) as problem:
        word, why = "FAIL", f"{type(problem).__name__}: {problem}"
    finally:
        case.end()
    print(f"{word:4} {name} ({time.monotonic() - began:.1f} s)" + (f"\n     {why}" if why else ""), flush=True)
    return word


def fix_addresses():
    """Programs started from here get no random addresses, which the address sanitizer of older compilers does not
    survive; where that is refused nothing changes."""
    libc = ctypes.CDLL(None)
    libc.personality(libc.personality(ctypes.c_ulong(0xFFFFFFFF)) | ADDR_NO_RANDOMIZE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("TOCSIN", str(ROOT / "build/host/linux/tocsin"))
    parser.add_argument("--program", type=Path, default=default)
    parser.add_argument("--only", default="", help="tests whose name has this pattern")
    parser.add_argument("--list", action="store_true", help="name the tests and end")
    options = parser.parse_args()
    names = [name for name in TESTS if any(word in name for word in options.only.split("|"))]
    if options.list:
        print("\n".join(names))
        return 0
    if not options.program.is_file():
        sys.exit(f"{options.program} is not built: make host")
    fix_addresses()
    with Bench("linux-device", limit_s=LIMIT_S) as bench:
        servers = Servers(bench, options.program, names)
        states = [run(name, servers) for name in names]
    print(f"{states.count('ok')} passed, {states.count('FAIL')} failed, {states.count('skip')} skipped")
    return 1 if "FAIL" in states else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PeerError as trouble:
        sys.exit(f"tests/linux/device.py: {trouble}")
