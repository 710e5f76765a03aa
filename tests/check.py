#!/usr/bin/env python3
"""All checks and tests, one stage after the other; `make check` calls it.

    check.py [list | stage ...]

Each stage is a command with a log in build/logs/check-STAGE.log. A stage whose output ends in a
line "N passed, N failed[, N skipped]" counts as that; any other counts as one. A stage that fails
does not stop the following ones. The last line is the sum over all stages; the status is 0 only
when none failed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "logs"
BOARDS = sorted(path.parent.name for path in (ROOT / "boards").glob("*/board.cmake"))
LINES_SHOWN_MAX = 40
FAILED_LINES_SHOWN_MAX = 400
FUZZ_SECONDS = 5
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")

# Set-up was done by `make check` itself; nothing below may ask the network again.
MAKE = ["make", "--no-print-directory", "DEPS=no"]


def unit_command():
    """ctest; without address randomisation where that may be asked for, since the address sanitizer
    of older compilers does not survive the many random bits of newer kernels."""
    command = [sys.executable, "tests/unit.py"]
    plain = ["setarch", os.uname().machine, "-R"]
    if shutil.which("setarch") and subprocess.run([*plain, "true"], stderr=subprocess.DEVNULL,
                                                  check=False).returncode == 0:
        return plain + command
    return command


def stages():
    """(name, what it does, command, seconds after which it is given up)"""
    python = sys.executable
    firmwares = [(f"firmware-{board}", f"build {board}, within its size limits",
                  [*MAKE, "firmware", f"BOARD={board}"], 600) for board in BOARDS]
    return [
        ("includes", "includes run one way", [python, "tools/includes.py"], 60),
        ("format", "clang-format and the style's limits", ["tools/lint.sh", "format"], 120),
        ("host", "host build with address and undefined-behaviour sanitizers",
         [*MAKE, "host"], 900),
        ("static", "cppcheck, clang-tidy, shellcheck", ["tools/lint.sh", "static"], 900),
        ("unit", "unit tests and transcripts", unit_command(), 600),
        ("fuzzers", "fuzz targets build", [*MAKE, "fuzzers"], 900),
        ("fuzz", f"each parser is fuzzed for {FUZZ_SECONDS} s",
         [python, "tools/fuzz.py", "--seconds", str(FUZZ_SECONDS)], 600),
        *firmwares,
        ("tools", "host tools build", [*MAKE, "tools"], 600),
        ("linux", "the static program for two processors, within its size limit",
         [*MAKE, "linux", "ARCHS=x86_64 mips"], 900),
        ("docs", "pages and tables made by the code are current", [python, "tools/docs.py"], 60),
        ("linux-package", "what is installed, the Debian package, manuals, units",
         [python, "tests/linux/package.py"], 300),
        ("linux-cross", "a 32-bit program of the other byte order sends mail under QEMU",
         [python, "tests/linux/cross.py", "--only", "x86_64.|mips."], 400),
        ("linux-sendmail", "sendmail against real mail servers, good and hostile",
         [python, "tests/linux/sendmail.py"], 400),
        ("linux-device", "the device on Linux: daemon, alerts, commands",
         [python, "tests/linux/device.py"], 400),
        ("linux-fetch", "mailboxes fetched by POP3 into Maildir, mbox and commands",
         [python, "tests/linux/fetch.py", "--quick"], 600),
        ("linux-callers", "sendmail called by cron, smartd, mdadm, mail programs, git, PHP, logwatch",
         [python, "tests/linux/callers.py"], 400),
        ("linux-faults", "sendmail killed, or refused, at each system call",
         [python, "tests/linux/faults/sendmail_faults.py"], 600),
        ("conformance", "each board's drivers keep the promises of hal/",
         [python, "tests/board/conformance.py"], 300),
        ("peers", "the test servers, before anything relies on them",
         [python, "tests/peers/check.py"], 180),
        ("qemu", "both boards in QEMU against real mail servers, good and hostile",
         [python, "tests/qemu/check.py"], 1600),
        ("power", "both boards lose their power again and again, with a live mail server",
         [python, "tests/qemu/powercut.py"], 600),
    ]


def counts_of(output, status):
    """(passed, failed, skipped) of a finished stage."""
    lines = output.rstrip().splitlines()
    match = COUNTS.match(lines[-1]) if lines else None
    if not match:
        return (1, 0, 0) if status == 0 else (0, 1, 0)
    passed, failed, skipped = (int(count or 0) for count in match.groups())
    # A status that contradicts the counts is a failure that nobody counted.
    return passed, failed + (1 if status != 0 and failed == 0 else 0), skipped


def run_stage(command, log, timeout_s):
    """Run a stage in a process group of its own; return (status, output)."""
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait(timeout=timeout_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stop:
            # SIGTERM first: a test run takes its servers and its QEMU along.
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(timeout=15)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
            if isinstance(stop, KeyboardInterrupt):
                raise
            out.write(f"\ngiven up after {timeout_s} s\n")
            status = 124
    return status, log.read_text(encoding="utf-8", errors="replace")


def failed_tests(lines):
    """The lines that tell of failed tests: those that begin with FAIL, and what is indented behind each."""
    told, inside = [], False
    for line in lines:
        inside = line.startswith("FAIL") or (inside and line.startswith((" ", "\t")))
        if inside:
            told.append(line)
    return told


def show_failure(output, log):
    """The failed tests by name, wherever in the output they are, and then its end."""
    lines = output.rstrip().splitlines()
    end = lines[-LINES_SHOWN_MAX:]
    told = failed_tests(lines[:-len(end)])
    if len(lines) > len(end):
        print(f"        all of it: {log.relative_to(ROOT)}")
    for line in told[:FAILED_LINES_SHOWN_MAX]:
        print(f"        {line}")
    if len(told) > FAILED_LINES_SHOWN_MAX:
        print(f"        ... and {len(told) - FAILED_LINES_SHOWN_MAX} more such lines")
    if len(lines) > len(end):
        print("        ... and its end:")
    for line in end:
        print(f"        {line}")


def main():
    known = stages()
    names = [name for name, _, _, _ in known]
    wanted = sys.argv[1:]
    if wanted == ["list"]:
        for name, what, _, _ in known:
            print(f"{name:22} {what}")
        return 0
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"check: no stage {' '.join(unknown)}; stages: {' '.join(names)}", file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    total = [0, 0, 0]
    broken = []
    begin = time.monotonic()
    for name, what, command, timeout_s in known:
        if wanted and name not in wanted:
            continue
        print(f"{name}: {what}", flush=True)
        log = LOGS / f"check-{name}.log"
        start = time.monotonic()
        status, output = run_stage(command, log, timeout_s)
        counts = counts_of(output, status)
        total = [a + b for a, b in zip(total, counts)]
        skipped = f", {counts[2]} skipped" if counts[2] else ""
        verdict = "FAILED" if counts[1] else "ok"
        print(f"    {verdict}: {counts[0]} passed, {counts[1]} failed{skipped}"
              f" in {time.monotonic() - start:.0f} s", flush=True)
        if counts[1]:
            broken.append(name)
            show_failure(output, log)
    print(f"whole check: {time.monotonic() - begin:.0f} s"
          + (f"; failed: {' '.join(broken)}" if broken else ""))
    skipped = f", {total[2]} skipped" if total[2] else ""
    print(f"{total[0]} passed, {total[1]} failed{skipped}", flush=True)
    return 1 if total[1] else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("check: interrupted", file=sys.stderr)
        sys.exit(130)
