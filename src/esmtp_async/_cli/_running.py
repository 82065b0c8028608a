"""A test server while it runs: what it prints, and how it ends."""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from esmtp_async._cli._exits import ACCEPTED, NOT_SENT, MissingExtra
from esmtp_async._cli._output import Output
from esmtp_async._cli._signals import heeding
from esmtp_async._serve import _web
from esmtp_async._serve._intake import Intake
from esmtp_async._serve._maildir import MailDirectory
from esmtp_async._serve._reading import HEAD, first, read_fields
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._replies import printable
from esmtp_async.testing import ServerOptions, SMTPServer, StoredMessage

#: Seconds for the client to say QUIT behind the last message that was waited for.
_PARTING: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be served, and where."""

    mail: MailDirectory
    host: str
    port: int
    #: None for no page, 0 for any port.
    http_port: int | None
    #: How the model server is to be; it may hold a password.
    server: ServerOptions = field(repr=False)
    #: How many messages to wait for; None to go on.
    once: int | None
    quiet: bool
    verbose: bool


class _Teller:
    """Prints what happens."""

    def __init__(self, job: Work) -> None:
        self._job = job
        self._out = Output(sys.stdout)
        #: Messages so far.
        self.count = 0
        #: Set once there have been as many as were waited for.
        self.enough = anyio.Event()

    def print(self, line: str) -> None:
        """Print a line, unless there are to be none."""
        if not self._job.quiet:
            print(line, file=self._out)

    def announce(self, where: Mapping[str, object]) -> None:
        """Print where the server is: a line for programs, and one for people."""
        print(json.dumps(where), file=self._out)
        page = f", see {where['page']}" if where["page"] else ""
        self.print(f"Ready: mail goes to {where['server']}{page}. Ctrl-C stops.")

    def said(self, connection: int, line: str) -> None:
        """Print what was said, if it was asked for."""
        if self._job.verbose:
            self.print(f"[{connection}] {line}")

    def remarked(self, remark: str) -> None:
        """Print what was not right."""
        self.print(f"! {printable(remark.encode('utf-8', 'replace'))}")

    def took(self, message: StoredMessage) -> None:
        """Print a message, and count it."""
        subject = first(read_fields(message.content[:HEAD]), "Subject")
        paths = ", ".join(f"<{recipient.path}>" for recipient in message.recipients)
        line = (
            f"{message.queue_id}: <{message.reverse_path}> to {paths}, "
            f"{len(message.content)} octets: {subject}"
        )
        self.print(printable(line.encode("utf-8", "replace")))
        self.count += 1
        if self.count == self._job.once:
            self.enough.set()


async def work(job: Work) -> int:
    """Serve until there is enough, or an interrupt; give the exit code.

    Raises `InvalidInput` if a port is not to be had, `MissingExtra` if TLS needs one.
    """
    teller = _Teller(job)
    server = _server(job, teller)
    where: dict[str, object] = {
        "server": "",
        "page": None,
        "directory": str(job.mail.path),
        "ca_file": _certificate(job, server),
    }
    async with AsyncExitStack() as stack:
        stack.enter_context(heeding(teller.enough.set))
        with _to_be_had(job.host, job.port, "--port 0 takes one that is free"):
            await stack.enter_async_context(server.listen(job.host, job.port))
        where["server"] = _url(job, server)
        if job.http_port is not None:
            with _to_be_had(
                _web.ADDRESS, job.http_port, "--http-port auto takes one that is free"
            ):
                port = stack.enter_context(_web.serving(job.mail, job.http_port))
            where["page"] = f"http://{_web.ADDRESS}:{port}/"
        teller.announce(where)
        await teller.enough.wait()
        if job.once is not None:
            with anyio.move_on_after(_PARTING):
                await server.wait_closed()
    return NOT_SENT if teller.count < (job.once or 0) else ACCEPTED


def _server(job: Work, teller: _Teller) -> SMTPServer:
    intake = Intake(
        job.mail,
        on_message=teller.took,
        on_said=teller.said,
        on_remark=teller.remarked,
    )
    options = job.server.copy()
    options["record"] = intake
    return SMTPServer(**options)


def _certificate(job: Work, server: SMTPServer) -> str | None:
    """Write the certificate to trust; give its path, if there is TLS."""
    if not (job.server.get("implicit_tls") or job.server.get("starttls")):
        return None
    try:
        certificate = server.authority.certificate
    except ModuleNotFoundError as error:
        raise MissingExtra("TLS here", error.name or "", "testing") from None
    path = job.mail.path / "ca.pem"
    path.write_bytes(certificate)
    return str(path)


def _url(job: Work, server: SMTPServer) -> str:
    """Give the server as `esmtp send --server` takes it."""
    address = ipaddress.ip_address(job.host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    host = f"[{address}]" if address.version == 6 else str(address)
    lmtp, tls = job.server.get("lmtp"), job.server.get("implicit_tls")
    scheme = "lmtp" if lmtp else "smtps" if tls else "smtp"
    url = f"{scheme}://{host}:{server.port}"
    return f"{url}?security=tls" if lmtp and tls else url


@contextmanager
def _to_be_had(host: str, port: int, advice: str) -> Iterator[None]:
    """Say which port is not to be had."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise InvalidInput(
            f"port {port} of {host} cannot be used: {why}; {advice}"
        ) from None
