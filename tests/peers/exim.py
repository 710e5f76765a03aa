"""Exim: a submission server that runs as an ordinary user and delivers into Dovecot's Maildirs."""
from .bench import DOMAIN, HOST

_CONFIG = """
primary_hostname = {host}
spool_directory = {spool}
log_file_path = {log_dir}/%slog
pid_file_path = {spool}/pid
log_selector = +smtp_connection +smtp_protocol_error +tls_cipher +tls_peerdn +smtp_no_mail +received_recipients \
  +smtp_mailauth -host_lookup_failed
syslog_timestamp = false
timezone = UTC
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : PEERS_ROOT : PEERS_ACCOUNTS
add_environment = PATH=/usr/bin:/bin
exim_path = {exim}
deliver_drop_privilege = true
host_lookup =
helo_lookup_domains =
dns_again_means_nonexist = *
rfc1413_hosts =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {ports}
tls_on_connect_ports = {implicit_ports}
tls_advertise_hosts = *
tls_certificate = ${{extract{{p$received_port}}{{{certificates}}}}}
tls_privatekey = ${{extract{{p$received_port}}{{{keys}}}}}
auth_advertise_hosts = ${{if def:tls_in_cipher{{*}}{{}}}}
pipelining_advertise_hosts = *
smtp_accept_max = 60
smtp_accept_queue_per_connection = 0
smtp_receive_timeout = 60s
never_users =
qualify_domain = {domain}
acl_smtp_mail = acl_mail
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data

begin acl

acl_mail:
  deny  !encrypted = *
        message = 5.7.0 TLS is required
  deny  !authenticated = *
        message = 5.7.0 Authentication is required
  accept

acl_rcpt:
  defer condition = ${{if exists{{{folder}/hold/${{lc:$local_part}}}}}}
        message = 4.7.1 Greylisted, please come back
  defer local_parts = full
        message = 452 4.2.2 Mailbox full
  deny  domains = ! {domain}
        message = 5.7.1 Relaying denied
  accept local_parts = gone
  deny  local_parts = ! dsearch,filter=dir;{folder}/mail
        message = 5.1.1 No such mailbox here
  accept

acl_data:
  accept

begin routers

vanished:
  driver = redirect
  domains = {domain}
  local_parts = gone
  allow_fail
  data = :fail: 5.1.1 That mailbox has just vanished

maildirs:
  driver = accept
  domains = {domain}
  local_parts = dsearch,filter=dir;{folder}/mail
  transport = maildir

begin transports

maildir:
  driver = appendfile
  directory = {folder}/mail/$local_part_data
  maildir_format
  create_directory
  delivery_date_add
  envelope_to_add
  return_path_add
  mode = 0600

begin retry

* * F,10m,1m

begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
  server_prompts = :

login:
  driver = plaintext
  public_name = LOGIN
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
  server_prompts = <| Username: | Password:
"""


class Exim:
    """Ports by ("implicit" or "starttls", certificate name). hold(mailbox) answers RCPT with 451 for a while;
    the mailbox `full` has no room (452), one that does not exist is refused (550); mail to `gone` is taken, and
    comes back as a delivery status notification."""

    name = "Exim"

    def __init__(self, bench, dovecot, certificates=("ecdsa", "rsa")):
        self.bench = bench
        self.ports = {(mode, name): bench.free_port() for name in certificates for mode in ("implicit", "starttls")}
        spool, logs = bench.private("exim-spool"), bench.private("exim-log")
        self.log = logs / "mainlog"
        self._holds = bench.private("hold", 0o755)
        exim = bench.program("usr/sbin/exim4")
        files = dovecot.certificates

        def by_port(file):
            return " ".join(f"p{port}={file(name)}" for (_, name), port in self.ports.items())

        config = bench.write("exim.conf", _CONFIG.format(
            host=HOST, domain=DOMAIN, folder=bench.folder, spool=spool, log_dir=logs, exim=exim,
            ports=" : ".join(str(port) for port in self.ports.values()),
            implicit_ports=" : ".join(str(port) for (mode, _), port in self.ports.items() if mode == "implicit"),
            certificates=by_port(files.chain), keys=by_port(files.key),
            user=dovecot.user, password=dovecot.password))
        self.process = bench.start("exim", [exim, "-C", str(config), "-bdf", "-q5m"])
        bench.wait_ready(self.process, self._any("starttls"), b"220", logs=[self.log, logs / "paniclog"])

    def _any(self, mode):
        return next(port for (this, _), port in self.ports.items() if this == mode)

    def port(self, mode, certificate="ecdsa"):
        return self.ports[mode, certificate]

    def hold(self, mailbox):
        self.bench.write(f"hold/{mailbox}", "")

    def release(self, mailbox):
        (self._holds / mailbox).unlink(missing_ok=True)
