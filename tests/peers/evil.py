"""What real servers cannot be made to do: a tap in the line before one, and a server that misbehaves."""
import collections
import re
import select
import socket
import ssl
import threading
import warnings

from .bench import HOST

DROP = object()    # Close the connection instead of an answer.
SILENT = object()  # Never answer.

_APPLICATION_DATA = 23
_LIMIT_S = 60
_BYTES_MAX = 1 << 22


class Conversation:
    """One connection, as it was on the wire."""

    def __init__(self):
        self.client = b""  # What the device sent.
        self.server = b""  # What it was sent.
        self.turns = 0     # How often the device spoke after the server had.
        self._spoke = False

    def heard(self, data):
        """The device's bytes."""
        self.turns += not self._spoke
        self._spoke = True
        self.client += data[:_BYTES_MAX]

    def said(self, data):
        """The server's."""
        self._spoke = False
        self.server += data

    def clear_commands(self):
        """The device's lines before TLS began."""
        return self._split()[0].decode("latin-1").splitlines()

    def records(self):
        """The types of the device's TLS records (RFC 5246 6.2.1): 22 handshake, 21 alert, 23 application data."""
        rest, types = self._split()[1], []
        while len(rest) >= 5:
            types.append(rest[0])
            rest = rest[5 + int.from_bytes(rest[3:5], "big"):]
        return types

    def secret_sent(self):
        """Whether anything of the application went out: in TLS records, or as a command that names a
        sender or a credential in clear."""
        clear = [line.upper() for line in self.clear_commands()]
        return _APPLICATION_DATA in self.records() or any(
            line.startswith(("AUTH", "MAIL", "RCPT", "DATA", "USER", "PASS", "APOP")) for line in clear)

    def _split(self):
        if self.client[:1] in (b"\x16", b"\x15", b"\x17"):
            return b"", self.client
        found = re.search(rb"^(STARTTLS|STLS)\r\n", self.client, re.MULTILINE)
        return (self.client[:found.end()], self.client[found.end():]) if found else (self.client, b"")


class Listener:
    """Accepts connections on a free port and serves each in a thread."""

    def __init__(self, bench, at=None):
        self.port = at or bench.free_port()
        self.conversations = []
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._open = True
        self._sockets = set()
        bench.on_close(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self._open:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.settimeout(_LIMIT_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation()
            self.conversations.append(conversation)
            threading.Thread(target=self._serve, args=(client, conversation), daemon=True).start()

    def _serve(self, client, conversation):
        self._sockets.add(client)
        try:
            self.serve(client, conversation, len(self.conversations) - 1)
        except (OSError, ssl.SSLError, EOFError):
            pass
        finally:
            self._sockets.discard(client)
            client.close()

    def splice(self, client, conversation, port, from_server=None):
        """Joins the device with a real server. from_server(bytes) may change what the device gets."""
        server = socket.create_connection(("127.0.0.1", port), timeout=_LIMIT_S)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def upward():
            try:
                while data := client.recv(65536):
                    conversation.heard(data)
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
            except OSError:
                server.close()

        with server:
            threading.Thread(target=upward, daemon=True).start()
            while data := server.recv(65536):
                data = from_server(data) if from_server else data
                conversation.said(data)
                client.sendall(data)

    def secret_sent(self):
        return any(conversation.secret_sent() for conversation in self.conversations)

    def close(self):
        self._open = False
        # A thread that waits in accept() is woken by shutdown(), not by close().
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
        for client in list(self._sockets):
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Tap(Listener):
    """A man in the middle before a real server.

    attack: None only records; "strip" takes STARTTLS out of the reply to EHLO; "refuse" turns 220 to STARTTLS into
    454; "inject" puts a reply behind 220 in the same segment; "garbage" answers STARTTLS with noise. With pop3, the
    same is done to STLS. at: the port, for a server that comes back.
    """

    # The verb, its good reply, a bad one, and what an attacker puts behind the good one.
    _SMTP = (b"STARTTLS", b"220", b"454 4.7.0 TLS not available due to temporary reason\r\n",
             b"250-mail.example.test\r\n250 AUTH PLAIN LOGIN\r\n")
    _POP3 = (b"STLS", b"+OK", b"-ERR [SYS/TEMP] TLS not available\r\n", b"+OK\r\nSASL PLAIN LOGIN\r\nUSER\r\n.\r\n")

    def __init__(self, bench, port, attack=None, at=None, pop3=False):
        self._target = port
        self._attack = attack
        self._verb, self._good, self._bad, self._injected = self._POP3 if pop3 else self._SMTP
        super().__init__(bench, at)

    def lead_to(self, port):
        """Another server, from the next connection on."""
        self._target = port

    def serve(self, client, conversation, _index):
        def change(data):
            asked = conversation.client.count(self._verb + b"\r\n")
            if self._attack == "strip":
                return data.replace(self._verb, b"X" * len(self._verb))
            if asked and data.startswith(self._good) and not conversation.server.endswith(b"\0"):
                if self._attack == "refuse":
                    return self._bad
                if self._attack == "inject":
                    return data + self._injected
                if self._attack == "garbage":
                    return data + bytes(range(256))
            return data

        self.splice(client, conversation, self._target, change if self._attack else None)


class Gate(Listener):
    """A man in the middle that has the key of a real server: it reads each command and each reply of TLS on connect.

    on_stage(stage) is called before the thing that it names is handed on, and may take its time. In their order:
    CONNECT; HELLO, the device's first bytes are there; TLS, the handshake is over; each command by its verb (EHLO,
    AUTH, MAIL, RCPT, DATA, RSET, QUIT); BODY, the first line of a message; DOT, its end; SAID, the server's reply to
    it is there; TOLD, right after the device was sent it.
    """

    def __init__(self, bench, certificates, port, certificate="ecdsa", on_stage=None):
        self.on_stage = on_stage
        self._target = port
        self._inward = server_context(certificates, certificate)
        self._outward = ssl.create_default_context(cafile=str(certificates.root(certificate)))
        super().__init__(bench)

    def stage(self, name):
        if self.on_stage:
            self.on_stage(name)

    def serve(self, client, conversation, _index):
        self.stage("CONNECT")
        if not client.recv(1, socket.MSG_PEEK):
            return
        self.stage("HELLO")
        with self._inward.wrap_socket(client, server_side=True) as device, \
                socket.create_connection(("127.0.0.1", self._target), timeout=_LIMIT_S) as plain, \
                self._outward.wrap_socket(plain, server_hostname=HOST) as server:
            self._sockets.add(device)
            try:
                self.stage("TLS")
                _Reader(self, device, server).run()
            finally:
                self._sockets.discard(device)


class _Reader:
    """One connection of Gate: lines go from each side to the other, and are understood on the way."""

    def __init__(self, gate, device, server):
        self.stage = gate.stage
        self.ends = {device: server, server: device}
        self.rest = {device: b"", server: b""}
        self.server = server
        self.asked = collections.deque(["GREETING"])  # What the server has still to answer.
        self.body = False

    def run(self):
        while True:
            ready = [end for end in self.ends if end.pending()]
            for end in ready or select.select(list(self.ends), [], [], _LIMIT_S)[0]:
                data = end.recv(65536)
                if not data:
                    return
                self.rest[end] += data
                self.hand_on(end)

    def hand_on(self, end):
        while b"\n" in self.rest[end]:
            line, found, self.rest[end] = self.rest[end].partition(b"\n")
            if end is self.server:
                self.reply(line + found)
            else:
                self.command(line + found)

    def command(self, line):
        if not self.body:
            verb = line.split(b" ")[0].strip().decode("latin-1").upper()
            self.asked.append(verb)
            self.stage(verb)
        elif line == b".\r\n":
            self.body = False
            self.asked.append("DOT")
            self.stage("DOT")
        elif self.body == "begins":
            self.body = "goes on"
            self.stage("BODY")
        self.server.sendall(line)

    def reply(self, line):
        last = line[3:4] != b"-"
        to = self.asked.popleft() if last and self.asked else None
        if to == "DATA" and line.startswith(b"3"):
            self.body = "begins"
        if to == "DOT":
            self.stage("SAID")
        self.ends[self.server].sendall(line)
        if to == "DOT":
            self.stage("TOLD")


def server_context(certificates, certificate="ecdsa", version=None, ciphers=None):
    """A server's side of TLS; version, ciphers: the only ones."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain(certificate), certificates.key(certificate))
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Old versions are asked for on purpose.
            context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


class Evil(Listener):
    """A small SMTP server inside real TLS that does at each stage what its script says.

    mode: "implicit", "starttls", or "clear": AUTH offered without TLS.
    script: one dict a connection, the last one for all that follow. Keys are stages: GREETING, EHLO, STARTTLS, TLS
    (in the place of a handshake), AUTH, MAIL, RCPT, DATA, BODY (with the body half received), DOT (after the final
    dot). Values: a reply, DROP, or SILENT; a stage that is not there goes well. {"forward": port} joins the connection
    with a real server. commands: the lines that each connection sent, with TLS taken off; turns: the same as it was
    read, a bytes object a read (inside TLS: a record). mails: what was accepted. offers: the reply to EHLO, AUTH only
    where mode lets it. version, ciphers: the only ones of the server's TLS.
    """

    OFFERS = ("PIPELINING", "SIZE 10240000", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN")

    def __init__(self, bench, certificates, script, mode="implicit", certificate="ecdsa", offers=OFFERS, version=None,
                 ciphers=None, at=None):
        self.script = script
        self.mode = mode
        self.offers = offers
        self.commands = []
        self.turns = []
        self.mails = []
        self.context = server_context(certificates, certificate, version, ciphers)
        super().__init__(bench, at)

    def serve(self, client, conversation, index):
        script = self.script[min(index, len(self.script) - 1)]
        if "forward" in script:
            self.splice(client, conversation, script["forward"])
            return
        self.commands.append([])
        self.turns.append([])
        _SmtpSession(self, client, script).run()


class Drop(EOFError):
    """The script ends the connection here."""


class Session:
    """One connection of a server with a script: what is the same in SMTP and POP3."""

    def __init__(self, evil, client, script):
        self.client = client
        self.script = script
        self.mode = evil.mode
        self.commands = evil.commands[-1]
        self.turns = evil.turns[-1]
        self.context = evil.context
        self.buffer = b""
        self.tls = False

    def start_tls(self):
        if self.script.get("TLS") is DROP:
            raise Drop
        self.client = self.context.wrap_socket(self.client, server_side=True)
        self.buffer = b""
        self.tls = True

    def end_tls(self):
        """An orderly end: OpenSSL forgets a session that ended without one, and would not resume it."""
        if self.tls:
            self.client.settimeout(2)
            self.client.unwrap()

    def line(self):
        while b"\n" not in self.buffer:
            data = self.client.recv(65536)
            if not data:
                raise Drop
            self.turns.append(data)
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def answer(self, stage, good, before_good=None):
        """Sends the script's word for the stage, or `good`. True when it went well. before_good(): what a good answer
        tells of; it has happened when the client reads that."""
        say = self.script.get(stage, good)
        if callable(say):
            say = say(self)
            say = good if say is None else say
        if say is DROP:
            self.client.close()
            raise Drop
        if say is SILENT:
            while self.client.recv(65536):
                pass
            raise Drop
        if say == good and before_good:
            before_good()
        self.client.sendall(say if isinstance(say, bytes) else say.encode() + b"\r\n")
        return say == good


class _SmtpSession(Session):
    """One connection of Evil."""

    def __init__(self, evil, client, script):
        super().__init__(evil, client, script)
        self.offers = evil.offers
        self.mails = evil.mails

    def _offers(self):
        auth = self.mode == "clear" or self.tls
        offers = [HOST] + [offer for offer in self.offers if auth or not offer.startswith("AUTH")]
        if self.mode == "starttls" and not self.tls:
            offers.append("STARTTLS")
        return "\r\n".join(f"250{'-' if offer != offers[-1] else ' '}{offer}" for offer in offers)

    def run(self):
        if self.mode == "implicit":
            self.start_tls()
        self.answer("GREETING", f"220 {HOST} ESMTP")
        while True:
            command = self.line()
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                self.answer("EHLO", self._offers())
            elif verb == "STARTTLS":
                if self.answer("STARTTLS", "220 2.0.0 Ready to start TLS"):
                    self.start_tls()
            elif verb == "AUTH":
                self._auth(command)
            elif verb in ("MAIL", "RCPT"):
                self.answer(verb, "250 2.1.0 Ok")
            elif verb == "DATA":
                if self.answer("DATA", "354 End data with <CR><LF>.<CR><LF>"):
                    self._data()
            elif verb == "QUIT":
                self.answer("QUIT", "221 2.0.0 Bye")
                return
            else:
                self.answer(verb, "250 2.0.0 Ok" if verb in ("RSET", "NOOP") else "502 5.5.1 What?")

    def _auth(self, command):
        words = command.split(" ")
        if words[1:2] == ["LOGIN"]:
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6")[len(words) - 2:]:
                self.client.sendall(prompt.encode() + b"\r\n")
                self.commands.append(self.line())
        elif len(words) < 3:
            self.client.sendall(b"334 \r\n")
            self.commands.append(self.line())
        self.answer("AUTH", "235 2.7.0 Authentication successful")

    def _data(self):
        lines = []
        while (line := self.line()) != ".":
            lines.append(line[1:] if line.startswith(".") else line)
            if "BODY" in self.script:
                self.answer("BODY", "")
        if "DOT" not in self.script:
            self.mails.append("\r\n".join(lines).encode("latin-1") + b"\r\n")
        self.answer("DOT", "250 2.0.0 Ok: queued as 0000EV1L")
