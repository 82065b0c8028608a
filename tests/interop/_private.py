"""What all servers here have in common: a directory, ports, a user, a certificate."""

from __future__ import annotations

import os
import secrets
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import trustme

from . import _installed

DOMAIN = "example.test"

# Addresses that are refused at RCPT, for good and for now.
REFUSED = f"refused@{DOMAIN}"
BUSY = f"busy@{DOMAIN}"

# Addresses that a server may take and then cannot deliver to, so that it reports.
GONE = f"gone@{DOMAIN}"
GONE_TOO = f"gone+2042@{DOMAIN}"

_START_SECONDS = 15.0
# So long a server may work on what it got before its client went.
_SETTLED_SECONDS = 0.7


class PrivateServer(ABC):
    """A mail server that takes mail for any address at `DOMAIN` from one user.

    `submission_port` demands STARTTLS, `smtps_port` speaks TLS from the first octet;
    the certificate is for ``localhost`` and 127.0.0.1. `plain_port` takes mail for the
    domain from anybody, in clear text. RCPT is answered 550 for `REFUSED` and, with a
    code that differs, 4yz for `BUSY`.

    Configuration, mail, passwords and log stand in one temporary directory, so that any
    number of servers run side by side, and the machine's own are not touched.  Most
    must be started by root: they begin as root and go on as users of their own.
    """

    #: What it is called.
    NAME: ClassVar[str]
    #: The names of the SASL mechanisms it can offer.
    MECHANISMS: ClassVar[tuple[str, ...]]
    #: Where in its directory the log is.
    LOG: ClassVar[str] = "mail.log"
    #: What it speaks.
    SCHEME: ClassVar[str] = "smtp"
    #: How a client can reach it.
    SECURITIES: ClassVar[tuple[str, ...]] = ("plaintext", "starttls", "tls")
    #: Whether nobody but root can start it.
    NEEDS_ROOT: ClassVar[bool] = True
    #: Octets of the largest message that it takes; None where it has no limit.
    MAX_SIZE: ClassVar[int | None] = 24 * 1024 * 1024
    #: Whether it tells everybody that size, before AUTH.
    TELLS_SIZE: ClassVar[bool] = True
    #: Whether it takes addresses outside ASCII.
    UTF8: ClassVar[bool] = True
    #: Octets of the longest line that it takes, CRLF included; None for any.
    LONGEST_LINE: ClassVar[int | None] = None
    #: Whether it takes mail data and the next envelope in one group (RFC 2920 §3.1).
    TAKES_TRAINS: ClassVar[bool] = True
    #: The code with which it refuses `BUSY`.
    BUSY_CODE: ClassVar[int] = 450
    #: Whether `plain_port` wants authentication as well.
    PLAIN_NEEDS_AUTH: ClassVar[bool] = False
    #: Whether it closes connections on which nothing is said for `idle` seconds.
    TIMES_OUT: ClassVar[bool] = True

    def __init__(self, *, idle: int = 300) -> None:
        self.idle = idle
        self.host = _installed.HOST
        self.submission_port, self.smtps_port, self.plain_port = _installed.free_ports(
            3
        )
        self.username = "alice"
        self.password = f"p\u00e4ss w\u00f6rd {secrets.token_urlsafe(16)}"
        # Not below a directory of the test's: the servers' users cannot get into
        # those, and the path of a unix socket must be short.
        name = f"{self.NAME.lower().replace(' ', '-')}-{secrets.token_hex(8)}"
        self._root = Path(tempfile.gettempdir(), name)
        self._leader: subprocess.Popen[bytes] | None = None

    @classmethod
    def unavailable(cls) -> str | None:
        """Say in a sentence why this server cannot run here; None if it can."""
        if missing := ", ".join(cls._missing()):
            return f"Not installed: {missing} (see docs/contributing.md)."
        if cls.NEEDS_ROOT and os.geteuid() != 0:
            return f"Only root can start {cls.NAME}."
        return None

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Say which version is installed."""

    @property
    def ca_pem(self) -> Path:
        """The certificate authority to trust, as a PEM file."""
        return self._root / "ca.pem"

    def url(self, security: str) -> str:
        """Say where it listens for clients with this `security`."""
        port = {"tls": self.smtps_port, "plaintext": self.plain_port}.get(
            security, self.submission_port
        )
        return f"{self.SCHEME}://{self.host}:{port}"

    @classmethod
    def wants_auth(cls, security: str) -> bool:
        """Say whether a client with this `security` must authenticate."""
        if security == "plaintext":
            return cls.PLAIN_NEEDS_AUTH
        return bool(cls.MECHANISMS)

    def secret(self, mechanism: str) -> str:
        """Give what the user proves himself with: the password, or a token."""
        del mechanism
        return self.password

    def start(self) -> Self:
        """Start the server and return once all its ports have greeted.

        Raises:
            RuntimeError: it cannot run here, or did not come up: then the log is
                added as a note.

        """
        if reason := self.unavailable():
            raise RuntimeError(reason)
        try:
            self._root.mkdir()
            self._root.chmod(0o755)
            self._certify()
            self._lay_out()
            self._run()
        except BaseException:
            self.stop()
            raise
        return self

    def restart(self) -> None:
        """Kill every process and start anew: the same ports, the same store.

        They are not asked to terminate, for not all do that well: Dovecot answers the
        end of mail data that it has passed on with 421, and Exim forgets what it has
        just accepted.

        Raises:
            RuntimeError: it did not come up again; the log is added as a note.

        """
        if self._leader is not None:
            _installed.kill(self._leader)
        self._run()

    def stop(self) -> None:
        """End every process of the server and remove its directory."""
        if self._leader is not None:
            _installed.end(self._leader)
            self._leader = None
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
        """Return all mail delivered to a recipient, oldest first, octets as sent.

        The trace fields of this server are cut off.  Waits until these are `count` or
        more *and* nothing that the server accepted is still under way: thus a
        duplicate is seen, and a `count` of 0 proves absence.

        Raises:
            TimeoutError: not so within `timeout` seconds; the message holds the log.
            ValueError: mail does not begin with the trace fields of this server.

        """

        def arrived() -> bool:
            return not self._under_way() and len(self._delivered(address)) >= count

        if not _installed.wait_for(arrived, timeout):
            found = len(self._delivered(address))
            raise TimeoutError(
                f"{found} of {count} stored for {address}\n{self.log()}",
            )
        return self._delivered(address)

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until nobody is connected and nothing under way, and no more comes.

        Raises:
            TimeoutError: not so within `timeout` seconds.

        """
        ports = {self.submission_port, self.smtps_port, self.plain_port}
        deadline = time.monotonic() + timeout
        since = time.monotonic()
        while time.monotonic() - since < _SETTLED_SECONDS:
            if _installed.connected(ports) or self._under_way():
                since = time.monotonic()
            if since > deadline:
                raise TimeoutError(f"{self.NAME} does not settle\n{self.log()}")
            time.sleep(_installed.POLL_SECONDS)

    @abstractmethod
    def forget(self, address: str) -> None:
        """Remove what was stored for a recipient."""

    def log(self) -> str:
        """Return the mail log so far."""
        path = self._root / self.LOG
        return path.read_text("utf-8", "replace") if path.exists() else "(no log)"

    def logs(self, text: str, timeout: float = 10.0) -> bool:
        """Wait for the log to hold a text; False if it does not in time."""
        return _installed.wait_for(lambda: text in self.log(), timeout)

    @abstractmethod
    def failed_logins(self) -> int:
        """Count the attempts to authenticate that failed, as the log has them."""

    @classmethod
    @abstractmethod
    def _missing(cls) -> Iterable[str]:
        """Name what is not installed."""

    @abstractmethod
    def _lay_out(self) -> None:
        """Write the configuration; the directory is there."""

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]:
        """Start the server."""

    @abstractmethod
    def _under_way(self) -> bool:
        """Say whether mail was accepted and is not yet delivered."""

    @abstractmethod
    def _delivered(self, address: str) -> list[bytes]:
        """Return what `stored` does, as it is now."""

    def _certify(self) -> None:
        """Write `ca.pem`, and the key and certificate of the server in `server.pem`."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_pem)
        server = authority.issue_cert("localhost", self.host)
        private = self._root / "server.pem"
        private.touch(0o600)
        server.private_key_and_cert_chain_pem.write_to_path(private)

    def _run(self) -> None:
        leader = self._leader = self._launch()
        _installed.wait_for(
            lambda: leader.poll() is not None or self._greets(),
            _START_SECONDS,
        )
        if not self._greets():
            error = RuntimeError(f"{self.NAME} does not greet")
            error.add_note(self.log())
            raise error

    def _greets(self) -> bool:
        trust = ssl.create_default_context(cafile=self.ca_pem)
        try:
            for port in (self.submission_port, self.plain_port):
                smtplib.SMTP(self.host, port, "localhost", 1).quit()
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
