"""A POP3 server that misbehaves: inside real TLS, by a script, over messages of a test's own."""
from .bench import HOST
from .evil import Listener, Session, server_context


class Message:
    """raw: bytes with CRLF at line ends, or a str. uid: None for a server that has no UIDL."""

    def __init__(self, raw, uid):
        self.raw = raw.encode().replace(b"\n", b"\r\n") if isinstance(raw, str) else raw
        self.uid = uid

    def header(self):
        return self.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


class EvilPop3(Listener):
    """mode: "implicit", "starttls" (STLS), or "clear".

    script: one dict a connection, the last one for all that follow. Keys are stages: GREETING, TLS (in the place of a
    handshake), and every command by its verb. Values: a reply (str: CRLF is added; bytes: as they are), DROP, SILENT,
    or a function of the session that gives one of these, or None when all goes well, as at a stage that is not there.
    GONE comes after QUIT, when the deleted messages are gone: a function only. {"forward": port} joins the connection
    with a real server.

    messages: what the mailbox holds, Message objects; one that was deleted is gone after a good QUIT. capabilities:
    the reply to CAPA, STLS only before TLS, SASL and USER only where mode lets them. user, password: any will do when
    None. commands: the lines that each connection sent; turns: the same as it was read.
    """

    CAPABILITIES = ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "USER", "SASL PLAIN")

    def __init__(self, bench, certificates, script=({},), mode="implicit", messages=(), certificate="ecdsa",
                 capabilities=CAPABILITIES, at=None):
        self.script = list(script)
        self.mode = mode
        self.messages = list(messages)
        self.capabilities = capabilities
        self.commands = []
        self.turns = []
        self.context = server_context(certificates, certificate)
        self._uids = 0
        super().__init__(bench, at)

    def put(self, *raws):
        """New messages at the mailbox's end."""
        for raw in raws:
            self._uids += 1
            self.messages.append(Message(raw, f"evil{self._uids:08}"))

    def serve(self, client, conversation, index):
        script = self.script[min(index, len(self.script) - 1)]
        if "forward" in script:
            self.splice(client, conversation, script["forward"])
            return
        self.commands.append([])
        self.turns.append([])
        _Pop3Session(self, client, script).run()

    def asked(self, verb):
        """How often a command was given, over all connections."""
        return sum(line.split(" ")[0].upper() == verb for lines in self.commands for line in lines)


class _Pop3Session(Session):
    """One connection of EvilPop3."""

    def __init__(self, evil, client, script):
        super().__init__(evil, client, script)
        self.evil = evil
        self.messages = list(evil.messages)  # Of this session: numbers stay as they are.
        self.deleted = set()
        self.words = []  # Of the command in hand.

    def run(self):
        if self.mode == "implicit":
            self.start_tls()
        self.answer("GREETING", f"+OK {HOST} ready")
        while True:
            command = self.line()
            self.commands.append(command)
            self.words = command.split(" ")
            verb = self.words[0].upper()
            if verb == "STLS":
                if self.answer(verb, "+OK Begin TLS"):
                    self.start_tls()
            elif verb == "QUIT":
                self.answer(verb, "+OK Bye", self._update)
                if "GONE" in self.script:
                    self.script["GONE"](self)
                self.end_tls()
                return
            else:
                self.answer(verb, self._good(verb))

    def _update(self):
        """The UPDATE state (RFC 1939 section 6)."""
        for message in self.deleted:
            self.evil.messages.remove(message)

    def _good(self, verb):
        """What a good server says."""
        if verb == "CAPA":
            login = self.tls or self.mode == "clear"
            words = [word for word in self.evil.capabilities if login or not word.startswith(("USER", "SASL"))]
            if self.mode == "starttls" and not self.tls:
                words.append("STLS")
            return "\r\n".join(["+OK What I can do", *words, "."])
        if verb == "AUTH" and len(self.words) < 3:
            self.client.sendall(b"+ \r\n")
            self.commands.append(self.line())
            return "+OK Logged in"
        if verb == "STAT":
            there = [message for message in self.messages if message not in self.deleted]
            return f"+OK {len(there)} {sum(len(message.raw) for message in there)}"
        if verb in ("LIST", "UIDL"):
            return self._listing(verb)
        if verb in ("TOP", "RETR", "DELE"):
            return self._of_one(verb)
        return "+OK" if verb in ("USER", "PASS", "AUTH", "APOP", "NOOP", "RSET") else "-ERR What?"

    def _message(self):
        word = self.words[1] if len(self.words) > 1 else ""
        number = int(word) if word.isdigit() else 0
        message = self.messages[number - 1] if 0 < number <= len(self.messages) else None
        return number, None if message in self.deleted else message

    def _listing(self, verb):
        def told(number, message):
            return f"{number} {message.uid if verb == 'UIDL' else len(message.raw)}"
        if len(self.words) > 1:
            number, message = self._message()
            return f"+OK {told(number, message)}" if message else "-ERR No such message"
        lines = [told(index + 1, message) for index, message in enumerate(self.messages)
                 if message not in self.deleted]
        return "\r\n".join(["+OK", *lines, "."])

    def _of_one(self, verb):
        _, message = self._message()
        if message is None:
            return "-ERR No such message"
        if verb == "DELE":
            self.deleted.add(message)
            return "+OK"
        text = message.raw if verb == "RETR" else message.header()
        stuffed = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
        return b"+OK\r\n" + stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n"
