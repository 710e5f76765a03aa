#!/usr/bin/env python3
"""The Linux program beside others that do the same, in one run against the same servers.

    bench_linux.py [--arch ARCH] [--update] [--only send|poll]

Sending: tocsin, msmtp, ssmtp and nullmailer's sender, each with a login over TLS to Exim on loopback, one mail and a
hundred, with an ECDSA and an RSA chain. Trusted is the system's bundle with the test's root behind it. ssmtp verifies
nothing. nullmailer knows no other name for the certificate than the host's, so it verifies and is told to go on; what
is measured of it is the program that sends one mail, without its queue. A hundred mails are a hundred calls one after
the other (ten, and all figures but memory multiplied, of a program that takes about a second for one); tocsin can also
put them into its queue and send all over one connection.

Fetching: tocsin poll and mpop into a Maildir, fetchmail (which has none) into `cat`, from Dovecot: 1, 100 and 10,000
messages, all of them new, and then once more with nothing new.

Instructions are callgrind's, without the shell and cat that fetchmail calls; a hundred calls are counted as a hundred
times one, and 10,000 new messages are not counted. Time is the median of several runs (one, of what is slow) without
valgrind, by a small C program that starts the others, from before the first to the end of the last. Memory is the
largest resident set of a process. Bytes, turns and connections are what a proxy on loopback saw, TLS included: a turn
is each time that the client spoke after the server had, TCP's own is not among them. --update writes the tables into
README.md.
"""
import argparse
import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import size  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from peers import Bench, Certificates, Dovecot, Exim, Tap  # noqa: E402
from peers.bench import DOMAIN, HOST, PeerError, wait_for  # noqa: E402

BEGIN, END = "<!-- bench-linux:begin -->", "<!-- bench-linux:end -->"
CALLERS = ROOT / "build" / "peers" / "callers"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LIMIT_S = 900
CALL_S = 300         # No measurement takes longer.
RUNS = 9             # Of what is quick.
SLOW_S = 0.9         # One mail that takes longer: a hundred are SLOW_CALLS, multiplied.
MANY, SLOW_CALLS = 100, 10
SAMPLE = 3           # Calls that callgrind counts in place of MANY.
FILLS = (1, 100, 10000)
COUNTED_MAX = 100    # Messages that callgrind sees fetched.
HEAD = ["instructions", "time", "memory", "bytes", "turns", "connections"]
MAIL = f"From: device@{DOMAIN}\nTo: sent@{DOMAIN}\nSubject: disk sda1 failing\n\n" + "Reallocated sectors: 12\n" * 20

# Python would be no good parent: the largest resident set of a process counts what it was before exec().
STARTER = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void put(int fd, unsigned long long value)
{
    char text[24];
    int at = sizeof text;

    text[--at] = '\n';
    do {
        text[--at] = (char)('0' + value % 10);
    } while (value /= 10);
    (void)!write(fd, text + at, sizeof text - (unsigned)at);
}

static void run(const char *input, const char *third, char *command[])
{
    int fd = open(input, O_RDONLY);

    if (fd < 0 || dup2(fd, 0) < 0 || (*third && dup2(open(third, O_RDONLY), 3) < 0))
        _exit(126);
    close(fd);
    execv(command[0], command);
    _exit(127);
}

/* RESULT COUNT INPUT THIRD COMMAND...: into RESULT the last status, kilobytes, nanoseconds. */
int main(int argc, char *argv[])
{
    int out = argc > 5 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    struct timespec begin, end;
    long memory = 0;
    int status = 0;

    if (out < 0)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int left = atoi(argv[2]); left > 0 && status == 0; left--) {
        struct rusage usage;
        pid_t child = fork();

        if (child == 0)
            run(argv[3], argv[4], argv + 5);
        if (child < 0 || wait4(child, &status, 0, &usage) < 0)
            return 2;
        memory = usage.ru_maxrss > memory ? usage.ru_maxrss : memory;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    put(out, (unsigned)status);
    put(out, (unsigned long long)memory);
    put(out, (unsigned long long)(end.tv_sec - begin.tv_sec) * 1000000000u +
                 (unsigned long long)end.tv_nsec - (unsigned long long)begin.tv_nsec);
    return 0;
}
"""


class Failure(Exception):
    """A program did not do its work; the text says what it said."""


def program_of(arch):
    return ROOT / "build" / f"linux-{arch}" / "tocsin"


def say(text):
    print(f"bench-linux: {text}", file=sys.stderr, flush=True)


# ---- running and counting ------------------------------------------------------------------------


class Step:
    """So many calls of a program, one after the other; good: the statuses that it ends with."""

    def __init__(self, command, data, count=1, third="", environment=None, good=(0,)):
        self.command = [str(word) for word in command]
        self.data, self.count, self.third, self.good = data, count, third, good
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "LC_ALL": "C",
                            "TZ": "UTC", **(environment or {})}

    def __mul__(self, count):
        return Step(self.command, self.data, count, self.third, self.environment, self.good)


class Runner:
    """Runs steps in a folder of its own."""

    def __init__(self, folder, arch):
        self.folder = folder
        self.starter = folder / "starter"
        source = folder / "starter.c"
        source.write_text(STARTER)
        # musl, since even the start of a static glibc takes more memory than what is to be measured.
        musl = ROOT / "build" / "musl" / arch
        compiler = shlex.split(os.environ.get("CC", "cc"))
        asked = [subprocess.run([*compiler, question], capture_output=True, text=True, check=True).stdout.strip()
                 for question in ("-print-file-name=include", "-print-libgcc-file-name")]
        done = subprocess.run([*compiler, "-Os", "-static-pie", "-fPIE", "-fno-stack-protector", "-nostdinc",
                               "-isystem", str(musl / "include"), "-isystem", asked[0], "-nostdlib",
                               str(musl / "lib" / "start.o"), str(source), str(musl / "lib" / "libc.a"), asked[1],
                               "-o", str(self.starter)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"cannot compile the program that starts the others:\n{done.stderr}")

    def _call(self, command, environment, stdin=subprocess.DEVNULL):
        """What a process and its children say, to its end."""
        said = self.folder / "said"
        with open(said, "wb") as output:
            child = subprocess.Popen(command, stdin=stdin, stdout=output, stderr=output, env=environment,
                                     cwd=self.folder, start_new_session=True)
            try:
                child.wait(CALL_S)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()
        return child.returncode, said.read_text(errors="replace")[-600:]

    def measure(self, step):
        """(kilobytes, seconds)"""
        data, result = self.folder / "input", self.folder / "result"
        data.write_text(step.data)
        result.unlink(missing_ok=True)
        code, said = self._call([str(self.starter), str(result), str(step.count), str(data), str(step.third),
                                 *step.command], step.environment)
        words = result.read_text().split() if code == 0 else []
        if len(words) != 3 or os.waitstatus_to_exitcode(int(words[0])) not in step.good:
            status = os.waitstatus_to_exitcode(int(words[0])) if len(words) == 3 else code
            raise Failure(f"{Path(step.command[0]).name} ended with {status}: {said}")
        return int(words[1]), int(words[2]) / 1e9

    def count(self, step):
        """Instructions of a step, and of what it forks, but not of other programs that it calls."""
        data = self.folder / "input"
        data.write_text(step.data)
        for old in self.folder.glob("callgrind.*"):
            old.unlink()
        calls = step.count if step.count <= SAMPLE else SAMPLE
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                    f"--log-file={self.folder}/callgrind.%p", *step.command]
        self.measure(Step(["/bin/sh", "-c", 'PATH=$PATH:/usr/local/bin exec "$@"', "sh", *valgrind], step.data, calls,
                          step.third, step.environment, step.good))
        logs = [path.read_text(errors="replace") for path in self.folder.glob("callgrind.*")]
        total = sum(int(number) for log in logs for number in re.findall(r"Collected\s*:\s*(\d+)", log))
        if total == 0:
            raise Failure("callgrind counted nothing:\n" + "".join(logs)[-600:])
        return total * step.count / calls


class Figures:
    """What is known of one kind of work by one program."""

    def __init__(self):
        self.instructions = self.memory = self.bytes = self.turns = self.connections = 0
        self.times = []

    def wire(self, tap):
        """What went over the proxy since its conversations were cleared."""
        time.sleep(0.1)  # The last bytes may be with its threads.
        self.connections = len(tap.conversations)
        self.bytes = sum(talk.bytes for talk in tap.conversations)
        self.turns = sum(talk.turns for talk in tap.conversations)

    def times_many(self, factor):
        """The same, so many times."""
        self.instructions, self.bytes = self.instructions * factor, self.bytes * factor
        self.turns, self.connections = self.turns * factor, self.connections * factor
        self.times = [seconds * factor for seconds in self.times]
        return self

    def cells(self):
        seconds = statistics.median(self.times)
        return [f"{self.instructions / 1e6:,.1f} M" if self.instructions else "",
                f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s",
                f"{self.memory / 1024:,.2f} MB", f"{self.bytes:,}", f"{self.turns:,}", f"{self.connections:,}"]


class Counted:
    """A conversation of which only the sums are kept."""

    def __init__(self):
        self.bytes = self.turns = 0
        self.spoke = False

    def heard(self, data):
        self.turns += not self.spoke
        self.spoke = True
        self.bytes += len(data)

    def said(self, data):
        self.spoke = False
        self.bytes += len(data)


class Counter(Tap):
    """The proxy that counts."""

    def serve(self, client, conversation, index):
        counted = Counted()
        self.conversations[index] = counted
        super().serve(client, counted, index)


# ---- the programs --------------------------------------------------------------------------------


class Benchmark:
    """Servers, and what is measured against them. rows: as far as it has come."""

    def __init__(self, bench, arch):
        self.bench = bench
        self.certificates = Certificates(bench)
        boxes = ["sent", *(f"b{count}" for count in FILLS)]
        # ssmtp's AuthPass ends at the first blank.
        self.dovecot = Dovecot(bench, self.certificates, boxes, device=("device", "keptinflash"))
        self.exim = Exim(bench, self.dovecot)
        self.folder = bench.folder / "programs"
        self.folder.mkdir()
        self.runner = Runner(self.folder, arch)
        self.bundle = self.folder / "bundle.crt"
        parts = [BUNDLE.read_bytes()] if BUNDLE.exists() else []
        parts += [self.certificates.root(name).read_bytes() for name in ("ecdsa", "rsa")]
        self.bundle.write_bytes(b"\n".join(parts))
        self.trusted = self.bundle.read_bytes().count(b"-----BEGIN CERTIFICATE-----")
        library = CALLERS / "usr" / "lib"
        places = [*library.glob("*-linux-gnu*"), library]
        self.libraries = {"LD_LIBRARY_PATH": ":".join(str(place) for place in places)}
        self.tocsin = shutil.copy(program_of(arch), self.folder / "tocsin")
        self.delivered = 0

    def program(self, path):
        """One of the others'. Debian's ssmtp may write as another group, which callgrind will not follow."""
        program = CALLERS / path
        if not program.exists() or not program.stat().st_mode & 0o6000:
            return program
        copy = self.folder / program.name
        if not copy.exists():
            shutil.copyfile(program, copy)
            copy.chmod(0o755)
        return copy

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def senders(self, port):
        """{name: step that sends one mail} to a port."""
        user, password = self.dovecot.user, self.dovecot.password
        tocsin = self.file(f"tocsin-{port}.conf", f"mailhub = localhost:{port}\ntls = implicit\ntls_name = {HOST}\n"
                           f"tls_ca_file = {self.bundle}\nauth_user = {user}\nauth_pass = {password}\n"
                           f"rewrite_domain = {DOMAIN}\nfrom = device@{DOMAIN}\nspool = {self.folder}/spool\n"
                           f"state = {self.folder}/state\nlog = {self.folder}/tocsin.log\naliases = /nowhere\n")
        msmtp = self.file(f"msmtp-{port}.conf", "defaults\nauth plain\ntls on\ntls_starttls off\n"
                          f"tls_trust_file {self.bundle}\ntls_host_override {HOST}\nlogfile {self.folder}/msmtp.log\n"
                          f"account default\nhost localhost\nport {port}\nfrom device@{DOMAIN}\nuser {user}\n"
                          f"password {password}\n")
        ssmtp = self.file(f"ssmtp-{port}.conf", f"mailhub=localhost:{port}\nhostname=box.example.test\nUseTLS=YES\n"
                          f"AuthUser={user}\nAuthPass={password}\nFromLineOverride=YES\n")
        queued = self.file("nullmailer.mail", f"device@{DOMAIN}\nsent@{DOMAIN}\n\n{MAIL}")
        options = (f"host=localhost\nport={port}\nssl\ninsecure\nx509cafile={self.bundle}\nuser={user}\n"
                   f"pass={password}\n\n")
        return {
            "tocsin": Step([self.tocsin, "sendmail", "-C", tocsin, "-t", "-i"], MAIL),
            "msmtp": Step([self.program("usr/bin/msmtp"), "-C", msmtp, "-t", "-i"], MAIL, environment=self.libraries),
            "ssmtp (verifies nothing)": Step([self.program("usr/sbin/ssmtp"), f"-C{ssmtp}", "-t"], MAIL,
                                             environment=self.libraries),
            "nullmailer's sender": Step([self.program("usr/lib/nullmailer/smtp")], options, third=queued,
                                        environment={**self.libraries, "HELOHOST": "box.example.test"}),
        }

    def fetchers(self, port, box, state):
        """{name: step that fetches what is new in a mailbox} from a port; state is theirs."""
        password, maildir = self.dovecot.reader_password, state / "Maildir"
        for part in ("cur", "new", "tmp"):
            (maildir / part).mkdir(parents=True)
        tocsin = self.file("poll.conf", f"mailhub = localhost:1\nrewrite_domain = {DOMAIN}\npop3 = localhost:{port}\n"
                           f"pop3_tls = implicit\npop3_tls_name = {HOST}\npop3_user = {box}\npop3_pass = {password}\n"
                           f"tls_ca_file = {self.bundle}\ndeliver = maildir:{maildir}\nstate = {state}\n"
                           f"spool = {state}\nlog = off\n")
        mpop = self.file("mpop.conf", f"defaults\ntls on\ntls_starttls off\ntls_trust_file {self.bundle}\n"
                         f"tls_host_override {HOST}\nuidls_file {state}/uidls\nkeep on\nauth plain\naccount default\n"
                         f"host localhost\nport {port}\nuser {box}\npassword {password}\ndelivery maildir {maildir}\n")
        fetchmail = self.file("fetchmail.rc", f"set idfile {state}/ids\nset pidfile {state}/pid\n"
                              f"poll localhost protocol pop3 port {port} uidl user '{box}' password '{password}' ssl "
                              f"sslcertck sslcertfile {self.bundle} sslcommonname {HOST} keep mda 'cat >/dev/null'\n")
        return {
            "tocsin poll": Step([self.tocsin, "-C", tocsin, "poll", "--quiet"], ""),
            "mpop": Step([self.program("usr/bin/mpop"), "-C", mpop, "-Q"], "", environment=self.libraries),
            "fetchmail": Step([self.program("usr/bin/fetchmail"), "-f", fetchmail, "--nodetach", "-s"], "",
                              environment={**self.libraries, "HOME": str(state)}, good=(0, 1)),
        }

    # ---- sending ----

    def arrived(self, count):
        """Waits until so many more mails are in the mailbox: what did not come was not sent."""
        folder = self.bench.folder / "mail" / "sent" / "new"
        self.delivered += count
        if not wait_for(lambda: folder.is_dir() and len(os.listdir(folder)) >= self.delivered, 60):
            raise Failure(f"{len(os.listdir(folder))} of {self.delivered} mails came")

    def works(self, count):
        """(name, what is put into the queue before, steps), for all that is measured; steps depend on the port."""
        def queued(steps):
            one = steps["tocsin"]
            return Step([*one.command, "-odq"], one.data, count)

        def flush(steps):
            return Step([*steps["tocsin"].command[:4], "-q"], "")

        works = [(name, None, lambda steps, name=name: [steps[name] * count])
                 for name in self.senders(0) if self.there(self.senders(0)[name])]
        if count > 1:
            works[1:1] = [(f"tocsin -odq {count} times, then -q", None, lambda steps: [queued(steps), flush(steps)]),
                          (f"tocsin -q alone, {count} queued", queued, lambda steps: [flush(steps)])]
        return works

    @staticmethod
    def there(step):
        return Path(step.command[0]).exists()

    def send(self, work, steps, count):
        """A whole run of `count` mails: (kilobytes, seconds)."""
        _, before, make = work
        if before:
            self.runner.measure(before(steps))
        done = [self.runner.measure(step) for step in make(steps)]
        self.arrived(count)
        return max(memory for memory, _ in done), sum(seconds for _, seconds in done)

    def measure_sending(self, work, count, direct, tap):
        figures = Figures()
        _, before, make = work
        tap.conversations.clear()
        figures.memory, seconds = self.send(work, self.senders(tap.port), count)
        figures.wire(tap)
        steps = self.senders(direct)
        for _ in range(RUNS if count == 1 and seconds < SLOW_S else 1 if seconds > 2 else 3):
            figures.times.append(self.send(work, steps, count)[1])
        if before:
            self.runner.measure(before(steps))
        counted = [(step, self.runner.count(step)) for step in make(steps)]
        figures.instructions = sum(instructions for _, instructions in counted)
        # With a flush, what was queued is there, or what was counted of that.
        self.arrived(count if before else min(counted[0][0].count, SAMPLE))
        return figures

    def bench_sending(self):
        rows = []
        for chain in ("ecdsa", "rsa"):
            direct = self.exim.port("implicit", chain)
            tap = Counter(self.bench, direct)
            slow = set()
            for count in (1, MANY):
                for work in self.works(count):
                    began = time.monotonic()
                    calls = SLOW_CALLS if count > 1 and work[0] in slow else count
                    try:
                        work = next(like for like in self.works(calls) if like[0] == work[0])
                        figures = self.measure_sending(work, calls, direct, tap)
                        slow |= {work[0]} if calls == 1 and figures.times[0] > SLOW_S else set()
                        cells = figures.times_many(count // calls).cells()
                    except Failure as problem:
                        say(problem)
                        cells = ["failed"] + [""] * (len(HEAD) - 1)
                        self.delivered = len(os.listdir(self.bench.folder / "mail" / "sent" / "new"))
                    rows.append([chain.upper(), str(count), work[0], *cells])
                    say(f"{'  '.join(rows[-1])} ({time.monotonic() - began:.1f} s)")
            tap.close()
        return rows

    # ---- fetching ----

    def measure_fetching(self, name, count, tap):
        """(Figures of all new, of nothing new). State is kept from one run to the next."""
        fresh, idle = Figures(), Figures()
        box = f"b{count}"

        def steps(port, kind):
            return self.fetchers(port, box, self.folder / f"state-{box}-{name[:6].strip()}-{kind}")[name]

        tapped = steps(tap.port, "wire")
        for figures in (fresh, idle):
            tap.conversations.clear()
            figures.memory = self.runner.measure(tapped)[0]
            figures.wire(tap)
        for number in range(5 if count < FILLS[-1] else 1):
            step = steps(self.dovecot.pop3s, f"time{number}")
            fresh.times.append(self.runner.measure(step)[1])
        idle.times += [self.runner.measure(step)[1] for _ in range(5)]
        idle.instructions = self.runner.count(step)
        if count <= COUNTED_MAX:
            fresh.instructions = self.runner.count(steps(self.dovecot.pop3s, "count"))
        return fresh, idle

    def bench_fetching(self):
        rows = []
        tap = Counter(self.bench, self.dovecot.pop3s)
        for count in FILLS:
            self.dovecot.fill(f"b{count}", count)
            self.look(f"b{count}")
            for name in ("tocsin poll", "mpop", "fetchmail"):
                began = time.monotonic()
                try:
                    both = [figures.cells() for figures in self.measure_fetching(name, count, tap)]
                except Failure as problem:
                    say(problem)
                    both = [["failed"] + [""] * (len(HEAD) - 1)] * 2
                for label, cells in zip((f"{count:,}", f"{count:,}, none new"), both):
                    rows.append([label, name, *cells])
                    say("  ".join(rows[-1]))
                say(f"({time.monotonic() - began:.1f} s)")
        return sorted(rows, key=lambda row: "none" in row[0])

    def look(self, box):
        """So that the first of the programs does not pay for the server's index."""
        from peers.dovecot import Pop3Tls
        reader = Pop3Tls(self.dovecot.pop3s, self.dovecot.tls())
        reader.user(box)
        reader.pass_(self.dovecot.reader_password)
        reader.list()
        reader.uidl()
        reader.quit()


# ---- the table -----------------------------------------------------------------------------------


def table(first, rows):
    lines = ["| " + " | ".join([*first, *HEAD]) + " |", "|" + "---|" * len(first) + "---:|" * len(HEAD)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def version_of(package):
    stamp = (CALLERS.parent / "callers.packages").read_text()
    found = re.search(rf"^{package} (?:\d+:)?([\d.]+)", stamp, re.MULTILINE)
    return f"{package} {found[1]}" if found else f"{package} (not there)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default=os.uname().machine, help="this machine's, as `make linux` calls it")
    parser.add_argument("--update", action="store_true", help="write README.md's tables")
    parser.add_argument("--only", choices=["send", "poll"])
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parts = []
    try:
        for path, target in ((program_of(options.arch), "make linux"), (CALLERS, "python3 tools/deps.py callers")):
            if not path.exists():
                raise Failure(f"no {path.relative_to(ROOT)}: run `{target}`")
        with Bench("bench-linux", limit_s=LIMIT_S) as bench:
            work = Benchmark(bench, options.arch)
            if options.only != "poll":
                parts.append(table(["chain", "mails", "program"], work.bench_sending()))
            if options.only != "send":
                parts.append(table(["messages", "program"], work.bench_fetching()))
        others = ", ".join(version_of(name) for name in ("msmtp", "ssmtp", "nullmailer", "mpop", "fetchmail"))
        parts.append(f"Beside {others}; {work.trusted} certificates trusted; Exim and Dovecot on loopback.")
        text = "\n\n".join(parts)
        print(text)
        if options.update and not options.only:
            _, new = size.replace_between(ROOT / "README.md", BEGIN, END, text)
            (ROOT / "README.md").write_text(new, encoding="utf-8")
    except (Failure, size.Failure, PeerError, OSError) as failure:
        say(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
