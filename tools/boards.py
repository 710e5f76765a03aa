#!/usr/bin/env python3
"""An unknown board: say which ones there are, and which was probably meant. Always fails."""

import difflib
import sys
from pathlib import Path


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    folder = Path(__file__).resolve().parent.parent / "boards"
    boards = sorted(path.parent.name for path in folder.glob("*/board.cmake"))
    print(f"There is no board '{name}'. Boards: {', '.join(boards)}.", file=sys.stderr)
    near = difflib.get_close_matches(name.lower(), boards, n=1, cutoff=0.3)
    if near:
        print(f"Did you mean BOARD={near[0]}?", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
