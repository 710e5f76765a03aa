"""One run of servers: its folder, its account, its ports and its processes."""
import atexit
import ctypes
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build" / "peers"
NOBODY = 65534
DOMAIN = "example.test"
HOST = "mail.example.test"

# Below the kernel's range for outgoing connections, so that no client takes a port between our look
# and the server's bind.
PORTS = range(20000, 30000)

# A Unix socket's path has at most 107 bytes; the longest that a server puts below the folder is about 40.
FOLDER_CHARS_MAX = 64

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class PeerError(Exception):
    """A server that cannot be had, said so that a person knows what to do."""


def die_with_parent():
    """In a child before exec: the kernel sends SIGTERM when our thread ends, however it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def tail(path, lines=12):
    """The last lines of a log file, for a message to a person."""
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def wait_for(what, limit_s, poll_s=0.02):
    """Calls what() until it gives something true; None when the time is up."""
    end = time.monotonic() + limit_s
    while True:
        result = what()
        if result:
            return result
        if time.monotonic() >= end:
            return None
        time.sleep(poll_s)


class Process:
    """One server in the foreground, leader of a process group of its own."""

    def __init__(self, name, popen, log):
        self.name = name
        self.popen = popen
        self.log = log

    def alive(self):
        return self.popen.poll() is None

    def terminate(self):
        if self.alive():
            self.popen.terminate()

    def stop(self, grace_s=3.0):
        """SIGTERM to the server, which ends its children; what is left of its group is killed."""
        self.terminate()
        for end_group in (False, True):
            if end_group:
                try:
                    os.killpg(self.popen.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            try:
                self.popen.wait(grace_s)
            except subprocess.TimeoutExpired:
                pass


class Bench:
    """A context manager that owns everything that one run starts.

    name: a word for the folder's name. limit_s: the whole run's bound; when it passes, PeerError is raised in
    the main thread. keep (or TOCSIN_KEEP=1 in the environment): leave the folder behind.
    """

    def __init__(self, name, limit_s=600, keep=False):
        self.name = name
        self.keep = keep or bool(os.environ.get("TOCSIN_KEEP"))
        self.root_user = os.geteuid() == 0
        self.uid = NOBODY if self.root_user else os.getuid()
        self.gid = NOBODY if self.root_user else os.getgid()
        self.processes = []
        self._closers = []
        self._closed = False
        self._ports = set()
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self.packages = self._find_packages()
        self.folder, self._link = self._make_folder()
        self.tree = self._reachable_tree()
        self._write_accounts()
        # A server's children that outlive it become ours, to be reaped at the end.
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._start_clock(limit_s)
        self._watch = self._start_watch()
        atexit.register(self.close)

    # The folder.

    @staticmethod
    def _find_packages():
        root = Path(os.environ.get("TOCSIN_PEERS_ROOT") or BUILD / "root")
        if not (root / "usr" / "sbin").is_dir():
            raise PeerError(f"No unpacked servers in {root}: run `make deps`.")
        return root.resolve()

    def _traversable(self, path):
        """Whether the account of the servers can reach path; the owner's own run always can."""
        if not self.root_user:
            return True
        return all(os.stat(part).st_mode & 0o001 for part in [path, *path.parents])

    def _make_folder(self):
        BUILD.mkdir(parents=True, exist_ok=True)
        wanted = BUILD / f"run-{self.name}-{os.getpid()}"
        if len(str(wanted)) <= FOLDER_CHARS_MAX and self._traversable(BUILD):
            shutil.rmtree(wanted, ignore_errors=True)
            wanted.mkdir(mode=0o755)
            folder, link = wanted, None
        else:
            folder, link = Path(tempfile.mkdtemp(prefix="tocsin-")), wanted
            folder.chmod(0o755)
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
        if self.root_user:
            os.chown(folder, 0, self.gid)
        return folder, link

    def _reachable_tree(self):
        """The unpacked tree, or a copy of it where the account of the servers cannot reach the clone."""
        if self._traversable(self.packages / "usr"):
            return self.packages
        copy = self.folder / "root"
        for part in ("usr/sbin", "usr/lib", "usr/bin"):
            if (self.packages / part).is_dir():
                shutil.copytree(self.packages / part, copy / part, symlinks=True)
        return copy

    def private(self, name, mode=0o700):
        """A folder below the run's that belongs to the account of the servers."""
        path = self.folder / name
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)
        if self.root_user:
            os.chown(path, self.uid, self.gid)
        return path

    def write(self, path, text, mode=0o600):
        """A file that the account of the servers owns."""
        path = self.folder / path
        path.write_text(text)
        path.chmod(mode)
        if self.root_user:
            os.chown(path, self.uid, self.gid)
        return path

    # The account and the environment.

    def _write_accounts(self):
        """For unpacked.c: the servers insist on names that this system need not have."""
        home = self.folder
        users = {"tocsin": self.uid, "Debian-exim": self.uid, "courier": self.uid, "postfix": 65533}
        groups = {"tocsin": self.gid, "Debian-exim": self.gid, "courier": self.gid, "postfix": 65533,
                  "postdrop": 65532}
        lines = ["root:x:0:0:root:/:/usr/sbin/nologin"]
        lines += [f"{user}:x:{uid}:{groups[user]}::{home}:/usr/sbin/nologin" for user, uid in users.items()]
        (home / "passwd").write_text("\n".join(lines) + "\n")
        lines = ["root:x:0:"] + [f"{group}:x:{gid}:" for group, gid in groups.items()]
        (home / "group").write_text("\n".join(lines) + "\n")

    def environment(self):
        """What lets a program run from the tree; also the variables that servers must hand on."""
        library = self.tree / "usr" / "lib"
        places = [library / "dovecot", library / "dovecot" / "modules" / "old-stats", library / "postfix", library]
        places += sorted(library.glob("*-linux-gnu*"))
        return {
            "LD_LIBRARY_PATH": ":".join(str(place) for place in places),
            "LD_PRELOAD": str(self._shim()),
            "PEERS_ACCOUNTS": str(self.folder),
            "PEERS_ROOT": str(self.tree),
        }

    def _shim(self):
        shim = self.folder / "unpacked.so"
        if not shim.exists():
            source = Path(__file__).with_name("unpacked.c")
            compiler = shlex.split(os.environ.get("CC", "cc"))
            command = [*compiler, "-O1", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            if done.returncode:
                raise PeerError(f"cannot compile {source}:\n{done.stderr}")
            shim.chmod(0o755)
        return shim

    def program(self, path):
        """A program of the tree by its path in the package, with or without the leading usr/."""
        found = self.tree / path
        if not found.exists():
            raise PeerError(f"{path} is not among the unpacked packages in {self.packages}: run `make deps`.")
        # Exim's package makes it set-user-ID root: never wanted here, and the loader would ignore our libraries.
        if found.stat().st_mode & 0o6000:
            plain = self.folder / "bin" / found.name
            plain.parent.mkdir(mode=0o755, exist_ok=True)
            if not plain.exists():
                shutil.copyfile(found, plain)
                plain.chmod(0o755)
            return str(plain)
        return str(found)

    # Ports.

    def free_port(self):
        """A port of 127.0.0.1 that is free for TCP and UDP now and was not given before."""
        with self._lock:
            for port in random.sample(PORTS, 200):
                if port not in self._ports and port_free(port):
                    self._ports.add(port)
                    return port
        raise PeerError(f"no free port between {PORTS.start} and {PORTS.stop}")

    # Processes.

    def start(self, name, command, as_root=False, environment=None):
        """Starts a server. Its own words go to FOLDER/NAME.log."""
        log = self.folder / f"{name}.log"
        account = {}
        if self.root_user and not as_root:
            account = {"user": self.uid, "group": self.gid, "extra_groups": []}
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC",
                     **self.environment(), **(environment or {})}
        with open(log, "ab") as output:
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                     cwd=self.folder, env=variables, start_new_session=True,
                                     preexec_fn=die_with_parent, **account)
        process = Process(name, popen, log)
        self.processes.append(process)
        self._tell_watch(popen.pid)
        return process

    def wait_ready(self, process, port, greeting=b"", limit_s=15.0, logs=()):
        """Until the server answers on the port with the greeting; PeerError with its log if it does not."""
        def answers():
            if not process.alive():
                return "dead"
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
                    return not greeting or probe.recv(200).startswith(greeting)
            except OSError:
                return False
        if wait_for(answers, limit_s) is True:
            return
        why = "ended at once" if not process.alive() else f"did not answer on port {port} in {limit_s:.0f} s"
        words = "\n".join(filter(None, (tail(path) for path in (process.log, *logs))))
        raise PeerError(f"{process.name} {why}.\n{words}".rstrip())

    def on_close(self, closer):
        """Something else to stop at the end, before the processes."""
        self._closers.append(closer)

    def untimed(self):
        """No bound from here on: a person is at it."""
        signal.alarm(0)

    # The end.

    def _start_watch(self):
        """A process that cleans up if we are killed: see watch.py."""
        paths = [] if self.keep else [str(path) for path in (self._link, self.folder) if path is not None]
        return subprocess.Popen([sys.executable, str(Path(__file__).with_name("watch.py")), *paths],
                                stdin=subprocess.PIPE, text=True, start_new_session=True)

    def _tell_watch(self, word):
        try:
            self._watch.stdin.write(f"{word}\n")
            self._watch.stdin.flush()
        except OSError:
            pass

    def _start_clock(self, limit_s):
        if threading.current_thread() is not threading.main_thread():
            return

        def time_up(_signal, _frame):
            raise PeerError(f"the run was not over after {limit_s} s")

        def terminated(number, _frame):
            sys.exit(128 + number)

        signal.signal(signal.SIGALRM, time_up)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in a shell's background.
        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGHUP, terminated)
        signal.alarm(limit_s)

    def close(self):
        if self._closed or os.getpid() != self._owner:
            return
        self._closed = True
        if threading.current_thread() is threading.main_thread():
            signal.alarm(0)
        for closer in reversed(self._closers):
            try:
                closer()
            except OSError:
                pass
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.stop()
        self._tell_watch("done")
        self._watch.wait()
        _reap()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._link is not None:
                self._link.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def port_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
