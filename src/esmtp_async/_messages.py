"""Messages: whatever the caller has, as an envelope and mail data."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
)
from email.message import Message
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, TypeGuard, TypeVar

from anyio.lowlevel import checkpoint

from esmtp_async._files import Readable, Stored, from_file, from_path, off_the_loop
from esmtp_async._headers import Header, message_id
from esmtp_async._logs import blame
from esmtp_async._mime import Body, Flattened, weight
from esmtp_async._options import NO_OPTIONS, SendOptions
from esmtp_async._signing import Signers, with_signatures
from esmtp_async.protocol._content import BLOCK, MailData
from esmtp_async.protocol._envelope import Envelope, Recipient
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._needs import has_binary
from esmtp_async.protocol._parameters import Parameter, envid

_T = TypeVar("_T")


def is_file(source: object) -> TypeGuard[Readable]:
    """Tell a file by its `read`, which one of `tempfile` has by proxy only."""
    return callable(getattr(source, "read", None)) and not isinstance(
        source, AsyncIterable
    )


#: What can be sent.
Sendable = (
    Message
    | bytes
    | bytearray
    | memoryview
    | str
    | Path
    | BinaryIO
    | Iterable[bytes]
    | AsyncIterable[bytes]
)

#: Who it is for: one address, or several.
Recipients = str | Recipient | Iterable[str | Recipient]

#: Octets from which on a message is made ready in a thread: it takes milliseconds.
_LARGE: Final = 128 * 1024

#: A whole message, at hand.
_WHOLE: Final = (bytes, str, bytearray, memoryview)


class Outgoing:
    """A message ready to be sent: who it is from and for, and its octets."""

    def __init__(
        self,
        envelope: Envelope,
        octets: Flattened | Stored | MailData,
        message_id: str | None,
        generator: AsyncGenerator[object] | None = None,
        body: Body | None = None,
    ) -> None:
        self.envelope = envelope
        self.message_id = message_id
        self._octets = octets
        self._body = body
        self._generator = generator  # that the octets come from

    @property
    def is_stream(self) -> bool:
        """Whether its octets can be read once only."""
        return isinstance(self._octets, MailData) and self._octets.is_stream

    def mail_data(self, extensions: Extensions) -> MailData:
        """Give the octets in the form that suits what the server offers."""
        octets = self._octets
        if isinstance(octets, MailData):
            return octets
        if isinstance(octets, Stored):
            return octets.mail_data()
        return octets.mail_data(self._form(extensions))

    def _form(self, extensions: Extensions) -> Body:
        """Choose the form that is asked for, or else the best that can pass."""
        body = self._body
        if body is Body.BINARY and "BINARYMIME" in self.envelope.preferred:
            body = body if has_binary(extensions) else None
        if body is None:
            body = Body.EIGHT_BIT if "8BITMIME" in extensions else Body.SEVEN_BIT
        return body

    @property
    def needs_closing(self) -> bool:
        """Whether `aclose` has anything to do."""
        return self._generator is not None

    async def aclose(self) -> None:
        """Close the source, if it is an async generator.

        Left unfinished, by a refusal in the midst of it, it would be closed by
        chance, and trio warns of that; who hands one over rarely keeps it. What
        became of the message is known by now, and no failure here may hide it.
        """
        if self._generator is not None:
            try:
                await self._generator.aclose()
            except Exception as error:  # noqa: BLE001  # the caller's own, of any kind
                blame(error, "the message's source failed to close")


async def prepare(
    message: Sendable,
    sender: str | None,
    recipients: Recipients | None,
    options: SendOptions,
    signers: Signers = (),
) -> Outgoing:
    """Check, convert and sign everything; raises `InvalidInput` before any connection.

    Files are read off the event loop, and whatever they raise is raised; those that
    are large are gone through, and read again as they are sent.
    """
    check_type("options", options, SendOptions)
    binary = options.form is Body.BINARY
    if binary and signers:
        # No verifier agrees with us on where its lines end (RFC 6376 §5.3).
        msg = "body is BINARYMIME, and a message in binary form cannot be signed"
        raise InvalidInput(msg)
    if isinstance(message, _WHOLE):
        source: Sendable | Stored = message
    else:
        source = await _looked_at(message, binary=binary)
    if options.changing is not None and not isinstance(message, Message):
        msg = f"{options.changing} is for an email.message.Message only"
        raise InvalidInput(msg)
    header: Header | None = None
    octets: Flattened | Stored | MailData
    named: str | None = None
    beginning: bytes | None = None
    if isinstance(source, Message):
        header = Header(source)
        flatten = partial(_flattened, source, header, options, signers)
        octets = await _made(flatten, weight(source))
        named = octets.message_id
    elif isinstance(source, Stored):
        octets, beginning = source, source.beginning
        if signers:
            octets = await off_the_loop(partial(source.signed, signers))
    elif isinstance(source, _WHOLE):
        text = source if isinstance(source, str) else bytes(source)
        octets = await _made(partial(_whole, text, options.form, signers), len(text))
        beginning = octets.octets
    else:
        octets = _streamed(source, options.form, signers)
    if beginning is not None:
        named = message_id(beginning)
        if sender is None or recipients is None:
            header = Header.of_octets(beginning)
    envelope = Envelope.of(
        _known(header, "sender").sender if sender is None else sender,
        _known(header, "recipients").recipients if recipients is None else recipients,
        () if options is NO_OPTIONS else _asked_for(options, octets, named),
        forwarded=options.forwarded,
        preferred=options.preferred,
    )
    generator = source if isinstance(source, AsyncGenerator) else None
    return Outgoing(envelope, octets, named, generator, options.form)


def _asked_for(
    options: SendOptions, octets: Flattened | Stored | MailData, named: str | None
) -> tuple[Parameter, ...]:
    """Give the parameters of MAIL for a message whose Message-ID is known."""
    if (
        options.form is Body.SEVEN_BIT
        and not isinstance(octets, Flattened)
        and (octets.known is None or octets.known.is_8bit)
    ):
        msg = "body is 7BIT, and the message has, or may have, octets above 127"
        raise InvalidInput(msg)
    if options.envid is not True:
        return options.parameters
    if named is None:
        msg = "envid is to be the Message-ID, and the message has none"
        raise InvalidInput(msg)
    return (*options.parameters, envid(named))


async def _looked_at(message: Sendable, *, binary: bool) -> Sendable | Stored:
    """Look into what is a file."""
    if isinstance(message, Path):
        return await off_the_loop(partial(from_path, message, binary=binary))
    if is_file(message):
        return await off_the_loop(partial(from_file, message, binary=binary))
    return message


async def _made(make: Callable[[], _T], size: int) -> _T:
    """Make something of so many octets: off the event loop where that takes long."""
    return make() if size < _LARGE else await off_the_loop(make)


def _flattened(
    message: Message, header: Header, options: SendOptions, signers: Signers
) -> Flattened:
    flattened = Flattened(message, header, added=options.fields, signers=signers)
    if signers:
        # In the form that will mostly do, while this is no trouble to the loop.
        flattened.mail_data(options.form or Body.EIGHT_BIT)
    return flattened


def _whole(text: str | bytes, body: Body | None, signers: Signers) -> MailData:
    octets = _encode(text) if isinstance(text, str) else text
    return with_signatures(MailData(octets, binary=body is Body.BINARY), signers)


def _streamed(source: object, body: Body | None, signers: Signers) -> MailData:
    if signers:
        msg = "a message that comes in blocks cannot be signed, as it is read once"
        raise InvalidInput(msg)
    return MailData(blocks=_blocks(source), binary=body is Body.BINARY)


def _known(header: Header | None, argument: str) -> Header:
    if header is None:
        msg = f"{argument} must be given for a message that comes in blocks"
        raise InvalidInput(msg)
    return header


def _encode(source: str) -> bytes:
    try:
        return source.encode("utf-8")
    except UnicodeEncodeError as error:
        msg = f"the message holds a lone surrogate at character {error.start}"
        raise InvalidInput(msg) from None


def _blocks(source: object) -> AsyncIterable[bytes]:
    if isinstance(source, AsyncIterable):
        return _Checked(source)
    if isinstance(source, Iterable):
        return _Gathered(source)
    msg = (
        f"message is of type {type(source).__name__}; what can be sent is an "
        "email.message.Message, bytes, str, a Path, a binary file, or an iterable or "
        "async iterable of bytes"
    )
    raise InvalidInput(msg)


# Iterators, not async generators: one that a refused upload leaves unfinished would
# have to be closed as well.


class _Checked(AsyncIterator[bytes]):
    """The blocks of an async iterable, as they come."""

    def __init__(self, source: AsyncIterable[object]) -> None:
        self._source = aiter(source)

    async def __anext__(self) -> bytes:
        """Give the next block."""
        return _octets(await anext(self._source))


class _Gathered(AsyncIterator[bytes]):
    """The blocks of an iterable, joined, for a file gives lines."""

    def __init__(self, source: Iterable[object]) -> None:
        if isinstance(source, Collection):
            # All of it is here, and can be refused before anything is written.
            for block in source:
                _octets(block)
        self._source = iter(source)

    async def __anext__(self) -> bytes:
        """Give as many blocks as make `BLOCK` octets."""
        await checkpoint()
        pending: list[bytes] = []
        size = 0
        for block in self._source:
            pending.append(_octets(block))
            size += len(pending[-1])
            if size >= BLOCK:
                break
        if not pending:
            raise StopAsyncIteration
        return b"".join(pending)


def _octets(block: object) -> bytes:
    if isinstance(block, (bytes, bytearray, memoryview)):
        return bytes(block)
    msg = f"the message's iterable gave a {type(block).__name__}, not bytes"
    raise InvalidInput(msg)
