"""A device's configuration and its flash image, for the tests and for `make run`."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from peers.bench import DOMAIN, HOST  # noqa: E402

GUEST_HOST = "10.0.2.2"  # The computer's loopback, as the board sees it through QEMU's user networking.


class ImageError(Exception):
    """The configuration was refused; the text has the tool's own words."""


def elf_of(board):
    return ROOT / "build" / board / "firmware.elf"


def flash_tool_of(board):
    """The tool that makes the board's image; its place is CMake's affair."""
    name = f"tocsin-flash-{board}"
    found = [path for folder in ("build/tools", "build/tools/tools", "build/host/tools")
             if (path := ROOT / folder / name).is_file()]
    if not found:
        raise ImageError(f"{name} is not built: run `make tools`")
    return found[0]


def settings(port, mode, ca, mailboxes, user, password, **more):
    """A device's configuration as {key: value or list of values}. more: further keys, None leaves one out."""
    made = {
        "hostname": "router1.example.test",
        "root": [f"{mailbox}@{DOMAIN}" for mailbox in mailboxes],
        "mailhub": f"{HOST}:{port}",
        "tls": mode,
        "AuthUser": user,
        "AuthPass": password,
        "TLS_CA_File": str(ca),
        "address": "dhcp",
        "host": f"{HOST} {GUEST_HOST}",
        **more,
    }
    return {key: value for key, value in made.items() if value is not None}


def text_of(made):
    lines = [f"{key} = {value}" for key, values in made.items()
             for value in (values if isinstance(values, list) else [values])]
    return "\n".join(lines) + "\n"


def make_image(tool, config, image):
    """Writes a flash image from a configuration file, with the tool of a board."""
    done = subprocess.run([str(tool), "create", str(config), str(image)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    if done.returncode:
        raise ImageError(done.stdout.strip() or f"{tool} ended with status {done.returncode}")
    return done.stdout


def cut_plugin(elf, table, operation, after):
    """QEMU's arguments that cut the power `after` instructions behind a flash operation, counted from the start."""
    done = subprocess.run(["arm-none-eabi-nm", str(elf)], capture_output=True, text=True, check=True)
    operations = re.findall(r"^([0-9a-f]+) [tT] (\w+_nor_(?:program|erase))$", done.stdout, re.MULTILINE)
    if len(operations) != 2:
        raise ImageError(f"the firmware's flash operations cannot be told: {operations}")
    lines = [f"cut {name} {int(address, 16) & ~1:x}" for address, name in operations]
    table.write_text("\n".join([*lines, f"power {operation} {after}", ""]))
    return ["-plugin", f"{ROOT / 'build' / 'tools' / 'marks.so'},table={table},out={table}.out"]
