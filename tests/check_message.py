#!/usr/bin/env python3
"""Messages as programs write them, for tests/unit/test_message.c, and a look at what became of them.

Usage: check_message.py make FOLDER COUNT SEED
       check_message.py check FOLDER

make writes pairs NAME.in, a message, and NAME.truth, what it means. check reads what the filter made of
each, NAME.out, and the addresses that it told, NAME.told (a line "field address" each), with Python's own
e-mail package, and compares. Ends with status 1 after the first that is not right.
"""

import ast
import email
import email.header
import email.utils
import pathlib
import random
import re
import sys

DOMAIN = "dom.example"
WORDS = ("root", "Cron", "Daemon", "disk", "full", "of", "the", "a", "J.", "smartd", "[web1]", "100%", "=", "?=",
         "<x>", "(y)", "\"q\"", "a,b", "back\\slash", "x" * 90)
FOREIGN = ("Jürgen", "Müller", "é", "Grüße", "ß", "naïve", "«x»", "Ångström" * 9, "ÿ")
WIDE = ("Съешь", "ещё", "漢字", "🔥", "€", "ж" * 60, "👍🏽")
ENCODED = (("=?utf-8?B?0LY=?=", "ж"), ("=?ISO-8859-1?Q?caf=E9?=", "café"), ("=?utf-8?Q?a_b?=", "a b"))
LOCALS = ("root", "admin", "j.doe", "a+b", "x_y-z", "o'brien", "ops#1", "s=v")
DOMAINS = ("example.com", "mail.example.org", "xn--mller-kva.example", "h", "[192.0.2.1]")


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.charset = rng.choice(("ascii", "utf-8", "utf-8", "iso-8859-1"))

    def word(self, plain=False):
        kind = self.rng.random()
        if plain or self.charset == "ascii" or kind < 0.6:
            return self.rng.choice(WORDS[:8] if plain else WORDS)
        if self.charset == "utf-8" and kind < 0.8:
            return self.rng.choice(WIDE)
        return self.rng.choice(FOREIGN)

    def gap(self):
        return self.rng.choice((" ", " ", " ", " ", "\n ", "\n\t", "  ", "\t"))

    def text(self, most):
        """Words, and what they mean: blanks between encoded words do not count."""
        said, meant, was_encoded = "", "", False
        for _ in range(self.rng.randint(1, most)):
            gap = self.gap() if said else ""
            if self.rng.random() < 0.1:
                word, meaning = self.rng.choice(ENCODED)
                meant += ("" if was_encoded else gap) + meaning
                was_encoded = True
            else:
                word = self.word()
                meant += gap + word
                was_encoded = False
            said += gap + word
        return said, meant.replace("\n", "")

    def mailbox(self):
        """As it is written; its display name; its address."""
        rng = self.rng
        local = rng.choice(LOCALS)
        bare = rng.random() < 0.3
        address = local if bare else f"{local}@{rng.choice(DOMAINS)}"
        whole = f"{local}@{DOMAIN}" if bare else address
        kind = rng.randrange(6)
        if kind == 0:
            return address, "", whole, address
        if kind == 1:
            return f"<{address}>", "", whole, address
        if kind == 2:
            comment = " ".join(self.safe() for _ in range(rng.randint(1, 3)))
            return f"{address}{self.gap()}({comment})", comment, whole, address
        if kind == 3:
            words = [self.safe() for _ in range(rng.randint(1, 4))]
            return self.gap().join(words) + f"{self.gap()}<{address}>", " ".join(words), whole, address
        if kind == 4:
            word, meaning = rng.choice(ENCODED)
            return f"{word}{self.gap()}<{address}>", meaning, whole, address
        name = " ".join(self.word() for _ in range(rng.randint(1, 5)))
        while "=?" in name or "?=" in name:
            name = name.replace("=", "-")
        quoted = name.replace("\\", "\\\\").replace("\"", "\\\"")
        return f"\"{quoted}\"{rng.choice(('', ' '))}<{address}>", name, whole, address

    def safe(self):
        return next(word for word in iter(self.word, None) if re.fullmatch(r"[^]\[=?<>()\".,%\\]+", word))

    def mailboxes(self, most):
        said, names, told = "", [], []
        for i in range(self.rng.randint(1, most)):
            text, name, whole, address = self.mailbox()
            said += (self.rng.choice((", ", ",", ",\n ", " ,\t", ",, ")) if i else "") + text
            names.append((name, whole))
            told.append(address)
        return said, names, told


def name_case(rng, name):
    return rng.choice((name, name, name.lower(), name.upper())) + rng.choice((":", ": ", ": ", ": ", " : ", ":\t"))


def make_mail(rng):
    maker = Maker(rng)
    fields, truth = [], {"lists": {}, "told": [], "texts": {}, "parameter": None}
    for name, most, chance in (("To", 4, 0.8), ("Cc", 3, 0.4), ("Bcc", 3, 0.3), ("From", 1, 0.6), ("Reply-To", 2, 0.2)):
        if rng.random() < chance:
            if name == "To" and rng.random() < 0.02:
                most = 1500
            said, names, told = maker.mailboxes(most)
            fields.append(name_case(rng, name) + said)
            if name != "Bcc":
                truth["lists"][name] = names
            if name != "Reply-To":
                truth["told"] += [f"{name} {address}" for address in told]
    for name, most, chance in (("Subject", 12, 0.9), ("X-Report", 40, 0.3), ("Comments", 2000, 0.05)):
        if rng.random() < chance:
            said, meant = maker.text(most)
            fields.append(name_case(rng, name) + said)
            truth["texts"][name] = meant
    if rng.random() < 0.3:
        # Without what Python's reader strips, escaped or not.
        value = "x" + " ".join(maker.word() for _ in range(rng.randint(1, 6))).replace("\\", "")
        said = value.replace("\"", "\\\"")
        fields.append(f"Content-Disposition: attachment; {rng.choice(('', 'size=12; '))}filename=\"{said}\"")
        truth["parameter"] = value
    for name, value in (("Date", "Fri, 20 Nov 2026 10:00:00 +0000"), ("Message-ID", "<1.2@x.example>")):
        if rng.random() < 0.3:
            fields.append(name_case(rng, name) + value)
    rng.shuffle(fields)
    eol = rng.choice(("\n", "\n", "\r\n"))
    body = bytes(rng.choices((10, 13, 0, 65, 66, 46, 58, 200, 255), k=rng.randint(0, 300)))
    front = rng.choice(("", "", "From root Mon Nov 23 10:00:00 2026\n"))
    text = (front + "\n".join(fields) + "\n\n").replace("\n", eol) if fields else eol
    truth["body"] = body
    truth["eol"] = eol
    return text.encode("utf-8" if maker.charset == "ascii" else maker.charset) + body, truth


def decode(text):
    return str(email.header.make_header(email.header.decode_header(text)))


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def split(raw, eol):
    end = eol.encode()
    header, separator, body = raw.partition(end + end)
    assert separator, "no empty line"
    for line in header.split(end):
        assert re.fullmatch(rb"[\t -~]{1,998}", line), f"a header line: {line!r}"
        assert line.strip(), "a header line of blanks"
    return header, body


def unfold(value):
    return re.sub(r"\r?\n", "", str(value))


def decoded_name(name):
    """getaddresses() gives what is outside and inside of comments together."""
    return squeeze(decode(name.replace("\t", " ")))


def compare(raw, told, truth):
    header, body = split(raw, truth["eol"])
    assert body == truth["body"], "the body"
    mail = email.message_from_bytes(header + b"\n\n")
    assert not mail.defects, mail.defects
    for name in ("From", "Date", "Message-ID"):
        assert len(mail.get_all(name, [])) == 1, f"{name} is not there once"
    assert "Bcc" not in mail, "Bcc"
    assert sorted(told) == sorted(truth["told"]), f"told {told}, not {truth['told']}"
    for name, expected in truth["lists"].items():
        found = [(decoded_name(text), address) for text, address in
                 email.utils.getaddresses([unfold(value) for value in mail.get_all(name)]) if address]
        expected = [(squeeze(text), address) for text, address in expected]
        assert found == expected, f"{name}: {found}, not {expected}"
    for name, expected in truth["texts"].items():
        found = decode(unfold(mail[name]))
        assert squeeze(found) == squeeze(expected), f"{name}: {found!r}, not {expected!r}"
    if truth["parameter"] is not None:
        found = email.utils.collapse_rfc2231_value(mail.get_filename())
        assert found == truth["parameter"], f"{found!r}, not {truth['parameter']!r}"


def make(folder, count, seed):
    for i in range(count):
        raw, truth = make_mail(random.Random(f"{seed}.{i}"))
        (folder / f"{i:04}.in").write_bytes(raw)
        (folder / f"{i:04}.truth").write_text(repr(truth), "utf-8")
    return 0


def check(folder):
    paths = sorted(folder.glob("*.truth"))
    for path in paths:
        try:
            truth = ast.literal_eval(path.read_text("utf-8"))
            told = path.with_suffix(".told").read_text("utf-8").splitlines()
            compare(path.with_suffix(".out").read_bytes(), told, truth)
        except (AssertionError, ValueError, LookupError, OSError, email.errors.MessageError) as error:
            print(f"{path}: {type(error).__name__}: {error}"[:2000], file=sys.stderr)
            return 1
    print(f"{len(paths)} messages mean what they meant")
    return 0 if paths else 1


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[2])
    sys.exit(make(where, int(sys.argv[3]), sys.argv[4]) if sys.argv[1] == "make" else check(where))
