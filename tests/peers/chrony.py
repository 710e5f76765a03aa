"""chrony: the time over SNTP, for boards without a clock of their own. It never touches the system's clock."""
import socket
import struct

from .bench import PeerError, tail, wait_for

# The time is the computer's own; `local` lets chrony serve it without a source.
_CONFIG = """
port {port}
cmdport 0
bindaddress 127.0.0.1
allow 127.0.0.0/8
local stratum 10
pidfile {folder}/pid
bindcmdaddress /
user tocsin
"""


class Chrony:
    """bench.port: SNTP over UDP on 127.0.0.1."""

    def __init__(self, bench):
        self.port = bench.free_port()
        config = bench.write("chrony.conf", _CONFIG.format(port=self.port, folder=bench.private("chrony")))
        command = [bench.program("usr/sbin/chronyd"), "-x", "-d", "-U", "-f", str(config)]
        self.process = bench.start("chrony", command)
        if not wait_for(lambda: self._answers() or not self.process.alive(), 15) or not self.process.alive():
            raise PeerError(f"chrony did not serve the time on port {self.port}.\n{tail(self.process.log)}")

    def _answers(self):
        """Whether a client's request (RFC 4330) gets the reply of a synchronised server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.3)
            try:
                probe.sendto(b"\x23" + 47 * b"\0", ("127.0.0.1", self.port))
                reply = probe.recv(100)
            except OSError:
                return False
        leap, stratum = reply[0] >> 6, reply[1]
        return len(reply) >= 48 and leap != 3 and 0 < stratum < 16 and struct.unpack("!I", reply[40:44])[0] != 0
