#!/usr/bin/env python3
"""The Linux program called by real programs of Debian: each mail arrives whole.

They are unpacked, not installed (tools/deps.py callers), and find this program as /usr/sbin/sendmail: redirect.c
leads that path, and their spools and settings, into the test's folder. What stands there is a script that notes the
arguments, so that test_options.c can have them, and calls the program with the test's configuration.
"""
import email
import email.policy
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import DOMAIN, Skip, main, test, wait_for  # noqa: E402
from peers.bench import BUILD, PeerError  # noqa: E402

TREE = BUILD / "callers"
RUN_S = 60
MINUTE_S = 75  # Until a crontab's line that runs each minute has run.

# What no step on the way may change: dots, From lines, blanks at the end, long lines, and letters of any kind.
HARD_TEXT = ("Grüße – да, 日本\n.\n..\n.x\nFrom me\n>From you\n\tTab and blanks behind  \n\n" + "x" * 990 + "\n" +
             "ü" * 400 + "\n-- \nend\n")
BINARY = bytes(range(256)) * 300 + b"\r\n.\r\nFrom \n\0"

_LOCK = threading.Lock()


def redirect_library(bench):
    """redirect.c, compiled once for the run."""
    with _LOCK:
        library = bench.folder / "redirect.so"
        if not library.exists():
            compiler = shlex.split(os.environ.get("CC", "cc"))
            command = [*compiler, "-O1", "-shared", "-fPIC", "-o", str(library),
                       str(Path(__file__).with_name("redirect.c")), "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                raise PeerError(f"cannot compile redirect.c:\n{done.stderr}")
        return library


class Caller:
    """A case's place for programs that call sendmail.

    server: a name, or a port. redirect: more paths that are elsewhere. said: what the last program said.
    """

    def __init__(self, case, server="exim", redirect=None, **settings):
        if not (TREE / "usr" / "bin").is_dir():
            raise PeerError(f"no unpacked programs in {TREE}: run `python3 tools/deps.py callers`")
        self.case = case
        self.folder = case.folder / "caller"
        self.noted = self.folder / "calls"
        for name in ("bin", "calls", "home", "tmp"):
            (self.folder / name).mkdir(parents=True)
        aliases = case.folder / "aliases"
        aliases.write_text(f"root: {case.address}\n")
        port = server if isinstance(server, int) else case.servers.named(server).port("implicit")
        case.config(port, **{"aliases": aliases, **settings})
        self.said = ""
        self.sendmail = self._script()
        library = TREE / "usr" / "lib"
        self.mail = self.folder / "bin" / "mail"
        self.mail.symlink_to(case.bench.packages / "usr" / "bin" / "s-nail")
        paths = {**(redirect or {}), "/usr/sbin/sendmail": self.sendmail, "/usr/lib/sendmail": self.sendmail,
                 "/usr/bin/mail": self.mail, "/etc/s-nail.rc": case.bench.packages / "etc" / "s-nail.rc"}
        home = self.folder / "home"
        self.environment = {
            "PATH": f"{self.folder}/bin:{TREE}/usr/lib/git-core:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home),
            "TMPDIR": str(self.folder / "tmp"), "LC_ALL": "C.UTF-8", "TZ": "UTC", "USER": "root", "LOGNAME": "root",
            "PERL5LIB": f"{TREE}/usr/share/perl5",
            "LD_LIBRARY_PATH": ":".join(map(str, [*sorted(library.glob("*-linux-gnu*")), library])),
            "LD_PRELOAD": str(redirect_library(case.bench)),
            "REDIRECT": "\n".join(f"{was}={now}" for was, now in paths.items())}

    def _script(self):
        """What the callers find: the program with the case's configuration, and nothing of the callers' world."""
        script = self.folder / "bin" / "sendmail"
        script.write_text("#!/bin/sh\nunset LD_PRELOAD LD_LIBRARY_PATH REDIRECT REDIRECT_DISK\n"
                          f"cd / && call={shlex.quote(str(self.noted))}/$$\n"
                          "for word; do printf '%s\\0' \"$word\"; done > \"$call.words\"\n"
                          "export ASAN_OPTIONS=abort_on_error=0:exitcode=99\n"
                          f"{shlex.join(map(str, self.case.command('sendmail')))} \"$@\" 2> \"$call.said\"\n"
                          "code=$?\necho $code > \"$call.tmp\" && mv \"$call.tmp\" \"$call.code\"\nexit $code\n")
        script.chmod(0o755)
        return script

    def run(self, *command, text=b"", code=0, environment=None, **more):
        """A program of the tree (by its path in it) or any other, to its end."""
        words = list(map(str, command))
        if (TREE / words[0]).exists():
            words[0] = str(TREE / words[0])
        data = text if isinstance(text, bytes) else text.encode()
        done = subprocess.run(words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=RUN_S,
                              env={**self.environment, **(environment or {})}, check=False,
                              **{"cwd": self.folder, **more})
        self.said = (done.stdout + done.stderr).decode(errors="replace")
        self.case.expect(code is None or done.returncode == code,
                         f"{words[0]} ended with {done.returncode}: {self.said[-1500:]}")
        return done

    def calls(self, count=1):
        """The arguments of the calls, of which there have to be so many, all ended well and without a word."""
        wait_for(lambda: len(list(self.noted.glob("*.code"))) >= count, 10)
        ended = sorted(self.noted.glob("*.code"), key=lambda path: path.stat().st_mtime_ns)
        said = "\n".join(path.with_suffix(".said").read_text(errors="replace") for path in ended)
        self.case.expect(len(ended) == count, f"{len(ended)} calls, {count} expected")
        codes = [path.read_text().strip() for path in ended]
        self.case.expect(set(codes) <= {"0"} and not said.strip(), f"exit codes {codes}: {said}")
        return [[word.decode() for word in path.with_suffix(".words").read_bytes().split(b"\0")[:-1]] for path in ended]

    def called_with(self, *expected):
        """Exactly these calls were made."""
        calls = self.calls(len(expected))
        self.case.expect(calls == [list(map(str, words)) for words in expected], f"called with {calls}")


def content(part):
    """A part's text as a reader has it, with LF."""
    return part.get_payload(decode=True).decode(part.get_content_charset("utf-8")).replace("\r\n", "\n")


def has(case, mail, text=None, attached=None, sender=None, **fields):
    """Whether a mail has these fields (name_of_it for Name-Of-It), text, attachment and envelope sender, and no Bcc."""
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    for name, value in {**fields, "Bcc": None, **({"Return-Path": f"<{sender}>"} if sender else {})}.items():
        case.expect(mail[name] == value, f"{name}: {mail[name]!r} is not {value!r}")
    case.expect(mail["Date"] and mail["Message-ID"], str(mail)[:800])
    parts = list(mail.walk())
    if text is not None:
        is_text = content(next(part for part in parts if part.get_content_maintype() == "text"))
        case.expect(is_text == text, f"text: {is_text!r}")
    if attached is not None:
        named = [part.get_payload(decode=True) for part in parts if part.get_filename() == attached[0]]
        case.expect(named == [attached[1]], f"{attached[0]} of {[len(part) for part in named]} bytes differs")


# ---- scripts ----

SCRIPTS = {
    "perl": ("perl", "-e", r"""
        open(my $mail, '|/usr/sbin/sendmail -t -oi') or die "cannot start sendmail: $!";
        local $/; my $text = <STDIN>;
        print $mail "From: Wächter <guard\@example.test>\nTo: $ARGV[0]\nBcc: $ARGV[1]\nSubject: Größe\n",
            "Content-Type: text/plain; charset=utf-8\n\n", $text;
        close($mail) or die "sendmail: $?";"""),
    "python": (sys.executable, "-c", r"""
import subprocess, sys
from email.message import EmailMessage
mail = EmailMessage()
mail["From"], mail["To"], mail["Bcc"] = "Wächter <guard@example.test>", sys.argv[1], sys.argv[2]
mail["Subject"] = "Größe"
mail.set_content(sys.stdin.read())
subprocess.run(["/usr/sbin/sendmail", "-t", "-oi"], input=mail.as_bytes(), check=True)"""),
    "shell": ("sh", "-c", r"""
{ printf 'From: Wächter <guard@example.test>\nTo: %s\nBcc: %s\nSubject: Größe\n' "$1" "$2"
  printf 'MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n'; cat; } |
/usr/lib/sendmail -t -oi""", "sh"),
}


@test("perl", language="perl", server="exim")
@test("python", language="python", server="postfix")
@test("shell", language="shell", server="postfix")
def script(case, language, server):
    """A script that opens a pipe to sendmail."""
    caller = Caller(case, server)
    caller.run(*SCRIPTS[language], case.address, case.address2, text=HARD_TEXT)
    caller.called_with(["-t", "-oi"])
    for box in (case.box, case.box2):
        has(case, case.mails(box)[0], HARD_TEXT, Subject="Größe", From=f"Wächter <guard@{DOMAIN}>", To=case.address,
            sender=f"device@{DOMAIN}")


# As their sources and packages have it: what is run, its arguments, and who is said to send.
LINES = {
    "fail2ban": (r"""printf %b "Subject: [Fail2Ban] sshd: banned 192.0.2.1 from box
Date: `LC_ALL=C date +"%a, %d %h %Y %T %z"`
From: Fail2Ban <fail2ban@example.test>
To: root@localhost\n
Hi,\n
The IP 192.0.2.1 has just been banned.\n
Regards,\n
Fail2Ban" | /usr/sbin/sendmail -f "fail2ban@example.test" "root@localhost" """,
                 ["-f", f"fail2ban@{DOMAIN}", "root@localhost"], f"fail2ban@{DOMAIN}", "has just been banned."),
    "watchdog": (r"""printf 'Subject: box.example.test is going down!\nTo: %s\n\nMessage from watchdog:\n' root |
/usr/lib/sendmail -i root""", ["-i", "root"], f"device@{DOMAIN}", "Message from watchdog:"),
    "busybox-crond": (r"""printf 'To: root\nSubject: cron: echo x\n\nx\n' | /usr/sbin/sendmail -ti ''""", ["-ti", ""],
                      f"device@{DOMAIN}", "x"),
    "openwrt-script": (r"""printf 'Subject: wan is down\nFrom: Router <root>\nTo: root\n\nsince 12:00\n.\n' |
sendmail root""", ["root"], f"device@{DOMAIN}", "since 12:00"),
    "two-lines-no-header": (r"""echo 'the disk is full' | sendmail root""", ["root"], f"device@{DOMAIN}",
                            "the disk is full"),
}


@test("fail2ban", name="fail2ban")
@test("watchdog", name="watchdog")
@test("busybox-crond", name="busybox-crond")
@test("openwrt-script", name="openwrt-script")
@test("no-header", name="two-lines-no-header")
def line(case, name):
    """Scripts' lines, to a local name."""
    caller = Caller(case)
    script, words, sender, text = LINES[name]
    caller.run("sh", "-c", script)
    caller.called_with(words)
    mail = case.mails()[0]
    has(case, mail, sender=sender)
    case.expect(text in content(mail) and mail["From"].addresses[0].domain == DOMAIN, f"{mail}")


# ---- how daemons leave a process ----

@test("closed-descriptors", shell="exec {} 1>&- 2>&-")
@test("signals-ignored", shell="trap '' CHLD PIPE HUP INT; exec {}")
@test("empty-environment", shell="exec env -i {}")
@test("folder-gone", shell="mkdir gone && cd gone && rmdir ../gone && exec {}")
@test("umask", shell="umask 777; exec {}")
@test("few-descriptors", shell="ulimit -n 16; exec {}")
@test("many-descriptors-left-open", shell="exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3 9<&3; exec {}")
@test("no-core-no-stack", shell="ulimit -c 0; ulimit -s 256; exec {}")
def left(case, shell):
    """Sent; kept while the server is away, and sent when it is back; the password comes from a command."""
    secret = case.folder / "secret"
    secret.write_text(case.dovecot.password)
    port = case.bench.free_port()
    case.config(port, auth_pass=None, auth_pass_command=f"cat {secret}")
    command = shell.format(shlex.join(map(str, case.command("sendmail", "-t", "-i"))))
    mail = f"To: {case.address}\nSubject: {{}}\nContent-Type: text/plain; charset=utf-8\n\n{HARD_TEXT}"

    def call(subject):
        done = subprocess.run(["sh", "-c", command], input=mail.format(subject).encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=RUN_S, cwd=case.folder, check=False)
        case.expect(done.returncode == 0, f"{subject}: {done.returncode} {done.stderr.decode()}")

    call("away")
    case.expect(len(case.queued()) == 1, "it waits")
    case.tap(case.servers.exim.port("implicit"), at=port)
    call("back")
    case.expect(not case.queued(), f"nothing is left: {case.mailq()}")
    for mail_read in case.mails(count=2):
        has(case, mail_read, HARD_TEXT)
    case.expect(sorted(mail["Subject"] for mail in case.mails(count=2)) == ["away", "back"], "both")


# ---- cron ----

@test("cron")
def cron(case):
    """The daemon itself: what jobs say is mailed, to MAILTO or to their owner; what says nothing is not."""
    if os.geteuid() != 0:
        raise Skip("cron runs as root only")
    spool = case.folder / "cron"
    for name in ("crontabs", "cron.d", "run"):
        (spool / name).mkdir(parents=True)
    caller = Caller(case, redirect={"/var/spool/cron": spool, "/etc/cron.d": spool / "cron.d",
                                    "/etc/crontab": spool / "crontab", "/etc/pam.d/cron": spool / "pam",
                                    "/run": spool / "run", "/var/run": spool / "run"})
    text = case.folder / "text"
    text.write_text(HARD_TEXT)
    crontab = spool / "crontabs" / "root"
    crontab.write_text(f"MAILTO={case.address2}\n* * * * * cat {text}\n* * * * * true\n")
    crontab.chmod(0o600)
    (spool / "crontab").write_text("* * * * * root echo broken >&2; exit 3\n")
    (spool / "pam").write_text("".join(f"{kind} required pam_permit.so\n" for kind in ("auth", "account", "session")))
    daemon = case.bench.start(case.name, [str(TREE / "usr/sbin/cron"), "-f"], True, caller.environment)
    try:
        wait_for(lambda: len(list(caller.noted.glob("*.code"))) >= 2, MINUTE_S)
        case.expect(daemon.alive(), f"cron ended: {daemon.log.read_text()}")
    finally:
        daemon.stop()
    calls = sorted(caller.calls(2), key=lambda words: words[-1])
    case.expect([words[-1] for words in calls] == [case.address2, "root"], f"called with {calls}")
    case.expect(all({"-FCronDaemon", "-i", "-oem"} <= set(words) for words in calls), f"called with {calls}")
    host = os.uname().nodename
    common = {"From": f"CronDaemon <root@{DOMAIN}>", "sender": f"device@{DOMAIN}"}
    has(case, case.mails()[0], "broken\n", To=f"root@{DOMAIN}", **common,
        Subject=f"Cron <root@{host}> echo broken >&2; exit 3")
    mail = case.mails(case.box2)[0]
    has(case, mail, HARD_TEXT, To=case.address2, Subject=f"Cron <root@{host}> cat {text}", **common)
    case.expect(f"<MAILTO={case.address2}>" in mail.get_all("X-Cron-Env"), f"{mail.get_all('X-Cron-Env')}")


# ---- what watches disks ----

@test("mdadm", server="postfix", named=f"MAILFROM RAID Wächter <raid@{DOMAIN}>\n",
      sender=f"RAID Wächter <raid@{DOMAIN}>")
@test("mdadm-override", server="exim", sender=None, from_line_override="no")
def mdadm(case, server, sender, named="", **more):
    """Its monitor's own alert, for an array that is named and need not be there."""
    run = case.folder / "run"
    run.mkdir()
    caller = Caller(case, server, {"/run/mdadm": run}, **more)
    config = case.folder / "mdadm.conf"
    config.write_text(f"MAILADDR root\n{named}")
    caller.run("usr/sbin/mdadm", "--monitor", "--test", "--oneshot", f"--config={config}", "/dev/md/missing", code=None)
    caller.called_with(["-t"])
    mail = case.mails()[0]
    has(case, mail, From=sender or mail["From"], To=f"root@{DOMAIN}", sender=f"device@{DOMAIN}",
        Subject=f"TestMessage event on /dev/md/missing:{os.uname().nodename}")
    case.expect(sender or mail["From"].addresses[0].addr_spec == f"device@{DOMAIN}", mail["From"])
    case.expect("A TestMessage event had been detected on md device /dev/md/missing.\n" in content(mail), content(mail))


@test("smartd-test", runner=True, failing=False)
@test("smartd-failure", runner=True, failing=True)
@test("smartd-mail", runner=False, failing=True)
def smartd(case, runner, failing):
    """The daemon with a disk that redirect.c answers for: its script, Debian's runner or none, mail, sendmail."""
    folder = case.folder / "smartd"
    (folder / "states").mkdir(parents=True)
    disk = folder / "disk"
    disk.write_text("failing" if failing else "")
    by = "-M exec /usr/share/smartmontools/smartd-runner" if runner else ""
    (folder / "smartd.conf").write_text(f"{disk} -d scsi -a -m root {'' if failing else '-M test'} {by}\n")
    caller = Caller(case, redirect={"/usr/share/smartmontools": TREE / "usr/share/smartmontools",
                                    "/etc/smartmontools": TREE / "etc/smartmontools",
                                    "/var/lib/smartmontools": folder / "states"})
    caller.run("usr/sbin/smartd", "-q", "onecheck", "-c", folder / "smartd.conf", code=None,
               environment={"REDIRECT_DISK": str(disk)})
    caller.called_with(["-i", "--", "root"])
    mail = case.mails()[0]
    kind, said = (("Health", f"Device: {disk}, SMART Failure: HARDWARE IMPENDING FAILURE GENERAL HARD DRIVE FAILURE")
                  if failing else ("EmailTest", f"TEST EMAIL from smartd for device: {disk}"))
    has(case, mail, To=f"root@{DOMAIN}", sender=f"device@{DOMAIN}",
        Subject=f"SMART error ({kind}) detected on host: {os.uname().nodename.split('.')[0]}")
    case.expect(f"\n{said}\n" in content(mail) and f"device@{DOMAIN}" in mail["From"], str(mail))


# ---- mail programs ----

@test("s-nail", server="postfix")
def s_nail(case, server):
    caller = Caller(case, server)
    attached = case.folder / "data.bin"
    attached.write_bytes(BINARY)
    caller.run(caller.mail, "-s", "Größe 100 € да", "-a", attached, "-r", f"Wächter <guard@{DOMAIN}>",
               "-b", case.address2, case.address, text=HARD_TEXT)
    caller.called_with(["-i", "-F", "Wächter", "-f", f"guard@{DOMAIN}", "--", case.address, case.address2])
    for box in (case.box, case.box2):
        has(case, case.mails(box)[0], HARD_TEXT, ("data.bin", BINARY), f"guard@{DOMAIN}", Subject="Größe 100 € да",
            From=f"Wächter <guard@{DOMAIN}>", To=case.address)


@test("s-nail-mta")
def s_nail_mta(case):
    """Without a sender, to a name without a domain, and mta as an option: what admins' scripts do."""
    caller = Caller(case)
    caller.run(caller.mail, "-n", "-S", f"mta={caller.sendmail}", "-s", "disk full", "root", text="98 %\n")
    caller.called_with(["-i", "--", "root"])
    has(case, case.mails()[0], "98 %\n", sender=f"device@{DOMAIN}", Subject="disk full", To=f"root@{DOMAIN}")


@test("mutt", server="exim")
@test("mutt-postfix", server="postfix")
def mutt(case, server):
    caller = Caller(case, server)
    attached = case.folder / "data.bin"
    attached.write_bytes(BINARY)
    config = case.folder / "muttrc"
    config.write_text(f'set sendmail="/usr/sbin/sendmail -oem -oi"\nset realname="Wächter"\nset from=guard@{DOMAIN}\n'
                      "set use_envelope_from=yes\nset copy=no\nset charset=utf-8\nset user_agent=yes\n"
                      f"alias watch Wach Mann <{case.address}>\nmy_hdr X-Odd: eins – zwei\n")
    caller.run("usr/bin/mutt", "-n", "-F", config, "-s", "Größe 100 € да", "-b", case.address2, "-a", attached, "--",
               "watch", text=HARD_TEXT)
    caller.called_with(["-oem", "-oi", "-f", f"guard@{DOMAIN}", "--", case.address, case.address2])
    for box in (case.box, case.box2):
        has(case, case.mails(box)[0], HARD_TEXT, ("data.bin", BINARY), f"guard@{DOMAIN}", Subject="Größe 100 € да",
            From=f"Wächter <guard@{DOMAIN}>", To=f"Wach Mann <{case.address}>", X_Odd="eins – zwei")


# ---- git send-email ----

@test("git-send-email", server="postfix")
@test("git-sendmail-cmd", server="exim", command="/usr/sbin/sendmail -oi")
def git_send_email(case, server, command=None):
    """A series of patches, which git am takes from the mailbox as they were."""
    caller = Caller(case, server)
    (caller.folder / "home" / ".gitconfig").write_text(
        f"[user]\nname = Jürgen Groß\nemail = jg@{DOMAIN}\n[init]\ndefaultBranch = main\n[sendemail]\n"
        "confirm = never\nsuppressCc = all\nassume8bitEncoding = UTF-8\nenvelopeSender = auto\n")
    work, other = case.folder / "work", case.folder / "other"

    def git(*words, **more):
        return caller.run("git", "-c", "commit.gpgSign=false", *words, **more).stdout

    git("init", "-q", work)
    files = {"a": "one\n", "b": "one\n.\n..\nFrom here\nGrün \n\ttab\n" + "x" * 900 + "\nno end"}
    for number, (name, text) in enumerate(files.items()):
        (work / name).write_text(text)
        git("-C", work, "add", name)
        git("-C", work, "commit", "-q", "-m", f"Größe {number}\n\nWarum: да.\n")
        if number == 0:
            git("clone", "-q", work, other)
    (work / "a").write_bytes(BINARY)
    git("-C", work, "commit", "-q", "-a", "-m", "Bytes")
    more = [f"--sendmail-cmd={command}"] if command else []
    git("-C", work, "send-email", *more, f"--to={case.address}", "-2", cwd=work)
    flags = ["-oi"] if command else []
    for words in caller.calls(2):
        case.expect(words == [*flags, "-f", f"jg@{DOMAIN}", "-i", case.address], f"called with {words}")
    mails = dict(sorted((mail["Subject"], raw) for mail, raw in zip(case.mails(count=2), case.raw(count=2))))
    case.expect(list(mails) == ["[PATCH 1/2] Größe 1", "[PATCH 2/2] Bytes"], f"{list(mails)}")
    for mail in case.mails(count=2):
        has(case, mail, sender=f"jg@{DOMAIN}", From=f"Jürgen Groß <jg@{DOMAIN}>", To=case.address)
    for raw in mails.values():
        git("-C", other, "am", "-q", text=raw)
    case.expect(git("-C", other, "log", "--format=%an%n%ae%n%B") == git("-C", work, "log", "--format=%an%n%ae%n%B"),
                "the same messages")
    case.expect(git("-C", other, "rev-parse", "HEAD^{tree}") == git("-C", work, "rev-parse", "HEAD^{tree}"),
                "the same files")


# ---- php ----

PHP = r"""
[, $to, $bcc, $more, $kind] = $argv;
$text = stream_get_contents(STDIN);
$head = ["From" => "Wächter <w@example.test>", "X-Odd" => "1", "Bcc" => $bcc, "X-Alert" => "größer"];
if ($kind == "mime")
    $head += ["MIME-Version" => "1.0", "Content-Type" => "text/plain; charset=utf-8"];
if ($kind == "parts") {
    $head += ["MIME-Version" => "1.0", "Content-Type" => "multipart/mixed; boundary=\"=_b\""];
    $data = chunk_split(base64_encode(file_get_contents("data.bin")));
    $text = "--=_b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n$text\n" .
        "--=_b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n" .
        "Content-Disposition: attachment; filename=data.bin\r\n\r\n$data\n--=_b--";
}
exit(mail($to, "=?UTF-8?B?" . base64_encode("Größe") . "?=", $text, $head, $more) ? 0 : 1);"""


def php_mail(caller, more="", kind="", options=()):
    """Has PHP send; (CR)LF of both kinds is in it, for mail() ends its own lines with CRLF."""
    case = caller.case
    (caller.folder / "data.bin").write_bytes(BINARY)
    program = sorted((TREE / "usr" / "bin").glob("php[0-9]*"))[-1]
    caller.run(program, "-n", *options, "-r", PHP, "--", case.address, case.address2, more, kind, text=HARD_TEXT)


def php_has(case, mail, sender, kind):
    has(case, mail, None, ("data.bin", BINARY) if kind == "parts" else None, sender, Subject="Größe", To=case.address,
        From="Wächter <w@example.test>", X_Odd="1", X_Alert="größer")
    text = next(part for part in mail.walk() if part.get_content_maintype() == "text")
    case.expect(content(text).rstrip("\n") == HARD_TEXT.rstrip("\n"), f"{content(text)!r}")
    return text["Content-Transfer-Encoding"]


@test("php", server="exim")
@test("php-path", server="postfix", path=True, kind="mime")
@test("php-sender", server="exim", kind="mime", more="-fbounce@example.test")
@test("php-attachment", server="postfix", kind="parts")
def php(case, server, path=False, kind="", more=""):
    """mail(), with the path compiled in or set; what servers take is not encoded."""
    caller = Caller(case, server)
    php_mail(caller, more, kind, ["-d", f"sendmail_path={caller.sendmail} -oi -t"] if path else [])
    caller.called_with([*(["-oi", "-t"] if path else ["-t", "-i"]), *([more] if more else [])])
    for box in (case.box, case.box2):
        encoding = php_has(case, case.mails(box)[0], more[2:] or f"device@{DOMAIN}", kind)
        case.expect(encoding in (None, "8bit"), f"encoded: {encoding}")


@test("php-seven-bits", kind="mime")
@test("php-attachment-seven-bits", kind="parts")
def php_seven_bits(case, kind):
    """The same to a server without 8BITMIME."""
    evil = case.evil([{}], offers=("PIPELINING", "SIZE 10240000", "AUTH PLAIN LOGIN"))
    php_mail(Caller(case, evil.port), kind=kind)
    case.expect(len(evil.mails) == 1 and max(evil.mails[0]) < 128, f"{evil.mails}")
    mail = email.message_from_bytes(evil.mails[0], policy=email.policy.default)
    case.expect(php_has(case, mail, None, kind) in ("quoted-printable", "base64"), "encoded")


# ---- logwatch ----

@test("logwatch", server="postfix")
@test("logwatch-html", server="exim", more=("--format", "html", "--encode", "base64"))
def logwatch(case, server, more=()):
    log, settings = case.folder / "logs", case.folder / "logwatch"
    log.mkdir()
    (settings / "conf").mkdir(parents=True)
    caller = Caller(case, server, {"/usr/share/logwatch": TREE / "usr/share/logwatch", "/var/log": log,
                                   "/etc/logwatch": settings})
    (settings / "conf" / "logwatch.conf").write_text(f"TmpDir = {caller.folder}/tmp\n")
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime())
    (log / "syslog").write_text("".join(f"{stamp} box CRON[{number}]: (root) CMD (/opt/größe {number})\n"
                                          for number in range(10, 200)))
    caller.run("perl", TREE / "usr/sbin/logwatch", "--output", "mail", "--range", "all", "--service", "cron",
               "--detail", "high", "--hostname", "box", *more)
    caller.called_with(["-t"])
    mail = case.mails()[0]
    has(case, mail, To=f"root@{DOMAIN}", From=f"root@{DOMAIN}", sender=f"device@{DOMAIN}", Precedence="bulk",
        Auto_Submitted="auto-generated", Subject=f"Logwatch for box ({os.uname().sysname})")
    case.expect(mail.get_content_type() == ("text/html" if more else "text/plain"), mail.get_content_type())
    text = content(mail)
    case.expect(all(f"/opt/größe {number}" in text for number in range(10, 200)) and "Logwatch End" in text, text)


if __name__ == "__main__":
    sys.exit(main(__doc__, "linux-callers"))
