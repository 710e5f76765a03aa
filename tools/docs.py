#!/usr/bin/env python3
"""What is written about the code, held against the code.

    docs.py             docs/config.md's table, the manual's list of keys, README.md's size tables,
                        links between pages
    docs.py --update    renew the tables and the list

Both need the host tools (make tools), the firmware of each board and the Linux program for each
processor. The size table tells which compiler made it; another compiler's sizes are other sizes, so
it is compared with that one only.
"""

import argparse
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import size

ROOT = Path(__file__).resolve().parent.parent
BOARDS = sorted(path.parent.name for path in (ROOT / "boards").glob("*/board.cmake"))
ARCHS = subprocess.run([ROOT / "tools" / "compiler.sh"], stdout=subprocess.PIPE, text=True,
                       check=True).stdout.split()
CONFIG_PAGE = ROOT / "docs" / "config.md"
MANUAL = ROOT / "boards" / "linux" / "man" / "tocsin.conf.5"
MANUAL_COLUMNS = 80


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


def mdoc_quoted(words):
    """Markdown's `code` as an argument of a macro."""
    words = words.replace("\\", "\\e").replace('"', '\\(dq').replace("-", "\\-")
    # A lone delimiter, or a macro's name, would be taken as such.
    return f'"{words}"' if " " in words else f"\\&{words}"


def mdoc(sentence):
    """Lines of mdoc(7) for a sentence with `code` in it."""
    lines = []
    parts = sentence.split("`")
    for i, part in enumerate(parts):
        if i % 2 == 1:
            before = "( " if lines and lines[-1].endswith("(") else ""
            if before:
                lines[-1] = lines[-1][:-1].rstrip()
                lines = [line for line in lines if line]
            after = re.match(r"[.,:;)?!]*", parts[i + 1]).group()
            parts[i + 1] = parts[i + 1][len(after):]
            joined = re.match(r"\S*", parts[i + 1]).group()
            parts[i + 1] = parts[i + 1][len(joined):]
            lines.append(f".Cm {before}{mdoc_quoted(part)}" + "".join(f" {c}" for c in after)
                         + (f" Ns No {joined}" if joined else ""))
        elif part.strip():
            text = part.strip().replace("\\", "\\e")
            lines += [re.sub(r"^([.'])", r"\\&\1", line)
                      for line in textwrap.wrap(text, MANUAL_COLUMNS - 2, break_long_words=False,
                                                break_on_hyphens=False)]
    return lines


def mdoc_keys(rows):
    """The manual's list of keys, from the rows of a Markdown table."""
    lines = [".Bl -tag -width Ds"]
    for row in rows:
        key, expected, initial, meaning = (cell.strip() for cell in row.split("|")[1:-1])
        lines.append(f".It Cm {key.strip('`')}")
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z`])", meaning):
            lines += mdoc(sentence)
        if expected and expected != "the same":
            tail = f"; `{initial}` if not written" if initial else ""
            lines += mdoc(f"Expected: {expected}{tail}.")
    return lines + [".El"]


def manual_keys(update):
    """Problems of the manual's list of keys, which the program's own code makes."""
    tool = ROOT / "build" / "tools" / "tocsin-keys"
    if not tool.is_file():
        return [f"{tool.relative_to(ROOT)} is not built: make tools"]
    done = subprocess.run([tool], stdout=subprocess.PIPE, text=True, check=True)
    old, new = size.replace_between(MANUAL, '.\\" table: begin', '.\\" table: end',
                                    "\n".join(mdoc_keys(done.stdout.splitlines()[2:])))
    if update:
        MANUAL.write_text(new, encoding="utf-8")
    elif old != new:
        return [f"{MANUAL.relative_to(ROOT)}'s keys are not what the code says: make docs"]
    return []


def same_lines(readme, table):
    """Problems of the table but for its last part, the totals of all processors."""
    old, _ = size.replace_between(readme, size.BEGIN, size.END, table)
    lines = table.partition("\n\n")[0]
    if size.compiler() not in old:
        print(f"docs: README.md's sizes are not {size.compiler()}'s: not compared")
    elif lines not in old:
        return ["README.md's size table is not current: make docs"]
    return []


def size_table(update):
    # `make check` does not build the Linux program for every processor: its totals are renewed with all.
    built = [f"linux-{arch}" for arch in ARCHS if (ROOT / "build" / f"linux-{arch}" / "tocsin").is_file()]
    tables = {name: size.measure(name) for name in [*BOARDS, *built]}
    readme = ROOT / "README.md"
    if len(built) < len(ARCHS):
        return same_lines(readme, size.markdown(tables))
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
    for check in (lambda: config_table(update), lambda: manual_keys(update),
                  lambda: size_table(update), links):
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
