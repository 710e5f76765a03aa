"""dnsmasq: names for the tests of DNS."""
import socket
import struct

from .bench import HOST, PeerError, tail, wait_for


class Dnsmasq:
    """Answers for mail.example.test with `address` (the guest's view of the computer) and knows nothing else."""

    def __init__(self, bench, address="10.0.2.2"):
        self.port = bench.free_port()
        self.process = bench.start("dnsmasq", [
            bench.program("usr/sbin/dnsmasq"), "--keep-in-foreground", f"--port={self.port}", "--conf-file=/dev/null",
            "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--no-poll",
            "--local=/test/", f"--host-record={HOST},{address}", "--log-queries", "--log-facility=-",
            "--user=", "--pid-file="])
        if not wait_for(lambda: self._answers() or not self.process.alive(), 15) or not self.process.alive():
            raise PeerError(f"dnsmasq did not answer on port {self.port}.\n{tail(self.process.log)}")

    def _answers(self):
        labels = b"".join(bytes([len(label)]) + label.encode() for label in HOST.split("."))
        query = struct.pack("!6H", 0x7463, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.3)
            try:
                probe.sendto(query, ("127.0.0.1", self.port))
                return struct.unpack("!H", probe.recv(512)[6:8])[0] == 1
            except OSError:
                return False
