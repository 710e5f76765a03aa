#!/usr/bin/env python3
"""The other end of conformance.c: starts a board in QEMU on a scratch flash image and does what it asks for.

    tests/board/conformance.py emcraft-sf2 build/emcraft-sf2/conformance.elf

Status 0 when every line was ok and the last one said so; else 1, with the console's output.
"""
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

LIMIT_S = 120

MACHINES = {
    "emcraft-sf2": (["-M", "emcraft-sf2"], 16 << 20, "if=mtd,format=raw,file={}"),
    "vexpress-a9": (["-M", "vexpress-a9", "-audiodev", "none,id=none"], 64 << 20, "if=pflash,unit=1,format=raw,file={}"),
}


def qemu_command(board, elf, flash, monitor):
    machine, _, drive = MACHINES[board]
    return ["qemu-system-arm", *machine, "-display", "none", "-serial", "stdio", "-kernel", elf,
            "-nic", "user,id=net0", "-drive", drive.format(flash),
            "-monitor", f"unix:{monitor},server,nowait"]


class Monitor:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def do(self, line):
        self.socket.sendall(line.encode() + b"\n")


def answer(line, process, monitor):
    """What a `now` line asks for."""
    burst = bytes(ord("a") + i % 26 for i in range(2000)) + b"\n"
    if line == "now key":
        time.sleep(0.3)
        process.stdin.write(b"k")
    elif line == "now burst":
        process.stdin.write(burst)
    elif line.startswith("now link"):
        # The machines name their one network card differently; the user network's end works alike.
        monitor.do("set_link net0 " + line.split()[-1])
    elif line == "now system_reset":
        monitor.do("system_reset")
    process.stdin.flush()


def run(board, elf):
    failures = 0
    passed = False
    with tempfile.TemporaryDirectory() as folder:
        flash = os.path.join(folder, "flash.img")
        with open(flash, "wb") as image:
            for _ in range(MACHINES[board][1] >> 20):
                image.write(b"\xff" * (1 << 20))
        path = os.path.join(folder, "monitor")
        process = subprocess.Popen(qemu_command(board, elf, flash, path), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        try:
            monitor = Monitor(path)
            deadline = time.monotonic() + LIMIT_S
            pending = b""
            while not passed and time.monotonic() < deadline:
                if not select.select([process.stdout], [], [], 1)[0]:
                    continue
                data = os.read(process.stdout.fileno(), 4096)
                if not data:
                    break
                pending += data
                *lines, pending = pending.split(b"\n")
                for raw in lines:
                    line = raw.decode("latin-1").strip()
                    print(line, flush=True)
                    failures += line.startswith("FAIL")
                    passed = passed or line == "conformance: passed"
                    if line.startswith("now "):
                        answer(line, process, monitor)
                    if line == "conformance: FAILED":
                        return 1
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if not passed:
        print(f"{board}: no end within {LIMIT_S} s, or QEMU ended by itself")
    return 0 if passed and failures == 0 else 1


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in MACHINES:
        sys.exit(f"usage: conformance.py {'|'.join(MACHINES)} ELF")
    sys.exit(run(sys.argv[1], sys.argv[2]))
