#!/usr/bin/env python3
"""Flash and RAM by part, from the linker's map file, and the limits of board.cmake.

    size.py BOARD ...              table of each board; status 1 above a limit
    size.py --line BOARD ...       one line each
    size.py --top N BOARD ...      also the N largest functions and objects of each kind
    size.py --update BOARD ...     also write the table in README.md, between its size markers

linux-ARCH in the place of a board is the Linux program for that processor: its text and data, with a
limit in boards/linux/toolchain.cmake. What it takes of RAM at run time no file tells.

Flash is what must be stored: code, constants and the first values of variables. RAM is all that is
written: variables, the whole stack, what survives a reset. A board that runs from RAM stores its
code in flash all the same, so code counts as flash there too.
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    # part: what the map calls its objects
    "firmware": r"lib(?:linux_)?firmware\.a|firmware\.elf\.dir",
    "net": r"lib(?:linux_)?net\w*\.a",
    "posix": r"liblinux_posix\.a",
    "linux": r"liblinux_program\.a|tocsin-linux\.dir",
    "bearssl": r"libbearssl\.a",
    "lwip": r"liblwip\.a",
    "hal": r"libhal\.a|libboard\.a|^\.vectors|^\.noinit",
    "libc": r"libc\.a|libgcc\.a|libm\.a|libsemihost\.a|crt\w*\.o|start\.o",
    "strings": r"^\.rodata\.str",
}
# What a program that can be loaded anywhere needs to be: for the linker makes it, of all parts.
LOADING = re.compile(r"^\.(?:rela?|relr)\.dyn$|^\.(?:dynamic|dynsym|dynstr|gnu\.hash|hash|got|interp)$"
                     r"|^\.MIPS\.|^\.reginfo$|^\.ARM\.")
STACK, PADDING, RELOCATION = "stack", "padding", "loading"
LINUX = "linux-"
# Whose objects tell whose code it is (boards/linux/release.cmake); of the others there is a total.
DETAILED = "linux-x86_64"
KINDS = ("text", "rodata", "data", "bss", "stack")
INPUT = re.compile(r"^ (\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$")
BEGIN, END = "<!-- size:begin -->", "<!-- size:end -->"


class Failure(Exception):
    """No table can be made; the text says why."""


def elf_of(name):
    """The linked file of a board's firmware, or of the Linux program, and its map."""
    build = ROOT / "build" / name
    if name.startswith(LINUX):
        return build / "linux" / "tocsin", build / "tocsin.map"
    return build / "firmware.elf", build / "firmware.map"


def tool_of(name, tool):
    """The program of this name that belongs to the compiler of a board or an architecture."""
    if not name.startswith(LINUX):
        return f"arm-none-eabi-{tool}"
    done = subprocess.run([ROOT / "tools" / "compiler.sh", name.removeprefix(LINUX)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().removesuffix("gcc") + tool


def compiler():
    """The cross compiler's name and version, since the sizes are its work."""
    done = subprocess.run(["arm-none-eabi-gcc", "-dumpfullversion"], stdout=subprocess.PIPE,
                          text=True, check=True)
    return f"GCC {done.stdout.strip()}"


def limits_of(board):
    """{'flash': bytes, 'ram': bytes} from board.cmake; no 'ram' for Linux."""
    if board.startswith(LINUX):
        text = (ROOT / "boards" / "linux" / "toolchain.cmake").read_text(encoding="utf-8")
        found = re.search(rf"^set\(TOCSIN_LIMIT_{board.removeprefix(LINUX)}\s+(\d+)\)", text, re.MULTILINE)
        if not found:
            raise Failure(f"boards/linux/toolchain.cmake has no limit of {board}")
        return {"flash": int(found[1])}
    text = (ROOT / "boards" / board / "board.cmake").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\s*set\(TOCSIN_(FLASH|RAM)_LIMIT\s+(\d+)\)", text, re.MULTILINE))
    if len(found) != 2:
        raise Failure(f"boards/{board}/board.cmake lacks TOCSIN_FLASH_LIMIT or TOCSIN_RAM_LIMIT")
    return {"flash": int(found["FLASH"]), "ram": int(found["RAM"])}


def sections_of(elf):
    """{name: (kind, bytes)} of the sections that take memory on the device."""
    done = subprocess.run(["readelf", "--sections", "--wide", elf], stdout=subprocess.PIPE,
                          text=True, check=True)
    sections = {}
    # [Nr] Name Type Addr Off Size ES Flg
    row = r"^\s*\[ *\d+\] (\.\S+)\s+(\w+)\s+\w+ \w+ ([0-9a-f]+) \w+\s+([A-Zp]*)"
    for name, form, size, flags in re.findall(row, done.stdout, re.MULTILINE):
        # The stack is told by its name, since a section that only reserves room may lack flags.
        if name == ".stack":
            sections[name] = ("stack", int(size, 16))
        elif "A" in flags and int(size, 16):
            stored = form != "NOBITS"
            kind = ("data" if stored else "bss") if "W" in flags else "text"
            sections[name] = (kind, int(size, 16))
    if not any(kind == "text" for kind, _ in sections.values()):
        raise Failure(f"{elf} holds no code")
    return sections


def map_entries(text):
    """(output section, input section, address, bytes, object) of the map's second half."""
    _, _, body = text.partition("Linker script and memory map")
    # A long name stands on a line of its own, with its figures on the next one.
    body = re.sub(r"^( \S+)\n\s+0x", r"\1 0x", body, flags=re.MULTILINE)
    output = ""
    for line in body.splitlines():
        if re.match(r"\S", line):
            output = line.split()[0]
            continue
        match = INPUT.match(line)
        if match and int(match[3], 16):
            yield output, match[1], int(match[2], 16), int(match[3], 16), match[4]


def defined_in(build):
    """{symbol: [object that defines it]}, from what the firmware is linked from."""
    objects = defaultdict(list)
    archives = [*build.glob("**/*.a"), *build.glob("linux/CMakeFiles/tocsin-linux.dir/**/*.o"),
                *build.glob("boards/CMakeFiles/firmware.elf.dir/**/*.obj")]
    done = subprocess.run(["readelf", "--symbols", "--wide", *archives],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    # Num Value Size Type Bind Vis Ndx Name
    row = re.compile(r"\s*\d+: \w+ +\w+ (\w+) +\w+ +\w+ +(?:\d+|ABS) (\S+)")
    name = ""
    for line in done.stdout.splitlines():
        if line.startswith("File: "):
            name = line.removeprefix("File: ")
        elif (match := row.match(line)) and match[1] in ("FUNC", "OBJECT", "FILE"):
            # A source file's name stands for the functions that have no symbol left in its object.
            objects[match[2]].append(name)
    return objects


def sources_of(tool, elf, addresses):
    """{address: name of the source file of the function there}, from the debug information."""
    done = subprocess.run([tool, "--addresses", "--inlines", "--exe", elf,
                           *map(hex, addresses)], stdout=subprocess.PIPE, text=True, check=True)
    sources = {}
    address = None
    for line in done.stdout.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
        else:
            # Of functions that are inlined at this place, the outermost comes last.
            sources[address] = Path(line.rsplit(":", 1)[0]).name
    return sources


def symbol_of(section):
    """The function or variable whose section this is, under the name that its source gives it."""
    symbol = re.sub(r"^\.(?:text|rodata|data|bss)\.(?:(?:startup|unlikely|hot)\.)?", "", section)
    symbol = re.sub(r"\.(?:str|cst)\d[\d.]*$", "", symbol)
    return re.sub(r"(?:\.(?:constprop|isra|part|lto_priv|cold)(?:\.\d+)?)+$", "", symbol)


@cache
def pieces(board):
    """[(output section, input section, address, bytes, object)] of all that is in the image.

    After link-time optimization everything comes from one object. Then the debug information tells
    whose a function is, and the name that its section bears whose a variable or a string is."""
    elf, map_file = elf_of(board)
    sections = sections_of(elf)
    entries = [entry for entry in map_entries(map_file.read_text(encoding="utf-8"))
               if entry[0] in sections]
    if not any(".ltrans" in entry[4] for entry in entries):
        return entries
    objects = defined_in(ROOT / "build" / board)
    sources = sources_of(tool_of(board, "addr2line"), elf,
                         [address for _, section, address, _, name in entries
                          if ".ltrans" in name and section.startswith(".text.")])
    result = []
    for output, section, address, count, name in entries:
        if ".ltrans" in name:
            found = objects.get(symbol_of(section), [])
            # Clones that the compiler made may lack a line of their own: then the name has to do.
            source = sources.get(address, "")
            found = ([known for known in found if f"({source}." in known] or objects.get(source)
                     or found)
            name = found[0] if found else section
        result.append((output, section, address, count, name))
    return result


def part_of(name):
    for part, names in PARTS.items():
        if re.search(names, name):
            return part
    return "other"


def measure(board):
    """{part: {kind: bytes}}; its sums are the sections' sizes in the ELF file."""
    elf, map_file = elf_of(board)
    if not elf.is_file() or not map_file.is_file():
        how = (f"program: make linux ARCH={board.removeprefix(LINUX)}" if board.startswith(LINUX)
               else f"firmware: make firmware BOARD={board}")
        raise Failure(f"build/{board} has no {how}")
    sections = sections_of(elf)
    table = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    accounted = dict.fromkeys(sections, 0)
    for output, section, _, size, name in pieces(board):
        if output not in sections or sections[output][0] == "stack" or LOADING.match(output):
            continue
        kind = sections[output][0]
        if kind == "text" and section.startswith((".rodata", ".srodata")):
            kind = "rodata"
        table[part_of(name)][kind] += size
        accounted[output] += size
    for name, (kind, size) in sections.items():
        if kind == "stack":
            table[STACK]["stack"] += size
        elif LOADING.match(name):
            table[RELOCATION][kind] += size
        else:
            # Alignment; strings that the linker found twice make it smaller.
            table[PADDING][kind] += size - accounted[name]
    return table


def sums(kinds):
    """(flash, ram) in bytes."""
    return (kinds["text"] + kinds["rodata"] + kinds["data"],
            kinds["data"] + kinds["bss"] + kinds["stack"])


def total(table):
    flash = ram = 0
    for kinds in table.values():
        part_flash, part_ram = sums(kinds)
        flash, ram = flash + part_flash, ram + part_ram
    return flash, ram


def order(table):
    """The parts in the order of PARTS, then the rest."""
    names = [*PARTS, RELOCATION, "other", PADDING, STACK]
    return [name for name in names if name in table and any(table[name].values())]


def line_of(board, have, limits):
    if board.startswith(LINUX):
        return f"{board}: {have['flash']:,} bytes of text and data (at most {limits['flash']:,})"
    return (f"{board}: {have['flash']:,} bytes of flash (at most {limits['flash']:,}),"
            f" {have['ram']:,} of RAM (at most {limits['ram']:,})")


def print_table(board, table, limits):
    print(f"{board:12}" + "".join(f"{kind:>9}" for kind in KINDS) + f"{'flash':>11}{'RAM':>9}")
    for part in order(table):
        kinds = table[part]
        flash, ram = sums(kinds)
        print(f"  {part:10}" + "".join(f"{kinds[kind]:9,}" for kind in KINDS)
              + f"{flash:11,}{ram:9,}")
    flash, ram = total(table)
    print(f"  {'total':10}" + " " * 9 * len(KINDS) + f"{flash:11,}{ram:9,}")
    ram_limit = f"{limits['ram']:9,}" if "ram" in limits else ""
    print(f"  {'limit':10}" + " " * 9 * len(KINDS) + f"{limits['flash']:11,}{ram_limit}\n")


def print_top(board, count):
    """The largest input sections, code and constants apart from variables."""
    sections = sections_of(elf_of(board)[0])
    entries = [(size, section, Path(name.strip()).name, sections[output][0])
               for output, section, _, size, name in pieces(board) if output in sections]
    for what, kinds in (("flash", ("text",)), ("RAM", ("data", "bss"))):
        print(f"{board}, largest in {what}:")
        chosen = sorted((entry for entry in entries if entry[3] in kinds), reverse=True)[:count]
        for size, section, name, _ in chosen:
            print(f"  {size:7,}  {section:40} {name}")
        print()


def columns_of(name, values):
    """(flash, ram) as the columns of a board; a Linux program has the first one only."""
    return list(values)[:1 if name.startswith(LINUX) else 2]


def markdown(tables):
    """The README's tables: bytes of each part on each board and in the Linux program, whose objects
    tell for one processor; and that program's size on the others."""
    detailed = {name: table for name, table in tables.items()
                if not name.startswith(LINUX) or name == DETAILED}
    parts = [part for part in [*PARTS, RELOCATION, "other", PADDING, STACK]
             if any(part in order(table) for table in detailed.values())]
    heads = [cell for name in detailed
             for cell in columns_of(name, (name if name == DETAILED else f"{name} flash", "RAM"))]
    rows = [(part, [columns_of(name, sums(table.get(part, dict.fromkeys(KINDS, 0))))
                    for name, table in detailed.items()]) for part in parts]
    rows.append(("**total**", [columns_of(name, total(table)) for name, table in detailed.items()]))
    rows.append(("limit", [columns_of(name, limits_of(name).values()) for name in detailed]))
    lines = [f"| bytes ({compiler()}) | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    lines += [f"| {label} | " + " | ".join(f"{value:,}" for cells in groups for value in cells) + " |"
              for label, groups in rows]
    linux = [name for name in tables if name.startswith(LINUX)]
    if linux:
        lines += ["", "| Linux | " + " | ".join(name.removeprefix(LINUX) for name in linux) + " |",
                  "|---|" + "---:|" * len(linux),
                  "| text and data | " + " | ".join(f"{total(tables[name])[0]:,}" for name in linux)
                  + " |",
                  "| limit | " + " | ".join(f"{limits_of(name)['flash']:,}" for name in linux) + " |"]
    return "\n".join(lines)


def replace_between(path, begin, end, text):
    """The file's text with what stands between the markers replaced."""
    old = path.read_text(encoding="utf-8")
    before, first, rest = old.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise Failure(f"{path.name} has no {begin} ... {end}")
    return old, f"{before}{begin}\n{text}\n{end}{after}"


def main():
    parser = argparse.ArgumentParser(description="flash and RAM by part")
    parser.add_argument("--line", action="store_true", help="one line a board")
    parser.add_argument("--top", type=int, default=0, help="the largest functions and objects")
    parser.add_argument("--update", action="store_true", help="write README.md's table")
    parser.add_argument("boards", nargs="+")
    arguments = parser.parse_args()
    status = 0
    try:
        tables = {board: measure(board) for board in arguments.boards}
        for board, table in tables.items():
            limits = limits_of(board)
            have = dict(zip(("flash", "ram"), total(table)))
            if arguments.line or (board.startswith(LINUX) and board != DETAILED):
                print(line_of(board, have, limits))
            else:
                print_table(board, table, limits)
                if arguments.top:
                    print_top(board, arguments.top)
            for what, limit in limits.items():
                if have[what] > limit:
                    print(f"size: error: {board} takes {have[what]:,} bytes of {what},"
                          f" {have[what] - limit:,} above its limit", file=sys.stderr)
                    status = 1
        if arguments.update:
            _, new = replace_between(ROOT / "README.md", BEGIN, END, markdown(tables))
            (ROOT / "README.md").write_text(new, encoding="utf-8")
    except (Failure, OSError) as failure:
        print(f"size: {failure}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
