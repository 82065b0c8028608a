"""The page on HTTP, for this machine alone.

Three things keep other pages in the same browser out. The name that a request is for
must be this machine's, so that no name of somebody else's can be made to lead here (DNS
rebinding). What changes something must not come from another page (CSRF). And no
answer may be read by one: there is no CORS here, and the resource policy says so.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import BaseServer, TCPServer
from typing import Final

from esmtp_async._serve._maildir import MailDirectory
from esmtp_async._serve._page import Answer, Page, problem

ADDRESS: Final = "127.0.0.1"
EVENTS: Final = "/api/events"

_HOST: Final = re.compile(
    r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE
)
#: Told with every answer.
_ALWAYS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
}
#: Seconds for a request to come, and for an answer to be taken.
_PATIENCE: Final = 30.0
#: Seconds between two signs of life to a page that listens.
_HEARTBEAT: Final = 10.0
#: Pages that are told of changes at the same time.
_LISTENERS: Final = 32


@contextmanager
def serving(mail: MailDirectory, port: int) -> Iterator[int]:
    """Serve the page while the context lasts; give the port, which 0 leaves open.

    Raises `OSError` if the port is not to be had.
    """
    server = _Server((ADDRESS, port), partial(_Handler, _Site(mail)))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Site:
    """What all connections share."""

    def __init__(self, mail: MailDirectory) -> None:
        self.mail: Final = mail
        self.page: Final = Page(mail)
        self.listeners: Final = threading.BoundedSemaphore(_LISTENERS)


class _Server(ThreadingHTTPServer):
    """A thread for each connection, none of which keeps the program from ending."""

    daemon_threads = True
    block_on_close = False
    # Where it is not posix, this would let two programs have the same port.
    allow_reuse_address = os.name == "posix"

    def server_bind(self) -> None:
        """Bind, and ask no name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.socket.getsockname()[1]

    def handle_error(
        self, request: socket | tuple[bytes, socket], client_address: object
    ) -> None:
        """Be quiet about a browser that is gone, and about nothing else."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "esmtp-serve"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"
    timeout = _PATIENCE

    def __init__(
        self,
        site: _Site,
        request: socket,
        client_address: tuple[str, int],
        server: BaseServer,
    ) -> None:
        self._site = site
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        """Answer a request."""
        trouble = self._trouble()
        if trouble is not None:
            # Nobody knows where a body ends that is not read.
            self.close_connection = True
            self._write(trouble)
        elif self.path == EVENTS and self.command == "GET":
            self._tell_changes()
        else:
            self._write(self._answer())

    do_HEAD = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def _trouble(self) -> Answer | None:
        """Give the answer to a request that is not even looked at."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this server is reached as localhost, and by no other name",
            )
        length = self.headers.get("Content-Length", "0")
        if length != "0" or "Transfer-Encoding" in self.headers:
            return problem(HTTPStatus.BAD_REQUEST, "no request here has a body")
        if self.command == "DELETE" and not self._from_here(hosts[0]):
            return problem(HTTPStatus.FORBIDDEN, "another page must not change this")
        return None

    def _from_here(self, host: str) -> bool:
        """Tell whether a request comes from this page, or from no page at all."""
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        here = origin is None or origin.lower() == f"http://{host}".lower()
        return here and site in {"none", "same-origin"}

    def _answer(self) -> Answer:
        method = "GET" if self.command == "HEAD" else self.command
        try:
            return self._site.page.answer(method, self.path)
        except ValueError:
            return problem(HTTPStatus.BAD_REQUEST, "the target is no URL")
        except OSError as error:
            text = f"the directory cannot be used: {error}"
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, text)

    def _write(self, answer: Answer) -> None:
        headers = {**_ALWAYS, **answer.headers}
        if answer.status is not HTTPStatus.NO_CONTENT:
            headers |= {
                "Content-Type": answer.type,
                "Content-Length": str(len(answer.body)),
            }
        self._begin(answer.status, headers)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _tell_changes(self) -> None:
        """Tell of each change, until the page is gone (Server-Sent Events)."""
        self.close_connection = True
        if not self._site.listeners.acquire(blocking=False):
            self._write(problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many listen"))
            return
        try:
            self._begin(HTTPStatus.OK, {**_ALWAYS, "Content-Type": "text/event-stream"})
            # The directory may be gone before the last page.
            with suppress(OSError):
                self._tell_each_change()
        finally:
            self._site.listeners.release()

    def _tell_each_change(self) -> None:
        mail, told = self._site.mail, ""
        while True:
            version = mail.wait_for_change(told, _HEARTBEAT)
            news = f"data: {version}\n\n" if version != told else ":\n\n"
            self.wfile.write(news.encode())
            told = version

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: what is printed is about mail."""
