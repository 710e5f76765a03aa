#!/usr/bin/env python3
"""The static program of each processor: what kind of file it is, and that a mail of its own arrives whole.

QEMU's user mode runs those of other processors. `make linux ARCH=all` builds them.
"""
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import ROOT, Skip, main, test  # noqa: E402

ARCHS = subprocess.run([ROOT / "tools" / "compiler.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
EMULATED_S = 90

# What a wrong byte order, word size or sign of a char would break: letters of 8 bits, NUL-free but long lines, dots.
TEXT = ("Grüße — да, 日本\n.\n..\nFrom me\n" + "blanks behind  \n\t\n" + "x" * 997 + "\n" + "ü" * 300 +
        "\nno end of the last line").encode()

# Of MIPS's coprocessor 1: loads, stores, moves, and all arithmetic with a format.
FPU = re.compile(r"\t(?:[ls][wd]x?c1|m[tf]h?c1|[cd]?[tf]c1|bc1[tf]l?|[a-z0-9.]+\.[sdwl])\t")


def binary(arch):
    path = ROOT / "build" / f"linux-{arch}" / "tocsin"
    if not path.is_file():
        raise AssertionError(f"build/linux-{arch}/tocsin is not built: make linux ARCH={arch}, or make cross")
    return path


def emulated(arch):
    """The words that run the program of a processor."""
    if arch == platform.machine():
        return [str(binary(arch))]
    emulator = shutil.which(f"qemu-{'arm' if arch == 'armv7' else arch}")
    if not emulator:
        raise Skip(f"no QEMU for {arch}: make deps")
    return [emulator, str(binary(arch))]


def output(*command):
    return subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def is_hardened(case, arch):
    """Static, no executable stack, read-only after relocation, and loadable anywhere but on MIPS."""
    headers = output("readelf", "-hlW", binary(arch))
    case.expect("INTERP" not in headers, "it wants a loader")
    case.expect(re.search(r"GNU_STACK .* RW +0x", headers), f"its stack is executable:\n{headers}")
    case.expect(not re.search(r"LOAD .* RWE ", headers), "it has code that can be written")
    if not arch.startswith("mips"):
        case.expect("DYN (" in headers and "GNU_RELRO" in headers, f"not to be loaded anywhere:\n{headers}")
        dynamic = output("readelf", "-dW", binary(arch))
        case.expect("NEEDED" not in dynamic and "NOW" in dynamic, dynamic)


def has_no_fpu(case, arch):
    compiler = output(ROOT / "tools" / "compiler.sh", arch).strip()
    objdump = re.sub("gcc$", "objdump", compiler)
    code = output(objdump, "-d", "--no-show-raw-insn", binary(arch))
    found = [line for line in code.splitlines() if FPU.search(line)]
    case.expect(code.count("\n") > 10000 and not found, f"{len(found)} instructions of the FPU: {found[:3]}")
    case.expect("Soft float" in output("readelf", "-A", binary(arch)), "not marked as soft float")


def sends(case, arch, server, mode, certificate):
    case.program = emulated(arch)
    case.config(case.servers.named(server).port(mode, certificate), mode, certificate)
    head = f"From: Müller <device@example.test>\nTo: {case.address}\nSubject: =?utf-8?q?caf=C3=A9?= {arch}\n\n"
    case.sendmail("-t", "-i", text=head.encode() + TEXT, code=0, limit_s=EMULATED_S)
    mail = case.mails()[0]
    got = mail.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip(b"\n")
    case.expect(got == TEXT.rstrip(b"\n"), f"the text is another one: {got[:200]!r} ...")
    case.expect(mail["Subject"] == f"café {arch}" and "TLS" in mail["Received"], f"{mail.items()}")
    case.expect(case.queued() == [] and case.failed() == [], f"something is left: {case.mailq()}")


def refuses(case, arch):
    """No mail and no password to a server with a bad certificate; the mail leaves when it is a good one."""
    case.program = emulated(arch)
    tap = case.tap(case.servers.exim.port("implicit", "expired"))
    case.config(tap.port, certificate="expired")
    case.sendmail(case.address, code=0, limit_s=EMULATED_S)
    case.expect(tap.conversations and not tap.secret_sent(), "something was sent")
    case.expect(len(case.queued()) == 1, f"not kept: {case.log_text()}")
    case.config(case.servers.exim.port("implicit"))
    case.sendmail("-q", text="", code=0, limit_s=EMULATED_S)
    case.mails()


for one in ARCHS:
    test(f"{one}.file", arch=one)(is_hardened)
    if one.startswith("mips"):
        test(f"{one}.no-fpu", arch=one)(has_no_fpu)
    test(f"{one}.exim-ecdsa", arch=one, server="exim", mode="implicit", certificate="ecdsa")(sends)
    test(f"{one}.postfix-rsa", arch=one, server="postfix", mode="starttls", certificate="rsa")(sends)
    test(f"{one}.refuses", arch=one)(refuses)

if __name__ == "__main__":
    # The one that is not emulated stands for those that a case does not name.
    os.environ.setdefault("TOCSIN", str(ROOT / "build" / f"linux-{platform.machine()}" / "tocsin"))
    sys.exit(main(__doc__, "linux-cross", limit_s=400))
