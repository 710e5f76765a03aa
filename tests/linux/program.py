"""What each test of the Linux program is made of: the shared servers, and a Case with a folder, a configuration and
mailboxes of its own.

    @test("name", more=arguments)
    def function(case, more): ...

    main(__doc__)           runs what was registered, three at a time; ends with `N passed, N failed, N skipped`

The program is build/host/linux/tocsin, with sanitizers, or another one: TOCSIN=PATH, or --program PATH (which may be
a command with arguments: an emulator before it).
"""
import argparse
import concurrent.futures
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from peers import Bench, Certificates, Dovecot, Exim, PeerError, Postfix  # noqa: E402
from peers.bench import DOMAIN, HOST, wait_for  # noqa: E402
from peers.certificates import SERVERS  # noqa: E402
from peers.evil import DROP, SILENT, Evil, Gate, Tap  # noqa: E402

__all__ = ["Case", "Skip", "test", "main", "DOMAIN", "HOST", "DROP", "SILENT", "wait_for"]

DELIVERY_S = 20
CALL_S = 60
TESTS = {}  # name: function(case)


class Skip(Exception):
    """The test cannot run here; the text says why."""


def test(name, /, **arguments):
    """Registers a test; arguments are handed to the function after the case."""
    def register(function):
        TESTS[name] = lambda case: function(case, **arguments)
        return function
    return register


def without_randomisation():
    """The words before a program with address sanitizer, which older compilers' does not survive the many random
    bits of newer kernels."""
    plain = ["setarch", platform.machine(), "-R"]
    works = shutil.which("setarch") and subprocess.run([*plain, "true"], stderr=subprocess.DEVNULL,
                                                       check=False).returncode == 0
    return plain if works else []


class Servers:
    """All servers of a run. Every test has mailboxes of its own, so that they do not meet."""

    def __init__(self, bench, mailboxes):
        self.bench = bench
        self.certificates = Certificates(bench)
        self.dovecot = Dovecot(bench, self.certificates, [*mailboxes, "full"])
        self.exim = Exim(bench, self.dovecot, SERVERS)
        self.postfix = None if Postfix.why_not() else Postfix(bench, self.dovecot, SERVERS)

    def named(self, name):
        server = getattr(self, name)
        if server is None:
            raise Skip(Postfix.why_not())
        return server


class Case:
    """One test. box, box2: its mailboxes; address, address2: theirs."""

    def __init__(self, name, servers, program, boxes):
        self.name = name
        self.servers = servers
        self.bench = servers.bench
        self.dovecot = servers.dovecot
        self.certificates = servers.certificates
        self.box, self.box2 = boxes
        self.address, self.address2 = f"{self.box}@{DOMAIN}", f"{self.box2}@{DOMAIN}"
        self.folder = self.bench.folder / f"case-{name}"
        self.folder.mkdir()
        self.spool = self.folder / "spool"
        self.conf = self.folder / "tocsin.conf"
        self.log = self.folder / "log"
        self.program = program

    # Setting up.

    def config(self, port, mode="implicit", certificate="ecdsa", server=HOST, **more):
        """Writes the configuration: a port here, and whatever else."""
        lines = {"mailhub": f"localhost:{port}", "tls": mode, "tls_name": server,
                 "tls_ca_file": self.certificates.root(certificate), "auth_user": self.dovecot.user,
                 "auth_pass": self.dovecot.password, "rewrite_domain": DOMAIN, "hostname": "box.example.test",
                 "spool": self.spool, "state": self.folder / "state", "log": self.log, "aliases": "/nowhere",
                 "from": f"device@{DOMAIN}", "retry_min": "1", "retry_max": "2", **more}
        text = "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)
        self.conf.write_text(text)
        self.conf.chmod(0o600)

    def evil(self, script, mode="implicit", **more):
        return Evil(self.bench, self.certificates, script, mode, **more)

    def tap(self, port, attack=None, **more):
        return Tap(self.bench, port, attack, **more)

    def gate(self, port):
        return Gate(self.bench, self.certificates, port)

    # Doing.

    def command(self, name, *arguments):
        """The command line of a call by that name."""
        sanitized = "host" in str(self.program[-1])
        words = [*(without_randomisation() if sanitized else []), *self.program]
        if name != "sendmail":
            return [*words, "-C", str(self.conf), *([name] if name != "tocsin" else []), *map(str, arguments)]
        return [*words, name, "-C", str(self.conf), *map(str, arguments)]

    def call(self, name, *arguments, text=b"", limit_s=CALL_S, code=None, **more):
        """Runs one call to its end; what it said is .out and .err. code: the exit code it must have."""
        data = text if isinstance(text, bytes) else text.encode()
        environment = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:exitcode=99", **more.pop("environment", {})}
        done = subprocess.run(self.command(name, *arguments), input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=limit_s, env=environment, check=False, **more)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        for sign in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            self.expect(sign not in done.err, done.err)
        if code is not None:
            self.expect(done.returncode == code, f"exit code {done.returncode}, {code} expected: {done.err}")
        return done

    def sendmail(self, *arguments, text="Subject: a test\n\nbody\n", **more):
        return self.call("sendmail", *arguments, text=text, **more)

    def start(self, name, *arguments, **more):
        """The same in the background: a Popen."""
        return subprocess.Popen(self.command(name, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    def mailq(self):
        return self.call("mailq").out

    def queued(self):
        """Ids in the queue."""
        return sorted(path.stem for path in (self.spool / "queue").glob("*.env")) if self.spool.is_dir() else []

    def failed(self):
        return sorted(path.stem for path in (self.spool / "failed").glob("*.env")) if self.spool.is_dir() else []

    # Checking.

    def expect(self, condition, what):
        if not condition:
            raise AssertionError(what)

    def mails(self, box=None, count=1):
        """The mails of a mailbox once there are `count`; no more and no fewer may be there."""
        mails = self.dovecot.wait(box or self.box, count, DELIVERY_S)
        self.expect(len(mails) == count, f"{len(mails)} mails in {box or self.box}, {count} expected")
        return mails

    def raw(self, box=None, count=1):
        """The same as they came, bytes."""
        self.mails(box, count)
        return self.dovecot.read_raw(box or self.box)

    def log_text(self):
        return self.log.read_text() if self.log.exists() else ""


def run_one(name, servers, program, boxes, keep):
    """(state, seconds, words)"""
    began = time.monotonic()
    case = None
    try:
        case = Case(name, servers, program, boxes)
        TESTS[name](case)
        return "ok", time.monotonic() - began, ""
    except Skip as why:
        return "skip", time.monotonic() - began, str(why)
    except (AssertionError, PeerError, OSError, subprocess.SubprocessError, ValueError, LookupError) as problem:
        place = traceback.extract_tb(problem.__traceback__)
        where = next((f"{frame.name}:{frame.lineno}" for frame in place if "/linux/" in frame.filename), "")
        logged = f"\n    log: {case.log_text()[-1500:]}" if case else ""
        return "FAIL", time.monotonic() - began, f"{type(problem).__name__}: {problem} ({where}){logged}"
    finally:
        if case and not keep:
            shutil.rmtree(case.folder, ignore_errors=True)


def main(description, name, limit_s=600):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="tests whose name has this pattern")
    parser.add_argument("--list", action="store_true", help="name the tests and end")
    parser.add_argument("--keep", action="store_true", help="keep the servers' folder")
    parser.add_argument("--jobs", type=int, default=3, help="tests at a time (3)")
    parser.add_argument("--program", default=os.environ.get("TOCSIN", str(ROOT / "build/host/linux/tocsin")))
    options = parser.parse_args()
    chosen = [test for test in TESTS if any(word in test for word in options.only.split("|"))]
    if options.list:
        print("\n".join(chosen))
        return 0
    program = shlex.split(options.program)
    if not Path(program[-1]).is_file():
        sys.exit(f"{program[-1]} is not built: make host")
    boxes = {test: (f"{test}.1", f"{test}.2") for test in chosen}
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    with Bench(name, limit_s=limit_s, keep=options.keep) as bench:
        # A copy: a build beside the tests must not change what is tested.
        copy = bench.folder / "host" / "tocsin"
        copy.parent.mkdir()
        shutil.copy(program[-1], copy)
        program[-1] = str(copy) if "host" in program[-1] else shutil.copy(program[-1], bench.folder / "tocsin")
        servers = Servers(bench, [box for pair in boxes.values() for box in pair])
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            runs = {pool.submit(run_one, test, servers, program, boxes[test], options.keep): test for test in chosen}
            for run in concurrent.futures.as_completed(runs):
                state, seconds, words = run.result()
                counts[state] += 1
                print(f"{state:4} {runs[run]} ({seconds:.1f} s)" + (f"\n     {words}" if words else ""), flush=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0
