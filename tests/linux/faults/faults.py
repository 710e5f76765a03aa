#!/usr/bin/env python3
"""A spool whose program is killed, refused a system call, or robbed of its power, at each of its calls.

    faults.py --inject PROGRAM --probe PROGRAM [kill | errors | power]...

spool_probe takes mails through the spool and says what it has been promised; it is run once for each
system call and each fault (inject.c), and what is left must be what was said: a mail is whole or not
there, what was reported as committed is there, what was done does not come back.

power: from the journal of one run, every state is made that the disk may be in when the power goes after
any of its calls: what was not synced is there, or not, in any combination. And each fsync() is left out in
turn: a state must then be found that breaks a promise, so that none is there for nothing.
"""

import argparse
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

# What may be there of a mail: (folder, its first recipient); None is nothing. When a call begins, it may be as
# before, or as this; when it has ended well, it is as in ENDS.
WAITING, SENT, FAILED = ("queue", "waiting"), ("queue", "sent"), ("failed", "sent")
BEGINS = {"committing": {WAITING}, "sending": {SENT}, "failing": {SENT, FAILED}, "retrying": {SENT},
          "finishing": {None}}
ENDS = {"committed": {WAITING}, "sent": {SENT}, "failed": {FAILED}, "retried": {SENT}, "done": {None}}
MAILS = (1, 2, 3, 4)


def promises(said):
    """Of each mail: what may be there of it, and what was said last."""
    may, last = {number: {None} for number in MAILS}, {}
    for line in said:
        what, number = line.split()[0], int(line.split()[1])
        if number not in may:
            continue
        if what == "error" and last.get(number) == "committing":
            may[number] = {None}  # On an error nothing is queued.
        may[number] = ENDS.get(what, may[number] | BEGINS.get(what, set()))
        last[number] = what
    return may, last


def judge(said, found, power=False):
    """The promise that is broken, or None. found: the lines of `spool_probe check`."""
    may, last = promises(said)
    places = {number: [] for number in MAILS}
    damaged = 0
    for line in found:
        what, number, *more = line.split()
        if what == "damaged":
            damaged += 1
        elif what in ("torn", "error"):
            return f"left behind: {line}"
        else:
            places[int(number)].append((what, *more))
    loose = {number for number in MAILS if last.get(number) in ("committing", "finishing", "done")} if power else set()
    if damaged > len(loose):
        return f"{damaged} damaged: {[line for line in found if line.startswith('damaged')]}"
    for number, there in places.items():
        if len(there) > 1:
            return f"mail {number} is there twice"
        if power and last.get(number) == "done":
            may[number] = {None, SENT}  # It comes back, and is sent once more.
        if (there[0] if there else None) in may[number] or (not there and number in loose and damaged):
            continue
        return f"mail {number}, {last.get(number, 'never begun')}, is {there or 'not there'}"
    return None


def environment():
    return {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}


def check(probe, folders):
    """What is in each spool: its lines."""
    result = subprocess.run([probe, "check", *folders], stdout=subprocess.PIPE, text=True, timeout=120,
                            env=environment(), check=True)
    blocks, lines = [], []
    for line in result.stdout.splitlines():
        if line == ".":
            blocks.append(lines)
            lines = []
        else:
            lines.append(line)
    assert len(blocks) == len(folders), result.stdout
    return blocks


def quick_folder():
    """In memory, where there is such a place: the thousands of syncs are then for nothing."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Bench:
    """Runs the probe in an empty folder, under inject."""

    def __init__(self, inject, probe):
        self.inject, self.probe = inject, probe
        self.top = Path(tempfile.mkdtemp(prefix="tocsin-faults-", dir=quick_folder()))

    def run(self, *options, calls="files"):
        """(exit code, what was said, spool, command)."""
        folder = self.top / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command = [self.inject, "--calls", calls, "--under", str(folder), *options, "--", self.probe, "run",
                   str(folder / "spool")]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, env=environment(), check=False)
        return result.returncode, result.stdout.splitlines(), folder / "spool", " ".join(command)

    def calls(self, calls="files"):
        """The names of the calls of a run without faults."""
        listing = self.top / "list"
        code, said, spool, _ = self.run("--list", str(listing), calls=calls)
        assert code == 0 and not [line for line in said if line.startswith("error")], said
        assert judge(said, check(self.probe, [spool])[0]) is None
        return [line.split()[2] for line in listing.read_text().splitlines()]


def fault_matrix(bench, faults, calls="files"):
    """Every fault at every call. Returns how many runs there were; ends the program at a broken promise."""
    runs = 0
    for at, call in enumerate(bench.calls(calls), 1):
        for fault, *more in faults:
            if fault == "short" and call != "write":
                continue
            code, said, spool, command = bench.run("--at", str(at), "--do", fault, *more, calls=calls)
            killed = fault.startswith("kill")
            broken = None if code in ((137,) if killed else (0, 1)) else f"it ended with {code}"
            broken = broken or judge(said, check(bench.probe, [spool])[0])
            errors = [line for line in said if line.startswith("error")]
            seen_through = fault in ("short", "EINTR")
            if not broken and not killed and call in ("write", "fsync") and bool(errors) == seen_through:
                broken = f"not seen through: {errors}" if errors else "an error, and nobody is told"
            if not broken and not killed:
                if any(len(line) < 20 or "/" not in line for line in errors):
                    broken = f"an error without a sentence: {errors}"
                if call != "unlinkat" and (spool / "tmp").is_dir() and list((spool / "tmp").iterdir()):
                    broken = "leftovers in tmp/"
            if broken:
                sys.exit(f"{call} ({at}), {fault}: {broken}\nsaid: {said}\nagain: {command}")
            runs += 1
    return runs


# ---- power ----

class File:
    def __init__(self):
        self.data, self.synced = b"", b""

    def contents(self, variant):
        """What the disk may have of it."""
        if self.data == self.synced or variant == "whole":
            return self.data
        return {"none": self.synced, "zeros": bytes(len(self.data)), "half": self.data[:len(self.data) // 2]}[variant]


class Folder:
    def __init__(self):
        self.names, self.synced = {}, {}


class Disk:
    """What a journal does to a folder, and what of it is safe. A change of names is on the disk when one of its
    folders is synced; it is one change, also over two folders, and comes after what happened to these names before.
    Data are there when their file is synced."""

    def __init__(self, top):
        self.top_path, self.top = top, Folder()
        self.inodes = {os.stat(top).st_ino: self.top}
        self.pending = []  # [(folder, name, what or None), ...] of each change that is not safe.

    def split(self, path):
        """The folder of a path, and its name there."""
        folder = self.top
        *above, name = os.path.relpath(path, self.top_path).split("/")
        for part in above:
            folder = folder.names[part]
        return folder, name

    def change(self, *effects):
        for folder, name, what in effects:
            if what is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = what
        self.pending.append(effects)

    def apply(self, line, ignored=False):
        """One line of the journal; ignored: a sync that is not made."""
        verb, *words = line.split()
        if verb in ("create", "mkdir"):
            what = File() if verb == "create" else Folder()
            self.inodes[int(words[0])] = what
            self.change((*self.split(words[1]), what))
        elif verb == "write":
            file, offset, data = self.inodes[int(words[0])], int(words[1]), bytes.fromhex(words[2])
            file.data = file.data[:offset].ljust(offset, b"\0") + data + file.data[offset + len(data):]
        elif verb == "truncate":
            file = self.inodes[int(words[0])]
            file.data = file.data[:int(words[1])].ljust(int(words[1]), b"\0")
        elif verb in ("rename", "link"):
            folder, name = self.split(words[0])
            effects = [(folder, name, None)] if verb == "rename" else []
            self.change(*effects, (*self.split(words[1]), folder.names[name]))
        elif verb in ("unlink", "rmdir"):
            self.change((*self.split(words[0]), None))
        elif verb == "sync" and not ignored and int(words[0]) in self.inodes:
            self.sync(self.inodes[int(words[0])])

    def sync(self, what):
        if isinstance(what, File):
            what.synced = what.data
            return
        for effects in with_causes([each for each in self.pending if any(folder is what for folder, _, _ in each)],
                                   self.pending):
            put(effects)
            self.pending.remove(effects)

    def states(self):
        """Every tree that a power cut may leave: {path: bytes, or None for a folder}."""
        tmp = self.top.names.get("spool", Folder()).names.get("tmp")
        mine = [each for each in self.pending if not all(folder is tmp for folder, _, _ in each)]
        theirs = [each for each in self.pending if each not in mine]
        if len(mine) <= 10:
            chosen = itertools.chain.from_iterable(itertools.combinations(mine, n) for n in range(len(mine) + 1))
        else:  # None, each alone, all but one, and all up to one.
            chosen = [(), *([each] for each in mine), *(mine[:n] + mine[n + 1:] for n in range(len(mine))),
                      *(mine[:n + 1] for n in range(len(mine)))]
        for changes in {tuple(map(id, each)): each for each in (with_causes(some, mine) for some in chosen)}.values():
            for variant in ("whole", "none", "zeros", "half"):
                maps = {}
                for effects in [*(theirs if variant == "whole" else []), *changes]:
                    for folder, name, what in effects:
                        entries = maps.setdefault(id(folder), dict(folder.synced))
                        entries.pop(name, None)
                        if what is not None:
                            entries[name] = what
                yield dict(walk(self.top, "", maps, variant))


def with_causes(changes, pending):
    """Changes, and those before them of the same names."""
    wanted, names = [], set()
    for effects in reversed(pending):
        own = {(id(folder), name) for folder, name, _ in effects}
        if effects in changes or own & names:
            wanted.insert(0, effects)
            names |= own
    return wanted


def put(effects):
    for folder, name, what in effects:
        folder.synced.pop(name, None)
        if what is not None:
            folder.synced[name] = what


def walk(folder, path, maps, variant):
    for name, what in maps.get(id(folder), folder.synced).items():
        if isinstance(what, Folder):
            yield path + name, None
            yield from walk(what, path + name + "/", maps, variant)
        else:
            yield path + name, what.contents(variant)


class Power:
    """Judges the states of a journal. What was found in a tree is kept, as most come again."""

    def __init__(self, bench):
        self.bench, self.found, self.count = bench, {}, 0
        self.journal = bench.top / "journal"
        code, _, spool, _ = bench.run("--journal", str(self.journal))
        assert code == 0
        self.lines = self.journal.read_text().splitlines()
        self.folder = str(spool.parent)

    def look(self, trees):
        """What is found in each of {key: tree}, with the probe."""
        missing = [key for key in trees if key not in self.found]
        for begin in range(0, len(missing), 100):
            part = missing[begin:begin + 100]
            folders = []
            for number, key in enumerate(part):
                top = self.bench.top / "cut" / str(number)
                (top / "spool").mkdir(parents=True)
                for path, data in trees[key].items():
                    if data is None:
                        (top / path).mkdir(parents=True, exist_ok=True)
                    else:
                        (top / path).parent.mkdir(parents=True, exist_ok=True)
                        (top / path).write_bytes(data)
                folders.append(top / "spool")
            for key, lines in zip(part, check(self.bench.probe, folders)):
                self.found[key] = lines
            shutil.rmtree(self.bench.top / "cut")

    def broken(self, ignored=None):
        """The first promise that a cut breaks, or None. ignored: the line of a sync that is not made."""
        disk, said = Disk(self.folder), []
        for number, line in enumerate(self.lines):
            disk.apply(line, number == ignored)
            if line.startswith("say "):
                said.append(bytes.fromhex(line[4:]).decode().strip())
            if ignored is not None and number < ignored:
                continue
            trees = {}
            for tree in disk.states():
                key = hashlib.sha256(repr(sorted(tree.items())).encode()).digest()
                trees[key] = tree
            self.look(trees)
            self.count += len(trees)
            for key in trees:
                broken = judge(said, self.found[key], power=True)
                if broken:
                    return f"power cut after line {number + 1} ({line[:80]}): {broken}"
        return None


def power_cuts(bench):
    power = Power(bench)
    broken = power.broken()
    if broken:
        sys.exit(f"{broken}\njournal: {power.journal}")
    states = power.count
    syncs = [number for number, line in enumerate(power.lines) if line.startswith("sync ")]
    for number in syncs:
        if power.broken(ignored=number) is None:
            sys.exit(f"line {number + 1} of {power.journal}: nothing breaks without this sync")
    return states, len(syncs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inject", required=True)
    parser.add_argument("--probe", required=True)
    parser.add_argument("what", nargs="*", choices=[[], "kill", "errors", "power"], default=[])
    arguments = parser.parse_args()
    bench = Bench(arguments.inject, arguments.probe)
    what = arguments.what or ["kill", "errors", "power"]
    calls = Counter(bench.calls())
    print(f"{sum(calls.values())} calls: {', '.join(f'{count} {name}' for name, count in calls.most_common())}")
    if "kill" in what:
        print(f"{fault_matrix(bench, [('kill-before',), ('kill-after',)])} kills: every promise kept")
    if "errors" in what:
        faults = [("EIO",), ("ENOSPC", "--rest"), ("EINTR",), ("EMFILE",), ("EROFS", "--rest"), ("short",)]
        runs = fault_matrix(bench, faults) + fault_matrix(bench, [("EIO",), ("ENOMEM",)], "reads")
        print(f"{runs} errors: every promise kept")
    if "power" in what:
        states, syncs = power_cuts(bench)
        print(f"{states} states after a power cut: every promise kept; each of {syncs} syncs is needed")
    shutil.rmtree(bench.top)


if __name__ == "__main__":
    main()
