"""The servers that Tocsin's tests talk to: Debian's own Postfix, Exim, Dovecot, Courier, chrony and
dnsmasq; and a mail program of a person's, s-nail.

They run from a tree of unpacked packages (build/peers/root, made by `make deps`), in the foreground, on
loopback ports that nobody else uses, each with its configuration, spool, logs and certificates in one
folder of one Bench. Nothing of the system's own mail set-up is read or written.

    with Bench("check") as bench:
        certificates = Certificates(bench)
        dovecot = Dovecot(bench, certificates, mailboxes=["admin"])
        exim = Exim(bench, certificates, dovecot)
        ... exim.port("implicit", "ecdsa"), dovecot.read("admin") ...

Leaving the `with` stops every process by its id, also after an exception, Ctrl-C or SIGTERM, and when the
bench's time is up; if Python itself is killed, the kernel tells each server to end.
"""
from .bench import Bench, PeerError
from .certificates import Certificates
from .chrony import Chrony
from .courier import Courier
from .dnsmasq import Dnsmasq
from .dovecot import Dovecot
from .evil import Evil, Gate, Tap
from .evil_pop3 import EvilPop3
from .exim import Exim
from .mailer import Mailer
from .postfix import Postfix

__all__ = ["Bench", "PeerError", "Certificates", "Chrony", "Courier", "Dnsmasq", "Dovecot", "Evil", "EvilPop3",
           "Exim", "Gate", "Mailer", "Postfix", "Tap"]
