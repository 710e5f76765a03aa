#!/usr/bin/env python3
"""What is written about the code, held against the code.

    docs.py             docs/config.md's table, README.md's size table, links between pages
    docs.py --update    renew the two tables

Both need the host tools (make tools) and the firmware of each board. The size table tells which
compiler made it; another compiler's sizes are other sizes, so it is compared with that one only.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import size

ROOT = Path(__file__).resolve().parent.parent
BOARDS = sorted(path.parent.name for path in (ROOT / "boards").glob("*/board.cmake"))
CONFIG_PAGE = ROOT / "docs" / "config.md"


def config_table(update):
    """Problems of the table of configuration keys, which the device's own code makes."""
    tool = ROOT / "build" / "tools" / f"tocsin-flash-{BOARDS[0]}"
    if not tool.is_file():
        return [f"{tool.relative_to(ROOT)} is not built: make tools"]
    page = CONFIG_PAGE
    if not update:
        page = ROOT / "build" / "config.md"
        shutil.copyfile(CONFIG_PAGE, page)
    done = subprocess.run([tool, "doc", page], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        return [done.stdout.strip()]
    if page.read_bytes() != CONFIG_PAGE.read_bytes():
        return ["docs/config.md's table is not what the code says: make docs"]
    return []


def size_table(update):
    tables = {board: size.measure(board) for board in BOARDS}
    readme = ROOT / "README.md"
    old, new = size.replace_between(readme, size.BEGIN, size.END, size.markdown(tables))
    if update:
        readme.write_text(new, encoding="utf-8")
    elif size.compiler() not in old:
        print(f"docs: README.md's sizes are not {size.compiler()}'s: not compared")
    elif old != new:
        return ["README.md's size table is not current: make docs"]
    return []


def links():
    """Links to files that are not there. Links to places elsewhere are not followed."""
    problems = []
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"),
             *(ROOT / "boards").glob("*/*.md")]
    for page in pages:
        if not page.is_file():
            problems.append(f"{page.relative_to(ROOT)} is missing")
            continue
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                problems.append(f"{page.relative_to(ROOT)}: there is no {target}")
    return problems


def main():
    parser = argparse.ArgumentParser(description="hold the pages against the code")
    parser.add_argument("--update", action="store_true", help="renew the tables")
    update = parser.parse_args().update
    passed, problems = 0, []
    for check in (lambda: config_table(update), lambda: size_table(update), links):
        try:
            found = check()
        except (OSError, size.Failure) as failure:
            found = [str(failure)]
        problems += found
        passed += not found
    for problem in problems:
        print(f"docs: {problem}")
    print(f"{passed} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
