"""board.py - a board in QEMU: its console, its monitor, its network.

boards/NAME/qemu.args says how QEMU is started for a board: a program and its arguments, several a line if
that reads better, `#` begins a comment. {elf}, {flash} and {net} stand for the firmware, the flash image and
the arguments of the one network interface. Console and monitor are added here, the same for all boards.

    with Board("emcraft-sf2", elf, image) as board:
        board.wait("network: address", 10)
        answer = board.command("status")
        board.monitor("set_link net0 off")
"""
import argparse
import codecs
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from peers.bench import die_with_parent  # noqa: E402

PROMPT = "tocsin> "
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
BEGUN = re.compile(r"\r?(\x1b(\[[0-9;]*)?)?\Z")
NET = "net0"
QUIT_S = 5


class BoardError(Exception):
    """The board did not do what was waited for; the text ends with its last lines, `problem` is without them."""

    def __init__(self, problem, tail=""):
        super().__init__(problem + tail)
        self.problem = problem


def boards():
    """The names of all boards that QEMU can start."""
    return sorted(path.parent.name for path in (ROOT / "boards").glob("*/qemu.args"))


def command_line(name, elf, flash, net):
    """QEMU's command line of a board, without console and monitor."""
    # A comma within a value of QEMU's option syntax is written twice.
    values = {"elf": str(elf), "flash": str(flash).replace(",", ",,"), "net": net}
    words = []
    for line in (ROOT / "boards" / name / "qemu.args").read_text().splitlines():
        words += [word.format(**values) for word in shlex.split(line, comments=True)]
    return words


def network(forwards):
    """User networking; forwards: (protocol, port here, port of the board)."""
    return ",".join([f"user,id={NET}"] + [f"hostfwd={kind}:127.0.0.1:{here}-:{there}"
                                          for kind, here, there in forwards])


class Board:
    """elf, flash: the firmware and its image. forwards: as of network(). extra: more arguments for QEMU.
    on_line: called with each whole line of the console. log: a file to which the console is added as it is read.
    folder: where the monitor's socket goes, a short path; /tmp if not given."""

    def __init__(self, name, elf, flash, forwards=(), extra=(), on_line=None, log=None, folder=None):
        self.name = name
        self._lines = []  # (seconds since the start, text)
        self._current = ""
        self.on_line = on_line  # May be set to None later.
        self.on_bytes = None  # Called with what the board wrote, as it is.
        self._changed = threading.Condition()
        self._ended = False
        self._folder = Path(tempfile.mkdtemp(prefix="qemu-", dir=folder))
        self._monitor_path = self._folder / "monitor"
        self._log = open(log, "a", encoding="utf-8") if log else None
        command = command_line(name, elf, flash, network(forwards))
        # `signal=off`: Ctrl-C belongs to the board's console, not to QEMU.
        command += ["-display", "none", "-no-user-config", "-chardev", "stdio,id=console,signal=off",
                    "-serial", "chardev:console", "-monitor", f"unix:{self._monitor_path},server=on,wait=off", *extra]
        self.command_line = command
        self.began = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self._folder / "stderr", "wb"),
                start_new_session=True, preexec_fn=die_with_parent)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise BoardError(f"cannot start {command[0]}: {error.strerror}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    # The console, read.

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pending = ""
        while data := os.read(self._process.stdout.fileno(), 65536):
            if self.on_bytes:
                self.on_bytes(data)
            pending += decoder.decode(data)
            # "\r", escape, "[K" may be cut by the end of a read: such a beginning waits for its rest.
            cut = BEGUN.search(pending)
            whole = pending[:cut.start()] if cut else pending
            pending = pending[len(whole):]
            self._take(whole)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, text):
        """Plays a terminal: the device erases its prompt line before each line that it logs."""
        text = text.replace("\r\x1b[K", "\0")
        text = ESCAPE.sub("", text).replace("\r", "").replace("\a", "").replace("\b", "")
        finished = []
        with self._changed:
            for part in re.split(r"([\0\n])", text):
                if part == "\0":
                    self._current = ""
                elif part == "\n":
                    self._lines.append((time.monotonic() - self.began, self._current))
                    finished.append(self._current)
                    self._current = ""
                else:
                    self._current += part
            self._changed.notify_all()
        for line in finished:
            if self._log:
                self._log.write(line + "\n")
                self._log.flush()
            if self.on_line:
                self.on_line(line)

    def mark(self):
        """The place in the console's lines from which later calls may look on."""
        with self._changed:
            return len(self._lines)

    def lines(self, since=0):
        with self._changed:
            return [text for _, text in self._lines[since:]]

    def time_of(self, pattern):
        """When the first line that matches came, in seconds since QEMU was started; None: never."""
        with self._changed:
            return next((at for at, text in self._lines if re.search(pattern, text)), None)

    def count(self, pattern, since=0):
        return sum(1 for line in self.lines(since) if re.search(pattern, line))

    def wait(self, pattern, limit_s=15.0, since=0, count=1):
        """The match in the count-th line from `since` on that has the pattern. BoardError when it does not come."""
        def found():
            hits = [hit for _, text in self._lines[since:] if (hit := re.search(pattern, text))]
            return hits[count - 1] if len(hits) >= count else None
        return self._wait(found, limit_s, f"no line with {pattern!r}")

    def wait_prompt(self, limit_s=15.0):
        self._wait(lambda: self._current.startswith(PROMPT), limit_s, "no prompt")

    def _wait(self, what, limit_s, problem):
        end = time.monotonic() + limit_s
        with self._changed:
            while not (result := what()):
                rest = end - time.monotonic()
                if self._ended:
                    raise BoardError(f"QEMU ended: {self._stderr()}", self._tail())
                if rest <= 0:
                    raise BoardError(f"{problem} in {limit_s:.0f} s", self._tail())
                self._changed.wait(rest)
            return result

    def _tail(self, count=8):
        last = [text for _, text in self._lines[-count:]] + ([self._current] if self._current.strip() else [])
        return "".join(f"\n    | {line}" for line in last)

    def _stderr(self):
        return (self._folder / "stderr").read_text(errors="replace").strip()

    # The console, written.

    def send(self, data):
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def command(self, text, limit_s=15.0):
        """Types a command and returns its answer, the line `ok` or `error: ...` last."""
        self.wait_prompt(limit_s)
        since = self.mark()
        self.send(text.encode() + b"\r")
        self.wait(r"^(ok$|error: )", limit_s, since)
        lines = self.lines(since)
        end = next(i for i, line in enumerate(lines) if line == "ok" or line.startswith("error: "))
        return [line for line in lines[:end + 1] if not line.startswith((PROMPT, "log: "))]

    # The monitor.

    def monitor(self, command, limit_s=5.0):
        """One command of QEMU's monitor; its answer."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(limit_s)
            line.connect(str(self._monitor_path))
            for text in (None, command):
                if text is not None:
                    answer = b""
                    line.sendall(text.encode() + b"\n")
                while not answer.endswith(b"(qemu) "):
                    data = line.recv(65536)
                    if not data:
                        break
                    answer += data
        lines = ESCAPE.sub("", answer.decode(errors="replace")).splitlines()
        return "\n".join(lines[1:-1])

    def set_link(self, up):
        self.monitor(f"set_link {NET} {'on' if up else 'off'}")

    # The end.

    def alive(self):
        return self._process.poll() is None

    def cut_power(self, orderly=True):
        """The board ends where it stands: QEMU by `quit`, or stopped and then killed. Stopping ends what QEMU's own
        threads still write of what the modelled chip has told the guest to be written."""
        try:
            self.monitor("quit" if orderly else "stop", 2.0)
        except OSError:
            pass  # It is over already.
        if not orderly or not self.wait_end(QUIT_S):
            # QEMU has been seen to hang in its own `quit`. What the board saw written is with the kernel by then.
            self._process.kill()

    def wait_end(self, limit_s):
        """Whether QEMU ended by itself or by a cut within the time."""
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self):
        """quit writes the flash image to its end; SIGKILL could lose pages that the board saw written."""
        if self.alive():
            try:
                self.monitor("quit", 2.0)
            except OSError:
                pass
            for end in (self._process.terminate, self._process.kill):
                try:
                    self._process.wait(3)
                    break
                except subprocess.TimeoutExpired:
                    end()
        self._process.wait()
        self._reader.join(3)
        for stream in (self._process.stdin, self._process.stdout, self._log):
            try:
                if stream:
                    stream.close()
            except OSError:
                pass
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def attach(self, keyboard, screen):
        """Joins the console with a person's terminal (two file descriptors) until Ctrl-A x or QEMU's end; where the
        keyboard is no terminal, until its end and one quiet second."""
        self.on_line = None
        written = [time.monotonic()]

        def show(data):
            os.write(screen, data)
            written[0] = time.monotonic()

        self.on_bytes = show
        os.write(screen, self._current.encode())
        escape, open_ = False, True
        while self.alive() and (open_ or time.monotonic() - written[0] < 1):
            if not select.select([keyboard] if open_ else [], [], [], 0.1)[0]:
                continue
            data = os.read(keyboard, 1024)
            open_ = bool(data)
            written[0] = time.monotonic()
            for byte in data:
                if escape and byte in b"xX":
                    return
                escape = byte == 1 and not escape
                if not escape:
                    self.send(bytes([byte]))


def main():
    """Starts one board in the foreground, its console on this terminal: Ctrl-A x ends, Ctrl-A c is QEMU's monitor."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--board", default="emcraft-sf2", choices=boards())
    parser.add_argument("--elf", type=Path, help="build/BOARD/firmware.elf if not given")
    parser.add_argument("--flash", type=Path, required=True, help="flash image, as `make config` writes it")
    parser.add_argument("--udp", action="append", default=[], metavar="HERE:THERE", help="forward a UDP port")
    parser.add_argument("--tcp", action="append", default=[], metavar="HERE:THERE", help="forward a TCP port")
    parser.add_argument("--monitor", metavar="PATH", help="also a Unix socket for QEMU's monitor")
    parser.add_argument("--print", action="store_true", help="only print QEMU's command line")
    parser.add_argument("more", nargs="*", help="further arguments for QEMU, behind --")
    options = parser.parse_args()
    forwards = [(kind, *ports.split(":", 1)) for kind in ("udp", "tcp") for ports in getattr(options, kind)]
    elf = options.elf or ROOT / "build" / options.board / "firmware.elf"
    command = command_line(options.board, elf, options.flash, network(forwards))
    command += ["-display", "none", "-serial", "mon:stdio", *options.more]
    if options.monitor:
        command += ["-monitor", f"unix:{options.monitor},server=on,wait=off"]
    if options.print:
        print(shlex.join(command))
        return
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
