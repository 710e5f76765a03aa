#!/usr/bin/env python3
"""Includes run one way: reads every #include and fails on an arrow that docs/architecture.md lacks.

    includes.py [--root FOLDER]     check a tree, after checking this check itself

The page's block that opens with ```arrows is the rule. A line is

    files -> what they may include

with shell patterns for paths, in which * stops at a slash. On the right also stand names for what
is not ours: bearssl, lwip, cmocka; freestanding (the C headers that ask nothing of a system) and
hosted (all other system headers), or one header as <name.h>. "./*" is the including file's own
folder. All lines that match a file add up, and a file that no line matches is an error as well.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

FREESTANDING = {"assert.h", "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h",
                "stdbool.h", "stddef.h", "stdint.h", "stdnoreturn.h", "string.h"}
FOLDERS = ("net", "hal", "firmware", "boards", "tools", "tests")
SUFFIXES = (".c", ".h", ".S")
INCLUDE = re.compile(r"^\s*#\s*include(?:_next)?\s*([<\"])([^>\"]+)[>\"]", re.MULTILINE)


def pattern(glob):
    """A shell pattern as a regular expression; * stops at a slash, ** does not."""
    parts = re.split(r"(\*\*|\*)", glob)
    text = "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
    return re.compile(text + r"\Z")


def read_arrows(page):
    """The rules as (pattern of files, [what they may include])."""
    match = re.search(r"^```arrows\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    if not match:
        raise ValueError("the page has no ```arrows block")
    arrows = []
    for line in match[1].splitlines():
        left, arrow, right = line.partition("->")
        if not line.strip():
            continue
        if not arrow or not left.split() or not right.split():
            raise ValueError(f"not an arrow: {line}")
        arrows += [(pattern(files), right.split()) for files in left.split()]
    return arrows


def kind_of(root, file, bracket, name):
    """What an include names: a path of ours, or one of the names for what is not ours."""
    if bracket == '"':
        beside = (file.parent / name).resolve()
        for candidate in (beside, root / name):
            if candidate.is_file() and candidate.is_relative_to(root):
                return candidate.relative_to(root).as_posix()
    if re.match(r"bearssl\w*\.h$", name):
        return "bearssl"
    if re.match(r"(lwip|netif)/", name):
        return "lwip"
    if name == "cmocka.h":
        return "cmocka"
    if bracket == '"':
        # A header of the board that is being built, found by the include path alone.
        boards = sorted((root / "boards").glob(f"*/{name}"))
        return boards[0].relative_to(root).as_posix() if boards else None
    return "freestanding" if name in FREESTANDING else "hosted"


def allowed(kind, name, file, rights):
    for right in rights:
        if right in (kind, f"<{name}>"):
            return True
        if right.startswith("./"):
            right = f"{file.parent.as_posix()}/{right[2:]}"
        if "/" in kind and pattern(right).match(kind):
            return True
    return False


def check(root):
    """All offences in a tree, one line each; and how many includes were looked at."""
    arrows = read_arrows((root / "docs" / "architecture.md").read_text(encoding="utf-8"))
    offences = []
    count = 0
    files = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*"))
             if path.suffix in SUFFIXES and path.is_file()]
    for path in files:
        file = path.relative_to(root)
        rights = [right for files, all_right in arrows if files.match(file.as_posix())
                  for right in all_right]
        if not rights:
            offences.append(f"{file}: docs/architecture.md has no arrow that starts here")
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in INCLUDE.finditer(text):
            count += 1
            line = text.count("\n", 0, match.start(1)) + 1
            kind = kind_of(root, path, match[1], match[2])
            if kind is None:
                offences.append(f"{file}:{line}: \"{match[2]}\" is nowhere")
            elif not allowed(kind, match[2], file, rights):
                offences.append(f"{file}:{line}: may not include {match[2]} ({kind})")
    return offences, count


def self_test(page):
    """The real page's arrows against a small tree with known offences: each must be noticed."""
    files = {
        "net/smtp.h": ("#include <stdint.h>\n", 0),
        "net/good.c": ('#include "net/smtp.h"\n#include <string.h>\n', 0),
        "net/bad_up.c": ('#include "firmware/app.h"\n', 1),
        "net/bad_hal.c": ('#include "hal/flash.h"\n', 1),
        "net/bad_tls.c": ("#include <bearssl_ssl.h>\n", 1),
        "net/bad_io.c": ("#include <stdio.h>\n#  include <sys/socket.h>\n", 2),
        "net/bad_lwip.c": ('#include "lwip/tcp.h"\n', 1),
        "net/bad_name.c": ('#include "nowhere.h"\n', 1),
        "net/tls.c": ("#include <bearssl_ssl.h>\n", 0),
        "hal/flash.h": ("", 0),
        "hal/drivers/bad.c": ('#include "net/smtp.h"\n#include "hal/flash.h"\n', 1),
        "firmware/app.h": ('#include "net/smtp.h"\n#include "hal/flash.h"\n', 0),
        "firmware/bad.c": ('#include "hal/drivers/uart.h"\n', 1),
        "hal/drivers/uart.h": ("", 0),
        "boards/one/board.c": ('#include "hal/flash.h"\n#include "hal/drivers/uart.h"\n', 0),
        "boards/one/bad.c": ('#include "firmware/app.h"\n', 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        (root / "docs").mkdir()
        (root / "docs" / "architecture.md").write_text(page, encoding="utf-8")
        for name, (text, _) in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        offences, _ = check(root)
    wrong = []
    for name, (_, expected) in files.items():
        found = sum(line.startswith(f"{name}:") for line in offences)
        if found != expected:
            wrong.append(f"self-test: {name} should have {expected} offences, has {found}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description="check the direction of includes")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root.resolve()
    try:
        page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
        offences = self_test(page)
        found, count = check(root)
    except (OSError, ValueError) as error:
        print(f"includes: docs/architecture.md: {error}", file=sys.stderr)
        return 1
    offences += found
    for line in offences:
        print(line)
    print(f"includes: {count} looked at, {len(offences)} wrong")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
