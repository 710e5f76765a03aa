"""Ends a bench's servers and removes its folder when the bench itself was killed.

Standard input is a pipe from the bench: a process group a line, and `done` after an orderly end. The kernel's
own death signal does not do, since it is forgotten by a server that changes its user.
"""
import os
import shutil
import signal
import sys
import time


def end(groups, number):
    for group in groups:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            pass


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = []
    for line in sys.stdin:
        if line.strip() == "done":
            return
        groups.append(int(line))
    end(groups, signal.SIGTERM)
    time.sleep(1)
    end(groups, signal.SIGKILL)
    for path in sys.argv[1:]:
        if os.path.islink(path):
            os.unlink(path)
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
