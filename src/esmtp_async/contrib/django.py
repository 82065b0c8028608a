"""An email backend for Django: mail over connections that a whole process shares.

::

    MAILERS = {
        "default": {
            "BACKEND": "esmtp_async.contrib.django.EmailBackend",
            "OPTIONS": {"host": "smtp.example.org", "use_tls": True},
        }
    }
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from email.errors import NonASCIILocalPartDefect, ObsoleteHeaderDefect
from email.headerregistry import AddressHeader
from email.message import Message
from email.policy import SMTP
from os import PathLike
from typing import Final, TypeVar

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends import smtp
from django.dispatch import Signal

from esmtp_async._logs import warn
from esmtp_async._receipts import Receipt
from esmtp_async._settings import ClientOptions
from esmtp_async._sync import SyncSMTPClient
from esmtp_async.contrib._shared import SharedClients
from esmtp_async.protocol._addresses import Mailbox
from esmtp_async.protocol._exceptions import InvalidInput, SMTPError
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._sasl import Secret

__all__ = ["EmailBackend", "message_finished"]

#: Sent for each message that was tried, with `message`, `receipt` (a `Receipt`) and
#: `error` (an `SMTPError`), of which one is None. The sender is the backend's class.
message_finished: Final = Signal()

_CLIENTS: Final = SharedClients()

#: The setting that holds the options where there are no `MAILERS`.
_SETTING: Final = "ESMTP_ASYNC"
#: Options that Django's own backend does not know, beside `url`.
_OURS: Final = {*ClientOptions.__annotations__, "backend"} - {"username", "password"}
#: Those of its own that a URL has a place for.
_IN_URL: Final = ("host", "port", "use_tls", "use_ssl")

#: What an address may be found to be by who reads header fields: "Smith Jr. <...>", or
#: one for SMTPUTF8.
_HARMLESS: Final = (ObsoleteHeaderDefect, NonASCIILocalPartDefect)
#: Whether it is being told what became of a message.
_telling: Final = ContextVar("_telling", default=False)


class EmailBackend(smtp.EmailBackend):
    """Sends Django's mail, over connections that are kept and shared.

    It takes the options of Django's own SMTP backend, which it replaces; or `url`
    instead of `host`, `port`, `use_tls` and `use_ssl`; and every other argument of
    `SyncSMTPClient`. `all_or_nothing` is that of `SMTPClient.send`. Without `MAILERS`
    they come from Django's `EMAIL_*` settings, and from the dictionary `ESMTP_ASYNC`.

    Without `use_tls`, `use_ssl` and `security` it is not plaintext that is spoken:
    beyond this machine STARTTLS is required, as `SMTPClient` has it.

    All backends with the same options share a client, in whatever thread of the
    process they are. So there is nothing to `open` or `close`; a forked process begins
    with connections of its own. To be called within an event loop is no error, though
    it stops the loop for as long as the message takes.

    A message counts as sent if somebody got it. Its attribute `esmtp_receipt` is then
    the `Receipt`, and `esmtp_error` None; else it is the other way round.

    Raises `ImproperlyConfigured` where an option makes no sense.
    """

    def __init__(
        self,
        *,
        alias: str | None = None,
        fail_silently: bool = False,
        **options: object,
    ) -> None:
        try:
            if alias is None:
                # Without MAILERS: what a caller leaves open, the settings say.
                options = {
                    **getattr(settings, _SETTING, {}),
                    **{k: v for k, v in options.items() if v is not None},
                }
                fail_silently = bool(options.pop("fail_silently", fail_silently))
            self._all_or_nothing = bool(options.pop("all_or_nothing", False))
            recipe = _Recipe({k: options.pop(k) for k in _OURS & options.keys()})
            recipe.url = options.pop("url", None)
            if recipe.url is not None:
                if twice := [name for name in _IN_URL if options.get(name)]:
                    msg = f"url and {twice[0]} are given: they say the same"
                    raise ImproperlyConfigured(msg)
                options["host"] = "localhost"  # which Django wants there
            # Its constructor knows, in each version, what it takes and from where.
            _called(super().__init__, alias=alias, **options)
            self.alias = alias
            self.fail_silently = fail_silently
            recipe.take(self)
            with _CLIENTS.lease(recipe.key, recipe.make):
                self._recipe = recipe
        except InvalidInput as error:
            raise ImproperlyConfigured(str(error)) from None
        finally:
            # Not to be shown by whatever shows a traceback's variables.
            options.clear()
            self.password = ""

    def open(self) -> bool:
        """Do nothing, and say so: there is a connection where there is a message."""
        return False

    def close(self) -> None:
        """Do nothing: the connections are those of the process."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send messages one after the other; give how many somebody got.

        Messages without a recipient are left out. The first error ends it, unless
        `fail_silently`.

        Raises:
            SMTPError: what `SMTPClient.send` raises, and `InvalidInput` for what is no
                address.
            ValueError: what Django raises for header fields with line ends.
        """
        if not email_messages:
            return 0
        with _CLIENTS.lease(self._recipe.key, self._recipe.make) as client:
            return sum(self._sent(client, message) for message in email_messages)

    def _sent(self, client: SyncSMTPClient, message: EmailMessage) -> bool:
        """Send one message; tell whether somebody got it."""
        receipt: Receipt | None = None
        error: SMTPError | None = None
        try:
            recipients = [_addr_spec(each) for each in message.recipients()]
            if not recipients:
                return False
            sender = _addr_spec(message.from_email)
            receipt = client.send(
                _flat(message),
                sender=sender,
                recipients=recipients,
                all_or_nothing=self._all_or_nothing,
            )
        except SMTPError as failure:
            error = failure
        vars(message).update(esmtp_receipt=receipt, esmtp_error=error)
        self._tell(message, receipt, error)
        if receipt is not None:
            return True
        if error is None or (
            self.fail_silently and not isinstance(error, InvalidInput)
        ):
            return False
        raise error

    def _tell(
        self,
        message: EmailMessage,
        receipt: Receipt | None,
        error: SMTPError | None,
    ) -> None:
        """Log refusals and send the signal, but for mail that this causes.

        There might be no end of it: Django logs what a receiver raises, and mails what
        is logged to the admins.
        """
        if _telling.get():
            return
        token = _telling.set(True)
        try:
            for each in () if receipt is None else receipt.refused:
                who = printable(each.address.encode())
                warn("a message was refused for %s: %s", who, each.reply)
            message_finished.send_robust(
                type(self), message=message, receipt=receipt, error=error
            )
        finally:
            _telling.reset(token)


class _Recipe:
    """What a backend's client is made of; it does not show itself, nor a password."""

    __slots__ = ("_certificate", "_options", "_port", "_server", "url")

    def __init__(self, options: dict[str, object]) -> None:
        self._options = options
        self._server: object = ""
        self._port: object = None
        self._certificate: tuple[_File, _File] = (None, None)
        self.url: object = None

    def take(self, backend: smtp.EmailBackend) -> None:
        """Take what Django's backend found in its options or settings."""
        options = self._options
        options["username"] = backend.username or None
        options["password"] = _frozen(backend.password or None)
        if backend.timeout is not None:
            options.setdefault("timeouts", backend.timeout)
        self._certificate = (backend.ssl_certfile, backend.ssl_keyfile)
        if "ssl_context" in options and any(self._certificate):
            msg = "ssl_context is given beside ssl_certfile or ssl_keyfile"
            raise ImproperlyConfigured(msg)
        self._server = self.url
        if self.url is None:
            self._server, self._port = backend.host, backend.port
            security = "tls" if backend.use_ssl else "starttls"
            wanted = backend.use_ssl or backend.use_tls
            if wanted and options.setdefault("security", security) != security:
                msg = "security is given beside another use_tls or use_ssl"
                raise ImproperlyConfigured(msg)

    @property
    def key(self) -> Hashable:
        """What recipes have in common that make the same client."""
        given = {
            **self._options,
            "server": self._server,
            "port": self._port,
            "certificate": self._certificate,
        }
        key = tuple((name, _frozen(given.pop(name))) for name in sorted(given))
        try:
            hash(key)
        except TypeError as error:
            msg = f"an option cannot be told from others of its type: {error}"
            raise ImproperlyConfigured(msg) from None
        return key

    def make(self) -> SyncSMTPClient:
        """Make the client; raises `InvalidInput`."""
        certificate, key = self._certificate
        context = self._options.get("ssl_context")
        if certificate or key:
            context = ssl.create_default_context()
            try:
                _called(context.load_cert_chain, certificate, key)
            except (OSError, TypeError) as error:
                msg = f"ssl_certfile {certificate!r} cannot be used: {error}"
                raise InvalidInput(msg) from None
        # What is secret is in no variable, for a traceback may show those.
        return _called(
            SyncSMTPClient,
            self._server,
            self._port,
            **{name: _revealed(value) for name, value in self._options.items()}
            | {"ssl_context": context},
        )


_T = TypeVar("_T")
_File = str | bytes | PathLike[str] | PathLike[bytes] | None


def _revealed(value: object) -> object:
    return value.reveal() if isinstance(value, Secret) else value


def _called(function: Callable[..., _T], *arguments: object, **options: object) -> _T:
    """Call what looks itself at the types of what it is given."""
    try:
        return function(*arguments, **options)
    finally:
        del arguments, options  # the password with them, out of any traceback


def _frozen(value: object) -> object:
    """Give what can be a key in the place of what cannot, or must not be shown."""
    if isinstance(value, Mapping):
        return tuple((name, _frozen(each)) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return Secret(value) if isinstance(value, str) else value


def _addr_spec(address: object) -> str:
    """Give the address of a mailbox, which may have a display name.

    Django takes anything that says itself as a text, a translation among them.
    """
    text = str(address)
    with suppress(InvalidInput):
        Mailbox.parse(text)
        return text
    parsed = AddressHeader.value_parser(text) if text.strip() else None
    mailboxes = [] if parsed is None else parsed.all_mailboxes
    defects = [] if parsed is None else parsed.all_defects
    if len(mailboxes) != 1 or not all(isinstance(each, _HARMLESS) for each in defects):
        msg = f"{text!r} is not one address, with or without a display name"
        raise InvalidInput(msg)
    return mailboxes[0].addr_spec


def _flat(message: EmailMessage) -> Message:
    """Give a message as the standard library has it; `policy` came with Django 6.0."""
    return (
        message.message(policy=SMTP) if django.VERSION >= (6, 0) else message.message()
    )
