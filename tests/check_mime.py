#!/usr/bin/env python3
"""Writes mails, made and read back by Python's own e-mail package, for tests/unit/test_mime.c.

Usage: check_mime.py FOLDER COUNT SEED

Each mail is a pair NAME.eml and NAME.expect in FOLDER. The latter has lines "H Name: value" for fields
that must be told, an empty line, and the text. What is expected is what went into the mail; where
Python undoes the same encodings it must come to the same. Ends with status 1 if it does not.
"""

import base64
import email
import email.charset
import email.header
import email.policy
import html
import pathlib
import quopri
import random
import re
import sys

CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1251", "windows-1252", "koi8-r", "koi8-u")
LETTERS = {
    "utf-8": "abcxyz éüñ €– Жыщъ Ґї 漢字 🔥👍🏽 ٣ ",
    "us-ascii": "abcdefxyz ABC.,;:!?=_-()<>@\"'/\\ 0123 ",
    "iso-8859-1": "abc é ü ñ ß £ ¿ÀÿÆ =? ?= ",
    "iso-8859-15": "abc é € Šš Žž Œœ Ÿ ",
    "windows-1251": "Съешь ещё этих мягких французских булок №— «»Ґґ abc ",
    "windows-1252": "naïve €‚„…†‡‰Š‹ŒŽ‘’“”•–—™š›œžŸ ",
    "koi8-r": "Да выпей же чаю ЁёЪъ ─│┌ ≈≤≥ ⌠⌡°²·÷ © abc ",
    "koi8-u": "Київ ґанок їжак єнот Є І Ї Ґ ═║ abc ",
}


def words(rng, charset, count):
    letters = LETTERS[charset].replace(" ", "")
    return ["".join(rng.choice(letters) for _ in range(rng.randint(1, 9))) for _ in range(count)]


def sentence(rng, charset, most):
    return " ".join(words(rng, charset, rng.randint(1, most)))


def text_lines(rng, charset):
    lines = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.15 and lines:
            lines.append("")
        elif kind < 0.3:
            lines.append(rng.choice(["--", "-", "--x", "=", "=3D", "> quoted", ">>two", "-- ", ".", "..", "From me",
                                     "a\tb", "otp 8 ROME MUG", "a=b=", "&lt;", "+/="]))
        elif kind < 0.4:
            lines.append(sentence(rng, charset, 60))
        else:
            lines.append(sentence(rng, charset, 8))
    if not lines[0].strip():
        lines[0] = "first"
    return lines + ["last"]  # An empty one would lose its end to a boundary.


def encode_words(rng, text, charset):
    """A header's value by any of the ways in use."""
    way = rng.randrange(4)
    if charset == "us-ascii":
        return fold(rng, text)
    if way == 0:
        kind = email.charset.Charset(charset)
        kind.header_encoding = rng.choice((email.charset.QP, email.charset.BASE64))
        return email.header.Header(text, kind, maxlinelen=76).encode()
    if way == 1 and charset == "utf-8":
        # By bytes: characters are split between words, as some programs do.
        raw = text.encode(charset)
        size = rng.randint(1, 40)
        parts = [raw[i:i + size] for i in range(0, len(raw), size)]
    else:
        size = rng.randint(1, 12)
        parts = [text[i:i + size].encode(charset) for i in range(0, len(text), size)]
    out = []
    for part in parts:
        name = rng.choice((charset, charset.upper()))
        if rng.random() < 0.5:
            out.append(f"=?{name}?{rng.choice('bB')}?{base64.b64encode(part).decode()}?=")
        else:
            out.append(f"=?{name}?{rng.choice('qQ')}?" + "".join(
                "_" if byte == 32 else chr(byte) if chr(byte).isalnum() and byte < 128
                else f"={byte:02X}" for byte in part) + "?=")
    return rng.choice((" ", "\n ", "\n\t", "  ")).join(out)


def fold(rng, text):
    """Lines are broken before blanks."""
    return "".join("\n " if c == " " and rng.random() < 0.2 else c for c in text)


def quoted_printable(rng, raw):
    out = quopri.encodestring(raw)
    if rng.random() < 0.3:
        out = re.sub(rb"=([0-9A-F]{2})", lambda m: m.group().lower(), out)
    return out


def base64_lines(rng, raw):
    size = rng.choice((4, 60, 76, 76, 998))
    text = base64.b64encode(raw).decode()
    return "\n".join(text[i:i + size] for i in range(0, len(text), size)).encode() + b"\n"


def flowed(rng, paragraphs, delete_space):
    """RFC 3676 section 4.2, by hand: Python has no such thing. Gives lines."""
    lines = []
    for depth, text in paragraphs:
        marks = ">" * depth
        pieces = [text]
        while text != "-- " and len(pieces[-1]) > 60:
            cut = pieces[-1].rfind(" ", 1, 60) + 1
            if delete_space and rng.random() < 0.5:
                cut = rng.randint(20, 50)
            if cut < 2:
                break
            pieces[-1:] = [pieces[-1][:cut], pieces[-1][cut:]]
        # What flows ends in a space: with DelSp one more than the text has.
        pieces = [piece + " " * delete_space for piece in pieces[:-1]] + pieces[-1:]
        for piece in pieces:
            stuffed = depth > 0 or piece.startswith((" ", ">", "From ")) or piece == ""
            stuff = " " if stuffed and piece != "" else ""
            lines.append(marks + stuff + piece)
    return lines


def flowed_text(rng, charset, delete_space):
    paragraphs = []
    for _ in range(rng.randint(1, 8)):
        text = sentence(rng, charset, 40).strip()
        depth = rng.choice((0, 0, 0, 1, 2))
        paragraphs.append((depth, "-- " if rng.random() < 0.1 else "" if rng.random() < 0.2 else text))
    paragraphs[0] = (0, "first")
    paragraphs.append((0, "last"))
    told = [(">" * depth + " " if depth and text else ">" * depth) + text for depth, text in paragraphs]
    return flowed(rng, paragraphs, delete_space), told


def page(rng, lines):
    """HTML of lines, each of which is told on its own."""
    out = ["<html><head><style>b { color: red }</style><title>no</title></head><body>"]
    for line in lines:
        line = re.sub(r"\s+", " ", line).strip()
        said = html.escape(line, quote=rng.random() < 0.5)
        if rng.random() < 0.3:
            said = "".join(c if c in " &;#" or c.isalnum() and c.isascii() else f"&#{ord(c)};" for c in line
                           ) if "&" not in line else said
        said = "".join("\n  " if c == " " and rng.random() < 0.2 else c for c in said)
        kind = rng.randrange(4) if line else 3
        out.append((f"<div class=\"a>b\">{said}</div>", f"<p>{said}\n</p>", f"<b>{said}</b><br>",
                    f"<div>{said}<br></div><!-- {said} -->")[kind])
    return out + ["</body></html>"]


def page_text(lines):
    return [re.sub(r"\s+", " ", line).strip() for line in lines]


def transfer(rng, lines, charset, eol, allowed=("7bit", "8bit", "quoted-printable", "base64")):
    """Gives the encoding's name and the body's lines as bytes, ended by LF."""
    raw = "\n".join(lines).encode(charset) + b"\n"
    name = rng.choice(allowed)
    if name == "7bit" and any(byte > 127 for byte in raw):
        name = "8bit"
    if name == "base64":
        return name, base64_lines(rng, raw.replace(b"\n", eol))
    if name == "quoted-printable":
        return name, quoted_printable(rng, raw)
    return name, raw


def part(kind, charset, encoding, body, more=""):
    return (f"Content-Type: {kind}; charset={charset}{more}\nContent-Transfer-Encoding: {encoding}\n\n").encode() + body


def wrap(rng, subtype, parts):
    boundary = "".join(rng.choice("abc'()+_,-./:=?019") for _ in range(rng.randint(1, 69))) + "x"
    while any(("--" + boundary).encode() in piece for piece in parts):
        boundary = "b" + boundary[:60]
    out = [f"Content-Type: multipart/{subtype};\n\tboundary=\"{boundary}\"\n\n".encode()]
    if rng.random() < 0.5:
        out.append(b"This is a message in parts.\n--\n--" + boundary.encode()[:-1] + b"\n")
    for piece in parts:
        out.append(f"--{boundary}{rng.choice(('', '', ' '))}\n".encode() + piece)
    if rng.random() < 0.9:
        out.append(f"--{boundary}--\n".encode())
        out.append(rng.choice((b"", b"\nepilogue\n")))
    return b"".join(out)


def attachment(rng):
    data = base64_lines(rng, rng.randbytes(rng.randint(0, 300)))
    return b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n" \
           b"Content-Disposition: attachment; filename*=UTF-8''%D1%84.bin\n\n" + data


def forwarded(_rng):
    return b"Content-Type: message/rfc822\n\nSubject: forwarded\n\nnot the text\n"


def body(rng, charset, eol):
    """A part with the text: gives it, the lines that are told, and whether Python can tell too."""
    kind = rng.random()
    if kind < 0.5:
        lines = text_lines(rng, charset)
        encoding, raw = transfer(rng, lines, charset, eol)
        if encoding in ("7bit", "8bit"):
            return part("text/plain", f'"{charset}"', encoding, raw), lines, True
        return part("text/plain", charset, encoding, raw), lines, True
    if kind < 0.75:
        delete_space = rng.random() < 0.5
        lines, told = flowed_text(rng, charset, delete_space)
        encoding, raw = transfer(rng, lines, charset, eol)
        more = "; format=flowed" + ("; DelSp=Yes" if delete_space else "")
        return part("text/plain", charset, encoding, raw, more), told, False
    lines = text_lines(rng, charset)
    encoding, raw = transfer(rng, page(rng, lines), charset, eol)
    return part("text/html", charset, encoding, raw), page_text(lines), False


def message(rng):
    charset = rng.choice(CHARSETS)
    eol = rng.choice((b"\n", b"\r\n"))
    content, told, python_too = body(rng, charset, eol)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        kind = rng.choice(("alternative", "mixed", "related", "signed"))
        more = {"alternative": b"Content-Type: text/html\n\n<p>another</p>\n", "mixed": forwarded(rng),
                "related": attachment(rng), "signed": attachment(rng)}[kind]
        first = [attachment(rng)] if kind == "mixed" and rng.random() < 0.3 else []
        content = wrap(rng, kind, [*first, content, more])
    subject = sentence(rng, charset, 14)[:70].strip()
    name = sentence(rng, charset, 3)[:40].strip()
    if charset == "us-ascii":
        name = re.sub(r"\W", "", name) or "x"
        subject = subject.replace("=?", "")
    subject_charset = charset if charset != "us-ascii" or subject.isascii() else "utf-8"
    header = (f"Received: from a by b;\n\tSun, 22 Nov 2026 18:05:57 +0200\n"
              f"From: {encode_words(rng, name, charset)} <a@example.com>\n"
              f"sUBJECT: {encode_words(rng, subject, subject_charset)}\n"
              f"Message-ID:{rng.choice((' ', chr(10) + ' '))}<{rng.randrange(10**9)}@example.com>\nMIME-Version: 1.0\n")
    return header.encode() + content, subject, name, told, python_too


def normal(text):
    """As the reader tells it: no blank lines in front, LF at the end."""
    text = re.sub(r"\A([ \t]*\n)+", "", text.replace("\r", "").replace("\u00a0", " "))
    return text if text.endswith("\n") or not text else text + "\n"


def check(condition, what):
    if not condition:
        raise SystemExit(f"check_mime.py: {what}")


def python_reads(raw, subject, told, text_too):
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    decoded = str(email.header.make_header(email.header.decode_header(mail.get("subject", "").replace("\n", ""))))
    if "=?" not in subject:
        check(" ".join(decoded.split()) == " ".join(subject.split()) or "\ufffd" in decoded, (decoded, subject))
    if text_too:
        found = mail.get_body(("plain", "html"))
        content = found.get_payload(decode=True).decode(found.get_content_charset())
        check(normal(content) == told, (content, told))


def main():
    folder, count, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for number in range(count):
        rng = random.Random(seed * 1000003 + number)
        raw, subject, name, lines, python_too = message(rng)
        told = normal("\n".join(lines) + "\n")
        python_reads(raw, subject, told, python_too)
        (folder / f"{number:04}.eml").write_bytes(raw)
        expect = f"H sUBJECT: {subject}\nH From: {name} <a@example.com>\n\n{told}"
        (folder / f"{number:04}.expect").write_bytes(expect.encode())


if __name__ == "__main__":
    main()
