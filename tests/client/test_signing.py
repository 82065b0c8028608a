"""What a client signs verifies as it arrives: octet for octet what was sent."""

from __future__ import annotations

import io
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esmtp_async import (
    DkimpySigner,
    DkimSigner,
    InvalidInput,
    Sendable,
    SendOptions,
    Signer,
    SMTPClient,
)
from esmtp_async._messages import Outgoing, prepare
from esmtp_async._options import NO_OPTIONS
from esmtp_async.protocol import Extensions
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.messages.signing import DOMAIN, ED25519, rsa_key, verifies

RSA = DkimSigner(DOMAIN, "rsa", rsa_key())
EDWARDS = DkimSigner(DOMAIN, "ed", ED25519)
RECORDS = dict([RSA.dns_record, EDWARDS.dns_record])

FULL = ("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME", "SMTPUTF8")
SOURCE = b"From: a@x.test\nTo: b@x.test\nMessage-ID: <1@x.test>\n\nHello\n.\n  \n\n"


def message(text: str = "Grüße\n") -> EmailMessage:
    made = EmailMessage()
    made["From"] = "Alice <a@x.test>"
    made["To"], made["Bcc"] = "b@x.test", "c@x.test"
    made["Subject"] = "ü" * 100
    made.set_content(text, cte="8bit" if "\0" not in text else None)
    made.add_attachment(bytes(range(256)), maintype="image", subtype="x")
    return made


async def sent(
    source: Sendable,
    *signers: Signer,
    offer: tuple[str, ...] = FULL,
    **options: Any,  # noqa: ANN401
) -> bytes:
    async with (
        SMTPServer(extensions=offer) as server,
        server.client(sign=signers) as client,
    ):
        await client.send(
            source,
            sender="a@x.test",
            recipients="b@x.test",
            options=SendOptions(**options),
        )
        (stored,) = server.messages
        assert server.violations == []
        size = stored.mail_parameters.get("SIZE")
        assert size is None or int(size) == len(stored.content)
        return stored.content


@everywhere
@pytest.mark.parametrize("body", [None, "7BIT", "8BITMIME"])
async def test_B5_every_form_of_a_message_verifies(body: str | None) -> None:
    octets = await sent(message(), RSA, EDWARDS, body=body)
    assert verifies(octets, RECORDS)
    assert octets.count(b"DKIM-Signature:") == 2
    assert octets.startswith(b"DKIM-Signature:")
    assert b"c@x.test" not in octets
    assert not verifies(octets.replace(b"Alice", b"Alina"), RECORDS)


@everywhere
async def test_B5_what_a_server_without_8bitmime_gets_verifies() -> None:
    octets = await sent(message(), RSA, offer=("PIPELINING",))
    assert octets.isascii()
    assert verifies(octets, RECORDS)


@everywhere
@pytest.mark.parametrize("repeated", [1, 100_000])
async def test_B5_octets_of_any_source_verify(repeated: int, tmp_path: Path) -> None:
    octets = SOURCE + b"A line.\n" * repeated + b"no end"
    path = tmp_path / "message"
    path.write_bytes(octets)
    sources: list[Sendable] = [octets, octets.decode(), path, io.BytesIO(octets)]
    async with (
        SMTPServer(extensions=("SIZE", "PIPELINING", "CHUNKING")) as server,
        server.client(sign=RSA) as client,
    ):
        for source in sources:
            receipt = await client.send(source)
            assert receipt.message_id == "<1@x.test>"
        for stored in server.messages:
            assert verifies(stored.content, RECORDS)
            assert stored.content.endswith(octets.replace(b"\n", b"\r\n") + b"\r\n")
            assert int(stored.mail_parameters["SIZE"] or 0) == len(stored.content)
        assert len(server.messages) == len(sources)
        assert server.violations == []


@everywhere
@pytest.mark.parametrize("pipelining", ["conformant", "eager"])
async def test_B5_each_of_many_verifies(pipelining: str) -> None:
    async with (
        SMTPServer(extensions=FULL, eager=True) as server,
        server.client(sign=EDWARDS, pipelining=pipelining) as client,
    ):
        messages = [message(f"number {n}\n") for n in range(30)]
        async with client.send_many(messages) as results:
            assert len([result.unwrap() async for result in results]) == 30
        assert len(server.messages) == 30
        assert all(verifies(each.content, RECORDS) for each in server.messages)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)
LINE = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=120)


def prepared(message: Sendable, signer: Signer, *offers: str) -> bytes:
    """Give what a server would get of a small message, which waits for nothing."""
    preparing = prepare(message, None, None, NO_OPTIONS, (signer,))
    with pytest.raises(StopIteration) as end:
        preparing.send(None)
    outgoing: Outgoing = end.value.value
    return outgoing.mail_data(Extensions(dict.fromkeys(offers, ""))).octets


@settings(max_examples=1000)
@given(subject=LINE, name=LINE, text=TEXT, eight_bit=st.booleans())
def test_B5_any_message_verifies(
    subject: str, name: str, text: str, *, eight_bit: bool
) -> None:
    made = EmailMessage()
    made["From"] = "a@x.test"
    made["To"] = "b@x.test"
    made["Subject"] = subject
    made["X-Note"] = name
    made.set_content(text)
    octets = prepared(made, EDWARDS, *(["8BITMIME"] if eight_bit else []))
    assert verifies(octets, RECORDS)


@everywhere
async def test_another_signer_does_as_well() -> None:
    key = b64encode(ED25519.private_bytes_raw())
    signer = DkimpySigner(DOMAIN, "ed", key)
    octets = await sent(message(), signer, EDWARDS)
    assert octets.count(b"DKIM-Signature:") == 2
    assert verifies(octets, RECORDS)


class Faulty:
    def __init__(self, gives: object) -> None:
        self.gives = gives

    def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
        assert header.endswith(b"\r\n")
        assert b"".join(body)
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives  # type: ignore[return-value]  # wrong on purpose


@everywhere
@pytest.mark.parametrize(
    ("gives", "told"),
    [
        (b"X: no line end", "Faulty gave no header fields in CRLF"),
        (b"X: a\r\n\r\nbody", "Faulty gave no header fields"),
        (b"X: a\nBcc: b\r\n", "Faulty gave no header fields"),
        ("X: text\r\n", "Faulty gave no header fields"),
        (None, "Faulty gave no header fields"),
        (ValueError("secret"), "cannot be signed: Faulty raised ValueError"),
        (InvalidInput("no From"), "no From"),
    ],
)
async def test_a_signer_that_fails(gives: object, told: str) -> None:
    async with (
        SMTPServer(extensions=FULL) as server,
        server.client(sign=Faulty(gives)) as client,
    ):
        for source in (message(), SOURCE):
            with pytest.raises(InvalidInput, match=told) as caught:
                await client.send(source)
            assert "secret" not in str(caught.value)
            async with client.send_many([source]) as results:
                (result,) = [result async for result in results]
            assert isinstance(result.error, InvalidInput)
        assert server.messages == []


@everywhere
async def test_a_signer_that_fails_late_leaves_no_doubt() -> None:
    """The form for a server without 8BITMIME is made once that is known."""

    class Once:
        calls = 0

        def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
            del header, body
            self.calls += 1
            if self.calls > 1:
                raise InvalidInput("once only")
            return b"X-Signed: yes\r\n"

    async with (
        SMTPServer(extensions=["PIPELINING"]) as server,
        server.client(sign=Once()) as client,
    ):
        with pytest.raises(InvalidInput, match="once only"):
            await client.send(message())
        assert server.messages == []
        client_works = await client.noop()
        assert client_works.code == 250


def in_blocks() -> Iterator[bytes]:
    yield SOURCE


@everywhere
async def test_what_is_read_once_cannot_be_signed() -> None:
    async with SMTPServer() as server, server.client(sign=RSA) as client:
        with pytest.raises(InvalidInput, match="comes in blocks cannot be signed"):
            await client.send(in_blocks(), sender="a@x.test", recipients="b@x.test")
        assert server.messages == []


@everywhere
@pytest.mark.parametrize("prefer", [(), "BINARYMIME"])
async def test_what_has_no_lines_cannot_be_signed(
    prefer: str | tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "message"
    path.write_bytes(SOURCE)
    sources: list[Sendable] = [message()]
    if not prefer:
        sources += [SOURCE, path, in_blocks()]
    for source in sources:
        with pytest.raises(InvalidInput, match="binary form cannot be signed"):
            await sent(source, RSA, body="BINARYMIME", prefer=prefer)


@everywhere
async def test_a_header_section_without_end_cannot_be_signed(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(b"From: a@x.test\n" + b"X: y\n" * 200_000 + b"\nHello\n")
    async with SMTPServer() as server, server.client(sign=RSA) as client:
        with pytest.raises(InvalidInput, match="the header section exceeds"):
            await client.send(path, sender="a@x.test", recipients="b@x.test")
        assert server.messages == []


@everywhere
@pytest.mark.parametrize("large", [False, True])
async def test_large_messages_are_signed_off_the_loop(*, large: bool) -> None:
    on_the_loop: list[bool] = []

    class Noted:
        def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
            del header, body
            main = threading.main_thread()
            on_the_loop.append(threading.current_thread() is main)
            return b""

    size = 200_000 if large else 1000
    async with (
        SMTPServer(extensions=FULL) as server,
        server.client(sign=Noted()) as client,
    ):
        for source in (message("x\n" * (size // 2)), SOURCE + b"x\n" * (size // 2)):
            await client.send(source, sender="a@x.test", recipients="b@x.test")
        assert [m.content.startswith(b"From") for m in server.messages] == [True] * 2
    assert on_the_loop == [not large] * 2


@everywhere
async def test_a_file_that_changes_while_it_is_signed(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(SOURCE + b"x" * 78 * 20_000)

    class Meddler:
        def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
            del header
            with path.open("ab") as file:
                file.write(b"more")
            for _ in body:
                pass
            return b"X: y\r\n"

    async with SMTPServer() as server, server.client(sign=Meddler()) as client:
        with pytest.raises((OSError, ValueError, InvalidInput)):
            await client.send(path, sender="a@x.test", recipients="b@x.test")
        assert server.messages == []


@pytest.mark.parametrize("bad", [5, "key", [RSA, 5], object()])
def test_what_is_no_signer(bad: Any) -> None:  # noqa: ANN401  # wrong on purpose
    with pytest.raises(InvalidInput, match=r"sign has a \w+, which has no method sign"):
        SMTPClient("localhost", sign=bad)
