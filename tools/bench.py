#!/usr/bin/env python3
"""Guest instructions of a whole send, from reset to the server's 250, and of its parts; what the
queue in flash costs; what a look into the mailbox costs.

    bench.py --board BOARD [--update]

The board runs in QEMU with tools/plugin/marks.c, against the bench's own mail server, once for each
kind of certificate. Marks are the empty functions of firmware/main.c; public-key operations, the
mount of the log and the operations of the flash are counted from their first instruction to the
return to their caller. For the queue, a board gets 1,000 alerts while its server is away, and sends
them when it comes back. For the mailbox, bytes and round trips are those on the wire, as a proxy
before Dovecot sees them, TLS included; a poll's instructions are from the load of what flash knows of
the mailbox to the end of its save. --update writes the tables into README.md.
"""

import argparse
import base64
import hmac
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import size

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "qemu")]
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# BearSSL's objects, by what they are for; the first that matches counts.
BEARSSL = [
    ("curves", r"^ec_|^ecdsa_"),
    ("RSA", r"^rsa_"),
    ("big integers", r"^i(15|31|32|62)_"),
    ("hashes, HMAC, DRBG", r"^(sha\d|md5|dig_|multihash|hmac|hmac_|prf|hkdf|mgf1|sysrng)"),
    ("ciphers", r"^(aes_|chacha20_|poly1305_|gcm|ghash_|ccm|eax)"),
    ("certificates", r"^(x509_|skey_|pemdec|pemenc|asn1|decode|encode_)"),
    ("TLS engine", r"^ssl_"),
    ("byte order, copies", r"^(ccopy|dec\d|enc\d)"),
    ("BearSSL, rest", r""),
]

# Public-key operations: what to call them, the object, the function.
CALLS = [
    ("X25519 key pair", r"^ec_c25519_\w+\.c", "api_mulgen"),
    ("X25519 shared secret", r"^ec_c25519_\w+\.c", "api_mul"),
    ("P-256 key pair", r"^ec_p256_\w+\.c", "api_mulgen"),
    ("P-256 shared secret", r"^ec_p256_\w+\.c", "api_mul"),
    ("generic curve code, key pair", r"^ec_prime_\w+\.c", "api_mulgen"),
    ("generic curve code, shared secret", r"^ec_prime_\w+\.c", "api_mul"),
    ("ECDSA verification", r"^ecdsa_i\d\d_vrfy_asn1\.c", r"br_ecdsa_i\d\d_vrfy_asn1"),
    ("RSA verification", r"^rsa_\w+_pkcs1_vrfy\.c", r"br_rsa_\w+_pkcs1_vrfy"),
]
# What the queue is measured by.
QUEUE_CALLS = [
    ("mount", r"", "queue_init"),
    ("program", r"", r"\w+_nor_program"),
    ("erase", r"", r"\w+_nor_erase"),
]
POLL_CALLS = [
    ("load", r"", "mailbox_load"),
    ("save", r"", "mailbox_save"),
]
CHAINS = {"ecdsa": "ECDSA P-256", "rsa": "RSA-2048"}
RUN_LIMIT_S = 180
MAIL_LIMIT_S = 60
ALERTS = 1000
ALERT_TEXT = "EXT4-fs error (device sda1): ext4_lookup: deleted inode referenced: number {}"
DRAIN_LIMIT_S = 120
POLL_LIMIT_S = 60
HOST = "mail.example.test"
KEPT = 10_000  # Messages in the mailbox that are not for the device.
KEY = bytes(range(32))
MARKS = ["boot", "address", "begin", "connect", "tls_ready", "auth", "accepted"]


class Failure(Exception):
    """No figures can be had; the text says why."""


def object_name(entry):
    """libbearssl.a(ec_p256_m31.c.obj) -> ec_p256_m31.c"""
    match = re.search(r"([^/(]+?)\.(?:obj|o)\)?$", entry)
    return match[1] if match else entry


def bench_part(entry):
    part = size.part_of(entry)
    if part != "bearssl":
        return part
    return next(name for name, pattern in BEARSSL if re.search(pattern, object_name(entry)))


def make_table(board, path, calls=tuple(CALLS)):
    """Write the plugin's table of ranges, marks and calls from the firmware's map."""
    build = ROOT / "build" / board
    sections = size.sections_of(build / "firmware.elf")
    ranges, points = [], []
    for output, section, address, count, entry in size.pieces(board):
        if sections.get(output, ("",))[0] != "text" or section.startswith(".rodata"):
            continue
        ranges.append((address, address + count, bench_part(entry)))
        # Of a function that the compiler split, the one that is called bears no ".part".
        function = section if ".part." in section else size.symbol_of(section)
        for name, where, what in calls:
            if re.search(where, object_name(entry)) and re.fullmatch(what, function):
                points.append(("call", name, address))
        if function.removeprefix("mark_") in MARKS:
            points.append(("mark", function.removeprefix("mark_"), address))
    missing = set(MARKS) - {name for kind, name, _ in points if kind == "mark"}
    if missing:
        raise Failure(f"{board}'s firmware has no mark_{', mark_'.join(sorted(missing))}")
    with open(path, "w", encoding="utf-8") as out:
        last = 0
        for begin, end, part in sorted(ranges):
            if begin >= last:
                out.write(f"part {part.replace(' ', '_')} {begin:x} {end:x}\n")
                last = end
        for kind, name, address in points:
            out.write(f"{kind} {name.replace(' ', '_')} {address & ~1:x}\n")


def read_counts(path):
    """The plugin's output: ([(mark, count, {part: count})], [(call, begin, end)])."""
    marks, calls = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, name, *figures = line.split()
        if kind == "mark":
            marks.append((name, int(figures[0]), {}))
            continue
        name = name.replace("_", " ")
        if kind == "part":
            marks[-1][2][name] = int(figures[0])
        elif kind == "call":
            calls.append((name, int(figures[0]), int(figures[1])))
        elif kind == "open":
            raise Failure(f"the end of '{name}' was not seen")
    return marks, calls


def plugin(board, folder, calls=tuple(CALLS)):
    """Arguments that make QEMU count; and the file that it writes, for read_counts()."""
    module = ROOT / "build" / "tools" / "marks.so"
    if not module.is_file():
        raise Failure("the QEMU plugin is not built: make tools")
    table, out = Path(folder) / "marks.table", Path(folder) / "marks.out"
    make_table(board, table, calls)
    paths = [str(path).replace(",", ",,") for path in (module, table, out)]
    return ["-plugin", "{},table={},out={}".format(*paths)], out


def instructions_to_accepted(out):
    """Guest instructions from reset to the server's first 250; None: it did not come."""
    marks, _ = read_counts(out)
    return next((count for name, count, _ in marks if name == "accepted"), None)


# ---- the queue -----------------------------------------------------------------------------------


class QueueRun:
    """A board whose server is away and comes back; see measure_queue()."""

    def __init__(self, board, bench):
        from device import GUEST_HOST, flash_tool_of, make_image, settings, text_of
        from peers import Certificates, Chrony, Dovecot, Exim
        certificates = Certificates(bench)
        dovecot = Dovecot(bench, certificates, ["admin"])
        self.exim = Exim(bench, dovecot, ["ecdsa"])
        chrony = Chrony(bench)
        self.board, self.bench, self.dovecot = board, bench, dovecot
        self.port, self.syslog = bench.free_port(), bench.free_port()
        config = settings(self.port, "implicit", certificates.root(), ["admin"], dovecot.user,
                          dovecot.password, sntp=f"{GUEST_HOST}:{chrony.port}", alert_boot="no",
                          repeat_window="off", alerts_per_hour="off", retry_min="60",
                          retry_max="60")
        self.tool = flash_tool_of(board)
        self.image = bench.folder / "flash.img"
        make_image(self.tool, bench.write("device.conf", text_of(config)), self.image)

    def fill(self, *what):
        tool = self.tool.with_name(f"fillflash-{self.board}")
        subprocess.run([tool, self.image, *what], check=True, timeout=60)

    def start(self):
        from board import Board
        from device import elf_of
        extra, self.out = plugin(self.board, self.bench.folder, tuple(QUEUE_CALLS))
        device = Board(self.board, elf_of(self.board), self.image,
                       [("udp", self.syslog, 514)], extra)
        device.wait("network: address", MAIL_LIMIT_S)
        return device

    def mount(self):
        """Guest instructions of one mount, and what `status` says of the queue."""
        with self.start() as device:
            status = "\n".join(device.command("status"))
        _, calls = read_counts(self.out)
        return next(end - begin for name, begin, end in calls if name == "mount"), status

    def queue(self, device):
        """Gives the device alerts by syslog, each when the one before is in flash."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            for number in range(1, ALERTS + 1):
                since = device.mark()
                text = ALERT_TEXT.format(number)
                line.sendto(f"<27>1 - web1.example.test kernel - - - {text}".encode(),
                            ("127.0.0.1", self.syslog))
                device.wait(rf"alert \d+ from .*number {number}$", MAIL_LIMIT_S, since)

    def deliver(self, device):
        """The server comes back; until all are accepted."""
        from peers import Tap
        tap = Tap(self.bench, self.exim.port("implicit"), at=self.port)
        device.command("queue retry")
        device.wait(" accepted by ", DRAIN_LIMIT_S, count=ALERTS)
        time.sleep(1)
        return len(tap.conversations)


def flash_use(status):
    """(bytes programmed, blocks erased) since the start, as `status` says."""
    found = re.search(r"since the start (\d+) bytes programmed, (\d+) blocks erased",
                      "\n".join(status))
    if not found:
        raise Failure("`status` does not tell the bytes programmed")
    return int(found[1]), int(found[2])


def programs(out):
    """[(begin, end)] of the flash's program operations so far."""
    return [(begin, end) for name, begin, end in read_counts(out)[1] if name == "program"]


def measure_queue(board):
    """Rows (label, figure) of the queue in flash."""
    from peers import Bench
    with Bench("bench-queue", limit_s=2 * RUN_LIMIT_S) as bench:
        run = QueueRun(board, bench)
        empty, _ = run.mount()
        with run.start() as device:
            start = flash_use(device.command("status"))
            before = len(programs(run.out))
            run.queue(device)
            queued = flash_use(device.command("status"))
            middle = len(programs(run.out))
            connections = run.deliver(device)
            sent = flash_use(device.command("status"))
        done = programs(run.out)
        accepted = next(count for name, count, _ in read_counts(run.out)[0] if name == "accepted")
        arrived = len(run.dovecot.wait("admin", ALERTS, DRAIN_LIMIT_S))
        run.fill("ring")
        run.fill("queue", str(ALERTS))
        full, status = run.mount()
    if arrived != ALERTS:
        raise Failure(f"{arrived} of {ALERTS} mails came")
    if f"waiting {ALERTS}," not in status:
        raise Failure(f"the full log does not hold {ALERTS} alerts:\n{status}")
    return [
        ("mount of an empty log, instructions", f"{empty:,}"),
        (f"mount of a log with all blocks used and {ALERTS:,} alerts queued, instructions",
         f"{full:,}"),
        ("an alert from syslog to flash, instructions",
         f"{(done[middle - 1][1] - done[before][0]) // ALERTS:,}"),
        ("an alert from flash to 250 over the open connection, instructions",
         f"{(done[-1][1] - accepted) // (ALERTS - 1):,}"),
        (f"{ALERTS:,} alerts queued while the server was away, then delivered: connections",
         f"{connections:,}"),
        ("an alert queued: bytes programmed", f"{(queued[0] - start[0]) / ALERTS:,.1f}"),
        ("an alert delivered: bytes programmed", f"{(sent[0] - queued[0]) / ALERTS:,.1f}"),
        ("an alert queued and delivered: program operations",
         f"{(len(done) - before) / ALERTS:,.2f}"),
        ("an alert queued and delivered: bytes erased",
         f"{(sent[1] - start[1]) * erase_bytes(board) / ALERTS:,.1f}"),
        (f"{ALERTS:,} alerts queued and delivered: blocks erased", f"{sent[1] - start[1]}"),
    ]


# ---- the mailbox ---------------------------------------------------------------------------------


class PollRun:
    """A board that looks into its mailbox when it is told to; see measure_polls()."""

    def __init__(self, board, bench):
        from device import GUEST_HOST, flash_tool_of, make_image, settings, text_of
        from peers import Certificates, Chrony, Dovecot, EvilPop3, Exim, Tap
        certificates = Certificates(bench)
        self.board, self.bench = board, bench
        self.dovecot = Dovecot(bench, certificates, ["admin", "box"])
        # Dovecot resumes TLS sessions by tickets alone, which the device does not take; Python's own
        # server does by their ids.
        self.resuming = EvilPop3(bench, certificates)
        exim = Exim(bench, self.dovecot, ["ecdsa"])
        chrony = Chrony(bench)
        self.tap = Tap(bench, self.resuming.port)
        config = settings(exim.port("implicit"), "implicit", certificates.root(), ["admin"],
                          self.dovecot.user, self.dovecot.password,
                          sntp=f"{GUEST_HOST}:{chrony.port}", alert_boot="no",
                          pop3=f"{HOST}:{self.tap.port}", pop3_user="box",
                          pop3_pass=self.dovecot.reader_password, poll="off", command_key=KEY.hex())
        self.image = bench.folder / "flash.img"
        make_image(flash_tool_of(board), bench.write("device.conf", text_of(config)), self.image)

    def start(self):
        from board import Board
        from device import elf_of
        extra, self.out = plugin(self.board, self.bench.folder, tuple(POLL_CALLS))
        device = Board(self.board, elf_of(self.board), self.image, extra=extra)
        device.wait("clock: set", MAIL_LIMIT_S)
        device.wait("network: address", MAIL_LIMIT_S)
        return device

    def _calls(self):
        return read_counts(self.out)[1] if self.out.exists() else []

    def poll(self, device):
        """One look into the mailbox: (bytes, of them POP3, round trips, instructions, how many were
        new)."""
        since, before, counted = device.mark(), len(self.tap.conversations), len(self._calls())
        device.command("poll")
        line = device.wait(r"mailbox: \d+ messages, (\d+) new; (\d+) bytes, (\d+) round trips",
                           POLL_LIMIT_S, since)
        conversations = self.tap.conversations[before:]
        if len(conversations) != 1:
            raise Failure(f"{len(conversations)} connections for one poll")
        calls = self._calls()[counted:]  # The memory may be loaded once more within the session.
        begin = next(begin for name, begin, _ in calls if name == "load")
        end = [end for name, _, end in calls if name == "save"][-1]
        wire = len(conversations[0].client) + len(conversations[0].server)
        return wire, int(line[2]), conversations[0].turns, end - begin, int(line[1])

    def put_order(self, device):
        """Puts a signed order for `status` into the mailbox."""
        identity = re.search(r"\bid ([0-9a-f]{16})", "\n".join(device.command("status")))[1]
        payload = f"tocsin 1\ndevice {identity}\ncounter 1\ncommand status\n".encode()
        proof = hmac.digest(KEY, payload, "sha256")
        self.dovecot.put("box", "\n".join([
            "From: owner@example.test", "To: box@example.test", "Subject: tocsin status",
            "Message-ID: <1@example.test>", "", "-----BEGIN TOCSIN COMMAND-----",
            base64.b64encode(payload).decode(), "-----TOCSIN SIGNATURE-----",
            base64.b64encode(proof).decode(), "-----END TOCSIN COMMAND-----", ""]))


def measure_polls(board):
    """Rows (label, bytes, of them POP3, round trips, instructions) of polls."""
    from peers import Bench
    rows = []
    with Bench("bench-polls", limit_s=2 * RUN_LIMIT_S) as bench:
        run = PollRun(board, bench)
        with run.start() as device:
            run.poll(device)
            rows.append(("empty mailbox, TLS session resumed", *run.poll(device)[:4]))
            run.tap.lead_to(run.dovecot.pop3s)
            rows.append(("empty mailbox, and all below: whole handshake", *run.poll(device)[:4]))
            run.dovecot.fill("box", KEPT)
            looks = [run.poll(device)]
            while looks[-1][4] > 0:
                looks.append(run.poll(device))
            none = looks.pop()
            sums = [sum(look[column] for look in looks) for column in range(4)]
            rows.append((f"{KEPT:,} messages seen for the first time, {len(looks)} sessions", *sums))
            rows.append((f"{KEPT:,} messages, none new", *none[:4]))
            run.dovecot.fill("box", 1)
            rows.append((f"{KEPT:,} messages, one new and not for the device",
                         *run.poll(device)[:4]))
            run.put_order(device)
            rows.append((f"{KEPT:,} messages, one new order: taken, run, deleted",
                         *run.poll(device)[:4]))
            device.wait(" accepted by ", MAIL_LIMIT_S)
            stack = next(line for line in device.command("status") if line.startswith("stack"))
    return rows, stack


def erase_bytes(board):
    from case import geometry
    return geometry(board)["FLASH_ERASE_BYTES"]


# ---- the run -------------------------------------------------------------------------------------


def measure(board, certificate):
    """Two mails on one board: (marks, calls, the answer to `status`)."""
    from board import Board
    from device import GUEST_HOST, elf_of, flash_tool_of, make_image, settings, text_of
    from peers import Bench, Certificates, Chrony, Dovecot, Exim
    with Bench(f"bench-{certificate}", limit_s=RUN_LIMIT_S) as bench:
        certificates = Certificates(bench)
        dovecot = Dovecot(bench, certificates, ["admin"])
        exim = Exim(bench, dovecot, [certificate])
        chrony = Chrony(bench)
        config = settings(exim.port("implicit", certificate), "implicit",
                          certificates.root(certificate), ["admin"], dovecot.user,
                          dovecot.password, sntp=f"{GUEST_HOST}:{chrony.port}")
        image = bench.folder / "flash.img"
        make_image(flash_tool_of(board), bench.write("device.conf", text_of(config)), image)
        extra, out = plugin(board, bench.folder)
        with Board(board, elf_of(board), image, extra=extra) as device:
            device.wait(r" accepted by ", MAIL_LIMIT_S)
            since = device.mark()
            device.command("alert crit the second mail, over a resumed session")
            device.wait(r" accepted by ", MAIL_LIMIT_S, since)
            status = device.command("status")
        return *read_counts(out), status


def first_and_second(marks):
    """{mark: (count, parts)} of the first mail and of the second."""
    first, second = {}, {}
    for name, count, parts in marks:
        if name not in first:
            first[name] = (count, parts)
        elif name not in second and "accepted" in first:
            second[name] = (count, parts)
    for name in ("connect", "tls_ready", "accepted"):
        if name not in first or name not in second:
            raise Failure(f"the firmware did not get to mark_{name} in both mails")
    return first, second


def rows_of(marks, calls):
    """The rows (label, instructions) in order; what is part of a row begins with blanks."""
    first, second = first_and_second(marks)
    connect, ready, accepted = (first[name][0] for name in ("connect", "tls_ready", "accepted"))
    operations = {}
    for name, begin, end in calls:
        if connect <= begin < ready:
            count, total = operations.get(name, (0, 0))
            operations[name] = (count + 1, total + end - begin)
    rows = [("reset to TCP connection", connect), ("TLS handshake", ready - connect)]
    rows += [(f"  {name}" + (f", {count} times" if count > 1 else ""), total)
             for name, (count, total) in operations.items()]
    rows += [("  the rest of the handshake",
              ready - connect - sum(total for _, total in operations.values())),
             ("AUTH, envelope, message, 250", accepted - ready),
             ("reset to 250", accepted),
             ("second mail: TLS handshake", second["tls_ready"][0] - second["connect"][0]),
             ("second mail: TCP connection to 250", second["accepted"][0] - second["connect"][0])]
    return rows


def parts_of(marks):
    """{part: instructions} from reset to the first 250."""
    return first_and_second(marks)[0]["accepted"][1]


def markdown(board, results, queue, polls, ram):
    """One table of what is done, one of where the instructions are spent, one of the queue, one of
    the mailbox, one of RAM."""
    kinds = list(results)
    lines = []
    for title, columns in (("guest instructions", {kind: results[kind][0] for kind in kinds}),
                           ("by part, reset to 250", {kind: results[kind][1] for kind in kinds})):
        labels = list(dict.fromkeys(label for rows in columns.values() for label, _ in rows))
        # Operations of one kind of certificate only are put where that kind has them.
        labels.sort(key=lambda label: max((
            [name for name, _ in rows].index(label) for rows in columns.values()
            if label in dict(rows)), default=0))
        lines += [f"| {board}: {title} | " + " | ".join(f"{kind} chain" for kind in kinds) + " |",
                  "|---|" + "---:|" * len(kinds)]
        for label in labels:
            shown = label.replace("  ", "&nbsp;&nbsp;", 1) if label.startswith("  ") else label
            cells = [f"{dict(columns[kind])[label]:,}" if label in dict(columns[kind]) else ""
                     for kind in kinds]
            lines.append(f"| {shown} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [f"| {board}: the queue in flash | |", "|---|---:|"]
    lines += [f"| {label} | {figure} |" for label, figure in queue]
    lines += ["", f"| {board}: a look into the mailbox | bytes | POP3 | turns | instructions |",
              "|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join([label, *(f"{figure:,}" for figure in figures)]) + " |"
              for label, *figures in polls]
    lines += ["", f"| {board}: RAM | bytes |", "|---|---:|"]
    lines += [f"| {label} | {figure} |" for label, figure in ram]
    return "\n".join(lines)


def ram_of(board, stacks):
    """RAM of the firmware, and of its stack as much as was used; stacks: (what was done, `status`'s line)."""
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "size.py"), "--line", board], capture_output=True,
                          text=True, check=True)
    total = re.search(r"([\d,]+) of RAM", done.stdout)
    rows = [("in all, the whole stack included", total[1])]
    for what, line in stacks:
        used = re.search(r"(\d+) of (\d+) bytes", line or "")
        if not used:
            raise Failure(f"status does not tell of the stack: {line}")
        rows.append((f"stack used at most, {what} (of {int(used[2]):,})", f"{int(used[1]):,}"))
    return rows


def plain(table):
    """A Markdown table for the screen."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    width = max(len(row[0]) for row in rows) + 2
    for row in rows:
        if row == [""]:
            print()
        elif not row[0].startswith("---"):
            label = row[0].replace("&nbsp;", " ")
            print(f"{label:{width}}" + "".join(f"{cell:>16}" for cell in row[1:]))


def main():
    parser = argparse.ArgumentParser(description="guest instructions of a whole send")
    parser.add_argument("--board", default="emcraft-sf2")
    parser.add_argument("--update", action="store_true", help="write README.md's tables")
    arguments = parser.parse_args()
    board = arguments.board
    try:
        results, stacks = {}, []
        for certificate, title in CHAINS.items():
            print(f"bench: {board}, two mails to a server with an {title} chain", flush=True)
            marks, calls, status = measure(board, certificate)
            parts = sorted(parts_of(marks).items(), key=lambda item: -item[1])
            results[title] = (rows_of(marks, calls), [item for item in parts if item[1]])
            stack = next((line for line in status if line.startswith("stack")), "")
            stacks.append((f"sending alerts, {title} chain", stack))
        print(f"bench: {board}, {ALERTS:,} alerts for a server that is away", flush=True)
        queue = measure_queue(board)
        print(f"bench: {board}, a mailbox of {KEPT:,} messages", flush=True)
        polls, stack_with_orders = measure_polls(board)
        ram = ram_of(board, [*stacks, ("reading mail, taking orders", stack_with_orders)])
        table = markdown(board, results, queue, polls, ram)
        print()
        plain(table)
        if arguments.update:
            _, new = size.replace_between(ROOT / "README.md", BEGIN, END, table)
            (ROOT / "README.md").write_text(new, encoding="utf-8")
    except (Failure, size.Failure, OSError, RuntimeError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except Exception as problem:  # pylint: disable=broad-except
        # What the harness and the servers raise says in words what went wrong.
        if type(problem).__name__ not in ("BoardError", "ImageError", "PeerError"):
            raise
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
