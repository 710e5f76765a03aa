#!/usr/bin/env python3
"""Starts the test servers and keeps them until Ctrl-C: for benching a device by hand.

    python3 tests/peers/serve.py [--minutes 60] [--mailbox NAME ...]
"""
import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import Bench, Certificates, Chrony, Dnsmasq, Dovecot, Exim, PeerError, Postfix  # noqa: E402
from peers.bench import DOMAIN, HOST  # noqa: E402
from peers.certificates import SERVERS  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="Postfix, Exim, Dovecot, chrony and dnsmasq until Ctrl-C.")
    parser.add_argument("--minutes", type=int, default=60, help="stop after this long (60)")
    parser.add_argument("--mailbox", nargs="*", default=["admin"], help="mailboxes that exist (admin)")
    options = parser.parse_args()
    with Bench("serve", limit_s=options.minutes * 60 + 30) as bench:
        certificates = Certificates(bench)
        dovecot = Dovecot(bench, certificates, [*options.mailbox, "full"])
        chrony, dnsmasq = Chrony(bench), Dnsmasq(bench)
        kinds = [Exim] if Postfix.why_not() else [Exim, Postfix]
        servers = [kind(bench, dovecot, SERVERS) for kind in kinds]
        print(f"{HOST} on 127.0.0.1 (10.0.2.2 from QEMU); folder {bench.folder}")
        print(f"submission: user {dovecot.user!r}, password {dovecot.password!r}; CA files in {certificates.folder}")
        for server in servers:
            for (mode, name), port in server.ports.items():
                print(f"  {server.name:8} {mode:9} {name:11} {port}  {certificates.root(name).name}")
        print(f"POP3: STLS {dovecot.pop3}, TLS {dovecot.pop3s}; {', '.join(options.mailbox)} @{DOMAIN}, "
              f"password {dovecot.reader_password!r}")
        print(f"SNTP: {chrony.port}   DNS: {dnsmasq.port}", flush=True)
        time.sleep(options.minutes * 60)


if __name__ == "__main__":
    try:
        main()
    except PeerError as problem:
        sys.exit(f"tests/peers/serve.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
