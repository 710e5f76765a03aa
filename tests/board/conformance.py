#!/usr/bin/env python3
"""The other end of conformance.c: starts a board in QEMU on a scratch flash image and does what it asks for.

    tests/board/conformance.py emcraft-sf2 build/emcraft-sf2/conformance.elf

Status 0 when every line was ok and the last one said so; else 1. The console's lines are printed as they come.
"""
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "qemu"))

from board import Board, BoardError, boards  # noqa: E402

LIMIT_S = 60
BURST = bytes(ord("a") + i % 26 for i in range(2000)) + b"\n"


def flash_size(name):
    """From the board's geometry.h, which has `#define FLASH_SIZE_BYTES (16u << 20)`."""
    text = (ROOT / "boards" / name / "geometry.h").read_text()
    number, shift = re.search(r"FLASH_SIZE_BYTES \((\d+)u << (\d+)\)", text).groups()
    return int(number) << int(shift)


def answer(board, request):
    """Does what a line `now ...` asks for."""
    if request == "key":
        board.send(b"k")
    elif request == "burst":
        board.send(BURST)
    elif request == "link off":
        board.set_link(False)
    elif request == "link on":
        board.set_link(True)
    elif request == "system_reset":
        board.monitor("system_reset")
    else:
        raise BoardError(f"the board asks for {request!r}")


def run(name, elf):
    with tempfile.TemporaryDirectory() as folder:
        flash = Path(folder) / "flash.img"
        flash.write_bytes(b"\xff" * flash_size(name))
        with Board(name, elf, flash, on_line=lambda line: print(line, flush=True)) as board:
            since = 0
            while True:
                board.wait(r"^(now |conformance: )", LIMIT_S, since)
                line = next(text for text in board.lines(since)
                            if re.match(r"now |conformance: ", text))
                since += board.lines(since).index(line) + 1
                if line.startswith("conformance: "):
                    break
                answer(board, line.removeprefix("now "))
            failures = board.count(r"^FAIL ")
            good = board.count(r"^ok ")
            passed = line == "conformance: passed" and failures == 0 and good > 0
            print(f"{name}: {good} ok, {failures} failed")
            return 0 if passed else 1


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in boards():
        sys.exit(f"usage: conformance.py {'|'.join(boards())} ELF")
    try:
        sys.exit(run(sys.argv[1], sys.argv[2]))
    except BoardError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
