"""A real Exim, private to whoever starts it.

It runs from wherever its program lies: as a package, Exim and Postfix exclude each
other.  It begins as root and goes on as the user whose name Debian built into it.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from . import _installed
from ._maildir import Maildirs
from ._private import BUSY, DOMAIN, GONE, GONE_TOO, REFUSED, PrivateServer

# Names the program where it is not installed as a package.
_VARIABLE: Final = "ESMTP_EXIM"
_USER: Final = "Debian-exim"

_CONFIGURATION: Final = """\
USER = {username}
PASSWORD = {password}

# One private directory, the program included.
exim_path = {root}/exim4
spool_directory = {root}/spool
log_file_path = {root}/log/%s
pid_file_path = {root}/spool/exim.pid
keep_environment =

# No delivery as anybody else, so nobody need be root for it.
deliver_drop_privilege

# Loopback, and no question to any name server.
primary_hostname = mx.{domain}
local_interfaces = <; [{host}]:{submission} ; [{host}]:{smtps} ; [{host}]:{plain}
tls_on_connect_ports = {smtps}
host_lookup =
helo_lookup_domains =
rfc1413_hosts =
smtp_enforce_sync = true
smtp_receive_timeout = {idle}s
message_size_limit = {max_size}

# AUTH over TLS only, and one port for those who have neither.
tls_advertise_hosts = ${{if eq{{$received_port}}{{{plain}}}{{}}{{*}}}}
tls_certificate = {root}/server.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}

chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
acl_smtp_rcpt = rcpt
domainlist here = {domain}

# Each message is delivered at once, however many a connection brings.
smtp_accept_queue_per_connection = 0

# Each refused message may cost an RSET; it would hang up after ten.
smtp_accept_max_nonmail = 1000
smtp_accept_max = 500

begin acl

rcpt:
  deny
    recipients = {refused}
    message = 550 5.1.1 No such mailbox
  defer
    recipients = {busy}
    message = 450 4.2.1 Mailbox busy
  accept
    condition = ${{if eq{{$received_port}}{{{plain}}}}}
    domains = +here
  accept
    authenticated = *
    domains = +here
  deny
    message = relay not permitted

begin routers

# Addresses that are found to be none once they are accepted.
gone:
  driver = redirect
  condition = ${{if inlist{{$local_part@$domain}}{{{gone}:{gone_too}}}}}
  allow_fail
  data = :fail: No such mailbox here

everybody:
  driver = accept
  domains = +here
  transport = maildir

begin transports

maildir:
  driver = appendfile
  directory = {root}/mail
  maildir_format
  envelope_to_add
  batch_max = 1
  user = {user}

begin retry

begin rewrite

begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{USER}}}}{{eq{{$auth3}}{{PASSWORD}}}}}}}}
  server_set_id = $auth2

login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{USER}}}}{{eq{{$auth2}}{{PASSWORD}}}}}}}}
  server_set_id = $auth1

cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{USER}}{{PASSWORD}}fail}}
  server_set_id = $auth1
"""

# What Exim puts in front, in this order, once each.
_TRACE = re.compile(
    rb"Envelope-to: (?P<address>.*)\n"
    rb"Received: .*\n(?:[ \t].*\n)*",
)


class EximServer(PrivateServer):
    """Exim; RCPT is answered 550 before AUTH and for any other domain."""

    NAME = "Exim"
    MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
    LOG = "log/main"

    def __init__(self, *, idle: int = 300) -> None:
        super().__init__(idle=idle)
        self._maildirs = Maildirs(_TRACE)

    def forget(self, address: str) -> None:
        """Remove mail by its Envelope-to."""
        self._maildirs.forget(self._root / "mail", address)

    def failed_logins(self) -> int:
        """Count "login authenticator failed for"."""
        return len(re.findall(r" authenticator failed for ", self.log()))

    @classmethod
    def version(cls) -> str:
        """Read "Exim version 4.96 #2 built ..."."""
        program = _program()
        assert program is not None
        return _installed.run([program, "-C", "/dev/null", "-bV"]).split()[2]

    @classmethod
    def _missing(cls) -> Iterable[str]:
        if _program() is None:
            yield "exim4"
        if _USER not in {entry.pw_name for entry in pwd.getpwall()}:
            yield f"the user {_USER}"

    def _lay_out(self) -> None:
        for name in ("spool", "log", "mail"):
            (self._root / name).mkdir(0o700)
            shutil.chown(self._root / name, _USER)
        shutil.chown(self._root / "server.pem", _USER)
        # A copy: whoever it goes on as may not get into the program's directory.
        program = self._root / "exim4"
        shutil.copyfile(str(_program()), program)
        program.chmod(0o755)
        config = self._root / "exim.conf"
        config.touch(0o640)
        shutil.chown(config, group=_USER)
        config.write_text(
            _CONFIGURATION.format(
                root=self._root,
                host=self.host,
                domain=DOMAIN,
                submission=self.submission_port,
                smtps=self.smtps_port,
                plain=self.plain_port,
                idle=self.idle,
                max_size=self.MAX_SIZE,
                refused=REFUSED,
                busy=BUSY,
                user=_USER,
                gone=GONE,
                gone_too=GONE_TOO,
                username=self.username,
                password=self.password,
            ),
        )

    def _launch(self) -> subprocess.Popen[bytes]:
        program, config = self._root / "exim4", self._root / "exim.conf"
        return _installed.start(
            [*_installed.LIMITED, program, "-C", config, "-bdf", "-q10s"], {}
        )

    def _under_way(self) -> bool:
        """Say whether a message is in the spool.

        Its -D file goes first once it is delivered; where Exim is killed behind that,
        the -H file stays for ever.
        """
        headers = (self._root / "spool/input").glob("*-H")
        return any(Path(f"{str(file)[:-1]}D").exists() for file in headers)

    def _delivered(self, address: str) -> list[bytes]:
        """Return mail by its Envelope-to, trace fields cut off."""
        return self._maildirs.mail(self._root / "mail", address)


def _program() -> Path | None:
    found = shutil.which(os.environ.get(_VARIABLE, "exim4"))
    return Path(found) if found else None
