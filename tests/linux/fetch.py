#!/usr/bin/env python3
"""`tocsin poll` against Dovecot, Courier and a server that misbehaves.

    python3 tests/linux/fetch.py [--program build/host/linux/tocsin] [--only 'PATTERN|PATTERN'] [--quick]

--quick, which `make check` uses, has less of those that take long: a mailbox of 2,000 messages in the place of 10,000
(many), connections cut (cut_anywhere: every 212th byte in the place of every 53rd), kills at random (killed_maildir,
killed_mbox: 25 lives each in the place of 120) and at system calls (killed_at_each_call: every fifth). Ends with
`N passed, N failed, N skipped`.
"""
import argparse
import base64
import fcntl
import itertools
import os
import random
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "linux")]

from program import without_randomisation  # noqa: E402
from peers import Bench, Certificates, Courier, Dovecot, EvilPop3, PeerError, Tap  # noqa: E402
from peers.bench import HOST, wait_for  # noqa: E402
from peers.evil import DROP, SILENT, Listener  # noqa: E402

PASSWORD = "reads mail"
LIMIT_S = 900
OK, UNAVAILABLE, CANTCREAT, TEMPFAIL, PROTOCOL, NOPERM, CONFIG = 0, 69, 73, 75, 76, 77, 78
CHECKS = []
QUICK = False


def check(function):
    CHECKS.append(function)
    return function


class Skip(Exception):
    """The check cannot run here; the text says why."""


class Failed(AssertionError):
    """Something was not as it has to be."""


def expect(right, what):
    if not right:
        raise Failed(what)


class Stand:
    """The servers, and the places of one check after the other."""

    def __init__(self, bench, program):
        self.bench = bench
        self.program = program
        self.certificates = Certificates(bench)
        self.boxes = (f"box{number}" for number in itertools.count())
        self.dovecot = Dovecot(bench, self.certificates, [f"box{number}" for number in range(60)])
        self.courier = Courier(bench, self.dovecot)
        self.homes = itertools.count()

    def box(self, *messages):
        """A new mailbox of Dovecot's (and Courier's) with those messages."""
        name = next(self.boxes)
        self.dovecot.put(name, *messages)
        return name

    def evil(self, *messages, **how):
        evil = EvilPop3(self.bench, self.certificates, **how)
        evil.put(*messages)
        return evil

    def home(self, port, user="joe", **keys):
        return Home(self, port, user, **keys)


class Home:
    """One configuration with its state and its places of delivery."""

    def __init__(self, stand, port, user, **keys):
        self.program = stand.program
        self.folder = stand.bench.folder / f"home{next(stand.homes)}"
        self.folder.mkdir()
        self.maildir = self.folder / "Maildir"
        self.mbox = self.folder / "mbox"
        self.state = self.folder / "state"
        self.log = self.folder / "log"
        self.config = self.folder / "tocsin.conf"
        self.keys = {"mailhub": "127.0.0.1:465", "root": "joe@example.test",
                     "pop3": f"127.0.0.1:{port}", "pop3_user": user, "pop3_pass": PASSWORD, "pop3_tls": "implicit",
                     "pop3_tls_name": HOST, "tls_ca_file": stand.certificates.root(), "log": self.log,
                     "deliver": f"maildir:{self.maildir}", "state": self.state}
        self.set(**keys)

    def set(self, **keys):
        self.keys.update(keys)
        lines = [f"{key} = {value}\n" for key, value in self.keys.items() if value is not None]
        self.config.write_text("".join(lines))
        self.config.chmod(0o600)

    def command(self, *words):
        return [*self.program, "-C", str(self.config), "poll", *words]

    def environment(self):
        return {**os.environ, "HOME": str(self.folder), "ASAN_OPTIONS": "detect_leaks=0"}

    def run(self, *words, code=OK, limit_s=60, before=None):
        """Runs it to its end; returns what it printed."""
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s,
                              env=self.environment(), preexec_fn=before)
        self.out, self.err = done.stdout.decode(), done.stderr.decode("utf-8", "replace")
        expect(done.returncode == code, f"exit code {done.returncode} instead of {code}: {self.out}{self.err}")
        expect(PASSWORD not in self.out + self.err, f"the password was shown: {self.err}")
        return self.out

    def start(self, *words):
        return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.environment())

    def files(self):
        return sorted(path for part in ("new", "cur") for path in (self.maildir / part).glob("*"))

    def mails(self):
        """The bytes of what is in the Maildir, in the order in which it was delivered."""
        return [path.read_bytes() for path in self.files()]

    def left_over(self):
        return list((self.maildir / "tmp").glob("*"))


def text(number, body="Hello.\n"):
    return (f"Return-Path: <sender{number}@example.org>\nFrom: Someone <someone@example.org>\nTo: joe@example.test\n"
            f"Subject: number {number}\nMessage-ID: <{number}@example.org>\n\n{body}")


def same(mails, texts):
    """The same messages, in any order."""
    expect(sorted(mails) == sorted(one if isinstance(one, bytes) else one.encode() for one in texts),
           f"{len(mails)} mails instead of {len(texts)}, or other ones: {[mail[:300] for mail in mails][:3]}")


# Good servers.

def keep_and_delete(stand, server, mode):
    texts = [text(number) for number in range(5)]
    box = stand.box(*texts)
    home = stand.home(server.port(mode), box, pop3_tls=mode)
    expect(home.run("--check") == "default: 5 new, 0 kept\n", home.out)
    expect(not home.maildir.exists(), "--check delivers nothing")
    expect(home.run() == "default: 5 new, 5 fetched, 5 kept\n", home.out)
    same(home.mails(), texts)
    expect(home.run() == "default: 0 new, 5 kept\n", home.out)
    expect(home.run("--quiet") == "", home.out)
    stand.dovecot.put(box, text(5))
    expect(home.run() == "default: 1 new, 1 fetched, 6 kept\n", home.out)
    same(home.mails(), [*texts, text(5)])
    expect(len(stand.dovecot.files(box)) == 6, "all are kept")
    stand.dovecot.put(box, text(6))
    home.set(pop3_delete="yes")
    expect(home.run() == "default: 1 new, 1 fetched, 7 deleted\n", home.out)
    wait_for(lambda: not stand.dovecot.files(box), 5)
    expect(not stand.dovecot.files(box), "all are deleted")
    expect(len(home.files()) == 7 and not home.left_over(), "seven are here")
    expect(home.log.read_text().count("status=delivered") == 7, home.log.read_text())
    expect(PASSWORD not in home.log.read_text(), "no password in the log")


@check
def dovecot_implicit(stand):
    keep_and_delete(stand, stand.dovecot, "implicit")


@check
def dovecot_stls(stand):
    keep_and_delete(stand, stand.dovecot, "starttls")


@check
def courier_implicit(stand):
    keep_and_delete(stand, stand.courier, "implicit")


@check
def courier_stls(stand):
    keep_and_delete(stand, stand.courier, "starttls")


def all_bytes(stand, port_of):
    odd = [b"Subject: dots\n\n.\n..\n...\n.x\n\n.\n", b"Subject: no end\n\nno newline at the end",
           b"Subject: nul\n\na\0b\n\0\n", b"Subject: 8 bit \xff\xfe\n\n\x80\x81\r\r\n\xe4\n",
           b"Subject: long\n\n" + b"x" * 100000 + b"\n", b"Subject: empty\n\n", b"\nno header\n",
           b"Subject: from\n\nFrom here\n>From there\nFromage\n From\nFrom\n>>From x\n>Fro\n"]
    box = stand.box(*odd)
    home = stand.home(port_of.port("implicit"), box)
    home.run()
    wanted = [one if one.endswith(b"\n") else one + b"\n" for one in odd]
    return home, wanted


@check
def bytes_dovecot(stand):
    home, wanted = all_bytes(stand, stand.dovecot)
    # Lone CRs are the server's to change.
    same([mail.replace(b"\r", b"") for mail in home.mails()], [one.replace(b"\r", b"") for one in wanted])


@check
def bytes_evil(stand):
    odd = [b"Subject: nul\r\n\r\na\0b\r\n\0\r\n", b"Subject: cr\r\n\r\na\rb\r\r\n\r", b"", b"\r\n", b"x",
           b"Subject: bare\r\n\r\nbare\nlf\r\n", b".\r\n..\r\n", b"S: big\r\n\r\n" + (b"y" * 997 + b"\r\n") * 3000]
    evil = stand.evil()
    evil.put(*odd)
    home = stand.home(evil.port)
    home.run()

    def wanted(raw):
        raw = raw if raw.endswith(b"\r\n") else raw + b"\r\n"
        return raw.replace(b"\r\n", b"\n")
    same(home.mails(), [wanted(raw) for raw in odd])


def read_mbox(path):
    """The messages of an mbox as mboxrd has them: From_ lines and quoting undone."""
    data = path.read_bytes()
    parts = re.split(rb"(?:^|(?<=\n\n))(?=From \S+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n)", data)
    expect(parts[0] == b"" or data == b"", f"it begins with a message: {data[:60]}")
    mails = []
    for part in parts[1:]:
        line, _, rest = part.partition(b"\n")
        expect(rest.endswith(b"\n"), "an empty line ends it")
        mails.append(re.sub(rb"(?m)^>(>*From )", rb"\1", rest[:-1]))
    return mails


@check
def mbox(stand):
    odd = ["Subject: from\n\nFrom here\n>From there\nFromage\n From\nFrom\n>>From x\n>Fro\nFrom ", text(1), text(2, ""),
           "From: \"a <x@y>\" (b@c) d@example.com\n\n" + "z" * 40000 + "\nFrom z\n",
           "Return-Path: <>\nFrom: mailer@example.com\n\nreport\n"]
    box = stand.box(*odd)
    home = stand.home(stand.dovecot.pop3s, box)
    home.set(deliver=f"mbox:{home.mbox}")
    home.run()
    same(read_mbox(home.mbox), [one if one.endswith("\n") else one + "\n" for one in odd])
    lines = [line for line in home.mbox.read_bytes().split(b"\n") if line.startswith(b"From ")]
    expect([line.split()[1] for line in lines] == [b"MAILER-DAEMON", b"sender1@example.org", b"sender2@example.org",
                                                   b"d@example.com", b"MAILER-DAEMON"], lines)
    expect(home.mbox.stat().st_mode & 0o777 == 0o600, "0600")
    expect(not home.mbox.with_name("mbox.lock").exists(), "the lock is gone")
    # It is appended to whatever its end looks like.
    for end in (b"x", b"x\n", b"x\n\n", b"", b"\n"):
        home.mbox.write_bytes(b"From a@b Sun Nov 22 08:30:00 2026\nSubject: z\n\n" + end)
        stand.dovecot.put(box, text(9))
        expect("1 fetched" in home.run(), home.out)
        data = home.mbox.read_bytes()
        expect(b"\n\nFrom sender9@" in data and data.endswith(b"Hello.\n\n"), data)


@check
def mbox_locked(stand):
    box = stand.box(text(1))
    home = stand.home(stand.dovecot.pop3s, box, deliver="")
    home.set(deliver=f"mbox:{home.mbox}")
    lock = home.mbox.with_name("mbox.lock")
    lock.write_text(f"{os.getpid()}\n")
    threading.Timer(1.5, lock.unlink).start()
    begin = time.monotonic()
    home.run()
    expect(1 < time.monotonic() - begin < 10, "it waited for the lock file")
    with open(home.mbox, "r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        stand.dovecot.put(box, text(2))
        process = home.start()
        time.sleep(1)
        expect(process.poll() is None and len(read_mbox(home.mbox)) == 1, "it waits for fcntl()")
    expect(process.wait(20) == 0, process.stderr.read())
    process.communicate()
    # Of a process that is gone.
    gone = subprocess.Popen(["true"])
    gone.wait()
    lock.write_text(f"{gone.pid}\n")
    stand.dovecot.put(box, text(3))
    home.run(limit_s=10)
    same(read_mbox(home.mbox), [text(number) for number in (1, 2, 3)])


@check
def pipes(stand):
    box = stand.box(text(1), text(2), text(3))
    home = stand.home(stand.dovecot.pop3s, box, pop3_delete="yes")
    out = home.folder / "out"
    home.set(deliver=f"pipe:cat >>{out}; echo \"$SENDER $TOCSIN_ACCOUNT $TOCSIN_SIZE\" >>{out}; echo said")
    home.run()
    expect(out.read_text() == "".join(f"{text(n)}sender{n}@example.org {box}@127.0.0.1 {len(text(n))}\n"
                                      for n in (1, 2, 3)), out.read_text())
    expect(home.err.count("said") == 3, home.err)
    expect(home.run() == "default: 0 new\n", home.out)
    # EX_TEMPFAIL leaves that one; the others come.
    stand.dovecot.put(box, text(4), text(5), text(6))
    once = home.folder / "once"
    home.set(deliver=f"pipe:if grep -q '^Subject: number 5' && test ! -e {once}; "
                     f"then touch {once}; echo later; exit 75; fi")
    home.run(code=TEMPFAIL)
    expect("3 new, 2 fetched, 1 wanted later, 2 deleted" in home.out and "later" in home.err, home.out + home.err)
    expect([mail["Subject"] for mail in stand.dovecot.left(box)] == ["number 5"], "number 5 is still there")
    home.run()
    # Anything else stops; what was delivered before is remembered and deleted.
    stand.dovecot.put(box, *(text(number) for number in range(10, 20)))
    home.set(deliver="pipe:if grep -q '^Subject: number 12'; then echo broken >&2; exit 1; fi")
    home.run(code=UNAVAILABLE)
    expect("10 new, 2 fetched, 2 deleted" in home.out and "broken" in home.err, home.out + home.err)
    wait_for(lambda: len(stand.dovecot.files(box)) == 8, 5)
    expect(len(stand.dovecot.files(box)) == 8, "eight are left")
    home.set(deliver="pipe:no-such-program-at-all")
    home.run(code=CONFIG)
    home.set(deliver="pipe:kill -9 $$")
    home.run(code=UNAVAILABLE)
    expect("signal 9" in home.err, home.err)
    # What it leaves behind holds nothing up.
    home.set(deliver="pipe:cat >/dev/null; sleep 30 & true")
    home.run(limit_s=20)
    # A command that reads nothing.
    stand.dovecot.put(box, text(30, "x" * 300000 + "\n"))
    home.set(deliver="pipe:true")
    home.run()


@check
def sizes(stand):
    box = stand.box(text(1), text(2, "x" * 5000 + "\n"), text(3))
    home = stand.home(stand.dovecot.pop3s, box, pop3_size=2000)
    expect(home.run() == "default: 3 new, 2 fetched, 1 left as too large, 2 kept\n", home.out)
    expect(home.run() == "default: 1 new, 0 fetched, 1 left as too large, 2 kept\n", home.out)
    home.set(pop3_delete="yes")
    expect(home.run() == "default: 1 new, 0 fetched, 1 left as too large, 2 deleted\n", home.out)
    home.set(pop3_size="off")
    expect(home.run() == "default: 1 new, 1 fetched, 1 deleted\n", home.out)


@check
def many(stand):
    """10,000 messages: fetched, nothing new, some new, all deleted; how long, and how much memory."""
    count = 2000 if QUICK else 10000
    box = next(stand.boxes)
    stand.dovecot.fill(box, count)
    home = stand.home(stand.dovecot.pop3s, box)
    times = []

    def timed(said):
        begin = time.monotonic()
        expect(home.run(limit_s=200) == said, home.out)
        times.append(f"{time.monotonic() - begin:.2f} s")
    timed(f"default: {count:,} new, {count:,} fetched, {count:,} kept\n")
    expect(len(home.files()) == count, "all are here")
    timed(f"default: 0 new, {count:,} kept\n")
    stand.dovecot.put(box, text(1))
    timed(f"default: 1 new, 1 fetched, {count + 1:,} kept\n")
    home.set(pop3_delete="yes")
    timed(f"default: 0 new, {count + 1:,} deleted\n")
    stand.dovecot.put(box, text(2))
    timed("default: 1 new, 1 fetched, 1 deleted\n")
    expect((home.state / "default.seen").stat().st_size < 2000, "the memory was made small again")
    print(f"    {count:,} fetched, 0 new, 1 new, deleted, 1 new:", ", ".join(times))


@check
def huge(stand):
    body = "".join(f"{number:060}\n" for number in range(500000))
    box = stand.box(text(1), text(2, body), text(3))
    home = stand.home(stand.dovecot.pop3s, box)
    home.run()
    same(home.mails(), [text(1), text(2, body), text(3)])
    home = stand.home(stand.dovecot.pop3s, box)
    home.set(deliver=f"mbox:{home.mbox}")
    home.run()
    same(read_mbox(home.mbox), [text(1), text(2, body), text(3)])


# Servers with less, or with other ideas.

@check
def no_uidl(stand):
    for capabilities, pipelining in ((("TOP", "USER", "SASL PLAIN"), "no"), (("TOP", "USER", "PIPELINING"), "yes")):
        evil = stand.evil(text(1), text(2), text(2), script=({"UIDL": "-ERR what?"},), capabilities=capabilities)
        home = stand.home(evil.port)
        expect(home.run() == "default: 3 new, 3 fetched, 3 kept\n", f"{pipelining}: {home.out}")
        expect(home.run() == "default: 0 new, 3 kept\n", home.out)
        # What a server adds to a header does not make it another one.
        evil.messages[0].raw = b"Status: RO\r\nX-UID: 7\r\n" + evil.messages[0].raw
        evil.put(text(3), text(2))
        expect(home.run() == "default: 2 new, 2 fetched, 5 kept\n", home.out)
        home.set(pop3_delete="yes")
        expect(home.run() == "default: 0 new, 5 deleted\n", home.out)
        evil.put(text(4))
        expect(home.run() == "default: 1 new, 1 fetched, 1 deleted\n", home.out)
        expect(len(home.files()) == 6 and not evil.messages, "six are here, none there")


@check
def no_uidl_no_top(stand):
    evil = stand.evil(text(1), script=({"UIDL": "-ERR what?", "TOP": "-ERR what?"},), capabilities=("USER",))
    home = stand.home(evil.port)
    home.run(code=UNAVAILABLE)
    expect("1 left as the server does not name them" in home.out and evil.asked("RETR") == 0, home.out + home.err)
    home.set(pop3_delete="yes")
    expect(home.run() == "default: 1 new, 1 fetched, 1 deleted\n", home.out)
    expect(home.run() == "default: 0 new\n", home.out)


@check
def odd_uids(stand):
    """The same uid for several messages, uids that are none, very long ones, numbers out of order."""
    evil = stand.evil(*(text(number) for number in range(6)))
    for message, uid in zip(evil.messages, ("same", "same", "x" * 200, "a b", "\u00e4", "-")):
        message.uid = uid
    home = stand.home(evil.port)
    expect(home.run() == "default: 6 new, 6 fetched, 6 kept\n", home.out)
    expect(home.run() == "default: 0 new, 6 kept\n", home.out)
    evil.put(text(7))
    evil.messages[-1].uid = "same"
    expect(home.run() == "default: 1 new, 1 fetched, 7 kept\n", home.out)
    listing = "\r\n".join(["+OK", *(f"{n + 1} {evil.messages[n].uid}" for n in (6, 2, 0, 1)), "."])
    evil.script = [{"UIDL": listing}]
    expect(home.run() == "default: 0 new, 4 kept\n", home.out)


@check
def renumbered(stand):
    """Another mailbox, or another server, under the same name: nothing of the old memory is believed."""
    evil, other = stand.evil(text(1)), stand.evil(text(2))
    home = stand.home(evil.port)
    home.run()
    home.set(pop3=f"localhost:{other.port}")
    expect(home.run() == "default: 1 new, 1 fetched, 1 kept\n" and "default.seen.old" in home.err, home.out + home.err)
    home.set(pop3=f"localhost:{evil.port}")
    home.run()
    expect("0 new" in home.out, "the uids are the same on both")


@check
def refusals(stand):
    evil = stand.evil(text(1), text(2), text(3), script=({
        "RETR": lambda session: "-ERR not today" if session.words[1] == "2" else None},))
    home = stand.home(evil.port)
    home.run(code=TEMPFAIL)
    expect("3 new, 2 fetched, 1 refused" in home.out and "not today" in home.err, home.out + home.err)
    evil.script = [{"DELE": "-ERR no", "QUIT": "+OK but nothing was deleted"}]
    home.set(pop3_delete="yes")
    home.run()
    expect("does not delete" in home.err and len(evil.messages) == 3, home.err)
    evil.script = [{"QUIT": "-ERR some messages were not deleted"}]
    home.run(code=TEMPFAIL)
    evil.script = [{}]
    expect(home.run() == "default: 0 new, 3 deleted\n" and len(home.files()) == 3, home.out)


@check
def logins(stand):
    box = stand.box(text(1))
    home = stand.home(stand.dovecot.pop3s, box, pop3_pass="wrong")
    home.run(code=NOPERM)
    expect("login" in home.err, home.err)
    for words, code in (("-ERR [IN-USE] locked", TEMPFAIL), ("-ERR [LOGIN-DELAY] wait", TEMPFAIL),
                        ("-ERR [SYS/TEMP] later", TEMPFAIL), ("-ERR [AUTH] no", NOPERM),
                        ("-ERR maildrop already locked", TEMPFAIL), ("-ERR [SYS/PERM] no", NOPERM)):
        evil = stand.evil(text(1), script=({"AUTH": words, "PASS": words},))
        home = stand.home(evil.port)
        home.run(code=code)
        expect(words.split("] ")[-1].replace("-ERR ", "") in home.err, home.err)
    home.set(pop3_pass=None)
    home.run(code=CONFIG)
    secret = home.folder / "secret"
    secret.write_text(PASSWORD + "\n")
    home = stand.home(stand.dovecot.pop3s, box, pop3_pass=None, pop3_pass_file=secret)
    home.run()
    home = stand.home(stand.dovecot.pop3s, box, pop3_pass=None, pop3_pass_command=f"cat {secret}")
    home.run()
    home.set(pop3_pass_command="false")
    home.run(code=CONFIG)


@check
def wrong_certificates(stand):
    for name in ("expired", "wrong-name", "unknown", "early", "lookalike"):
        for mode in ("implicit", "starttls"):
            evil = stand.evil(text(1), certificate=name, mode=mode)
            tap = Tap(stand.bench, evil.port, pop3=True)
            home = stand.home(tap.port, pop3_tls=mode)
            home.run(code=PROTOCOL)
            expect(tap.conversations and not tap.secret_sent(), f"{name}, {mode}: something was sent")
            expect("certificate" in home.err or "issuer" in home.err, home.err)
    for attack in ("strip", "refuse", "inject", "garbage"):
        tap = Tap(stand.bench, stand.dovecot.pop3, attack, pop3=True)
        home = stand.home(tap.port, stand.box(text(1)), pop3_tls="starttls")
        done = subprocess.run(home.command(), capture_output=True, timeout=30, env=home.environment())
        expect(done.returncode in (PROTOCOL, TEMPFAIL) and not tap.secret_sent(), f"{attack}: {done}")
    home = stand.home(stand.dovecot.pop3s, stand.box(text(1)), tls_ca_file="/nonexistent")
    home.run(code=CONFIG)


@check
def verbose(stand):
    box = stand.box(text(1))
    for mode in ("implicit", "starttls"):
        home = stand.home(stand.dovecot.port(mode), box, pop3_tls=mode)
        home.run("--verbose")
        for word in ("CAPA", "********", "UIDL", "RETR 1", "QUIT", "TLS 1.2", "<<< +OK"):
            expect(word in home.err, f"{word}: {home.err}")
        expect(base64.b64encode(f"\0{box}\0{PASSWORD}".encode()).decode() not in home.err, home.err)
    evil = stand.evil(text(1), capabilities=("UIDL", "USER"))
    home = stand.home(evil.port)
    home.run("--verbose")
    expect(">>> USER joe" in home.err and ">>> PASS ********" in home.err, home.err)


# What breaks.

VERBS = ("GREETING", "TLS", "CAPA", "STLS", "AUTH", "UIDL", "LIST", "RETR", "DELE", "QUIT")


@check
def dropped_at_each_command(stand):
    texts = [text(number) for number in range(5)]
    for mode in ("implicit", "starttls"):
        for verb in VERBS:
            if (verb == "STLS") != (mode == "starttls") and verb == "STLS":
                continue
            evil = stand.evil(*texts, mode=mode, script=({verb: DROP}, {}))
            home = stand.home(evil.port, pop3_tls=mode, pop3_delete="yes", pop3_size=100000)
            home.run(code=TEMPFAIL)
            expect(not home.left_over() and len(home.files()) in (0, 5), f"{verb}: {home.files()}")
            home.run()
            same(home.mails(), texts)
            expect(not evil.messages, f"{verb}: deleted in the end")


class Cut(Listener):
    """Lets so many bytes of the server's through, and then hangs up."""

    def __init__(self, bench, port):
        self.target, self.limit = port, None
        super().__init__(bench)

    def serve(self, client, conversation, _index):
        passed = 0
        limit = self.limit
        server = socket.create_connection(("127.0.0.1", self.target), timeout=30)

        def upward():
            try:
                while data := client.recv(65536):
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
            except OSError:
                server.close()

        with server:
            threading.Thread(target=upward, daemon=True).start()
            while data := server.recv(65536):
                if limit is not None and passed + len(data) > limit:
                    client.sendall(data[:limit - passed])
                    client.shutdown(socket.SHUT_RDWR)
                    return
                passed += len(data)
                client.sendall(data)


@check
def cut_anywhere(stand):
    """The connection ends after any number of bytes (in clear, so that they are POP3's own)."""
    texts = [text(number, "line\n" * number * 20) for number in range(6)]
    evil = stand.evil(*texts, mode="clear")
    cut = Cut(stand.bench, evil.port)
    home = stand.home(evil.port, pop3_tls="off", auth_without_tls="yes")
    home.run()
    whole = 2600
    for delete in ("no", "yes"):
        for limit in [*range(0, 400, 37), *range(400, whole, 212 if QUICK else 53)]:
            evil = stand.evil(*texts, mode="clear")
            cut.target, cut.limit = evil.port, limit
            home = stand.home(cut.port, pop3_tls="off", auth_without_tls="yes", pop3_delete=delete)
            done = subprocess.run(home.command(), capture_output=True, timeout=30, env=home.environment())
            expect(done.returncode in (OK, TEMPFAIL), done)
            expect(not home.left_over(), "nothing is left in tmp")
            here = home.mails()
            expect(all(mail in [one.encode() for one in texts] for mail in here), f"{limit}: half a message")
            cut.limit = None
            home.run()
            same(home.mails(), texts)
            expect(len(evil.messages) == (6 if delete == "no" else 0), f"{limit}: {len(evil.messages)}")


@check
def stalls(stand):
    for verb in ("GREETING", "AUTH", "UIDL", "RETR"):
        evil = stand.evil(text(1), script=({verb: SILENT}, {}))
        home = stand.home(evil.port, greeting_timeout="2s", command_timeout="2s")
        begin = time.monotonic()
        home.run(code=TEMPFAIL, limit_s=20)
        expect(time.monotonic() - begin < 10, f"{verb}: too long")
    # Bytes that drip.

    def drip(session):
        session.client.sendall(b"+OK\r\n")
        for _ in range(200):
            session.client.sendall(b"x" * 300 + b"\r\n")
            time.sleep(0.5)
        return DROP
    evil = stand.evil(text(1), script=({"RETR": drip}, {}))
    home = stand.home(evil.port, total_timeout="3s", command_timeout="20s")
    begin = time.monotonic()
    home.run(code=TEMPFAIL, limit_s=40)
    expect(2 < time.monotonic() - begin < 20 and "total_timeout" in home.err, home.err)
    home.run()
    expect(len(home.files()) == 1, "it comes in the end")


@check
def disk_full(stand):
    """A limit on the size of files stands for a full disk: what is not whole is not there."""
    def limit(size):
        def set_limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        return set_limit
    texts = [text(1), text(2, "x" * 70 + "\n" * 30000), text(3)]
    box = stand.box(*texts)
    home = stand.home(stand.dovecot.pop3s, box, pop3_delete="yes")
    home.run(code=TEMPFAIL, before=limit(20000))
    expect("File too large" in home.err and not home.left_over(), home.err)
    same(home.mails(), texts[:1])
    home.run()
    same(home.mails(), texts)
    box = stand.box(*texts)
    home = stand.home(stand.dovecot.pop3s, box, pop3_delete="yes")
    home.mbox.write_bytes(b"From a@b Sun Nov 22 08:30:00 2026\nSubject: z\n\n" + b"x\n" * 9900 + b"\n")
    size = home.mbox.stat().st_size
    home.set(deliver=f"mbox:{home.mbox}")
    home.run(code=TEMPFAIL, before=limit(31000))
    expect(size <= home.mbox.stat().st_size < 31000 and len(read_mbox(home.mbox)) in (1, 2), "cut back")
    home.run()
    same(read_mbox(home.mbox)[1:], texts)
    # The memory cannot be written: nothing is delivered.
    box = stand.box(text(1))
    home = stand.home(stand.dovecot.pop3s, box, pop3_delete="yes")
    home.run("--check")
    seen = home.state / "default.seen"
    seen.write_bytes(seen.read_bytes() + b"".join(b"k 1700000000 filler%05d\n" % number for number in range(1000)))
    home.run(code=TEMPFAIL, before=limit(seen.stat().st_size + 3))
    expect("default.seen" in home.err and not home.files(), home.err)
    expect(len(stand.dovecot.files(box)) == 1, "it is still on the server")
    home.run()
    expect(len(home.files()) == 1, "it comes")


@check
def places(stand):
    """What is no place of delivery."""
    box = stand.box(text(1))
    home = stand.home(stand.dovecot.pop3s, box)
    for where, code in (("", CONFIG), ("nowhere", CONFIG), ("maildir:relative", CONFIG), ("mbox:", CONFIG),
                        ("mbox:/dev/full", CANTCREAT), ("maildir:/dev/null/x", CANTCREAT),
                        ("mbox:/dev/null/x", CANTCREAT), (f"mbox:{home.folder}", CANTCREAT)):
        home.set(deliver=where)
        home.run(code=code)
        expect(home.err.startswith("tocsin: default: "), home.err)
    home.set(deliver="maildir:~/deep/er/Mail", state="~/st/ate")
    home.run()
    expect(len(list((home.folder / "deep/er/Mail/new").iterdir())) == 1, "made with what is above it")
    home.set(state="/dev/null/state")
    home.run(code=CANTCREAT)


def kill_at_random(stand, deliver, read):
    """kill -9 at any moment: nothing is lost, nothing half there; what came twice is counted."""
    texts = []
    evil = stand.evil()
    home = stand.home(evil.port, pop3_delete="yes")
    home.set(deliver=deliver(home))
    begin, kills, chance = time.monotonic(), 0, random.Random(5)
    longest = 0.3
    for _ in range(25 if QUICK else 120):
        if len(evil.messages) < 200:
            more = [text(number, f"{'.' * (number % 70)}\n" * (number % 50))
                    for number in range(len(texts), len(texts) + 300)]
            texts += more
            evil.put(*more)
        started = time.monotonic()
        process = home.start()
        time.sleep(chance.uniform(0, longest))
        if process.poll() is None:
            process.kill()
            kills += 1
        else:
            longest = max(0.02, min(longest, (time.monotonic() - started) * 0.8))
        process.communicate()
    home.run(limit_s=60)
    expect(not evil.messages, "all are deleted in the end")
    mails = read(home)
    lost = {one.encode() for one in texts} - set(mails)
    expect(not lost, f"{len(lost)} are lost")
    strange = set(mails) - {one.encode() for one in texts}
    expect(not strange, f"half of one: {[one[:80] for one in strange]}")
    print(f"    {kills} kills in {time.monotonic() - begin:.1f} s: {len(mails) - len(texts)} came twice")
    return len(mails) - len(texts)


@check
def killed_maildir(stand):
    twice = kill_at_random(stand, lambda home: f"maildir:{home.maildir}", Home.mails)
    expect(twice == 0, f"{twice} came twice")


@check
def killed_mbox(stand):
    twice = kill_at_random(stand, lambda home: f"mbox:{home.mbox}", lambda home: read_mbox(home.mbox))
    expect(twice == 0, f"{twice} came twice")


@check
def killed_at_each_call(stand):
    """The program ends at the n-th system call that changes a file, for every n."""
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    texts = [text(number) for number in range(4)]
    for kind in ("maildir", "mbox"):
        for call in ("openat", "pwrite64", "write", "fsync", "fdatasync", "renameat", "ftruncate", "close", "fcntl",
                     "unlink", "unlinkat"):
            for number in range(1, 60, 5 if QUICK else 1):
                evil = stand.evil(*texts)
                home = stand.home(evil.port, pop3_delete="yes")
                home.set(deliver=f"{kind}:{home.maildir if kind == 'maildir' else home.mbox}")
                home.run("--check")
                done = subprocess.run(["strace", "-qq", "-o", "/dev/null", f"-e", f"trace={call}", "-e",
                                       f"inject={call}:signal=KILL:when={number}", *home.command()],
                                      capture_output=True, timeout=60, env=home.environment())
                if done.returncode == 0:
                    break
                home.run()
                read = home.mails() if kind == "maildir" else read_mbox(home.mbox)
                same(read, texts)
                expect(not evil.messages and len(home.left_over()) <= 4, f"{kind} {call} {number}")
                if home.left_over():
                    for path in home.left_over():
                        os.utime(path, (1, 1))
                    home.run()
                expect(not home.left_over(), f"{kind} {call} {number}: not swept")


@check
def two_at_once(stand):
    texts = [text(number) for number in range(200)]
    evil = stand.evil(*texts, script=({"UIDL": lambda session: time.sleep(2)}, {}))
    home = stand.home(evil.port)
    first = home.start()
    wait_for(lambda: evil.asked("UIDL") == 1, 10)
    home.run(code=TEMPFAIL)
    expect("another run reads this mailbox" in home.err, home.err)
    out, err = first.communicate(timeout=30)
    expect(first.returncode == 0, err)
    same(home.mails(), texts)


@check
def accounts(stand):
    boxes = [stand.box(text(1)), stand.box(text(2)), stand.box(text(3))]
    home = stand.home(stand.dovecot.pop3s, boxes[0], accounts=stand.bench.folder / "accounts")
    folder = stand.bench.folder / "accounts"
    folder.mkdir()
    other = home.folder / "Other"
    for name, box, more in (("second", boxes[1], f"deliver = maildir:{other}\n"), ("third", boxes[2], "")):
        (folder / f"{name}.conf").write_text(
            f"pop3 = 127.0.0.1:{stand.dovecot.pop3s}\npop3_user = {box}\npop3_pass = {PASSWORD}\n"
            f"pop3_tls = implicit\npop3_tls_name = {HOST}\n{more}")
        (folder / f"{name}.conf").chmod(0o600)
    (folder / "notes.txt").write_text("no account")
    home.run("second")
    expect(home.out == "second: 1 new, 1 fetched, 1 kept\n", home.out)
    home.run()
    expect(home.out == "default: 1 new, 1 fetched, 1 kept\nsecond: 0 new, 1 kept\nthird: 1 new, 1 fetched, 1 kept\n",
           home.out)
    same(home.mails(), [text(1), text(3)])
    same([path.read_bytes() for path in (other / "new").iterdir()], [text(2)])
    home.run("nobody", code=64)
    # One that fails holds the others not up, and no account's password goes to another's server.
    (folder / "second.conf").write_text(f"pop3 = 127.0.0.1:{stand.dovecot.pop3s}\npop3_user = {boxes[1]}\n")
    stand.dovecot.put(boxes[2], text(4))
    home.run(code=CONFIG)
    expect("third: 1 new, 1 fetched, 2 kept\n" in home.out and "second" in home.err, home.out + home.err)


@check
def clear_password(stand):
    evil = stand.evil(text(1), mode="clear")
    home = stand.home(evil.port, pop3_tls="off")
    home.run(code=PROTOCOL)
    expect(all(not line.startswith(("USER", "PASS", "AUTH")) for line in evil.commands[0]), evil.commands)
    home.set(auth_without_tls="yes")
    home.run()


def run(one, stand):
    """(state, words)"""
    try:
        one(stand)
        return "ok", ""
    except Skip as why:
        return "skip", str(why)
    except (Failed, OSError, subprocess.SubprocessError, ValueError, LookupError) as problem:
        where = traceback.extract_tb(problem.__traceback__)
        lines = ", ".join(str(frame.lineno) for frame in where if frame.filename == __file__)
        return "FAIL", f"{type(problem).__name__}: {problem} (lines {lines})"


def main():
    global QUICK  # pylint: disable=global-statement
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("TOCSIN", str(ROOT / "build/host/linux/tocsin"))
    parser.add_argument("--program", default=default, help="the program to test; may be several words")
    parser.add_argument("--only", default="", help="checks whose name has this pattern")
    parser.add_argument("--list", action="store_true", help="name the checks and end")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = parser.parse_args()
    QUICK = options.quick
    chosen = [one for one in CHECKS if any(word in one.__name__ for word in options.only.split("|"))]
    if options.list:
        print("\n".join(one.__name__ for one in chosen))
        return 0
    program = shlex.split(options.program)
    if not Path(program[-1]).is_file():
        sys.exit(f"{program[-1]} is not built: make host")
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    with Bench("fetch", limit_s=LIMIT_S) as bench:
        # A copy: a build beside the tests must not change what is tested.
        program[-1] = shutil.copy(program[-1], bench.folder / "tocsin")
        stand = Stand(bench, [*without_randomisation(), *program])
        for one in chosen:
            begin = time.monotonic()
            state, words = run(one, stand)
            counts[state] += 1
            print(f"{state:4} {one.__name__} ({time.monotonic() - begin:.1f} s)" + (f"\n     {words}" if words else ""),
                  flush=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PeerError as trouble:
        sys.exit(f"tests/linux/fetch.py: {trouble}")
