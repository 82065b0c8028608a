"""A real Kerberos: a key distribution center of MIT's, private to whoever starts it.

Configuration, database, keys and tickets stand in one temporary directory; nothing of
the machine's own is read or written, for the environment names these files.
"""

from __future__ import annotations

import importlib.util
import secrets
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from . import _installed

REALM = "EXAMPLE.TEST"
HOSTNAME = "mail.example.test"

# Debian's packages; the Python packages are built with libkrb5-dev.
_PACKAGES = "krb5-kdc krb5-admin-server krb5-user libkrb5-dev"
_KDC = Path("/usr/sbin/krb5kdc")
_UTIL = Path("/usr/sbin/kdb5_util")
_ADMIN = Path("/usr/sbin/kadmin.local")
_KINIT = Path("/usr/bin/kinit")
_START_SECONDS = 15.0

_KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1

[realms]
    {realm} = {{
        kdc = {host}:{port}
    }}

[domain_realm]
    .example.test = {realm}
"""

_KDC_CONF = """\
[kdcdefaults]
    kdc_listen = {host}:{port}
    kdc_tcp_listen = {host}:{port}

[realms]
    {realm} = {{
        database_name = {root}/principal
        key_stash_file = {root}/stash
        acl_file = {root}/acl
    }}

[logging]
    default = FILE:{root}/log
"""


class KeyCenter:
    """A realm with one user and the service `smtp` of one host."""

    @staticmethod
    def unavailable() -> str | None:
        """Say why there can be none here; None if there can."""
        if not all(path.exists() for path in (_KDC, _UTIL, _ADMIN, _KINIT)):
            return f"Kerberos is not installed: apt-get install {_PACKAGES}"
        for module in ("spnego", "gssapi", "krb5"):
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed: pip install 'pyspnego[kerberos]'"
        return None

    def __init__(self) -> None:
        self.user = f"alice@{REALM}"
        self.password = secrets.token_urlsafe()
        self._folder = tempfile.TemporaryDirectory(prefix="esmtp-kerberos-")
        self._root = Path(self._folder.name)
        (self._port,) = _installed.free_ports(1)
        #: What makes a process use this Kerberos.
        self.environment = {
            "KRB5_CONFIG": str(self._root / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self._root / "kdc.conf"),
            "KRB5_KTNAME": f"FILE:{self._root}/keytab",
            "KRB5CCNAME": f"FILE:{self._root}/tickets",
            "KRB5RCACHETYPE": "none",
        }
        self._kdc: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Make the realm, and serve it.

        Raises:
            RuntimeError: it did not start.

        """
        values = {
            "realm": REALM,
            "host": _installed.HOST,
            "port": self._port,
            "root": self._root,
        }
        for name, text in (("krb5.conf", _KRB5_CONF), ("kdc.conf", _KDC_CONF)):
            (self._root / name).write_text(text.format(**values), encoding="utf-8")
        try:
            self._run(_UTIL, "create", "-s", "-P", secrets.token_urlsafe())
            service = f"smtp/{HOSTNAME}"
            self._admin(f"addprinc -pw {self.password} {self.user}")
            self._admin(f"addprinc -randkey {service}")
            self._admin(f"ktadd -k {self._root}/keytab {service}")
            self._kdc = _installed.start([_KDC, "-n"], self.environment)
            self._await_service()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, and leave nothing behind."""
        self._stop()

    def log_in(self) -> None:
        """Fetch a ticket for the user, as somebody at a desk does."""
        self._run(_KINIT, self.user, given=f"{self.password}\n")

    def log_out(self) -> None:
        """Forget the user's tickets."""
        (self._root / "tickets").unlink(missing_ok=True)

    def _admin(self, query: str) -> None:
        self._run(_ADMIN, "-q", query)

    def _run(self, program: Path, *arguments: str, given: str = "") -> None:
        settings = (f"{name}={value}" for name, value in self.environment.items())
        _installed.run(["/usr/bin/env", *settings, program, *arguments], given)

    def _await_service(self) -> None:
        if not _installed.wait_for(self._serves, _START_SECONDS):
            log = (self._root / "log").read_text("utf-8", "replace")
            raise RuntimeError(f"krb5kdc does not serve:\n{log}")

    def _serves(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection((_installed.HOST, self._port), 1),
        ):
            return True
        return False

    def _stop(self) -> None:
        if self._kdc is not None:
            _installed.end(self._kdc)
        self._folder.cleanup()
