"""A real Dovecot submission service, private to whoever starts it.

Its master begins as root; who talks to clients goes on as the user ``dovenull``, who
knows the passwords as ``dovecot``, and who handles mail as ``nobody``.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import shutil
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal

from esmtp_async.testing import DEFAULT_EXTENSIONS, Rule, SMTPServer, StoredMessage

from ._dovecot_master import DOVECOT, DovecotMaster
from ._maildir import trace_fields
from ._private import BUSY, DOMAIN, REFUSED

_NOBODY: Final = 65534
_SERVICES: Final = ("submission", "submission-login")

_CONFIGURATION: Final = """\
# One private directory.
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/mail.log

# Loopback.
listen = {host}
hostname = mx.{domain}
protocols = submission
service submission-login {{
  inet_listener submission {{
    port = {submission}
  }}
  inet_listener submissions {{
    port = {smtps}
    ssl = yes
  }}
  inet_listener plain {{
    port = {plain}
  }}
}}

# AUTH over TLS only. A wrong password is told as soon as it is known.
ssl = required
ssl_cert = <{root}/server.pem
ssl_key = <{root}/server.pem
auth_mechanisms = {mechanisms}
auth_verbose = yes
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {root}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {root}/users
}}
userdb {{
  driver = passwd-file
  args = {root}/users
}}
mail_location = maildir:~

# What it takes it passes on, to a server that limits its size.
submission_relay_host = {host}
submission_relay_port = {relay}
"""

_OAUTH2: Final = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={root}/keys/
username_attribute = sub
"""

# What it puts in front of what it passes on, once.
_PASSED_ON = re.compile(rb"Received: .*\r\n(?:[ \t].*\r\n)*")


# What the server offers and says that it passes mail on to.
_EXTENSIONS: Final = [
    line for line in DEFAULT_EXTENSIONS if not line.startswith("SIZE ")
]
_RULES: Final = (
    Rule("RCPT", f"<{REFUSED}>", reply="550 5.1.1 No such mailbox"),
    Rule("RCPT", f"<{BUSY}>", reply="450 4.2.1 Mailbox busy"),
)


class DovecotServer(DovecotMaster):
    """Dovecot's submission service.

    Submitted mail is passed on to a model server, and read there.  The user's token
    is a JWT, which Dovecot checks by itself.
    """

    NAME = "Dovecot"
    MECHANISMS = (
        *("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"),
        *("OAUTHBEARER", "XOAUTH2"),
    )

    # Who has not authenticated can say no MAIL.
    PLAIN_NEEDS_AUTH = True
    # It panics: "assertion failed: (conn->state.pending_rcpt_cmds == 0)".
    TAKES_TRAINS = False
    TELLS_SIZE = False
    UTF8 = False
    TIMES_OUT = False  # but after ten minutes, always

    def __init__(self, *, idle: int = 300) -> None:
        super().__init__(idle=idle)
        self._key = secrets.token_bytes(32)
        self._relay = SMTPServer(
            extensions=[f"SIZE {self.MAX_SIZE}", *_EXTENSIONS], rules=_RULES
        )
        self._running = ExitStack()

    def secret(self, mechanism: str) -> str:
        """Give the token to the two mechanisms that take one."""
        if mechanism in {"OAUTHBEARER", "XOAUTH2"}:
            return _jwt(self.username, self._key)
        return super().secret(mechanism)

    def stop(self) -> None:
        """End the model server, too."""
        super().stop()
        self._running.close()

    def forget(self, address: str) -> None:
        """Remove what was passed on, and what was said of it."""
        self._relay.transcript.clear()
        self._relay.messages[:] = [
            message for message in self._relay.messages if not _is_for(message, address)
        ]

    def failed_logins(self) -> int:
        """Sum up "auth failed, 1 attempts in 0 secs"."""
        failed = re.findall(r"auth failed, (\d+) attempts", self.log())
        return sum(int(attempts) for attempts in failed)

    @classmethod
    def _missing(cls) -> Iterable[str]:
        services = [Path("/usr/lib/dovecot", service) for service in _SERVICES]
        return (str(file) for file in (DOVECOT, *services) if not file.exists())

    def _lay_out(self) -> None:
        portal = self._running.enter_context(start_blocking_portal())
        self._running.enter_context(
            portal.wrap_async_context_manager(self._relay.listen()),
        )
        key = self._root / "keys/default/HS256/default"
        key.parent.mkdir(parents=True)
        user = f"{self.username}:{self.password}:{_NOBODY}:{_NOBODY}::"
        home = self._root / "mail"
        home.mkdir()
        shutil.chown(home, "nobody")
        configuration = self._root / "dovecot.conf"
        for file, text in (
            (key, b64encode(self._key).decode()),
            (self._root / "users", f"{user}{home}::\n"),
            (self._root / "oauth2.conf", self._fill_in(_OAUTH2)),
            (configuration, self._fill_in(_CONFIGURATION)),
        ):
            file.touch(0o600)
            file.write_text(text)
            if file is not configuration:
                shutil.chown(file, "dovecot")

    def _fill_in(self, template: str) -> str:
        return template.format(
            root=self._root,
            host=self.host,
            domain=DOMAIN,
            submission=self.submission_port,
            smtps=self.smtps_port,
            plain=self.plain_port,
            relay=self._relay.port,
            mechanisms=" ".join(self.MECHANISMS).lower(),
        )

    def _under_way(self) -> bool:
        """Say no: it accepts what the next server has accepted."""
        return False

    def _delivered(self, address: str) -> list[bytes]:
        """Return what was passed on, without one Received."""
        return [
            message.content[trace_fields(_PASSED_ON, message.content).end() :]
            for message in self._relay.messages
            if _is_for(message, address)
        ]


def _is_for(message: StoredMessage, address: str) -> bool:
    return address in {recipient.path for recipient in message.recipients}


def _jwt(subject: str, key: bytes) -> str:
    """Sign who somebody is with HMAC-SHA-256 (RFC 7519 §3, RFC 7518 §3.2)."""
    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": now + 3600}
    signed = b".".join(
        _base64url(json.dumps(part).encode())
        for part in ({"typ": "JWT", "alg": "HS256"}, claims)
    )
    mac = hmac.digest(key, signed, "sha256")
    return b".".join((signed, _base64url(mac))).decode()


def _base64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")
