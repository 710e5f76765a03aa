#!/usr/bin/env python3
"""Run the unit tests of build/host through ctest and count cmocka's own tests, not programs."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    build = ROOT / "build" / "host"
    wanted = [path.stem for folder in ("unit", "linux")
              for path in sorted((ROOT / "tests" / folder).glob("test_*.c"))]
    jobs = os.environ.get("JOBS") or str(os.cpu_count() or 1)
    done = subprocess.run(["ctest", "--test-dir", build, "--verbose", "--parallel", jobs,
                           "--no-tests=error"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    print(done.stdout)
    passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", done.stdout))
    failed = sum(int(n) for n in re.findall(r"\[  FAILED  \] (?:tests: )?(\d+) test", done.stdout))
    skipped = sum(int(n) for n in re.findall(r"\[  SKIPPED \] (?:tests: )?(\d+) test", done.stdout))
    # A program that died has told no counts, and one that never ran is no success.
    lost = [name for name in wanted
            if not re.search(rf"Test\s+#\d+: {name} \.+\s+Passed", done.stdout)]
    for line in done.stdout.splitlines():
        if re.search(r"\[ *(ERROR|FAILED) |ERROR: \w+Sanitizer|runtime error:|: error:", line):
            print(line)
    for name in lost:
        print(f"{name}: failed")
    failed = max(failed, len(lost), 1 if done.returncode != 0 else 0)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
