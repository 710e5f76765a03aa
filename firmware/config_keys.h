/* config_keys.h - the one table of the configuration: private to config*.c.
 *
 * A row is KEY(field, TYPE, "name", low, high, "default", "help"):
 *
 * - field is the member of struct config that it fills, and names the row in the code;
 * - a name is matched without case, blanks, '_' and '-', so that auth_user is ssmtp's AuthUser too;
 * - low and high are the bounds of a number, and where low is 0 it may be written `off`; high is
 *   the default port of an endpoint; 0: the member's size is the bound;
 * - the default is a text that the reader takes like a person's; "" is none.
 *
 * OLD(id, TYPE, "name", "help") is a name that fills nothing of its own: another one of the row
 * above, or a key of ssmtp.conf. Help is not linked into a firmware that does not print it.
 */
#ifndef TOCSIN_FIRMWARE_CONFIG_KEYS_H
#define TOCSIN_FIRMWARE_CONFIG_KEYS_H

/* clang-format off */
#ifdef TOCSIN_HOSTED
/* What a program among files and users has, and a device has not. */
#define CONFIG_CA_KEYS(KEY, OLD) \
    KEY(tls_ca_file, TEXT, "tls_ca_file", 0, 0, "", \
        "The CA certificates (PEM) that servers are verified against: a file, or a folder of " \
        "them; the system's bundle if not written. PEM blocks may stand in this text as well.") \
    OLD(tls_ca_dir, ALIAS, "tls_ca_dir", \
        "Another name of `tls_ca_file`.")
#define CONFIG_ROOT_KEYS(KEY, OLD) \
    KEY(to, MAILBOXES, "root", 0, 0, "", \
        "Who gets alerts, and the mail to system users that no alias names; up to 8 addresses.")
#define CONFIG_USER_KEYS(KEY, OLD) \
    KEY(from_line_override, SWITCH, "from_line_override", 0, 0, "", \
        "`no` replaces the From line of each mail by the sender; `yes` lets it be, as does " \
        "tocsin.conf without this key. In ssmtp.conf the default is `no`.") \
    KEY(queue, BOOL, "queue", 0, 0, "yes", \
        "Keeps a mail that cannot leave now. `no`: the caller is told to try again (75).") \
    KEY(spool, TEXT, "spool", 0, 0, "/var/spool/tocsin", \
        "The folder of the queue.") \
    KEY(aliases, TEXT, "aliases", 0, 0, "/etc/aliases", \
        "Names and the addresses that they stand for; see aliases(5).") \
    KEY(revaliases, TEXT, "revaliases", 0, 0, "", \
        "`USER:ADDRESS[:MAILHUB]` lines: who a user's mail comes from. That beside ssmtp.conf " \
        "if that is in use.") \
    KEY(log, TEXT, "log", 0, 0, "syslog", \
        "Where a line a mail goes: `syslog`, `off`, or a file.") \
    KEY(auth_pass_file, TEXT, "auth_pass_file", 0, 0, "", \
        "A file whose first line is `auth_pass`.") \
    KEY(auth_pass_command, TEXT, "auth_pass_command", 0, 0, "", \
        "A command whose first line of output is `auth_pass`.") \
    OLD(passwordeval, ALIAS, "passwordeval", \
        "Another name of `auth_pass_command`.") \
    KEY(auth_pass_file2, TEXT, "auth_pass_file2", 0, 0, "", \
        "As `auth_pass_file`, for `mailhub2`.") \
    KEY(auth_pass_command2, TEXT, "auth_pass_command2", 0, 0, "", \
        "As `auth_pass_command`, for `mailhub2`.") \
    KEY(pop3_pass_file, TEXT, "pop3_pass_file", 0, 0, "", \
        "As `auth_pass_file`, for `pop3`.") \
    KEY(pop3_pass_command, TEXT, "pop3_pass_command", 0, 0, "", \
        "As `auth_pass_command`, for `pop3`.") \
    KEY(total_timeout_s, SECONDS, "total_timeout", 0, 86400, "10m", \
        "The longest that a call spends on the network; what has not left then waits.") \
    KEY(deliver, TEXT, "deliver", 0, 0, "", \
        "Where `tocsin poll` puts mail: `maildir:PATH`, `mbox:PATH` or `pipe:COMMAND`.") \
    KEY(accounts, TEXT, "accounts", 0, 0, "", \
        "A folder of *.conf files, each with the pop3 keys of a further mailbox to poll.") \
    KEY(state, TEXT, "state", 0, 0, "/var/lib/tocsin", \
        "The folder of what is to be remembered: the device's flash, mailboxes' messages.") \
    KEY(syslog_listen, TEXT, "syslog_listen", 0, 0, "127.0.0.1", \
        "The address on which `tocsin daemon` takes syslog; `*` is every one.") \
    KEY(min_user_id, NUMBER, "min_user_id", 0, 65535, "1000", \
        "Mail to users below it goes to `root`, if that is written and no alias names them.")
#define CONFIG_POP3_SIZE_KEYS(KEY, OLD) \
    KEY(pop3_size_max, NUMBER, "pop3_size", 0, 1073741824, "off", \
        "Larger messages are not downloaded. Bytes.") \
    KEY(pop3_delete, BOOL, "pop3_delete", 0, 0, "no", \
        "Deletes on the server what has been delivered here.")
#define CONFIG_DEVICE_KEYS(KEY, OLD)
#else
#define CONFIG_DEVICE_KEYS(KEY, OLD) \
    OLD(min_user_id, IGNORED, "min_user_id", \
        "No effect: there are no users here, every mail goes to root.") \
    OLD(tls_ca_dir, REFUSED, "tls_ca_dir", \
        "Write `TLS_CA_File` with the certificates that the server needs.")
#define CONFIG_CA_KEYS(KEY, OLD) \
    OLD(tls_ca_file, FILE, "tls_ca_file", \
        "The CA certificates (PEM) that the server is verified against. The tool that writes the " \
        "flash image puts them in its place; on the device the PEM blocks stand in the text " \
        "itself.")
#define CONFIG_ROOT_KEYS(KEY, OLD) \
    KEY(to, MAILBOXES, "root", 0, 0, "", \
        "Who gets the alerts; up to 8, on one line or on several. A name without `@` gets " \
        "`rewrite_domain`.")
#define CONFIG_USER_KEYS(KEY, OLD) \
    KEY(from_line_override, BOOL, "from_line_override", 0, 0, "no", \
        "No effect: every mail is the device's own, with `from` as its sender.")
#define CONFIG_POP3_SIZE_KEYS(KEY, OLD) \
    KEY(pop3_size_max, NUMBER, "pop3_size", 1, 1048576, "65536", \
        "Larger messages are never downloaded, whatever they say. Bytes.") \
    KEY(pop3_delete, BOOL, "pop3_delete", 0, 0, "no", \
        "Deletes what is not for the device; otherwise it is left as it is. Orders and round " \
        "trips are deleted when they are done.")
#endif
#define CONFIG_KEYS(KEY, OLD) \
    CONFIG_ROOT_KEYS(KEY, OLD) \
    OLD(to_too, ALIAS, "to", \
        "Another name of `root`.") \
    KEY(mailhub, ENDPOINT, "mailhub", 0, 0, "", \
        "The submission server. Without a port: 465, or 587 where STARTTLS is asked for, or 25 " \
        "with `tls = off`.") \
    KEY(auth_user, TEXT, "auth_user", 0, 0, "", \
        "The user to log in as. Without it there is no login.") \
    KEY(auth_pass, SECRET, "auth_pass", 0, 0, "", \
        "The password of `auth_user`.") \
    KEY(tls_written, TLS, "tls", 0, 0, "", \
        "How the connection is protected; without it the port decides. Only `off` lets mail go " \
        "in clear text.") \
    KEY(use_tls, SWITCH, "use_tls", 0, 0, "", \
        "ssmtp's way to write `tls`. `NO` alone is an error: write `tls = off` if clear text " \
        "is meant.") \
    KEY(use_starttls, SWITCH, "use_starttls", 0, 0, "", \
        "ssmtp's way to write `tls = starttls`. Port 465 stays TLS on connect.") \
    CONFIG_CA_KEYS(KEY, OLD) \
    KEY(tls_name, HOST, "tls_name", 0, 0, "", \
        "The name that the server's certificate must bear; `mailhub`'s host if not written.") \
    KEY(auth_without_tls, BOOL, "auth_without_tls", 0, 0, "no", \
        "Lets the password go in clear text, together with `tls = off`.") \
    KEY(from, MAILBOX, "from", 0, 0, "", \
        "The sender. If not written: see below.") \
    KEY(from_name, TEXT, "from_name", 0, 0, "", \
        "The name shown beside the sender's address; `hostname` if not written.") \
    KEY(rewrite_domain, DOMAIN, "rewrite_domain", 0, 0, "", \
        "The domain of addresses that have none, and of the sender.") \
    KEY(hostname, DOMAIN, "hostname", 0, 0, "tocsin", \
        "What this device calls itself, to the mail server and in each mail.") \
    CONFIG_USER_KEYS(KEY, OLD) \
    KEY(connect_timeout_s, SECONDS, "connect_timeout", 1, 600, "30", \
        "For one connection to open, TLS included.") \
    KEY(greeting_timeout_s, SECONDS, "greeting_timeout", 1, 3600, "60", \
        "For the server's greeting (RFC 5321 would wait 5 minutes).") \
    KEY(command_timeout_s, SECONDS, "command_timeout", 1, 3600, "60", \
        "For the reply to a command (RFC 5321: 5 minutes).") \
    KEY(body_timeout_s, SECONDS, "body_timeout", 1, 3600, "60", \
        "For the server to take a piece of the message (RFC 5321: 3 minutes).") \
    KEY(accept_timeout_s, SECONDS, "accept_timeout", 1, 3600, "120", \
        "For the reply to the whole message (RFC 5321: 10 minutes). Too short a time means " \
        "doubled mails.") \
    KEY(retry_min_s, SECONDS, "retry_min", 1, 86400, "10", \
        "The first wait after a failure; each further one is twice as long, with jitter.") \
    KEY(retry_max_s, SECONDS, "retry_max", 1, 86400, "15m", \
        "The longest wait between two tries.") \
    KEY(expire_s, SECONDS, "expire", 1, 2592000, "5d", \
        "An alert that could not be sent for so long is given up: kept, reported, and not tried " \
        "again before `queue retry`.") \
    KEY(mailhub2, ENDPOINT, "mailhub2", 0, 0, "", \
        "A second submission server, tried when the first fails. Ports as for `mailhub`.") \
    KEY(tls2_written, TLS, "tls2", 0, 0, "", \
        "As `tls`, for `mailhub2`.") \
    KEY(tls2_name, HOST, "tls_name2", 0, 0, "", \
        "As `tls_name`, for `mailhub2`.") \
    KEY(auth_user2, TEXT, "auth_user2", 0, 0, "", \
        "The user at `mailhub2`. Without it there is no login there: the first server's password " \
        "is for the first server.") \
    KEY(auth_pass2, SECRET, "auth_pass2", 0, 0, "", \
        "The password of `auth_user2`.") \
    KEY(repeat_window_s, SECONDS, "repeat_window", 0, 86400, "10m", \
        "An alert like one within this time before it is counted, not sent again; `off` sends " \
        "each.") \
    KEY(alerts_per_hour, NUMBER, "alerts_per_hour", 0, 10000, "60", \
        "So many alerts an hour become mails of their own, further ones lines of a digest; " \
        "critical and worse always go by themselves. `off`: no digest.") \
    KEY(digest_delay_s, SECONDS, "digest_delay", 0, 86400, "15m", \
        "How long a digest collects, from its first line on.") \
    KEY(limit_minute, NUMBER, "limit_minute", 0, 10000, "off", \
        "The provider's limit: messages a minute, whatever happens.") \
    KEY(limit_hour, NUMBER, "limit_hour", 0, 100000, "off", \
        "Messages an hour.") \
    KEY(limit_day, NUMBER, "limit_day", 0, 1000000, "off", \
        "Messages a day.") \
    KEY(confirm, BOOL, "confirm", 0, 0, "no", \
        "A configuration that is committed on the device is first tried: unless a test mail gets " \
        "out with it, the one before comes back.") \
    KEY(confirm_timeout_s, SECONDS, "confirm_timeout", 10, 86400, "5m", \
        "How long such a try may take.") \
    KEY(pop3, ENDPOINT, "pop3", 0, 0, "", \
        "The server of the device's own mailbox, which it reads by POP3. Without a port: 995, or " \
        "110 with STLS or `pop3_tls = off`.") \
    KEY(pop3_tls_written, TLS, "pop3_tls", 0, 0, "", \
        "As `tls`; `stls` is `starttls`. Without it port 110 is STLS, any other TLS on connect. " \
        "With `off`, the login is APOP, unless `auth_without_tls` lets the password go in clear " \
        "text.") \
    KEY(pop3_tls_name, HOST, "pop3_tls_name", 0, 0, "", \
        "As `tls_name`, for `pop3`.") \
    KEY(pop3_user, TEXT, "pop3_user", 0, 0, "", \
        "The user whose mailbox it is.") \
    KEY(pop3_pass, SECRET, "pop3_pass", 0, 0, "", \
        "The password of `pop3_user`.") \
    KEY(mailbox, MAILBOX, "mailbox", 0, 0, "", \
        "The address whose mail comes to that mailbox, for round trips; `from` if not written.") \
    KEY(poll_s, SECONDS, "poll", 0, 604800, "5m", \
        "How often the mailbox is looked at, with some jitter; `off`: only on demand.") \
    KEY(poll_fast_s, SECONDS, "poll_fast", 1, 3600, "30s", \
        "How often while something is going on: after an order, or `poll DURATION`.") \
    CONFIG_POP3_SIZE_KEYS(KEY, OLD) \
    KEY(commands, COMMANDS, "commands", 0, 0, "default", \
        "What may be ordered by mail: names, `all`, `none`, or `default`: all but config-set, " \
        "config-import, otp and reboot.") \
    KEY(command_key, HMAC_KEY, "command_key", 0, 0, "", \
        "Takes orders that are signed by HMAC-SHA-256 with this key; each device needs its own.") \
    KEY(command_public, PUBLIC_KEY, "command_public_key", 0, 0, "", \
        "Takes orders that are signed with the private key of this one.") \
    KEY(otp, CHAIN, "otp", 0, 0, "", \
        "Takes orders with a one-time password (RFC 2289, otp-sha1): the chain's beginning, as " \
        "`tocsin otp chain` prints it.") \
    KEY(answer_to, MAILBOX, "answer_to", 0, 0, "", \
        "Who gets answers and reports; all of `root` if not written.") \
    KEY(answers_per_hour, NUMBER, "answers_per_hour", 0, 1000, "20", \
        "So many orders by mail are taken in an hour; further ones wait in the mailbox.") \
    KEY(report, SCHEDULE, "report", 0, 2592000, "off", \
        "When the device tells how it is. A time of day is that of `timezone`.") \
    KEY(self_test, SCHEDULE, "self_test", 0, 2592000, "off", \
        "When the device sends itself a mail through the mailbox, and raises an alert if it does " \
        "not come back.") \
    KEY(address, NETWORK, "address", 0, 0, "dhcp", \
        "This device's IPv4 address.") \
    KEY(netmask, NETMASK, "netmask", 0, 0, "", \
        "The mask of a static `address` that has no `/LENGTH`.") \
    KEY(gateway, IPV4, "gateway", 0, 0, "", \
        "The router, with a static `address`.") \
    KEY(dns, SERVERS, "dns", 0, 53, "", \
        "Up to 2 name servers, IPv4 addresses. DHCP's are used if not written.") \
    KEY(host, HOSTS, "host", 0, 0, "", \
        "A host name that needs no name server; up to 6 such lines.") \
    KEY(sntp, ENDPOINTS, "sntp", 0, 123, "pool.ntp.org", \
        "Up to 2 time servers, or `off`. Certificates cannot be checked before the time is " \
        "known.") \
    KEY(syslog_port, PORT, "syslog_port", 0, 65535, "514", \
        "The UDP port that takes syslog messages; 0 or `off` for none.") \
    KEY(syslog_severity, SEVERITY, "syslog_severity", 0, 0, "notice", \
        "Messages of this severity and worse become alerts.") \
    KEY(syslog_facilities, FACILITIES, "syslog_facility", 0, 0, "all", \
        "The facilities that are taken.") \
    KEY(syslog_match, TEXT, "syslog_match", 0, 0, "", \
        "Only messages that hold this text become alerts; ASCII case does not count.") \
    KEY(syslog_ignore, TEXT, "syslog_ignore", 0, 0, "", \
        "Messages that hold this text never become alerts.") \
    KEY(alert_boot, BOOL, "alert_boot", 0, 0, "yes", \
        "An alert at each start, with the reason of the reset.") \
    KEY(alert_link, BOOL, "alert_link", 0, 0, "yes", \
        "An alert when the network link went down or came up.") \
    KEY(zone_minutes, ZONE, "timezone", 0, 0, "UTC", \
        "Of the times in mails; there is no daylight saving.") \
    OLD(auth_method, METHOD, "auth_method", \
        "No effect: PLAIN or LOGIN is chosen from what the server offers.") \
    OLD(debug, IGNORED, "debug", \
        "No effect: failures are always told in full; see `log` and `test` on the console.") \
    OLD(use_tls_cert, CLIENT_CERT, "use_tls_cert", \
        "No effect: client certificates are not supported.") \
    OLD(tls_cert, REFUSED, "tls_cert", \
        "Client certificates are not supported.") \
    OLD(tls_key, REFUSED, "tls_key", \
        "Client certificates are not supported.") \
    CONFIG_DEVICE_KEYS(KEY, OLD)
/* clang-format on */

#endif
