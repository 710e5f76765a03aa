#!/usr/bin/env python3
"""Makes MIME messages of every kind and judges what net/transcode.h made of them, for tests/unit/test_transcode.c.

Usage: check_transcode.py write FOLDER COUNT SEED
       check_transcode.py check FOLDER COUNT SEED

The first writes NAME.eml; the test adds NAME.7bit (for a server without 8BITMIME) and NAME.8bit, where a
message is in need of it. The second makes the same messages again, reads the results with Python's own
e-mail package and compares each leaf with the bytes that went into it. Ends with status 1 after the first
message that is not right.
"""

import base64
import binascii
import email
import email.policy
import pathlib
import quopri
import random
import re
import sys

BOUNDARIES = ("b", "bb", "b-", "bbb", "b=", "b=3D", "=_x", "----=_Part", "a b", "x" * 70, "(1:2)", "'+_,-./:=?",
              "--", "-")
WORDS = ("plain", "Größe", "съешь", "漢字", "a=b", "=3D", "From", ".", "..", "--", "-", "--b", "x" * 60,
         "tab\there", "end ")
ENCODINGS = {"none": None, "seven": "7bit", "eight": "8bit", "binary": "Binary", "odd": "8-bit",
             "comment": "8bit (no less)"}


class Leaf:
    """A part of its own: its type's field, its encoding's field, the bytes that are written, and those meant."""

    def __init__(self, rng, eol, outer):
        self.kind = rng.choice(("plain", "plain", "plain", "bare", "html", "bytes", "json", "wide", "latin", "ascii"))
        self.types = {"plain": "text/plain; charset=utf-8", "bare": None, "html": "text/html",
                      "bytes": "application/octet-stream",
                      "json": "application/json; x=\"a;charset=no\"", "wide": "text/plain; charset=UTF-16LE",
                      "latin": "text/plain;\tformat=flowed;" + eol + " charset=\"iso-8859-1\"",
                      "ascii": "TEXT/Plain; Charset=\"US-ASCII\" (so it says);" + eol + "\tformat=fixed"}
        self.type = self.types[self.kind]
        self.meant = content(rng, self.kind, eol)
        if self.kind == "ascii" and rng.random() < 0.3:
            self.type = "text/plain; charset = us-ascii"
        for boundary in outer:  # What looks like a boundary, and is none.
            if rng.random() < 0.1:
                self.meant += (eol + "--" + boundary + rng.choice(("x", "-", "---", "é", "=")) + eol).encode()
        if self.has_boundary(self.meant, outer):
            self.meant = b"harmless" + eol.encode()
        if outer and self.meant.endswith(b"\r"):
            self.meant += b"."
        self.loose = False
        self.encoding = rng.choice(("none", "seven", "eight", "binary", "odd", "comment", "base64", "quoted"))
        if self.encoding == "quoted" and self.kind in ("bytes", "wide"):
            self.encoding = "base64"
        self.raw = self.meant
        if self.encoding == "base64":
            self.raw = self.base64(rng, eol)
        elif self.encoding == "quoted":
            self.raw = self.quoted(rng, eol)
        if self.has_boundary(self.raw, outer):
            self.meant = self.raw = b"harmless"
            self.encoding = "seven"
        self.encoding_value = ENCODINGS.get(self.encoding) or {
            "base64": "BASE64", "quoted": "quoted-printable"}.get(self.encoding)

    @staticmethod
    def has_boundary(raw, outer):
        lines = [line.rstrip(b" \t") for line in re.split(rb"[\r\n]", raw)]
        return any(line in (b"--" + b.encode(), b"--" + b.encode() + b"--") for line in lines for b in outer)

    def base64(self, rng, eol):
        size = rng.choice((76, 76, 76, 60, 4000))
        text = base64.b64encode(self.meant).decode()
        lines = [text[i:i + size] for i in range(0, len(text), size)]
        if rng.random() < 0.2 and lines:
            lines.insert(rng.randrange(len(lines)), "\xff\xfe garbage".replace("garbage", "") + "\0")
        return (eol.join(lines) + rng.choice(("", eol))).encode("latin-1")

    def quoted(self, rng, eol):
        self.meant = self.meant.replace(b"\r\n", b"\n").replace(b"\r", b"")
        text = quopri.encodestring(self.meant).replace(b"\n", eol.encode())
        self.meant = self.meant.replace(b"\n", eol.encode())
        if rng.random() < 0.3:  # Bytes that have no business there stand for themselves.
            garbage = rng.choice((b"\xc3\xbc", b"\xff", b"=\xe9", b"=A\xe9", b"=3\xff=", b"=G", b"= x", b"y" * 3000,
                                  b"=C3=BC" * 400,
                                  b"--" * 900, b"\0"))
            text = b"x" + garbage + b"." + eol.encode() + text
            self.meant = quopri.decodestring(b"x" + garbage + b".") + eol.encode() + self.meant
        return text

    def header(self):
        fields = []
        if self.type is not None:
            fields.append("Content-Type: " + self.type)
        if self.encoding_value is not None:
            fields.append("content-transfer-encoding: " + self.encoding_value)
        return fields

    def leaves(self):
        return [self]

    def trail(self, eol):
        self.loose = True  # Python gives it to nobody.


class Multipart:
    def __init__(self, rng, eol, outer, depth):
        self.boundary = rng.choice(BOUNDARIES)
        while any(self.boundary in (other, other + "--") or self.boundary + "--" == other for other in outer):
            self.boundary += rng.choice("abc-=")
        self.subtype = rng.choice(("mixed", "alternative", "signed", "related", "x-new"))
        outer = outer + [self.boundary]
        self.parts = [make(rng, eol, outer, depth + 1) for _ in range(rng.randint(1, 4))]
        self.encoding_value = rng.choice((None, None, "7bit", "8bit", "binary"))
        blanks = rng.choice(("", "", " ", "\t "))
        raw = [rng.choice(("", "This is MIME." + eol, "Vor dem ersten Teil steht grüßend" + eol, "y" * 2000 + eol))]
        for part in self.parts:
            raw.append("--" + self.boundary + blanks + eol)
            raw.append(join(part, rng, eol))
            raw.append(eol)
        self.closed = rng.random() < 0.8
        if self.closed:
            raw.append("--" + self.boundary + "--" + blanks)
            raw.append(rng.choice(("", eol, eol + "Nachwörter" + eol, eol + eol + "--" + self.boundary + "x" + eol)))
        self.raw = b"".join(part if isinstance(part, bytes) else part.encode() for part in raw)
        if not self.closed:
            self.trail(eol)

    def trail(self, eol):
        """Without a last boundary the line ends behind the last part belong to the part."""
        if not self.closed:
            self.parts[-1].trail(eol)

    def header(self):
        quoted = "\"%s\"" % self.boundary
        space = " " if len(self.boundary) % 2 else ""
        if len(self.boundary) < 3:
            quoted = "\"%s \"" % self.boundary  # RFC 2046 5.1.1: the blank cannot be part of it.
        fields = ["Content-Type: multipart/%s; x=\"boundary=no\";%s boundary=%s" % (self.subtype, space, quoted)]
        if self.encoding_value is not None:
            fields.append("Content-Transfer-Encoding: " + self.encoding_value)
        return fields

    def leaves(self):
        return [leaf for part in self.parts for leaf in part.leaves()]


class Message:
    def __init__(self, rng, eol, outer, depth):
        self.part = make(rng, eol, outer, depth + 1)
        subject = rng.choice(("plain", "=?utf-8?Q?W=C3=B6rter?=", "Größe 7 Prüfung", "x " * 800, "ein ü"))
        fields = ["From: \"Jürgen Müller\" <a@example.com>" if rng.random() < 0.3 else "From: a@example.com",
                  "Subject: " + subject]
        self.raw = "".join(field + eol for field in fields).encode() + join(self.part, rng, eol)

    def header(self):
        return ["Content-Type: message/rfc822"]

    def leaves(self):
        return self.part.leaves()

    def trail(self, eol):
        self.part.trail(eol)


def content(rng, kind, eol):
    """Bytes of a leaf."""
    if kind == "wide":
        return ("Größe" + eol + "漢字\u0a0d\u0d0a").encode("utf-16-le")
    if kind == "bytes" and rng.random() < 0.7:
        return rng.randbytes(rng.choice((0, 1, 2, 3, 100, 5000)))
    lines = []
    for _ in range(rng.randint(0, 8)):
        lines.append(" ".join(rng.choice(WORDS) for _ in range(rng.choice((0, 1, 3, 8, 30)))))
    shape = rng.random()
    if shape < 0.3:  # Nothing to do.
        lines = [line.encode("ascii", "ignore").decode()[:900] for line in lines]
    elif shape < 0.4:
        lines.append("z" * rng.choice((997, 998, 999, 1022, 1023, 1024, 1025, 3000, 70000)))
    elif shape < 0.5:
        lines.append("nul \0 and cr \r here\r")
    elif shape < 0.55:
        lines.append("other\r\nend")
    text = eol.join(lines) + rng.choice(("", eol, eol, eol + eol, " ", "\t" + eol))
    if rng.random() < 0.2:
        return text.encode("latin-1", "ignore")
    return text.encode()


def make(rng, eol, outer, depth):
    kind = rng.random()
    if depth < 6 and kind < (0.5 if depth == 0 else 0.25):
        return Multipart(rng, eol, outer, depth)
    if depth > 0 and depth < 6 and kind < 0.35:
        return Message(rng, eol, outer, depth)
    return Leaf(rng, eol, outer)


def join(part, rng, eol):
    fields = part.header()
    rng.shuffle(fields)
    if rng.random() < 0.2:
        fields.insert(0, rng.choice(("X-Other: value", "Content-Description: ein Wörtchen",
                                     "Content-Disposition: attachment; filename=\"prüfung 1.txt\"")))
    return "".join(field + eol for field in fields).encode() + eol.encode() + part.raw


def message(rng):
    eol = rng.choice(("\n", "\n", "\r\n"))
    part = make(rng, eol, [], 0)
    header = ["From: a@example.com", "To: b@example.com", "Subject: test"]
    if rng.random() < 0.7:
        header.append("MIME-Version: 1.0")
    top = "\n" if rng.random() < 0.5 else eol  # net/message.h writes LF.
    fields = [field.replace(eol, top) for field in header + part.header()]
    return part, eol, "".join(field + top for field in fields).encode() + top.encode() + part.raw


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def parsed_leaves(mail):
    """Leaves in order; what a digest or an attached message holds, too."""
    if mail.is_multipart():
        return [leaf for part in mail.get_payload() for leaf in parsed_leaves(part)]
    return [mail]


def decoded(part):
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).lower().split()[0]
    if encoding not in ("base64", "quoted-printable"):
        return encoding, part.get_payload(decode=True)
    del part["Content-Transfer-Encoding"]
    raw = part.get_payload(decode=True)
    if encoding == "base64":
        return encoding, binascii.a2b_base64(re.sub(rb"[^A-Za-z0-9+/=]", b"", raw))
    return encoding, quopri.decodestring(raw)


def check_leaf(leaf, part, eight_bit_ok):
    encoding, have = decoded(part)
    want = leaf.meant
    if leaf.encoding != "base64" and leaf.kind not in ("bytes", "json", "wide") and have != want:
        have, want = have.replace(b"\r\n", b"\n"), want.replace(b"\r\n", b"\n")  # The same text.
    if leaf.loose or leaf.encoding == "quoted":  # Its line ends are those of the message.
        have = re.sub(rb"[\r\n]+\Z", b"", have)
        want = re.sub(rb"[\r\n]+\Z", b"", want)
        if encoding == "base64" and have != want:
            want = want.replace(b"\r\n", b"\n")
    at = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
    check(have == want, f"{leaf.kind} {leaf.encoding} {encoding} at {at} of {len(have)} and {len(want)}: "
          f"{have[max(at - 40, 0):at + 40]!r} is not {want[max(at - 40, 0):at + 40]!r}")
    check(encoding != "binary", "still binary")
    check(eight_bit_ok or encoding not in ("8bit", "binary"), f"still {encoding}")
    if encoding not in ("base64", "quoted-printable") or leaf.encoding in ("base64", "quoted"):
        return
    eight_bit = any(byte >= 0x80 for byte in leaf.meant)
    charset = (part.get_content_charset() or "").split(" ")[0]
    if eight_bit and leaf.kind in ("bare", "ascii"):
        try:
            leaf.meant.decode("utf-8")
            check(charset == "utf-8", f"{leaf.kind}: charset {charset}")
        except UnicodeDecodeError:
            check(charset == "iso-8859-1", f"{leaf.kind}: charset {charset}")
    if leaf.kind in ("plain", "latin", "wide"):
        check(charset == {"plain": "utf-8", "latin": "iso-8859-1", "wide": "utf-16le"}[leaf.kind], f"charset {charset}")


def check_result(part, eol, before, after, eight_bit_ok):
    lines = re.split(rb"\r?\n", after)
    check(max(map(len, lines)) <= 998, "a line over 998")
    check(eight_bit_ok or max(after, default=0) < 0x80, "8 bits")
    check(b"\0" not in after, "NUL")
    check(not re.search(rb"\r(?!\n)", after), "a bare CR")
    mail = email.message_from_bytes(after, policy=email.policy.compat32)
    check(mail["MIME-Version"] == "1.0" or b"MIME-Version" not in before, "MIME-Version")
    have = parsed_leaves(mail)
    want = part.leaves()
    check(len(have) == len(want), f"{len(have)} leaves, not {len(want)}")
    for leaf, result in zip(want, have):
        check_leaf(leaf, result, eight_bit_ok)


def main():
    verb, folder, count, seed = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    results = 0
    for number in range(count):
        part, eol, before = message(random.Random(seed * 1000003 + number))
        path = folder / f"{number}.eml"
        if verb == "write":
            path.write_bytes(before)
            continue
        for suffix in (".7bit", ".8bit"):
            result = path.with_suffix(suffix)
            if result.exists():
                results += 1
                try:
                    check_result(part, eol, before, result.read_bytes(), suffix == ".8bit")
                except (AssertionError, ValueError) as error:
                    print(f"{result}: {type(error).__name__}: {error}", file=sys.stderr)
                    return 1
    if verb == "check":
        check(results > count // 2, f"only {results} results")
        print(f"{results} messages are as they were meant")
    return 0


if __name__ == "__main__":
    sys.exit(main())
