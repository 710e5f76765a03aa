#!/usr/bin/env python3
"""What is shipped with the Linux program: manual pages, units, Debian package, OpenWrt recipe, `make install`.

The program of this machine's processor must be built: make linux. Ends with `N passed, N failed, N skipped`.
"""
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINUX = ROOT / "boards" / "linux"
ARCH = platform.machine()
PROGRAM = ROOT / "build" / f"linux-{ARCH}" / "tocsin"
SHIPPED_ELSEWHERE = re.compile(r"referenced manual not found: Xr (?:aliases|crontab) 5")
COMMAND_S = 120


class Skip(Exception):
    """The check cannot run here; the text says why."""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def run(*command, code=0, **more):
    """Output of a command that must end with this code; None: with any."""
    environment = {**os.environ, "LC_ALL": "C", **more.pop("environment", {})}
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=COMMAND_S, cwd=more.pop("cwd", ROOT), env=environment, check=False, **more)
    expect(code is None or done.returncode == code, f"{command[0]}: {done.returncode}\n{done.stdout}")
    return done.stdout


def need(tool):
    if not shutil.which(tool):
        raise Skip(f"there is no {tool}")
    return tool


def manual_pages(_):
    pages = sorted((LINUX / "man").glob("*.[0-9]"))
    expect(len(pages) == 5, f"{pages}")
    # From their folder, where they find each other.
    said = run(need("mandoc"), "-T", "lint", *(page.name for page in pages), cwd=LINUX / "man", code=None)
    wrong = [line for line in said.splitlines() if not SHIPPED_ELSEWHERE.search(line)]
    expect(not wrong, "\n".join(wrong))


def scripts(_):
    need("shellcheck")
    run("shellcheck", *(LINUX / "debian" / name for name in ("postinst", "prerm", "postrm")))
    run("shellcheck", "-s", "dash", "-e", "SC1008,SC2096,SC3043", *(LINUX / "openwrt" / "files").glob("tocsin.*i*t*"))


def units(folder):
    """As systemd reads them, with programs that are there."""
    need("systemd-analyze")
    names = [unit.name for unit in (LINUX / "systemd").iterdir()]
    for name in names:
        text = (LINUX / "systemd" / name).read_text()
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M)
        # Manuals that are not installed are not looked for.
        (folder / name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    # An unknown setting is told, and is no error.
    said = run("systemd-analyze", "verify", "--man=no", *(folder / name for name in names))
    expect(not said.strip(), said)


def install(folder):
    target = folder / "root"
    environment = {"DESTDIR": str(target), "PREFIX": "/usr"}
    for _ in range(2):  # A second time over the first.
        run("tools/install.sh", PROGRAM, environment=environment)
    for link in ("sbin/sendmail", "lib/sendmail", "bin/mailq", "bin/newaliases"):
        path = target / "usr" / link
        expect(path.is_symlink() and path.resolve() == target / "usr/bin/tocsin", f"{link} is {path.resolve()}")
    version = run(target / "usr/sbin/sendmail", "--version")
    expect(version.startswith("tocsin "), version)
    expect((target / "var/spool/tocsin").stat().st_mode & 0o7777 == 0o2770, "the spool's mode")
    (target / "usr/sbin/sendmail").unlink()
    (target / "usr/sbin/sendmail").symlink_to("exim4")
    said = run("tools/install.sh", PROGRAM, environment=environment, code=1)
    expect("another program's" in said, said)
    run("tools/install.sh", PROGRAM, environment={**environment, "FORCE": "1"})


def flash(folder):
    """Images for boards: what fits into this program, and not into the device, is refused by the device's tool."""
    target = folder / "root"
    run("tools/install.sh", PROGRAM, environment={"DESTDIR": str(target), "PREFIX": "/usr"})
    program = target / "usr/bin/tocsin"
    boards = sorted(path.parent.name for path in (ROOT / "boards").glob("*/board.cmake"))
    said = run(program, "flash", "--board", "list")
    expect(said.splitlines() == [f"{board}: {target}/usr/bin/tocsin-flash-{board}" for board in boards], said)
    conf, image = folder / "device.conf", folder / "flash.img"
    text = ("mailhub = smtp.example.com\nauth_user = device\nauth_pass = its password\nroot = you@example.com\n"
            "from = device@example.com\n")
    authority = folder / "ca.pem"
    run(need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
        "-subj", "/CN=an authority", "-keyout", folder / "key.pem", "-out", authority)
    for board in boards:
        words = [program, "flash", f"--board={board}"]
        conf.write_text(text + authority.read_text())
        conf.chmod(0o600)
        image.unlink(missing_ok=True)
        said = run(*words, "create", conf, image)
        expect(f"created for {board}" in said, said)
        expect(run(*words, "create", conf, image).count("updated"), "an image that there is")
        expect("smtp.example.com" in run(*words, "list", image), "list")
        run(*words, "verify", image)
        run(*words, "extract", image, folder / board)
        expect("mailhub = smtp.example.com" in (folder / board / "configuration-1.conf").read_text(), "extract")
        long = f"{'a' * 60}.{'b' * 60}.example.com"
        conf.write_text(text.replace("smtp.example.com", long) + authority.read_text())
        said = run(*words, "create", conf, image, code=None)
        expect(f"{conf}:1" in said and "updated" not in said, said)
        expect(said == run(target / f"usr/bin/tocsin-flash-{board}", "create", conf, image, code=None), "as the tool")
        conf.write_text(text.replace("smtp.example.com", long))
        run(program, "config", "check", conf)
        # Damage is found, with the tool's own status.
        bytes_of = bytearray(image.read_bytes())
        place = bytes_of.index(b"smtp.example.com")
        bytes_of[place:place + 16] = bytes(16)
        image.write_bytes(bytes_of)
        run(*words, "verify", image, code=1)
    run(program, "flash", code=64)
    expect(boards[0] in run(program, "flash", "--board", "nothing", "list", image, code=64), "the boards are named")
    run(program, "flash", "--board", f"../bin/{boards[0]}", "list", image, code=64)
    (target / f"usr/bin/tocsin-flash-{boards[0]}").rename(folder / f"tocsin-flash-{boards[0]}")
    said = run(program, "flash", "--board", boards[0], "check", conf, code=69)
    expect(f"tocsin-flash-{boards[0]} is not installed" in said, said)
    conf.write_text(text + authority.read_text())
    run(program, "flash", "--board", boards[0], "check", conf,
        environment={"PATH": f"{folder}:{os.environ['PATH']}"})


def package(folder):
    """Built twice the same; its fields; the rights of its files; lintian finds nothing."""
    need("dpkg-deb")
    environment = {"BEARSSL": os.environ.get("BEARSSL_DIR") or "build/deps/bearssl",
                   "MUSL": os.environ.get("MUSL_DIR") or "build/deps/musl"}
    built = []
    for _ in range(2):
        path = ROOT / run("tools/deb.sh", ARCH, environment=environment).split(":")[0]
        built.append(path.read_bytes())
    expect(built[0] == built[1], "built twice, it is two different packages")
    fields = dict(re.findall(r"^ ?(\S+): (.*)$", run("dpkg-deb", "--field", path), re.MULTILINE))
    for field in ("Provides", "Conflicts", "Replaces"):
        expect(fields[field] == "mail-transport-agent", f"{fields}")
    files = folder / "files.tar"
    with open(files, "wb") as out:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", path], stdout=out, check=True, timeout=COMMAND_S)
    with tarfile.open(files) as tar:
        modes = {member.name: (oct(member.mode), member.uname) for member in tar}
    expect(modes["./usr/bin/tocsin"] == ("0o755", "root"), f"{modes}")
    expect(modes["./var/spool/tocsin"] == ("0o2770", "root"), f"{modes}")
    expect("./etc/tocsin.conf" not in modes, "a configuration of the package's own hides an ssmtp.conf")
    found = run(need("lintian"), "--fail-on", "error,warning", "--allow-root", path, code=None)
    expect(not re.search(r"^[EW]:", found, re.MULTILINE), found)


# What OpenWrt's rc.common and functions.sh do for an init script, as far as it is needed here.
OPENWRT = r"""
chown() { :; }
procd_open_instance() { :; }; procd_set_param() { echo "param $*"; }; procd_close_instance() { :; }
config() { config_cb "$1" "$2"; eval "$2=1"; section=$2; }
option() { option_cb "$1" "$2"; eval "${section}_$1=\$2"; }
list() { list_cb "$1" "$2"; }
config_cb() { :; }; option_cb() { :; }; list_cb() { :; }
config_load() { . "$UCI"; }
config_get() { eval "$1=\${$2_$3:-\$4}"; }
config_get_bool() { config_get "$@"; }
"""


def openwrt(folder):
    """UCI's settings become a configuration that the program reads as it was meant."""
    (folder / "uci").write_text("""
config service service
option daemon 1
config mail mail
option mailhub smtp.example.com
option auth_user router@example.com
option auth_pass '"a; # b  '
list root a@example.com
list root b@example.com
option from_name "It's here"
""" + f"option spool {folder}/spool\noption state {folder}/state\n")
    (folder / "functions").write_text(OPENWRT)
    script = (LINUX / "openwrt/files/tocsin.init").read_text()
    script = script.replace("/var/etc", str(folder / "etc")).replace("PROG=/usr/bin/tocsin", f"PROG={PROGRAM}")
    (folder / "init").write_text(script)
    said = run("sh", "-c", f". {folder}/functions; . {folder}/init; start_service",
               environment={"UCI": str(folder / "uci")})
    made = folder / "etc" / "tocsin.conf"
    expect(": good" in said and f"param command {PROGRAM} daemon -f" in said, said)
    expect(made.stat().st_mode & 0o777 == 0o640, "its mode")
    text = made.read_text()
    for line in ('auth_pass = ""a; # b  "', 'root = "a@example.com"', 'root = "b@example.com"',
                 'from_name = "It\'s here"'):
        expect(line in text.splitlines(), text)
    expect("daemon" not in text and (folder / "spool").is_dir(), text)


CHECKS = [manual_pages, scripts, units, install, flash, package, openwrt]


def main():
    if not PROGRAM.is_file():
        sys.exit(f"{PROGRAM.relative_to(ROOT)} is not built: make linux")
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    for check in CHECKS:
        state, words = "ok", ""
        with tempfile.TemporaryDirectory(prefix="tocsin-package-") as folder:
            try:
                check(Path(folder))
            except Skip as why:
                state, words = "skip", str(why)
            except (AssertionError, OSError, subprocess.SubprocessError, LookupError) as problem:
                state, words = "FAIL", str(problem)
        counts[state] += 1
        print(f"{state:4} {check.__name__}" + (f"\n     {words}" if words else ""), flush=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
