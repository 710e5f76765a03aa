#!/usr/bin/env python3
"""Reads composed mails with Python's own e-mail package and compares them with what was meant.

Usage: check_mail.py FOLDER

FOLDER holds pairs NAME.eml and NAME.expect; the latter has a line "key: value" for each thing to
compare (UTF-8): text, subject, from, name, to, encoding, importance, date, the name of a line in the
body after a slash, or a body line's number after an at sign. A key that is missing is not compared,
but the form of every mail is checked. Ends with status 1 after the first mail that is not right.
"""

import base64
import email
import email.policy
import email.utils
import pathlib
import re
import sys

ONCE = ("From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding", "Auto-Submitted", "X-Auto-Response-Suppress", "Importance",
        "X-Priority", "X-Tocsin-Severity", "X-Tocsin-Device")
ENCODED_WORD = re.compile(rb"=\?([^? ]*)\?([^? ]*)\?([^? ]*)\?=")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_raw(raw):
    """What holds for the bytes, whatever they say."""
    check(raw.endswith(b"\r\n"), "no CRLF at the end")
    lines = raw[:-2].split(b"\r\n")
    check(not any(re.search(rb"[\r\n\0]", line) for line in lines), "bare CR, LF or NUL")
    check(max(map(len, lines)) <= 998, "a line over 998")
    header = lines[:lines.index(b"")]
    for line in header:
        check(line.strip() != b"", "a header line of blanks")
        check(all(0x20 <= byte < 0x7f for byte in line), f"no printable ASCII: {line!r}")
        check(not re.fullmatch(rb"\S+:", line), f"nothing on a header's first line: {line!r}")
        check(len(line) <= 78 or re.search(rb"^(\S+:)? \S+@\S+$", line), f"a long header: {line!r}")
        words = list(ENCODED_WORD.finditer(line))
        if words and line.startswith((b"Subject", b"From", b" ", b"X-Tocsin-Device")):
            check(len(line) <= 76, f"a line with encoded-words over 76: {line!r}")
        for word in words:
            check(len(word.group()) <= 75, "an encoded-word over 75")
            check(word.group(1, 2) == (b"UTF-8", b"B"), "not our kind of encoded-word")
            base64.b64decode(word.group(3), validate=True).decode("utf-8")  # Whole characters.
    return lines[len(header) + 1:]


def check_form(mail, body_lines):
    check(not mail.defects, mail.defects)
    for name in ONCE:
        check(len(mail.get_all(name, [])) == 1, f"{name} is not there once")
    known = set(ONCE) | {"Date"}
    check(set(mail.keys()) <= known, f"headers of somebody else: {set(mail.keys()) - known}")
    check(len(mail.get_all("Date", [])) <= 1, "two dates")
    for name, value in mail.items():
        check(not value.defects, f"{name}: {value.defects}")
    check(mail["Auto-Submitted"] == "auto-generated", "Auto-Submitted")
    check(mail["MIME-Version"] == "1.0", "MIME-Version")
    check(mail.get_content_type() == "text/plain" and mail.get_content_charset() == "utf-8", "type")
    encoding = mail["Content-Transfer-Encoding"]
    eight_bit = any(byte >= 0x80 for line in body_lines for byte in line)
    check(eight_bit == (encoding == "8bit"), f"{encoding} with eight bits: {eight_bit}")
    longest = 76 if encoding == "quoted-printable" else 78
    check(all(len(line.decode("utf-8")) <= longest for line in body_lines), "a long body line")
    check(not any(line.startswith(b"From ") for line in body_lines), "a line like mbox's separator")
    check(encoding != "quoted-printable" or not any(line.startswith(b".") for line in body_lines),
          "a dot at a line's beginning")
    check(not any(line.endswith((b" ", b"\t")) for line in body_lines), "blanks at a line's end")


def compare(mail, expected):
    sender = mail["From"].addresses[0]
    content = mail.get_content().replace("\r\n", "\n")  # Decoded quoted-printable keeps its CR.
    found = {
        "text": content.split("\n")[0],
        "subject": mail["Subject"],
        "from": sender.addr_spec,
        "name": sender.display_name,
        "to": ",".join(address.addr_spec for address in mail["To"].addresses),
        "encoding": mail["Content-Transfer-Encoding"],
        "importance": mail["Importance"],
        "date": email.utils.parsedate_to_datetime(mail["Date"]).isoformat() if mail["Date"] else "",
    }
    lines = content.split("\n")
    facts = dict(line.split(": ", 1) for line in lines[2:] if ": " in line)
    for key, value in expected.items():
        if key.startswith("@"):
            got = lines[int(key[1:])]
        else:
            got = facts.get(key[1:], "") if key.startswith("/") else found[key]
        check(got == value, f"{key}: expected {value!r}, got {got!r}")


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.eml"))
    check(paths, "no mail")
    for path in paths:
        try:
            raw = path.read_bytes()
            body_lines = check_raw(raw)
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            check_form(mail, body_lines)
            expected = path.with_suffix(".expect").read_text("utf-8").split("\n")
            compare(mail, dict(line.split(": ", 1) for line in expected if line))
        except (AssertionError, ValueError, KeyError, IndexError, AttributeError) as error:
            print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
    print(f"{len(paths)} mails are as they were meant")
    return 0


if __name__ == "__main__":
    sys.exit(main())
