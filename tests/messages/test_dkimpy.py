"""Signatures and seals that dkimpy makes."""

from __future__ import annotations

import pickle
from base64 import b64encode
from typing import Any, Final

import dkim
import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat

from esmtp_async import (
    ArcSealer,
    DkimpySigner,
    DkimSigner,
    InvalidInput,
    Signer,
    _dkimpy,
)
from tests.tracebacks import given_away

from .signing import (
    BODY,
    DOMAIN,
    ED25519,
    FORMS,
    HEADER,
    Key,
    Options,
    pem,
    rsa_key,
    signer,
    tags,
    verifies,
)

SEED: Final = b64encode(ED25519.private_bytes_raw())
#: A key as dkimpy takes it, and as `DkimSigner` does.
KEYS: Final[list[tuple[str | bytes, Key]]] = [
    (pem(rsa_key()), rsa_key()),
    (pem(rsa_key(), PrivateFormat.TraditionalOpenSSL).decode(), rsa_key()),
    (SEED, ED25519),
    (SEED.decode(), ED25519),
]
OURS: Final = "mx.example.org"
RESULTS: Final = (
    b"Authentication-Results: mx.example.org; dkim=pass (good)\r\n"
    b" header.d=example.com;\r\n"
    b" spf=pass smtp.mailfrom=alice@example.com\r\n"
)
SEALED_BEFORE: Final = b"Authentication-Results: mx.example.org; arc=pass\r\n"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("theirs", "ours"), KEYS)
def test_it_signs_as_ours_does(theirs: str | bytes, ours: Key, form: str) -> None:
    options: Options = {"identity": "a@x.example.org", "canonicalization": form}
    by_dkimpy = DkimpySigner(
        DOMAIN, "mail", theirs, identity="a@x.example.org", canonicalization=form
    )
    both: tuple[Signer, ...] = (by_dkimpy, signer(ours, **options))
    records = dict([DkimSigner(DOMAIN, "mail", ours).dns_record])
    told = []
    for signs in both:
        field = signs.sign(HEADER, [BODY[:5], BODY[5:]])
        assert verifies(field + HEADER + b"\r\n" + BODY, records)
        assert field.endswith(b"\r\n")
        told.append({name: tags(field)[name] for name in "vacdiqsh"})
        told[-1]["bh"] = tags(field)["bh"].replace(" ", "")
    assert told[0] == told[1]


def test_what_dkimpy_cannot_sign() -> None:
    signs = DkimpySigner(DOMAIN, "mail", SEED, headers=["from", "comments"])
    assert signs.sign(HEADER, []).startswith(b"DKIM-Signature: ")
    with pytest.raises(
        InvalidInput, match="dkimpy cannot sign: ParameterError"
    ) as info:
        signs.sign(HEADER + b"Comments: none\r\n", [])
    assert SEED.decode() not in given_away(info.value)
    with pytest.raises(InvalidInput, match="no From"):
        signs.sign(b"To: bob@example.net\r\n", [])


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (pem(rsa_key()).replace(b"M", b"", 3), "dkimpy cannot read the key"),
        (pem(rsa_key())[:700], "dkimpy cannot read the key"),
        (pem(ED25519), "dkimpy cannot read the key"),
        (SEED[:-8], "dkimpy cannot sign"),
        (b"\xff" * 32, "dkimpy cannot sign"),
        (rsa_key(), "key is of type"),
        (bytearray(SEED), "key is of type bytearray"),
    ],
)
def test_bad_keys_show_nothing(key: bytes, problem: str) -> None:
    secrets = ("PRIVATE", SEED.decode()[:20], str(pem(rsa_key())[100:120]))
    for make in (
        lambda: DkimpySigner(DOMAIN, "mail", key),
        lambda: ArcSealer(OURS, DOMAIN, "mail", key),
    ):
        with pytest.raises(InvalidInput) as info:
            make()
        assert problem.partition(" cannot ")[0] in str(info.value)
        told = given_away(info.value)
        assert [secret for secret in secrets if secret in told] == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"domain": "localhost"},
        {"selector": "a b"},
        {"identity": "@example.com"},
        {"headers": "from"},
        {"canonicalization": "simple"},
    ],
)
def test_bad_arguments(arguments: dict[str, Any]) -> None:
    good: dict[str, Any] = {"domain": DOMAIN, "selector": "mail", "key": SEED}
    with pytest.raises(InvalidInput) as info:
        DkimpySigner(**good | arguments)
    assert SEED.decode() not in given_away(info.value)


def test_a_weak_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dkimpy, "MIN_RSA_BITS", 2049)
    for make in (
        lambda: DkimpySigner(DOMAIN, "mail", pem(rsa_key())),
        lambda: ArcSealer(OURS, DOMAIN, "mail", pem(rsa_key())),
    ):
        with pytest.raises(InvalidInput, match="RSA key of 2048 bits, below 2049"):
            make()


def test_they_keep_their_keys_to_themselves() -> None:
    shown = {
        DkimpySigner(DOMAIN, "mail", SEED): "DkimpySigner('example.org', 'mail')",
        sealer(): "ArcSealer('example.org', 'arc')",
    }
    for signs, text in shown.items():
        assert repr(signs) == text
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(signs)


@pytest.mark.parametrize("module", ["dkim", "nacl", "authres"])
def test_it_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    there = {"dkim", "nacl", "authres"} - {module}
    monkeypatch.setattr(_dkimpy, "find_spec", lambda name: name in there or None)
    makers = {
        "nacl": lambda: DkimpySigner(DOMAIN, "mail", SEED),
        "authres": sealer,
        "dkim": sealer,
    }
    with pytest.raises(InvalidInput, match=r"pip install 'esmtp-async\[dkimpy\]'"):
        makers[module]()


# ARC


def sealer() -> ArcSealer:
    return ArcSealer(OURS, DOMAIN, "arc", pem(rsa_key()))


def chain(message: bytes) -> bytes | None:
    """Tell how the chain of seals on a message is."""
    record = DkimSigner(DOMAIN, "arc", rsa_key()).dns_record[1].encode()
    state: bytes | None = dkim.ARC(message).verify(dnsfunc=lambda *_, **__: record)[0]
    return state


def seal(header: bytes, by: ArcSealer | None = None) -> bytes:
    """Give the header section with a set of seals before it."""
    return (by or sealer()).sign(header, [BODY]) + header


def test_a_seal_tells_the_results() -> None:
    header = seal(RESULTS + HEADER)
    assert header.startswith(b"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=example.org;")
    assert (
        b"\r\nARC-Authentication-Results: i=1; mx.example.org;\r\n"
        b" dkim=pass header.d=example.com;\r\n"
        b" spf=pass smtp.mailfrom=alice@example.com\r\nAuthentication-Results: "
    ) in header
    assert max(map(len, header.split(b"\r\n"))) <= 80
    message = header + b"\r\n" + BODY
    assert chain(message) == dkim.CV_Pass
    for old, new in (
        (b"Hello", b"Hallo"),
        (b"Alice", b"Carol"),
        (b"i=1; mx", b"i=1; my"),
    ):
        assert chain(message.replace(old, new)) == dkim.CV_Fail


@pytest.mark.parametrize(("told", "state"), [(b"pass", dkim.CV_Pass), (b"fail", None)])
def test_a_chain_goes_on_as_far_as_it_holds(told: bytes, state: bytes | None) -> None:
    header = seal(RESULTS + HEADER)
    header = seal(SEALED_BEFORE.replace(b"pass", told) + header.replace(RESULTS, b""))
    assert header.startswith(b"ARC-Seal: i=2; cv=%b; " % told)
    assert chain(header + b"\r\n" + BODY) == state


def test_results_are_found_in_any_case() -> None:
    header = seal(RESULTS.replace(b"Authentication-R", b"AUTHENTICATION-r") + HEADER)
    assert chain(header + b"\r\n" + BODY) == dkim.CV_Pass


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        RESULTS.replace(b"mx.example.org", b"mx.example.net") + HEADER,
        RESULTS + seal(RESULTS + HEADER),
    ],
)
def test_where_nothing_is_told_nothing_is_sealed(header: bytes) -> None:
    with pytest.raises(InvalidInput, match="there is nothing to seal"):
        sealer().sign(header, [])


def test_bad_results_are_refused() -> None:
    with pytest.raises(InvalidInput, match="dkimpy cannot seal: ParameterError"):
        sealer().sign(SEALED_BEFORE + HEADER, [])
    with pytest.raises(InvalidInput, match="no From"):
        sealer().sign(RESULTS, [])
    with pytest.raises(InvalidInput, match="authserv_id is of type bytes"):
        ArcSealer(b"mx", DOMAIN, "arc", pem(rsa_key()))  # type: ignore[arg-type]
