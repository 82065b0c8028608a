"""Rows T7-T9 and T14: whom a certificate names, who vouches for it, and versions.

Everything is seen twice, with TLS from the first octet and behind STARTTLS: one type
of error and one set of words serves both.
"""

from __future__ import annotations

import pickle
import re
import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

import anyio
import pytest
from anyio.abc import SocketStream

from esmtp_async import ClientOptions, SMTPClient, Stage, TLSFailed
from tests.backends import everywhere
from tests.client.certificates import (
    DAY,
    asking_context,
    client_context,
    fresh_client_context,
    identify,
    only,
    revoking_context,
    server_context,
    special_context,
)
from tests.client.checks import BOB, failure, outcomes, send
from tests.raw import NAME, TLS, Script, Server, offering, script, serving

MAIL: Final = "mail.example.test"
#: In its ways, what a server says that speaks TLS: at once, or behind STARTTLS.
WAYS: Final[dict[str, Script]] = {
    "tls": script(CONNECT=(TLS, b"220 x\r\n")),
    "starttls": script(EHLO=[offering("STARTTLS"), offering("PIPELINING")]),
}
both_ways = pytest.mark.parametrize("way", WAYS)

#: What `anyio.getaddrinfo` tells of an address.
Resolved = tuple[int, int, int, str, tuple[str, int]]


def assert_nothing_was_said_under_tls(server: Server) -> None:
    for heard in server.heard:
        assert heard.verbs in ([], ["EHLO", "STARTTLS"])
    assert {tap.closed for tap in server.taps} <= {1}


class Bad(NamedTuple):
    """A certificate that must not do, for a name, and what is said of it."""

    server: ssl.SSLContext
    name: str
    why: str
    client: Callable[[], ssl.SSLContext] = client_context


BAD: Final = {
    "another name": Bad(special_context("x.example.test"), MAIL, "mismatch"),
    "part of the name": Bad(special_context("example.test"), MAIL, "mismatch"),
    "two labels under a star": Bad(special_context("*.test"), MAIL, "mismatch"),
    "a star within": Bad(special_context("mail.*.test"), MAIL, "mismatch"),
    "a star in a label": Bad(special_context("m*.example.test"), MAIL, "mismatch"),
    "a star and nothing": Bad(special_context("*"), MAIL, "mismatch"),
    "the common name": Bad(
        special_context("else.example.test", common_name=MAIL), MAIL, "mismatch"
    ),
    "an address without one": Bad(special_context(MAIL), "127.0.0.1", "mismatch"),
    "an address as a name": Bad(
        special_context("dns:127.0.0.1"), "127.0.0.1", "mismatch"
    ),
    "an address as the common name": Bad(
        special_context(MAIL, common_name="127.0.0.1"), "127.0.0.1", "mismatch"
    ),
    "another address": Bad(special_context("127.0.0.2"), "127.0.0.1", "mismatch"),
    "expired": Bad(special_context(MAIL, begins=-2 * DAY, ends=-DAY), MAIL, "expired"),
    "not yet valid": Bad(special_context(MAIL, begins=DAY, ends=2 * DAY), MAIL, "not"),
    "signed by itself": Bad(special_context(MAIL, issuer=None), MAIL, "self"),
    "of an unknown authority": Bad(
        special_context(MAIL, issuer="theirs"), MAIL, "unable to get local issuer"
    ),
    "revoked": Bad(special_context(MAIL), MAIL, "revoked", revoking_context),
}


#: What to do about it, by what is said of it.
REMEDIES: Final = {
    "mismatch": ".* another name: server_hostname=",
    "self": r".* ssl_context=ssl.create_default_context\(cafile=...\)",
    "unable to get local issuer": r".* trust who issued it: .*\(cafile=...\)",
}


@everywhere
@both_ways
@pytest.mark.parametrize("kind", BAD)
async def test_T8_a_certificate_that_does_not_do(kind: str, way: str) -> None:
    server_side, name, why, context = BAD[kind]
    async with serving(WAYS[way], tls=server_side) as server:
        async with server.client(
            security=way, ssl_context=context(), server_hostname=name
        ) as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            assert not error.temporary
            assert error.reply is None
            assert why in error.certificate_error.lower()
            told = error.certificate_error.removesuffix(".")
            told = f"the certificate of {name} does not verify: {told}"
            remedy = str(error).partition(told)[2]
            assert re.fullmatch(REMEDIES.get(why, ""), remedy)
            assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
            again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own octets
            assert vars(again) == vars(error)
            assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
        assert_nothing_was_said_under_tls(server)


@everywhere
@both_ways
@pytest.mark.parametrize(
    ("certified", "name"),
    [
        (MAIL, MAIL),
        ("MAIL.Example.test", MAIL),
        ("*.example.test", MAIL),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("127.0.0.1", None),  # the host
        ("fe80::1", "fe80::1"),
    ],
)
async def test_T8_a_certificate_that_does(
    certified: str, name: str | None, way: str
) -> None:
    async with serving(WAYS[way], tls=special_context(certified)) as server:
        async with server.client(
            security=way, ssl_context=client_context(), server_hostname=name
        ) as client:
            receipt = await send(client)
            assert receipt.tls is not None
            assert receipt.accepted == (BOB,)


@everywhere
@both_ways
async def test_T8_the_greeting_names_nobody(way: str) -> None:
    named = {**WAYS[way]}
    named["CONNECT"] = (
        (TLS, b"220 liar.example.test\r\n") if way == "tls" else b"220 liar.test\r\n"
    )
    async with serving(named, tls=special_context("liar.example.test")) as server:
        async with server.client(
            security=way, ssl_context=client_context(), server_hostname=MAIL
        ) as client:
            await failure(client, TLSFailed)
        assert_nothing_was_said_under_tls(server)


@everywhere
@both_ways
async def test_T8_the_default_context_looks_at_no_common_name(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl, "create_default_context", fresh_client_context)
    unnamed = special_context(common_name=MAIL)
    async with serving(WAYS[way], tls=unnamed) as server:
        async with server.client(security=way, server_hostname=MAIL) as client:
            error = await failure(client, TLSFailed)
            assert "mismatch" in error.certificate_error
        # A context of the caller's is taken as it is.
        async with server.client(
            security=way, server_hostname=MAIL, ssl_context=client_context()
        ) as client:
            assert (await send(client)).tls is not None


@everywhere
@both_ways
async def test_T7_an_unknown_authority(way: str) -> None:
    async with serving(WAYS[way], tls=server_context()) as server:
        for context in (None, client_context("theirs")):
            async with server.client(security=way, ssl_context=context) as client:
                error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            assert not error.temporary
            assert "does not verify" in str(error)
        assert len(server.heard) == 2
        assert_nothing_was_said_under_tls(server)


# T9: one name for DNS, SNI and verification


@everywhere
@both_ways
@pytest.mark.parametrize(
    ("server_name", "a_label"),
    [
        ("münchen.test.", "xn--mnchen-3ya.test"),
        ("MÜNCHEN.TEST", "xn--mnchen-3ya.test"),
        ("xn--mnchen-3ya.test.", "xn--mnchen-3ya.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("Mail.Example.TEST.", "mail.example.test"),
    ],
)
async def test_T9_one_name_for_everything(
    server_name: str, a_label: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    looked_up: list[str] = []
    context = special_context(a_label)
    context.sni_callback = lambda _, name, __: asked.append(name)
    connect = anyio.connect_tcp
    async with serving(WAYS[way], tls=context) as server:

        async def look_up(host: str, *_: object, **__: object) -> SocketStream:
            looked_up.append(host)
            return await connect("127.0.0.1", server.port)

        async def resolve(host: str, *_: object, **__: object) -> list[Resolved]:
            looked_up.append(host)
            address = ("127.0.0.1", server.port)
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address)]

        # The one where anyio connects, the other where we do.
        monkeypatch.setattr(anyio, "connect_tcp", look_up)
        monkeypatch.setattr(anyio, "getaddrinfo", resolve)
        named: ClientOptions = {"security": way, "server_hostname": server_name}
        scheme = "smtps" if way == "tls" else "submission"
        targets: list[tuple[str, ClientOptions]] = [
            (server_name, {"security": way}),
            (f"{scheme}://{server_name}", {}),
            ("h.test", named),
        ]
        for target, options in targets:
            options["ssl_context"] = client_context()
            options["client_hostname"] = NAME
            async with SMTPClient(target, **options) as client:
                assert (await send(client)).tls is not None
        assert asked == [a_label] * 3
        assert looked_up == [a_label, a_label, "h.test"]


@everywhere
@both_ways
async def test_T9_an_address_is_no_name(way: str) -> None:
    asked: list[str | None] = []
    context = special_context("127.0.0.1")
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with serving(WAYS[way], tls=context) as server:
        async with server.client(
            security=way, ssl_context=client_context(), server_hostname="[127.0.0.1]"
        ) as client:
            await send(client)
    assert asked == [None]  # RFC 6066 section 3


# T14, what was agreed upon


def old_server() -> ssl.SSLContext:
    """Give a server's side that speaks TLS 1.1 and nothing newer."""
    return only(
        special_context(MAIL), ssl.TLSVersion.TLSv1_1, ciphers="DEFAULT:@SECLEVEL=0"
    )


def lax_context() -> ssl.SSLContext:
    """Give what a system's configuration might make of the default context."""
    context = fresh_client_context()
    only(context, ssl.TLSVersion.TLSv1_1, ciphers="DEFAULT:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    return context


@everywhere
@both_ways
async def test_T14_a_server_of_tls_1_1(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl, "create_default_context", lax_context)
    async with serving(WAYS[way], tls=old_server()) as server:
        async with server.client(security=way, server_hostname=MAIL) as client:
            error = await failure(client, TLSFailed)
            assert error.stage is Stage.TLS
            assert not error.temporary
            assert not error.certificate_error
            assert str(error).endswith("no version of TLS that both sides allow")
        assert_nothing_was_said_under_tls(server)
        # So it was the version; and a context of the caller's is taken as it is.
        async with server.client(
            security=way, server_hostname=MAIL, ssl_context=lax_context()
        ) as client:
            receipt = await send(client)
            assert receipt.tls is not None
            assert receipt.tls.version == "TLSv1.1"


@everywhere
@both_ways
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_T14_the_receipt_tells_what_protected_it(
    version: ssl.TLSVersion, way: str
) -> None:
    context = only(special_context("127.0.0.1"), version)
    async with serving(WAYS[way], tls=context) as server:
        async with server.client(security=way, ssl_context=client_context()) as client:
            tls = (await send(client)).tls
            assert tls is not None
            assert tls == (await client.probe()).tls
            theirs = server.heard[0].tls
            assert theirs is not None
            cipher = theirs.cipher()
            assert cipher is not None
            assert (tls.version, tls.cipher) == (theirs.version(), cipher[0])
            assert tls.version == version.name.replace("v1_", "v1.")
            certificate = ssl.DER_cert_to_PEM_cert(tls.peer_certificate)
            assert certificate.startswith("-----BEGIN CERTIFICATE-----")
            assert not tls.resumed


# Client certificates


@everywhere
@both_ways
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_of_the_client(version: ssl.TLSVersion, way: str) -> None:
    ours, theirs, none = (fresh_client_context() for _ in range(3))
    shown = identify(ours)
    identify(theirs, "theirs")
    async with serving(WAYS[way], tls=only(asking_context(), version)) as server:
        async with server.client(security=way, ssl_context=ours) as client:
            assert (await send(client)).accepted == (BOB,)
        tls = server.heard[0].tls
        assert tls is not None
        assert tls.getpeercert(binary_form=True) == shown
        for context, why in (
            (none, "wants a client certificate"),
            (theirs, "does not know who issued our certificate"),
        ):
            async with server.client(security=way, ssl_context=context) as client:
                error = await failure(client, TLSFailed)
                assert error.stage is Stage.TLS
                assert not error.temporary
                # TLS 1.2 has no word of its own for a certificate that is missing.
                if context is theirs or version is ssl.TLSVersion.TLSv1_3:
                    assert why in str(error)
                    assert "security=" not in str(error)
                assert outcomes(error.recipients) == [("bob", "NOT_SENT", None)]
