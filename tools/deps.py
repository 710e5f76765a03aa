#!/usr/bin/env python3
"""Set-up: everything that a build, a test or a run needs and the machine lacks.

    deps.py PART ...
        packages        install missing Debian packages (as root or through sudo)
        sources         fetch the lwIP and BearSSL sources into build/deps
        peers           unpack the test servers into build/peers/root
        musl            fetch the musl sources into build/deps: for the Linux program
        cross           install the compilers of its other processors, and QEMU for them
        cross-ARCH      install one of these compilers
        linux           install what its package and its tests need
        all             all of this, in this order

Each part looks first whether it has been done already; then it is quick and needs no network. What
is wanted, and how it is pinned, stands in tools/versions.env. The details of what apt said are in
build/logs/deps.log.
"""

import argparse
import fcntl
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DEPS = BUILD / "deps"
PEERS = BUILD / "peers"
LOG = BUILD / "logs" / "deps.log"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
COMMAND_TIMEOUT_S = 1800

# apt-get as an ordinary user, and as root without handing its downloads to the user _apt, who may
# not write in a checkout. A mirror that does not answer is given up after a bounded time.
APT_OPTIONS = [
    "-o", "APT::Sandbox::User=root" if os.geteuid() == 0 else "APT::Sandbox::User=",
    "-o", "Acquire::http::Timeout=30",
    "-o", "Acquire::https::Timeout=30",
    "-o", "Acquire::Retries=3",
    "-o", "Acquire::Languages=none",
]


class Failure(Exception):
    """Set-up cannot go on; the text says why and what to do."""


def say(text):
    print(f"deps: {text}", flush=True)


def read_env(path):
    """KEY="value" lines as a dictionary; a value may span lines."""
    env = {}
    for word in shlex.split(path.read_text(), comments=True):
        key, equals, value = word.partition("=")
        if not equals:
            raise Failure(f"{path}: '{word}' is no KEY=value")
        env[key] = " ".join(value.split())
    return env


def run(command, cwd=None, interactive=False):
    """Run a command with its output in the log; return (status, output)."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(f"$ {shlex.join(map(str, command))}\n")
        log.flush()
        done = subprocess.run(
            command, cwd=cwd, env=env, text=True, errors="replace", timeout=COMMAND_TIMEOUT_S,
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        log.write(done.stdout)
        log.write(f"-> {done.returncode}\n")
    return done.returncode, done.stdout


def last_errors(output, count=3):
    """The lines of apt's output that tell a person the most."""
    lines = [line for line in output.splitlines() if line.startswith(("E:", "Err:", "W: Failed"))]
    return "\n".join("    " + line for line in (lines or output.splitlines())[-count:])


def need_debian():
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        raise Failure(
            "this machine has no apt-get: set-up knows Debian 12 and 13. Elsewhere\n"
            "  install what tools/versions.env lists under PACKAGES, give LWIP_DIR= and\n"
            "  BEARSSL_DIR=, and say DEPS=no")


# ---- packages ------------------------------------------------------------------------------------


def missing_packages(wanted):
    """Those of the wanted packages that are not installed."""
    command = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${Package}\n", *wanted]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    have = {line.split("|")[1] for line in done.stdout.splitlines() if line[1:2] == "i"}
    return [name for name in wanted if name not in have]


def become_root():
    """The words before a command that make it run as root, or None when there is no way."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    quiet = subprocess.run(["sudo", "-n", "true"], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
    if quiet.returncode == 0 or sys.stdin.isatty():
        return ["sudo"]
    return None


def install_packages(wanted):
    missing = wanted
    if wanted and shutil.which("dpkg-query"):
        missing = missing_packages(wanted)
    if not missing:
        return
    need_debian()
    names = " ".join(missing)
    line = f"apt-get update && apt-get install --no-install-recommends --yes {names}"
    root = become_root()
    if root is None:
        raise Failure(f"these Debian packages are missing: {names}\n"
                      f"  Neither root nor sudo here. As root, type:\n\n    {line}\n")
    say(f"installing {len(missing)} Debian packages: {names}")
    # Variables do not pass sudo by themselves, and a package's questions must not stop the run.
    install = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install",
               "--no-install-recommends", "--yes", *missing]
    status, output = 1, ""
    if any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        status, output = run(install, interactive=True)
    if status != 0:
        # The lists are absent, or so old that what they name is gone from the mirror.
        say("reading the mirror's package lists")
        status, output = run([*root, "apt-get", "update"], interactive=True)
        if status == 0:
            status, output = run(install, interactive=True)
    if status != 0:
        raise Failure(f"apt-get did not install them (all of it is in {LOG}):\n"
                      f"{last_errors(output)}\n  As root, try:\n\n    {line}\n")
    missing = missing_packages(wanted)
    if missing:
        raise Failure(f"apt-get said it worked, but these are still missing: {' '.join(missing)}")


# ---- the machine's own mirrors -------------------------------------------------------------------


def parse_one_line(text):
    """Entries of a sources.list: (types, uris, suites, components, signed-by)."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if match:
            options = dict(word.split("=", 1) for word in (match[1] or "").split() if "=" in word)
            yield [match[2]], [match[3]], match[4].split(), options.get("signed-by", "")


def parse_deb822(text):
    """Entries of a .sources file, as parse_one_line gives them."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        key = None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] = fields.get(key, "") + "\n" + line
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.lower()
                fields[key] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            yield (fields.get("uris", "").split(), fields.get("suites", "").split(),
                   fields.get("components", "").split(), fields.get("signed-by", ""))


def own_suite():
    """The code name of the machine's own Debian release, or an empty string."""
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)
    return match[1] if match else ""


def debian_mirrors():
    """(uri, signed-by) of each mirror from which the machine takes its Debian release itself."""
    releases = {own_suite(), "stable", "oldstable", "testing", "unstable", "sid",
                "bookworm", "trixie", "forky"}
    entries = []
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        parse = {".list": parse_one_line, ".sources": parse_deb822}.get(path.suffix)
        if parse and path.is_file():
            entries += parse(path.read_text(encoding="utf-8", errors="replace"))
    mirrors = []
    for uris, suites, components, signed_by in entries:
        if "main" not in components or not releases.intersection(suites):
            continue
        for uri in uris:
            if not uri.startswith("cdrom:") and uri not in [known for known, _ in mirrors]:
                mirrors.append((uri, signed_by))
    return mirrors


def signed_by_option(signed_by):
    """A one-line entry's option that names the key; the machine's own, else Debian's."""
    if signed_by and "\n" not in signed_by:
        return f"[signed-by={','.join(signed_by.split())}] "
    if "BEGIN PGP" in signed_by:
        # A key block inside a .sources file: unfold it, as deb822 asks, into a file of its own.
        lines = [line.strip() for line in signed_by.strip().splitlines()]
        key = DEPS / "apt" / "mirror.asc"
        key.write_text("\n".join("" if line == "." else line for line in lines) + "\n")
        return f"[signed-by={key}] "
    return f"[signed-by={DEBIAN_KEYRING}] " if Path(DEBIAN_KEYRING).exists() else ""


def private_apt(name, entry=None):
    """Options that give apt-get lists and a cache of its own under build/, and entry as its only
    source (the machine's own sources when entry is None). Trust is the machine's in both cases."""
    base = DEPS / "apt" / name
    (base / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (base / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={base}/lists", "-o", f"Dir::Cache={base}/cache"]
    if entry is not None:
        (base / "sources.list").write_text(entry + "\n")
        options += ["-o", f"Dir::Etc::sourcelist={base}/sources.list",
                    "-o", "Dir::Etc::sourceparts=/dev/null"]
    return options


# ---- lwIP, BearSSL and musl ----------------------------------------------------------------------


def upstream_of(debian_version):
    """2.2.1+dfsg1-1+deb13u1 -> 2.2.1"""
    version = debian_version.split(":", 1)[-1].rsplit("-", 1)[0]
    return re.sub(r"[+~]dfsg.*$|[+~]ds.*$", "", version)


def compare_versions(left, right):
    """Debian's order of versions, as dpkg itself knows it: -1, 0 or 1."""
    for relation, result in (("lt", -1), ("eq", 0)):
        if subprocess.run(["dpkg", "--compare-versions", left, relation, right],
                          check=False).returncode == 0:
            return result
    return 1


def offered_versions(package, upstream, apt):
    """Debian versions of a source package with this upstream version, as one mirror lists them."""
    _, output = run(["apt-cache", *apt, "showsrc", package])
    versions = re.findall(r"^Version: (\S+)$", output, re.MULTILINE)
    return sorted({v for v in versions if upstream_of(v) == upstream},
                  key=functools.cmp_to_key(compare_versions), reverse=True)


def check_lwip(path):
    """lwIP's version in a checkout, or None when path is none."""
    header = path / "src" / "include" / "lwip" / "init.h"
    if not header.is_file():
        return None
    parts = [re.search(rf"define LWIP_VERSION_{part}\s+(\d+)", header.read_text(errors="replace"))
             for part in ("MAJOR", "MINOR", "REVISION")]
    return ".".join(part[1] if part else "?" for part in parts)


def check_bearssl(path):
    """BearSSL's version in a checkout, as far as one can tell, or None when path is none."""
    if not (path / "inc" / "bearssl.h").is_file() or not (path / "src" / "inner.h").is_file():
        return None
    # No file of BearSSL's states its version. HKDF came with 0.6, the last one released.
    return "0.6" if (path / "inc" / "bearssl_kdf.h").is_file() else "0.5 or older"


def check_musl(path):
    """musl's version in a checkout, or None when path is none."""
    version = path / "VERSION"
    if not version.is_file() or not (path / "src" / "env" / "__libc_start_main.c").is_file():
        return None
    return version.read_text(encoding="utf-8", errors="replace").strip()


LIBRARIES = {
    # name: (Debian's source package, versions.env's key, variable for an own checkout, check)
    "lwip": ("lwip", "LWIP_VERSION", "LWIP_DIR", check_lwip),
    "bearssl": ("bearssl", "BEARSSL_VERSION", "BEARSSL_DIR", check_bearssl),
    "musl": ("musl", "MUSL_VERSION", "MUSL_DIR", check_musl),
}


def use_checkout(name, path, env):
    """An own checkout in place of the fetched sources: look whether it is one."""
    _, key, variable, check = LIBRARIES[name]
    version = check(Path(path))
    if version is None:
        raise Failure(f"{variable}={path} does not look like the sources of {name}")
    if version != env[key]:
        say(f"note: {variable}={path} is {name} {version}; Tocsin is tested with {env[key]}")


def download_source(package, upstream, env, into):
    """Download and unpack one source package; return its Debian version."""
    mirrors = debian_mirrors()
    if not mirrors:
        raise Failure("no Debian mirror with component main found under /etc/apt")
    suites = list(dict.fromkeys(filter(None, [own_suite(), *env["SOURCE_SUITES"].split()])))
    tried = []
    for suite in suites:
        for index, (uri, signed_by) in enumerate(mirrors):
            (DEPS / "apt").mkdir(parents=True, exist_ok=True)
            entry = f"deb-src {signed_by_option(signed_by)}{uri} {suite} main"
            apt = [*APT_OPTIONS, *private_apt(f"{suite}-{index}", entry)]
            listed = DEPS / "apt" / f"{suite}-{index}" / "listed"
            if not listed.exists():
                status, _ = run(["apt-get", *apt, "-o", "APT::Update::Error-Mode=any", "update"])
                if status != 0:
                    tried.append(f"{suite}: its list of sources could not be read")
                    continue
                listed.touch()
            versions = offered_versions(package, upstream, apt)
            if not versions:
                tried.append(f"{suite}: has no {package} {upstream}")
            for version in versions:
                say(f"fetching {package} {version} ({suite})")
                shutil.rmtree(into, ignore_errors=True)
                into.mkdir(parents=True)
                status, _ = run(["apt-get", *apt, "source", "--download-only",
                                 f"{package}={version}"], cwd=into)
                if status != 0:
                    tried.append(f"{suite}: the download of {package} {version} failed")
                    continue
                # apt has checked every file against the archive's signature; the maintainer's own
                # signature in the .dsc is not needed on top, and his key is seldom on the machine.
                description = next(into.glob("*.dsc"))
                status, output = run(["dpkg-source", "--no-check", "-x", description.name,
                                      "source"], cwd=into)
                if status != 0:
                    raise Failure(f"dpkg-source could not unpack {description.name}:\n"
                                  f"{last_errors(output)}")
                return version
    raise Failure(f"no source package of {package} {upstream} could be fetched:\n"
                  + "\n".join(f"    {line}" for line in tried)
                  + f"\n  All of it is in {LOG}. An own checkout works too: "
                  + f"{LIBRARIES[package][2]}=/path/to/{package}")


def fetch_sources(names, env, checkouts):
    for name in names:
        package, key, _, check = LIBRARIES[name]
        if checkouts.get(name):
            use_checkout(name, checkouts[name], env)
            continue
        target = DEPS / name
        stamp = DEPS / f"{name}.version"
        if stamp.is_file() and stamp.read_text().split()[:1] == [env[key]] and check(target):
            continue
        need_debian()
        work = DEPS / f"{name}.new"
        version = download_source(package, env[key], env, work)
        if check(work / "source") != env[key]:
            raise Failure(f"what {package} {version} unpacked to is not {name} {env[key]}")
        shutil.rmtree(target, ignore_errors=True)
        (work / "source").rename(target)
        shutil.rmtree(work)
        stamp.write_text(f"{env[key]} {version}\n")
    shutil.rmtree(DEPS / "apt", ignore_errors=True)


# ---- the servers of the bench --------------------------------------------------------------------


def simulate(packages, apt):
    """What installing the packages would bring: {name: version}, without what the machine has.

    One package at a time, since some of them (two mail servers) exclude each other."""
    wanted = {}
    for package in packages:
        status, output = run(["apt-get", *APT_OPTIONS, *apt, "-s", "--no-install-recommends",
                              "install", package])
        if status != 0:
            return None
        wanted.update(re.findall(r"^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) ", output, re.MULTILINE))
        # Installed already: the files are wanted here nevertheless.
        wanted.setdefault(package, "")
    return wanted


def download_packages(packages, into, apt):
    """Download packages with all that they need; return {name: version} or None."""
    wanted = simulate(packages, apt)
    if wanted is None:
        return None
    names = [f"{name}={version}" if version else name for name, version in wanted.items()]
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    status, _ = run(["apt-get", *APT_OPTIONS, *apt, "download", *names], cwd=into)
    return wanted if status == 0 else None


def unpack(archive, root):
    """Unpack a package as dpkg would: through the links /lib -> usr/lib rather than over them."""
    reader = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
    writer = subprocess.run(["tar", "-x", "--keep-directory-symlink", "--no-same-owner",
                             "--warning=no-timestamp", "-C", root],
                            stdin=reader.stdout, check=False)
    reader.stdout.close()
    if reader.wait() != 0 or writer.returncode != 0:
        raise Failure(f"{archive.name} could not be unpacked")


def missing_libraries(root):
    """Libraries that a program or module of the tree needs and nobody has."""
    paths = [str(path.parent) for path in root.rglob("*.so*") if path.is_file()]
    env = dict(os.environ, LC_ALL="C", LD_LIBRARY_PATH=":".join(sorted(set(paths))))
    programs = [path for folder in ("usr/bin", "usr/sbin", "usr/lib/postfix/sbin", "usr/lib/dovecot",
                              "usr/lib/courier/courier")
                for path in (root / folder).glob("*")
                if path.is_file() and os.access(path, os.X_OK)
                and path.open("rb").read(4) == b"\x7fELF"]
    done = subprocess.run(["ldd", *programs], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return sorted(set(re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)))


def unpack_tree(packages, name, what):
    """Unpack packages, and what they need that the machine lacks, under build/peers/NAME."""
    root = PEERS / name
    stamp = PEERS / ("packages" if name == "root" else f"{name}.packages")
    key = hashlib.sha256(" ".join([own_suite(), *packages]).encode()).hexdigest()[:16]
    if root.is_dir() and stamp.is_file() and stamp.read_text().splitlines()[:1] == [key]:
        return
    need_debian()
    say(f"fetching {what}: {' '.join(packages)}")
    archives = PEERS / f"{name}.archives"
    # The machine's own lists first; where they are absent or too old, lists of our own.
    wanted = download_packages(packages, archives, [])
    if wanted is None:
        apt = private_apt("machine")
        status, output = run(["apt-get", *APT_OPTIONS, *apt, "update"])
        wanted = download_packages(packages, archives, apt) if status == 0 else None
        if wanted is None:
            raise Failure(f"{what} could not be downloaded; see {LOG}\n"
                          f"{last_errors(output)}")
        shutil.rmtree(DEPS / "apt", ignore_errors=True)
    fresh = PEERS / f"{name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    # /lib and /sbin are names of /usr's folders, as on the machine itself.
    for name in ("bin", "lib", "sbin"):
        (fresh / "usr" / name).mkdir(parents=True)
        (fresh / name).symlink_to(f"usr/{name}")
    for archive in sorted(archives.glob("*.deb")):
        unpack(archive, fresh)
    lost = missing_libraries(fresh)
    if lost:
        raise Failure(f"{what} lack libraries: {' '.join(lost)}")
    shutil.rmtree(root, ignore_errors=True)
    fresh.rename(root)
    shutil.rmtree(archives)
    stamp.write_text("\n".join([key, *(f"{n} {v}" for n, v in sorted(wanted.items()))]) + "\n")


# ---- main ----------------------------------------------------------------------------------------


def parts_of(env):
    """{part: function that does it}, in the order of `all`; cross-ARCH is a piece of cross."""
    # The machine's own processor needs the compiler of PACKAGES only.
    own = {"armv7l": "armv7"}.get(os.uname().machine, os.uname().machine)
    cross = dict(word.split(":") for word in env["CROSS_COMPILERS"].split())
    cross_packages = [[package] if arch != own else [] for arch, package in cross.items()]
    parts = {
        "packages": lambda _: install_packages(env["PACKAGES"].split()),
        "sources": lambda checkouts: fetch_sources(["lwip", "bearssl"], env, checkouts),
        "peers": lambda _: unpack_tree(env["PEER_PACKAGES"].split(), "root", "the test servers"),
        "musl": lambda checkouts: fetch_sources(["musl"], env, checkouts),
        "cross": lambda _: install_packages(sum(cross_packages, env["CROSS_PACKAGES"].split())),
        "linux": lambda _: install_packages(env["LINUX_PACKAGES"].split()),
        "callers": lambda _: unpack_tree(env["CALLER_PACKAGES"].split(), "callers",
                                         "programs that send and fetch mail"),
    }
    everything = list(parts.values())
    parts["all"] = lambda checkouts: [part(checkouts) for part in everything]
    for arch, packages in zip(cross, cross_packages):
        parts[f"cross-{arch}"] = lambda _, packages=packages: install_packages(packages)
    return parts


def main():
    os.chdir(ROOT)
    try:
        env = read_env(ROOT / "tools" / "versions.env")
        parts = parts_of(env)
        parser = argparse.ArgumentParser(description="set-up: packages, sources, test servers")
        parser.add_argument("part", nargs="+", choices=parts, metavar="PART",
                            help=", ".join(parts))
        for name, (_, _, variable, _) in LIBRARIES.items():
            parser.add_argument(f"--{name}-dir", default="",
                                help=f"a checkout of {name} to use instead ({variable}=)")
        arguments = parser.parse_args()
        checkouts = {name: getattr(arguments, f"{name}_dir") for name in LIBRARIES}
        DEPS.mkdir(parents=True, exist_ok=True)
        # Two makes in one checkout: the second waits and then finds the work done.
        lock = open(DEPS / "lock", "w", encoding="utf-8")
        fcntl.flock(lock, fcntl.LOCK_EX)
        for part in arguments.part:
            parts[part](checkouts)
    except Failure as failure:
        print(f"deps: {failure}", file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired as expired:
        print(f"deps: gave up after {COMMAND_TIMEOUT_S} s: {shlex.join(map(str, expired.cmd))}; "
              f"see {LOG}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"deps: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
