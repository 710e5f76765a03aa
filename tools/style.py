#!/usr/bin/env python3
"""What clang-format does not hold: lines of at most 100 columns (120 in scripts), functions of at most
70 lines, no tabs, no blanks at a line's end, a newline at the file's end, Python that parses."""

import ast
import sys
from pathlib import Path

COLUMNS_MAX = 100
SCRIPT_COLUMNS_MAX = 120
FUNCTION_LINES_MAX = 70
SUFFIXES = {".c", ".h", ".S", ".ld", ".py", ".sh", ".cmake"}
FOLDERS = ("net", "hal", "firmware", "boards", "tools", "tests")


def long_functions(lines):
    """(line, length) of functions that are too long: from the brace in column 0 to its end."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield start, number - start - 1
            start = None


def check(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    columns_max = SCRIPT_COLUMNS_MAX if path.suffix in (".py", ".sh") else COLUMNS_MAX
    for number, line in enumerate(lines, 1):
        if len(line) > columns_max:
            yield number, f"{len(line)} columns, at most {columns_max}"
        if "\t" in line:
            yield number, "a tab"
        if "/*" in line and line.endswith("\\") and "*/" not in line:
            yield number, "a comment that goes on in the next line of a macro: put it above"
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end of the file"
    if path.suffix == ".c":
        for number, count in long_functions(lines):
            yield number, f"a function of {count} lines, at most {FUNCTION_LINES_MAX}"
    if path.suffix == ".py":
        try:
            ast.parse(text)
        except SyntaxError as error:
            yield error.lineno, f"not Python: {error.msg}"


def main():
    root = Path(__file__).resolve().parent.parent
    files = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*"))
             if path.is_file() and (path.suffix in SUFFIXES or path.name == "CMakeLists.txt")
             and "corpus" not in path.parts]
    count = 0
    for path in [*files, root / "CMakeLists.txt", root / "toolchain.cmake"]:
        for number, what in check(path):
            print(f"{path.relative_to(root)}:{number}: {what}")
            count += 1
    print(f"style: {len(files) + 2} files, {count} wrong")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
