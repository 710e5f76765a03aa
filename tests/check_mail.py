#!/usr/bin/env python3
"""Reads composed mails with Python's own e-mail package and compares them with what was meant.

Usage: check_mail.py FOLDER

FOLDER holds pairs NAME.eml and NAME.expect; the latter has a line "key: value" for each thing to
compare (UTF-8): text, subject, from, name, to, encoding, importance, date, automatic (generated or
replied), thread (the identifier that In-Reply-To and References give), attachment (its file name),
csv (its rows, fields joined by "|", rows by "/"), end (the last lines of the text, joined by "/"), the
name of a line in the body after a slash, or a body line's number after an at sign. A key that is
missing is not compared, but the form of every mail is checked. Ends with status 1 after the first mail
that is not right.
"""

import base64
import csv
import email
import email.policy
import email.utils
import io
import pathlib
import re
import sys

ONCE = ("From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding", "Auto-Submitted", "X-Auto-Response-Suppress", "Importance",
        "X-Priority", "X-Tocsin-Severity", "X-Tocsin-Device")
MAYBE = ("Date", "In-Reply-To", "References")
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
        check(len(line) <= 78 or re.search(rb"^(\S+:)? (\S+@\S+|<\S+>)$", line), f"a long header: {line!r}")
        words = list(ENCODED_WORD.finditer(line))
        if words and line.startswith((b"Subject", b"From", b" ", b"X-Tocsin-Device")):
            check(len(line) <= 76, f"a line with encoded-words over 76: {line!r}")
        for word in words:
            check(len(word.group()) <= 75, "an encoded-word over 75")
            check(word.group(1, 2) == (b"UTF-8", b"B"), "not our kind of encoded-word")
            base64.b64decode(word.group(3), validate=True).decode("utf-8")  # Whole characters.
    return lines[len(header) + 1:]


def check_lines(lines, encoding):
    """What holds for the lines of a body or of one part of it."""
    eight_bit = any(byte >= 0x80 for line in lines for byte in line)
    check(eight_bit == (encoding == "8bit"), f"{encoding} with eight bits: {eight_bit}")
    longest = 76 if encoding == "quoted-printable" else 78
    check(all(len(line.decode("utf-8")) <= longest for line in lines), "a long body line")
    check(not any(line.startswith(b"From ") for line in lines), "a line like mbox's separator")
    check(encoding != "quoted-printable" or not any(line.startswith(b".") for line in lines),
          "a dot at a line's beginning")
    check(not any(line.endswith((b" ", b"\t")) for line in lines), "blanks at a line's end")


def check_parts(mail):
    """A text and a table, each quoted-printable, and nothing around them (RFC 2046 5.1, RFC 4180)."""
    check(mail["Content-Transfer-Encoding"] == "7bit", "the encoding of a multipart message")
    check([part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/csv"], "parts")
    check(not mail.preamble and not mail.epilogue, "text between the parts")
    for part in mail.iter_parts():
        check(not part.defects, part.defects)
        check(part.get_content_charset() == "utf-8", "the charset of a part")
        check(part["Content-Transfer-Encoding"] == "quoted-printable", "the encoding of a part")
    check(part["Content-Type"].params["header"] == "present", "the table's header")
    check(part.is_attachment(), "the table is no attachment")


def check_form(mail, body_lines):
    check(not mail.defects, mail.defects)
    for name in ONCE:
        check(len(mail.get_all(name, [])) == 1, f"{name} is not there once")
    check(set(mail.keys()) <= set(ONCE + MAYBE), f"headers of somebody else: {set(mail.keys())}")
    for name in MAYBE:
        check(len(mail.get_all(name, [])) <= 1, f"two of {name}")
    check(mail["In-Reply-To"] == mail["References"], "In-Reply-To and References")
    for name, value in mail.items():
        check(not value.defects, f"{name}: {value.defects}")
    check(mail["Auto-Submitted"] in ("auto-generated", "auto-replied"), "Auto-Submitted")
    check(mail["MIME-Version"] == "1.0", "MIME-Version")
    if mail.is_multipart():
        check_parts(mail)
        check_lines(body_lines, "quoted-printable")
    else:
        check(mail.get_content_type() == "text/plain" and mail.get_content_charset() == "utf-8", "type")
        check_lines(body_lines, mail["Content-Transfer-Encoding"])


def table(mail):
    """The attachment's name and rows."""
    for part in mail.iter_attachments():
        rows = list(csv.reader(io.StringIO(part.get_content(), newline=""), strict=True))
        return part.get_filename(), "/".join("|".join(row) for row in rows)
    return "", ""


def compare(mail, expected):
    sender = mail["From"].addresses[0]
    text = mail.get_body(("plain",))
    content = text.get_content().replace("\r\n", "\n")  # Decoded quoted-printable keeps its CR.
    attachment, rows = table(mail)
    found = {
        "text": content.split("\n")[0],
        "subject": mail["Subject"],
        "from": sender.addr_spec,
        "name": sender.display_name,
        "to": ",".join(address.addr_spec for address in mail["To"].addresses),
        "encoding": mail["Content-Transfer-Encoding"],
        "importance": mail["Importance"],
        "automatic": mail["Auto-Submitted"][len("auto-"):],
        "thread": (mail["References"] or "").strip("<>"),
        "attachment": attachment,
        "csv": rows,
        "end": "/".join(content.rstrip("\n").split("\n")[-3:]),
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
