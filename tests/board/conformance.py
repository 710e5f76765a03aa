#!/usr/bin/env python3
"""The other end of conformance.c: a board in QEMU, on a scratch flash image, gets what it asks for.

    tests/board/conformance.py                    every board, from its folder under build/
    tests/board/conformance.py BOARD [ELF]        one board, with its console shown

A board passes when each of its lines is ok and the last one says so. The last line counts the
promises kept and broken; the status is 0 only when none was broken.
"""
import re
import subprocess
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


def build(name):
    """The test's image, from the folder that `make firmware` has configured."""
    folder = ROOT / "build" / name
    made = subprocess.run(["cmake", "--build", str(folder), "--target", "conformance.elf"],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        sys.exit(f"{name}: `make firmware BOARD={name}` first?\n{made.stdout}{made.stderr}")
    return folder / "conformance.elf"


def run(name, elf, show):
    """(kept, broken)"""
    with tempfile.TemporaryDirectory() as folder:
        flash = Path(folder) / "flash.img"
        flash.write_bytes(b"\xff" * flash_size(name))
        with Board(name, elf, flash, on_line=show) as board:
            since = 0
            while True:
                board.wait(r"^(now |conformance: )", LIMIT_S, since)
                line = next(text for text in board.lines(since)
                            if re.match(r"now |conformance: ", text))
                since += board.lines(since).index(line) + 1
                if line.startswith("conformance: "):
                    break
                answer(board, line.removeprefix("now "))
            broken = [text for text in board.lines() if text.startswith("FAIL ")]
            if not broken and line != "conformance: passed":
                broken = [line]
            for text in broken:
                print(f"{name}: {text}")
            return board.count(r"^ok "), len(broken)


def main(arguments):
    if len(arguments) > 2 or (arguments and arguments[0] not in boards()):
        sys.exit(f"usage: conformance.py [{'|'.join(boards())} [ELF]]")
    show = (lambda line: print(line, flush=True)) if arguments else None
    kept = broken = 0
    for name in arguments[:1] or boards():
        try:
            good, bad = run(name, arguments[1] if len(arguments) == 2 else build(name), show)
        except BoardError as error:
            print(f"{name}: {error}")
            good, bad = 0, 1
        kept += good
        broken += bad
        print(f"{name}: {good} kept, {bad} broken")
    print(f"{kept} passed, {broken} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
