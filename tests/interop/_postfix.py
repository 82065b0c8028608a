"""A real Postfix with SASL, private to whoever starts it.

Configuration, queue, mailboxes, passwords, certificate and log stand in one
temporary directory.  The machine's own Postfix is not touched, and any number of
these servers run side by side.  Root must start it: Postfix's daemons begin as root
and go on as the users ``postfix`` and ``nobody``.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import smtplib
import ssl
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from . import _installed

DOMAIN = "example.test"
REFUSED = f"refused@{DOMAIN}"
BUSY = f"busy@{DOMAIN}"

# Debian's packages, and what is needed of them.
_PACKAGES = "postfix sasl2-bin libsasl2-modules libsasl2-modules-db"
_POSTFIX = Path("/usr/sbin/postfix")
_MASTER = Path("/usr/lib/postfix/sbin/master")
_SASLPASSWD = Path("/usr/sbin/saslpasswd2")
_SASL_PLUGINS = ("plain", "login", "sasldb")

_START_SECONDS = 15.0
# After this it ends by itself, should nobody have lived to stop it.
_LIFETIME_SECONDS = "3600"

# What differs from Postfix's defaults, and why.
_MAIN_CF = """\
compatibility_level = 3.6

# One private directory.
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}

# Loopback, and no question to any name server.
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = mx.{domain}
myorigin = {domain}
smtpd_peername_lookup = no

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

# Any address of the domain is delivered, each recipient on its own, into one
# maildir: virtual(8) takes no table that could name a maildir for any address.
mydestination =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {root}/mail
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}

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
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
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
    ("", "root", 0o755),
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


def without_trace(octets: bytes) -> bytes:
    """Return stored mail as it was sent: trace fields cut off, lines ended by CRLF.

    Cut are exactly the fields this server puts in front: one Return-Path, one
    X-Original-To, one Delivered-To and one Received with its folded lines (RFC 5321
    §4.4).  Fields of the same names further down belong to the message and stay.  A
    maildir ends lines with LF, so each LF becomes CRLF.  Nothing else changes; what
    Postfix itself changes stays changed: a message without header fields has got an
    empty line in front, and a first line "From ..." the name X-Mailbox-Line.

    Raises:
        ValueError: the octets do not begin with these four fields.

    """
    return octets[_trace(octets).end() :].replace(b"\n", b"\r\n")


class PostfixServer:
    """A Postfix that takes mail for any address at `DOMAIN` from one user.

    `submission_port` demands STARTTLS, `smtps_port` speaks TLS from the first octet;
    the certificate is for ``localhost`` and 127.0.0.1.  RCPT is answered 554 before
    AUTH and for any other domain, 550 for `REFUSED` and 450 for `BUSY`.
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        mechanisms: Sequence[str] = ("PLAIN", "LOGIN"),
    ) -> None:
        self.host = _installed.HOST
        self.submission_port, self.smtps_port = _installed.free_ports(2)
        self.username = "alice"
        self.password = password or secrets.token_urlsafe(16)
        self._mechanisms = mechanisms
        # Not below a directory of the test's: Postfix's users cannot get into those.
        self._root = Path(tempfile.gettempdir(), f"postfix-{secrets.token_hex(8)}")
        self._master: subprocess.Popen[bytes] | None = None
        self._mail: dict[str, bytes] = {}

    @staticmethod
    def unavailable() -> str | None:
        """Say in a sentence why this server cannot run here; None if it can."""
        programs = (_POSTFIX, _MASTER, _SASLPASSWD)
        missing = [str(program) for program in programs if not program.exists()]
        missing += [
            f"SASL plug-in {name}"
            for name in _SASL_PLUGINS
            if not any(Path("/usr/lib").glob(f"*/sasl2/lib{name}.so"))
        ]
        if missing:
            return f"Not installed: {', '.join(missing)} (Debian: {_PACKAGES})."
        if os.geteuid() != 0:
            return "Only root can start Postfix."
        return None

    @property
    def ca_pem(self) -> Path:
        """The certificate authority to trust, as a PEM file."""
        return self._root / "ca.pem"

    def start(self) -> Self:
        """Start the server and return once both ports have greeted.

        Raises:
            RuntimeError: it cannot run here, or did not come up: then the log is
                added as a note.

        """
        if reason := self.unavailable():
            raise RuntimeError(reason)
        try:
            self._launch()
        except BaseException as error:
            error.add_note(self.log())
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process of the server and remove its directory."""
        if self._master is not None:
            _installed.end(self._master)
            self._master = None
        if self._root.exists():
            shutil.rmtree(self._root)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stored(
        self,
        address: str,
        count: int = 1,
        timeout: float = 10.0,
    ) -> list[bytes]:
        """Return all mail delivered to a recipient, oldest first, octets as stored.

        Waits until these are `count` or more *and* nothing that Postfix accepted is
        still under way: thus a duplicate is seen, and a `count` of 0 proves absence.

        Raises:
            TimeoutError: not so within `timeout` seconds; the message holds the log.

        """

        def arrived() -> bool:
            return not self._under_way() and len(self._delivered(address)) >= count

        if not _installed.wait_for(arrived, timeout):
            found = len(self._delivered(address))
            raise TimeoutError(
                f"{found} of {count} stored for {address}\n{self.log()}",
            )
        return self._delivered(address)

    def log(self) -> str:
        """Return the mail log so far."""
        path = self._root / "mail.log"
        return path.read_text("utf-8", "replace") if path.exists() else "(no log)"

    def _launch(self) -> None:
        self._lay_out()
        config = self._root / "config"
        _installed.run([_POSTFIX, "-c", config, "check"])
        master = self._master = _installed.start(
            [_MASTER, "-c", config, "-e", _LIFETIME_SECONDS],
            # As postfix(1) does it, so that the log has what goes wrong at first.
            {"POSTLOG_SERVICE": f"{self._root}/queue/public/postlog"},
        )
        _installed.wait_for(
            lambda: master.poll() is not None or self._greets(),
            _START_SECONDS,
        )
        if not self._greets():
            raise RuntimeError("Postfix does not greet")

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
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_pem)
        server = authority.issue_cert("localhost", self.host)
        private = self._root / "server.pem"
        private.touch(0o600)
        server.private_key_and_cert_chain_pem.write_to_path(private)
        passwords = self._root / "data/sasldb2"
        _installed.run(
            [_SASLPASSWD, "-p", "-c", "-f", passwords, "-u", DOMAIN, self.username],
            given=self.password,
        )
        shutil.chown(passwords, "postfix")

    def _fill_in(self, template: str) -> str:
        return template.format(
            root=self._root,
            host=self.host,
            domain=DOMAIN,
            refused=REFUSED,
            busy=BUSY,
            nobody=_NOBODY,
            submission=self.submission_port,
            smtps=self.smtps_port,
            mechanisms=" ".join(self._mechanisms),
        )

    def _greets(self) -> bool:
        trust = ssl.create_default_context(cafile=self.ca_pem)
        try:
            smtplib.SMTP(self.host, self.submission_port, "localhost", 1).quit()
            smtplib.SMTP_SSL(
                self.host,
                self.smtps_port,
                "localhost",
                timeout=1,
                context=trust,
            ).quit()
        except OSError:
            return False
        return True

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
        files = (self._root / "mail/all/new").glob("*")
        for file in sorted(files, key=lambda file: file.stat().st_mtime_ns):
            if file.name not in self._mail:
                self._mail[file.name] = file.read_bytes()
        wanted = address.encode()
        return [
            octets
            for octets in self._mail.values()
            if _trace(octets)["address"] == wanted
        ]


def _trace(octets: bytes) -> re.Match[bytes]:
    if found := _TRACE.match(octets):
        return found
    raise ValueError(f"no trace fields of this server in front: {octets[:200]!r}")


def _is_accepted(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR)
