"""A real Postfix with SASL, private to whoever starts it.

Its daemons begin as root and go on as the users ``postfix`` and ``nobody``.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import _installed
from ._maildir import Maildirs
from ._private import BUSY, DOMAIN, GONE, GONE_TOO, REFUSED, PrivateServer

_POSTFIX = Path("/usr/sbin/postfix")
_MASTER = Path("/usr/lib/postfix/sbin/master")
_SASLPASSWD = Path("/usr/sbin/saslpasswd2")
_SASL_PLUGINS = ("plain", "login", "scram", "sasldb")

# What differs from Postfix's defaults, and why.
_MAIN_CF = """\
compatibility_level = 3.6

# One private directory.
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}

# No two messages have the same one, which short ones may.
enable_long_queue_ids = yes

# Loopback, and no question to any name server.
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = mx.{domain}
myorigin = {domain}
smtpd_peername_lookup = no

# Whoever is on this machine may be a gateway.
smtpd_authorized_xclient_hosts = {host}
smtpd_authorized_xforward_hosts = {host}

# AUTH over TLS only, checked against passwords of its own.
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = {domain}
cyrus_sasl_config_path = {root}/config/sasl
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {root}/server.pem

# Who has authenticated may write to the one domain; two of its mailboxes refuse.
smtpd_relay_restrictions =
    reject_unauth_destination, permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{
    {{ {refused} = 550 5.1.1 No such mailbox }}
    {{ {busy} = 450 4.2.1 Mailbox busy }} }}
smtpd_error_sleep_time = 0
smtpd_timeout = {idle}s
message_size_limit = {max_size}

# Any address of the domain is delivered, each recipient on its own, into one
# maildir: virtual(8) takes no table that could name a maildir for any address.
mydestination =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {root}/mail
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}

# But two addresses are found to be none once they are accepted.
transport_maps = inline:{{
    {{ {gone} = absent }}
    {{ {gone_too} = absent }} }}

# Nothing leaves this machine, reports to senders elsewhere included.
default_transport = discard
notify_classes =
fast_flush_domains =

# Mail data is stored as it came: no header field completed, none dropped, for a
# Bcc field that slipped out must be seen.
local_header_rewrite_clients =
message_drop_headers =
"""

_MASTER_CF = """\
{host}:{submission} inet n - n - - smtpd
    -o syslog_name=postfix/submission
    -o smtpd_tls_security_level=encrypt
{host}:{smtps} inet n - n - - smtpd
    -o syslog_name=postfix/smtps
    -o smtpd_tls_wrappermode=yes
{host}:{plain} inet n - n - - smtpd
    -o syslog_name=postfix/plain
    -o smtpd_sasl_auth_enable=no
    -o smtpd_relay_restrictions=reject_unauth_destination
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
absent unix - n n - - virtual
    -o virtual_mailbox_maps=
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

_SMTPD_CONF = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {root}/data/sasldb2
mech_list: {mechanisms}
"""

# Debian's smtpd(8) looks for its SASL configuration here, whatever main.cf says.
_FILES = {
    "config/main.cf": _MAIN_CF,
    "config/master.cf": _MASTER_CF,
    "config/sasl/smtpd.conf": _SMTPD_CONF,
}

_NOBODY = 65534

# Directory, owner, mode; the owners must get through to what is theirs.
_DIRECTORIES = (
    ("config", "root", 0o755),
    ("config/sasl", "root", 0o755),
    ("queue", "root", 0o755),
    ("data", "postfix", 0o700),
    ("mail", _NOBODY, 0o700),
)

# What virtual(8) and smtpd(8) put in front, in this order, once each.
_TRACE = re.compile(
    rb"Return-Path: .*\n"
    rb"X-Original-To: .*\n"
    rb"Delivered-To: (?P<address>.*)\n"
    rb"Received: .*\n(?:[ \t].*\n)*",
)


class PostfixServer(PrivateServer):
    """Postfix with Cyrus SASL and passwords of its own in sasldb.

    RCPT is answered 554 before AUTH and for any other domain.
    """

    NAME = "Postfix"
    MECHANISMS = (
        *("PLAIN", "LOGIN", "CRAM-MD5"),
        *("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    )

    def __init__(self, *, idle: int = 300) -> None:
        super().__init__(idle=idle)
        self._maildirs = Maildirs(_TRACE)

    def forget(self, address: str) -> None:
        """Remove mail by its Delivered-To."""
        self._maildirs.forget(self._maildir, address)

    def failed_logins(self) -> int:
        """Count "SASL LOGIN authentication failed"."""
        return len(re.findall(r"SASL \S+ authentication failed", self.log()))

    def connections(self) -> int:
        """Count the connections in the log."""
        return len(re.findall(r"smtpd\[\d+\]: connect from ", self.log()))

    @property
    def _maildir(self) -> Path:
        return self._root / "mail/all"

    @classmethod
    def version(cls) -> str:
        """Ask postconf(1)."""
        return _installed.run(["/usr/sbin/postconf", "-dh", "mail_version"]).strip()

    @classmethod
    def _missing(cls) -> Iterable[str]:
        for program in (_POSTFIX, _MASTER, _SASLPASSWD):
            if not program.exists():
                yield str(program)
        for name in _SASL_PLUGINS:
            if not any(Path("/usr/lib").glob(f"*/sasl2/lib{name}.so")):
                yield f"SASL plug-in {name}"

    def _launch(self) -> subprocess.Popen[bytes]:
        config = self._root / "config"
        return _installed.start(
            [_MASTER, "-c", config, "-e", _installed.LIFETIME],
            # As postfix(1) does it, so that the log has what goes wrong at first.
            {"POSTLOG_SERVICE": f"{self._root}/queue/public/postlog"},
        )

    def _lay_out(self) -> None:
        for name, owner, mode in _DIRECTORIES:
            directory = self._root / name
            directory.mkdir()
            directory.chmod(mode)
            shutil.chown(directory, owner)
        for name, template in _FILES.items():
            file = self._root / name
            file.write_text(self._fill_in(template))
            # Postfix waits two seconds for whoever may still be writing a young file.
            os.utime(file, (0, 0))
        passwords = self._root / "data/sasldb2"
        _installed.run(
            [_SASLPASSWD, "-p", "-c", "-f", passwords, "-u", DOMAIN, self.username],
            given=self.password,
        )
        shutil.chown(passwords, "postfix")
        _installed.run([_POSTFIX, "-c", self._root / "config", "check"])

    def _fill_in(self, template: str) -> str:
        return template.format(
            root=self._root,
            host=self.host,
            domain=DOMAIN,
            refused=REFUSED,
            busy=BUSY,
            gone=GONE,
            gone_too=GONE_TOO,
            nobody=_NOBODY,
            submission=self.submission_port,
            smtps=self.smtps_port,
            plain=self.plain_port,
            idle=self.idle,
            max_size=self.MAX_SIZE,
            mechanisms=" ".join(self.MECHANISMS),
        )

    def _under_way(self) -> bool:
        """Say whether accepted mail is still in the queue.

        A queue file gets its execute bit when its mail is accepted.  From "incoming"
        it moves to "active", and may move to "deferred": they are read in this order
        so that none slips past.
        """
        return any(
            _is_accepted(file)
            for name in ("incoming", "active", "deferred")
            for file in (self._root / "queue" / name).rglob("*")
        )

    def _delivered(self, address: str) -> list[bytes]:
        """Return mail by its Delivered-To, trace fields cut off.

        Cut are exactly the fields this server puts in front: one Return-Path, one
        X-Original-To, one Delivered-To and one Received with its folded lines (RFC
        5321 §4.4).  Fields of the same names further down belong to the message and
        stay.  What Postfix itself changes stays changed: a message without header
        fields has got an empty line in front, and a first line "From ..." the name
        X-Mailbox-Line.
        """
        return self._maildirs.mail(self._maildir, address)


def _is_accepted(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR)
