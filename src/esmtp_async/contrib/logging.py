"""Log records by mail, in the place of `logging.handlers.SMTPHandler`.

::

    handler = SMTPHandler(
        "smtp.example.org", "app@example.org", ["ops@example.org"], "It failed"
    )
    handler.setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)

Whoever logs only puts a text down. A thread of the handler's own makes mails of what is
there, on an event loop of its own.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Final, Unpack

from esmtp_async._client import SMTPClient
from esmtp_async._headers import Header
from esmtp_async._pace import check_count
from esmtp_async._settings import ClientOptions
from esmtp_async._sync import Recipe
from esmtp_async._timeouts import check_seconds
from esmtp_async.contrib._mailer import Entry, Mailer, is_about_mail
from esmtp_async.protocol._envelope import Envelope
from esmtp_async.protocol._exceptions import InvalidInput, check_type

__all__ = ["SMTPHandler"]

#: Characters of one record; of what is longer the middle is left out.
LONGEST: Final = 20_000
#: Characters of a subject.
SUBJECT: Final = 200

#: What some servers refuse in a message, and no terminal should be shown.
_CONTROL: Final = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class SMTPHandler(logging.Handler):
    """Sends log records by mail, many in one, and never lets whoever logs wait.

    The first arguments are those of `logging.handlers.SMTPHandler`. `mailhost` is all
    that `SMTPClient` takes as its `server`, or `(host, port)`. `credentials` are user
    name and password. `secure` is `()`, `(keyfile,)` or `(keyfile, certfile)`, and asks
    for STARTTLS, which beyond this machine is required anyway. `timeout` bounds the
    sending of one mail, in seconds. All arguments of `SMTPClient` may follow.

    A mail goes a second after the first record, and then one in `interval` seconds at
    most, with all records that have come. More than `capacity` are left out; the next
    mail tells how many. `flush`, which `logging.shutdown` calls at the end of the
    process, mails what is there at once and waits for it, `flush_timeout` seconds at
    most.

    What goes wrong with a mail is written to `logging.lastResort`, which is standard
    error, as is what is logged while one is sent. Where it may help, the records go
    with the next mail; never where somebody might get them twice.

    A process that is forked leaves to its parent what that has to tell.

    Raises `InvalidInput` where an argument makes no sense.
    """

    def __init__(  # noqa: PLR0917  # in the order that logging.handlers has them
        self,
        mailhost: str | Sequence[str | int],
        fromaddr: str,
        toaddrs: str | Sequence[str],
        subject: str,
        credentials: Sequence[str] | None = None,
        secure: Sequence[str] | None = None,
        timeout: float = 30.0,
        *,
        interval: float = 60.0,
        capacity: int = 200,
        flush_timeout: float = 5.0,
        **options: Unpack[ClientOptions],
    ) -> None:
        try:
            check_seconds("timeout", timeout)
            check_seconds("interval", interval)
            check_seconds("flush_timeout", flush_timeout)
            check_count("capacity", capacity)
            check_type("subject", subject, str)
            compose = _composer(fromaddr, toaddrs)
            make = _maker(mailhost, credentials, secure, options)
        finally:
            del mailhost, credentials, options  # out of any traceback
        super().__init__()
        #: What `getSubject` gives, unless it is overridden.
        self.subject: str = subject
        self._flush_timeout = flush_timeout
        self._mailer = Mailer(
            make,
            compose,
            _complain,
            interval=interval,
            capacity=capacity,
            timeout=timeout,
        )
        self._mailer.start()
        self._mailer.wait_ready(flush_timeout)  # milliseconds, where the app begins

    def getSubject(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's
        """Give the subject of a record, which its mail has if it is the first there.

        To be overridden, as in `logging.handlers.SMTPHandler`.
        """
        del record  # which a subclass may look at
        return self.subject

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record that no filter is against; without the lock of the handler.

        Somebody might hold that who waits for the mails to go.
        """
        filtered = self.filter(record)
        if isinstance(filtered, logging.LogRecord):  # since Python 3.12
            record = filtered
        if filtered:
            self.emit(record)
        return bool(filtered)

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record down, as the text that it is now."""
        if is_about_mail(record):
            _complain(record)
            return
        try:
            text = _shortened(self.format(record))
            entry = Entry(self.getSubject(record), text)
            if not self._mailer.put(entry):
                _complain(record)
        except Exception:  # noqa: BLE001  # as each handler does
            self.handleError(record)

    def flush(self) -> None:
        """Mail at once what is there; wait for it, `flush_timeout` seconds at most."""
        self._mailer.flush(self._flush_timeout)

    def close(self) -> None:
        """Flush, and take no more records."""
        self._mailer.close(self._flush_timeout)
        super().close()


def _maker(
    mailhost: str | Sequence[str | int],
    credentials: Sequence[str] | None,
    secure: Sequence[str] | None,
    options: ClientOptions,
) -> Callable[[], SMTPClient]:
    """Give what makes a client; the first one is made here, to see that it can be."""
    try:
        if credentials is not None:
            if isinstance(credentials, str) or len(credentials) != 2:
                msg = "credentials are not (username, password)"
                raise InvalidInput(msg)
            options["username"], options["password"] = credentials
        if secure is not None:
            options.setdefault("security", "starttls")
            if secure:
                options["ssl_context"] = _identified(secure)
        make = Recipe(*_address(mailhost), options)
    finally:
        del mailhost, credentials, options  # out of any traceback
    make()
    return make


def _address(mailhost: str | Sequence[str | int]) -> tuple[str, int | None]:
    if isinstance(mailhost, str):
        return mailhost, None
    match mailhost:
        case [str() as host, int() as port]:
            return host, port
    msg = "mailhost is not a host, a URL or (host, port)"
    raise InvalidInput(msg)


def _identified(secure: Sequence[str]) -> ssl.SSLContext:
    """Give a context with a certificate of the client's own."""
    if isinstance(secure, str) or len(secure) > 2:
        msg = "secure is not (), (keyfile,) or (keyfile, certfile)"
        raise InvalidInput(msg)
    context = ssl.create_default_context()
    keyfile, certfile = secure[0], secure[-1]
    try:
        context.load_cert_chain(certfile, keyfile)
    except OSError as error:
        msg = f"secure {tuple(secure)!r} cannot be used: {error}"
        raise InvalidInput(msg) from None
    return context


def _composer(
    fromaddr: str, toaddrs: str | Sequence[str]
) -> Callable[[Sequence[Entry], int], EmailMessage]:
    """Give what makes a mail of records; raises `InvalidInput` for the addresses."""
    to = toaddrs if isinstance(toaddrs, str) else ", ".join(toaddrs)

    def compose(entries: Sequence[Entry], left_out: int) -> EmailMessage:
        message = EmailMessage()
        message["From"] = fromaddr
        message["To"] = to
        message["Subject"] = _subject(entries)
        # No answering machine answers it (RFC 3834 §5).
        message["Auto-Submitted"] = "auto-generated"
        texts = [entry.text for entry in entries]
        if left_out:
            texts.insert(0, f"Not here are {left_out} records that came before.")
        message.set_content(_printable("\n\n".join(texts)))
        return message

    try:
        header = Header(compose([Entry("", "")], 0))
    except ValueError as error:
        msg = f"fromaddr or toaddrs cannot stand in a message: {error}"
        raise InvalidInput(msg) from None
    Envelope.of(header.sender, header.recipients)
    return compose


def _subject(entries: Sequence[Entry]) -> str:
    first = _printable(" ".join(entries[0].subject.split()))[:SUBJECT]
    return first if len(entries) == 1 else f"{first} (and {len(entries) - 1} more)"


def _printable(text: str) -> str:
    """Give a text with escapes in the place of what is no character of a text."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[{left_out} characters are left out]\n{text[-half:]}"


def _complain(what: str | logging.LogRecord) -> None:
    """Write where it can do no harm: not to a logger, and so never to this handler."""
    if isinstance(what, str):
        what = logging.makeLogRecord(
            {
                "name": __name__,
                "levelno": logging.ERROR,
                "levelname": "ERROR",
                "msg": f"{__name__}: {_printable(what)}",
            }
        )
    last = logging.lastResort
    if last is not None and what.levelno >= last.level:
        last.handle(what)
