"""A real Dovecot that speaks LMTP alone, private to whoever starts it.

Its master begins as root; who talks to clients goes on as the user ``dovenull``, who
knows the mailboxes as ``dovecot``, and who handles mail as ``nobody``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ._dovecot_master import DOVECOT, DovecotMaster
from ._maildir import Maildirs
from ._private import BUSY, DOMAIN, REFUSED

_LMTP: Final = Path("/usr/lib/dovecot/lmtp")
_CONFIGURATION: Final = """\
# One private directory.
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/mail.log

# Loopback.
listen = {host}
hostname = mx.{domain}
protocols = lmtp
service lmtp {{
  inet_listener starttls {{
    port = {submission}
  }}
  inet_listener tls {{
    port = {smtps}
    ssl = yes
  }}
  inet_listener plain {{
    port = {plain}
  }}
}}
ssl_cert = <{root}/server.pem
ssl_key = <{root}/server.pem

# There is a mailbox for any address but two.
passdb {{
  driver = static
  args = nopassword=yes
}}
userdb {{
  driver = passwd-file
  args = {root}/refused
  result_success = return-fail
}}
userdb {{
  driver = passwd-file
  args = {root}/busy
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={root}/mail/%u allow_all_users=yes
}}
mail_location = maildir:~
mail_fsync = never
"""

# What it puts in front, once each; Delivered-To for one who is alone.
_TRACE = re.compile(
    rb"Return-Path: .*\n"
    rb"(?:Delivered-To: .*\n)?"
    rb"Received: .*\n(?:[ \t].*\n)*",
)


class DovecotLmtpServer(DovecotMaster):
    """Dovecot's LMTP over TCP: there is no AUTH, each address has a mailbox."""

    NAME = "Dovecot LMTP"
    SCHEME = "lmtp"
    MECHANISMS = ()
    MAX_SIZE = None
    UTF8 = False
    BUSY_CODE = 451
    TIMES_OUT = False  # but after five minutes, always

    def __init__(self, *, idle: int = 300) -> None:
        super().__init__(idle=idle)
        self._maildirs = Maildirs(_TRACE)

    @property
    def socket(self) -> Path:
        """The unix socket on which it speaks as well."""
        return self._root / "run/lmtp"

    def forget(self, address: str) -> None:
        """Remove what is in the mailbox."""
        self._maildirs.forget(self._root / "mail" / address, address)

    def failed_logins(self) -> int:
        """Count none: nobody logs in."""
        return 0

    @classmethod
    def _missing(cls) -> Iterable[str]:
        return (str(file) for file in (DOVECOT, _LMTP) if not file.exists())

    def _lay_out(self) -> None:
        mail = self._root / "mail"
        mail.mkdir()
        shutil.chown(mail, "nobody")
        for name, text in (
            ("refused", f"{REFUSED}::::::\n"),
            ("busy", f"{BUSY}:::::: tempfail=yes\n"),
            ("dovecot.conf", self._configuration()),
        ):
            (self._root / name).write_text(text)

    def _configuration(self) -> str:
        return _CONFIGURATION.format(
            root=self._root,
            host=self.host,
            domain=DOMAIN,
            submission=self.submission_port,
            smtps=self.smtps_port,
            plain=self.plain_port,
        )

    def _under_way(self) -> bool:
        """Say no: it accepts what it has stored."""
        return False

    def _delivered(self, address: str) -> list[bytes]:
        return self._maildirs.mail(self._root / "mail" / address, address)


class DovecotLmtpSocketServer(DovecotLmtpServer):
    """The same over its unix socket."""

    NAME = "Dovecot LMTP socket"
    SECURITIES = ("plaintext", "starttls")

    def url(self, security: str) -> str:
        """Give the path, whatever the security."""
        del security
        return f"lmtp+unix://{self.socket}"
