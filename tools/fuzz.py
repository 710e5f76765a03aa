#!/usr/bin/env python3
"""Run the fuzz targets of build/fuzz over their corpus in the tree.

    fuzz.py [--seconds N] [--runs N] [--seed N] [name ...]

Without names: all of them. What a run finds new stays in build/fuzz/corpus/NAME; an input that
breaks something is kept in build/fuzz/crashes, and the line that replays it is printed. With --runs
and a seed two runs of one build do the same.
"""

import argparse
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
INPUT_BYTES_MAX = 8192


def targets():
    """{name: program} of all targets that have a source; a program may be missing."""
    return {path.stem.removeprefix("fuzz_"): BUILD / "tests" / path.stem
            for folder in ("fuzz", "linux") for path in sorted((ROOT / "tests" / folder).glob("fuzz_*.c"))}


def fuzz(name, program, arguments):
    """Run one target; return whether all was well, and what to print."""
    if not program.is_file():
        return False, f"fuzz {name}: {program.relative_to(ROOT)} was not built"
    if not any((CORPUS / name).glob("*")):
        return False, f"fuzz {name}: no corpus in {(CORPUS / name).relative_to(ROOT)}"
    found = BUILD / "corpus" / name
    crashes = BUILD / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    command = [program, found, CORPUS / name, f"-seed={arguments.seed}",
               f"-max_total_time={arguments.seconds}", f"-max_len={INPUT_BYTES_MAX}", "-timeout=10",
               "-rss_limit_mb=1024", f"-artifact_prefix={crashes}/{name}-", "-print_final_stats=1"]
    if arguments.runs:
        command.append(f"-runs={arguments.runs}")
    log = ROOT / "build" / "logs" / f"fuzz-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8", errors="replace") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False,
                              timeout=arguments.seconds * 3 + 120)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if done.returncode == 0:
        runs = next((line.split()[-1] for line in lines
                     if line.startswith("stat::number_of_executed_units")), "?")
        return True, f"fuzz {name}: {runs} inputs, all well"
    written = "Test unit written to "
    kept = [line.split(written)[1] for line in lines if written in line]
    replay = shlex.join([str(program.relative_to(ROOT)), *(os.path.relpath(k, ROOT) for k in kept)])
    why = [line for line in lines if "ERROR:" in line or "runtime error:" in line][:2]
    return False, "\n    ".join([f"fuzz {name}: FAILED", *why, f"replay: {replay}", f"log: {log}"])


def main():
    parser = argparse.ArgumentParser(description="run the fuzz targets")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, default=0, help="at most so many inputs for each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = targets()
    unknown = [name for name in arguments.names if name not in known]
    if unknown or not known:
        print(f"fuzz: no target {' '.join(unknown)}; there are: {' '.join(known)}", file=sys.stderr)
        return 2
    passed = failed = 0
    with ThreadPoolExecutor(max_workers=int(os.environ.get("JOBS") or os.cpu_count() or 1)) as pool:
        runs = [pool.submit(fuzz, name, known[name], arguments)
                for name in arguments.names or known]
        for run in runs:
            well, text = run.result()
            print(text, flush=True)
            passed, failed = passed + well, failed + (not well)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
