#!/usr/bin/env python3
"""sendmail killed or refused at each of its system calls, from its first look at the spool to its last word to the
server. Whatever happens: a mail that was taken (exit code 0, an envelope in the queue, or a kill after the queue's
folder was synced) is received, at the latest by `sendmail -q`; it is whole; if twice, then with the same Message-ID;
and one that was not taken is never sent.

    sendmail_faults.py [--inject PROGRAM] [--program PROGRAM] [--every N] [kill | errors]...

--program: tocsin without sanitizers, which would be traced as well. Needs root: the program hides its memory.
"""

import argparse
import email
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peers import Bench, Certificates  # noqa: E402
from peers.bench import HOST  # noqa: E402
from peers.evil import Evil  # noqa: E402

RUN_S = 40
FAULTS = {
    "kill": ["kill-before", "kill-after"],
    "errors": ["EIO", "ENOSPC", "ENOSPC --rest", "EINTR", "ENOMEM", "ECONNRESET", "short"],
}


class Trial:
    """One server, one configuration, many mails."""

    def __init__(self, bench, inject, program):
        self.inject, self.program = inject, program
        self.evil = Evil(bench, certificates := Certificates(bench), [{}])
        self.folder = bench.folder / "trial"
        self.spool = self.folder / "state" / "spool"
        self.spool.parent.mkdir(parents=True)
        self.conf = self.folder / "conf"
        lines = {"mailhub": f"localhost:{self.evil.port}", "tls": "implicit", "tls_name": HOST,
                 "tls_ca_file": certificates.root("ecdsa"), "auth_user": "u", "auth_pass": "p",
                 "rewrite_domain": "example.test", "hostname": "box.example.test", "spool": self.spool,
                 "state": self.folder / "device", "log": "off", "aliases": "/nowhere", "from": "device@example.test",
                 "retry_min": "1", "retry_max": "1"}
        self.conf.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
        self.conf.chmod(0o600)

    def body(self, number):
        return "".join(f"mail {number}, line {line}\n" for line in range(200))

    def call(self, number, *options):
        """One sendmail under inject; its exit code, and its command for a message."""
        command = [self.inject, "--calls", "files,net", "--under", str(self.spool.parent), "--seconds", str(RUN_S),
                   *options, "--", self.program, "sendmail", "-C", str(self.conf), "-i", "a@b.example"]
        done = subprocess.run(command, input=f"Subject: {number}\n\n{self.body(number)}", text=True, timeout=RUN_S + 5,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stderr, " ".join(command)

    def envelopes(self, folder="queue"):
        return list((self.spool / folder).glob("*.env"))

    def drain(self):
        for _ in range(3):
            if self.envelopes():
                subprocess.run([self.program, "sendmail", "-C", str(self.conf), "-q"], timeout=RUN_S, check=False,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def received(self, number):
        """The mails of that number."""
        mails = [email.message_from_bytes(raw) for raw in self.evil.mails]
        return [mail for mail in mails if mail["Subject"] == str(number)]

    def judge(self, number, code, committed=False):
        """(what is wrong or None, how often it came)"""
        taken = code == 0 or bool(self.envelopes()) or (code == 137 and committed)
        if code not in (0, 137) and self.envelopes():
            return f"exit code {code}, and yet it is queued", 0
        self.drain()
        mails = self.received(number)
        if self.envelopes() or self.envelopes("failed"):
            return "it does not leave the spool", len(mails)
        if taken and not mails:
            return f"exit code {code}: lost", 0
        if code not in (0, 137) and mails:
            return f"exit code {code}, and yet it was sent", len(mails)
        if any(mail.get_payload().replace("\r\n", "\n").rstrip("\n") != self.body(number).rstrip("\n")
               for mail in mails):
            return "not what was written", len(mails)
        if len({mail["Message-ID"] for mail in mails}) > 1 or len(mails) > 2:
            return f"{len(mails)} times: {[mail['Message-ID'] for mail in mails]}", len(mails)
        return None, len(mails)

    def calls(self, fresh):
        """The calls of one mail, each with its path; fresh: in a spool that is not there yet."""
        if fresh:
            shutil.rmtree(self.spool, ignore_errors=True)
        listing = self.folder / "list"
        code, said, _ = self.call(0, "--list", str(listing))
        if code != 0 or self.judge(0, code)[0]:
            sys.exit(f"without any fault: exit code {code}, {said}, {self.judge(0, code)}")
        self.evil.mails.clear()
        return [" ".join(line.split()[2:4]) for line in listing.read_text().splitlines()]


def run(trial, faults, every):
    """Returns {what came out: how often}."""
    counts, number = Counter(), 0
    for fresh in (True, False):
        calls = trial.calls(fresh)
        names = [call.split()[0] for call in calls]
        synced = calls.index(f"fsync {trial.spool}/queue") + 1
        print(f"{len(calls)} calls{' with a new spool' if fresh else ''}: "
              f"{', '.join(f'{count} {name}' for name, count in Counter(names).most_common())}", flush=True)
        for at in range(1, len(calls) + 1, every):
            for fault in faults:
                if fault == "short" and names[at - 1] not in ("write", "sendto", "sendmsg"):
                    continue
                if fresh:
                    shutil.rmtree(trial.spool, ignore_errors=True)
                number += 1
                code, said, command = trial.call(number, "--at", str(at), "--do", *fault.split())
                broken, times = trial.judge(number, code, at > synced)
                if fault.startswith("ENOSPC") and code != 0:
                    broken = broken or f"exit code {code}: a full disk kept it from being sent"
                if code == 124:
                    broken = f"it took longer than {RUN_S} s"
                if broken:
                    print(f"FAIL {calls[at - 1]} ({at}), {fault}: {broken}\n    {said.strip()}\n    {command}")
                    shutil.rmtree(trial.spool, ignore_errors=True)
                    counts["broken promises"] += 1
                counts[f"exit code {code}" if code != 137 else "killed"] += 1
                counts["sent twice with the same Message-ID"] += times == 2
                trial.evil.mails.clear()
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inject", default=ROOT / "build/host/tests/linux/faults/inject")
    parser.add_argument("--program", default=ROOT / "build/linux-x86_64/tocsin")
    parser.add_argument("--every", type=int, default=5, help="only each Nth call (5); 1 takes minutes")
    parser.add_argument("what", nargs="*", choices=[[], *FAULTS], default=[])
    options = parser.parse_args()
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        print("faults are injected by root on x86-64 only\n0 passed, 0 failed, 1 skipped")
        return 0
    tried = broken = 0
    with Bench("faults", limit_s=3600) as bench:
        for what in options.what or FAULTS:
            trial = Trial(bench, str(options.inject), str(options.program))
            counts = run(trial, FAULTS[what], options.every)
            broken += counts["broken promises"]
            tried += sum(count for name, count in counts.items() if name.startswith(("exit", "killed")))
            print(f"{what}: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count), flush=True)
            shutil.rmtree(trial.folder)
    print(f"{tried - broken} passed, {broken} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
