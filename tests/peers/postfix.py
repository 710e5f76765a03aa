"""Postfix: a submission server. Its master needs root, and drops to an account of its own for the rest."""
import os
import socketserver
import threading

from .bench import DOMAIN, HOST, PeerError

_MAIN = """
compatibility_level = 3.6
myhostname = {host}
mydomain = {domain}
mail_name = Postfix
queue_directory = {queue}
data_directory = {data}
config_directory = {config}
meta_directory = {config}
daemon_directory = {lib}/sbin
command_directory = {tree}/usr/sbin
shlib_directory = {lib}
mail_owner = postfix
setgid_group = postdrop
default_privs = tocsin
maillog_file = {log}
maillog_file_prefixes = {folder}
import_environment = MAIL_CONFIG MAIL_LOGTAG POSTLOG_SERVICE POSTLOG_HOSTNAME TZ LANG=C
  LD_LIBRARY_PATH LD_PRELOAD PEERS_ROOT PEERS_ACCOUNTS
export_environment = MAIL_CONFIG MAIL_LOGTAG POSTLOG_SERVICE POSTLOG_HOSTNAME TZ LANG=C
  LD_LIBRARY_PATH LD_PRELOAD PEERS_ROOT PEERS_ACCOUNTS
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
append_dot_mydomain = no
biff = no
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{config}/mailboxes
transport_maps = texthash:{config}/transports
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth_socket}
smtpd_sasl_auth_enable = yes
smtpd_sasl_authenticated_header = yes
smtpd_sasl_security_options = noanonymous
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 2
smtpd_tls_session_cache_database = btree:$data_directory/smtpd_scache
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access regexp:{config}/full,
  check_policy_service inet:127.0.0.1:{policy}, reject_unlisted_recipient, permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtpd_timeout = 60s
"""

_MASTER = """
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
vanished  unix  - n n - - pipe
  user=tocsin argv={config}/vanished
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

# Folder of the queue: mode and owner, as postfix-files has them.
_QUEUE = {"active": 0o700, "bounce": 0o700, "corrupt": 0o700, "defer": 0o700, "deferred": 0o700, "flush": 0o700,
          "hold": 0o700, "incoming": 0o700, "private": 0o700, "saved": 0o700, "trace": 0o700, "public": 0o710,
          "maildrop": 0o730}
_POSTFIX, _POSTDROP = 65533, 65532


class Postfix:
    """As Exim: ports by ("implicit" or "starttls", certificate name), hold(), `full`, 550 for no such mailbox, a bounce
    from `gone`."""

    name = "Postfix"

    @staticmethod
    def why_not():
        """Why it cannot run here, or None."""
        return None if os.geteuid() == 0 else "Postfix's master needs root"

    def __init__(self, bench, dovecot, certificates=("ecdsa", "rsa")):
        if self.why_not():
            raise PeerError(self.why_not())
        self.bench = bench
        self.ports = {(mode, name): bench.free_port() for name in certificates for mode in ("implicit", "starttls")}
        base = bench.folder / "postfix"
        config, queue, data = base / "config", base / "queue", base / "data"
        self._folders(base, config, queue, data)
        self.log = base / "postfix.log"
        self._holds = bench.private("hold", 0o755)
        self._policy = _Policy(self._holds)
        bench.on_close(self._policy.stop)
        (config / "main.cf").write_text(_MAIN.format(
            host=HOST, domain=DOMAIN, queue=queue, data=data, config=config, lib=bench.tree / "usr/lib/postfix",
            tree=bench.tree, log=self.log, folder=bench.folder, uid=bench.uid, gid=bench.gid,
            auth_socket=dovecot.auth_socket, policy=self._policy.port))
        (config / "master.cf").write_text(self._services(dovecot.certificates) + _MASTER.format(config=config))
        (config / "dynamicmaps.cf").write_text("")
        (config / "full").write_text("/^full@/ 452 4.2.2 Mailbox full\n")
        # Not by the service `error`: what it refuses, smtpd refuses at once. 67 is EX_NOUSER.
        (config / "transports").write_text(f"gone@{DOMAIN} vanished:\n")
        (config / "vanished").write_text("#!/bin/sh\necho 'It has just vanished'\nexit 67\n")
        (config / "vanished").chmod(0o755)
        (config / "mailboxes").write_text(f"gone@{DOMAIN} gone/\n" +
            "".join(f"{name}@{DOMAIN} {name}/\n" for name in dovecot.mailboxes))
        self.process = bench.start("postfix", [bench.program("usr/lib/postfix/sbin/master"), "-d", "-c", str(config)],
                                   as_root=True, environment={"MAIL_CONFIG": str(config)})
        port = next(port for (mode, _), port in self.ports.items() if mode == "starttls")
        bench.wait_ready(self.process, port, b"220", logs=[self.log])

    @staticmethod
    def _folders(base, config, queue, data):
        for folder in (base, config, queue, data, queue / "pid"):
            folder.mkdir(mode=0o755)
        for name, mode in _QUEUE.items():
            (queue / name).mkdir()
            os.chown(queue / name, _POSTFIX, _POSTDROP if mode & 0o070 else 0)
            (queue / name).chmod(mode)
        os.chown(data, _POSTFIX, 0)
        data.chmod(0o700)

    def _services(self, files):
        lines = []
        for (mode, name), port in self.ports.items():
            lines.append(f"127.0.0.1:{port} inet n - n - - smtpd")
            lines.append(f"  -o smtpd_tls_chain_files={files.key(name)},{files.chain(name)}")
            if mode == "implicit":
                lines.append("  -o smtpd_tls_wrappermode=yes")
        return "\n".join(lines) + "\n"

    def port(self, mode, certificate="ecdsa"):
        return self.ports[mode, certificate]

    def hold(self, mailbox):
        self.bench.write(f"hold/{mailbox}", "")

    def release(self, mailbox):
        (self._holds / mailbox).unlink(missing_ok=True)


class _Policy:
    """Postfix's policy protocol (SMTPD_POLICY_README): a recipient that is on hold is greylisted."""

    def __init__(self, holds):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                request = {}
                for line in self.rfile:
                    key, _, value = line.decode(errors="replace").strip().partition("=")
                    if key:
                        request[key] = value
                        continue
                    held = (holds / os.path.basename(request.get("recipient", "").split("@")[0])).is_file()
                    action = "451 4.7.1 Greylisted, please come back" if held else "dunno"
                    self.wfile.write(f"action={action}\n\n".encode())
                    request = {}

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
