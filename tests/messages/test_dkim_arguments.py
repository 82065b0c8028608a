"""What a DKIM signer refuses, and what it never shows."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from esmtp_async import DkimSigner, InvalidInput, _dkim_keys
from tests.tracebacks import given_away

from .signing import DOMAIN, ED25519, pem, rsa_key, signer


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"domain": "localhost"}, "domain 'localhost' has no dot"),
        ({"domain": "example.org."}, "domain: 'example.org.' is not a domain name"),
        ({"domain": "a b.example"}, "domain: 'a b.example' is not a domain name"),
        ({"domain": "x.example\r\nBcc: y"}, "domain: "),
        ({"domain": None}, "domain is of type NoneType, not str"),
        ({"selector": ""}, "selector: '' is not a domain name"),
        ({"selector": "a;b"}, "selector: 'a;b'"),
        ({"selector": ".".join(["s" * 60] * 4)}, "longer than a name in the DNS"),
        ({"identity": "alice"}, "identity 'alice' is not"),
        ({"identity": "a b@example.org"}, "identity 'a b@example.org' is not"),
        ({"identity": "@badexample.org"}, "is not of example.org, nor below it"),
        ({"identity": "@org"}, "is not of example.org, nor below it"),
        ({"identity": "@exa_mple.org"}, "identity: 'exa_mple.org'"),
        ({"identity": 1}, "identity is of type int"),
        ({"headers": "from"}, "headers is of type str, not several names"),
        ({"headers": 1}, "headers is of type int"),
        ({"headers": ["a b"]}, "headers names 'a b'"),
        ({"headers": ["a;b"]}, "headers names 'a;b'"),
        ({"headers": ["a:b"]}, "headers names 'a:b'"),
        ({"headers": [b"from"]}, "a name in headers is of type bytes"),
        ({"headers": ["to"], "oversign": []}, "headers lack from"),
        ({"headers": [], "oversign": []}, "headers lack from"),
        ({"oversign": ["Received"]}, "oversign names 'Received'"),
        ({"oversign": ["return-path"]}, "oversign names 'return-path'"),
        ({"canonicalization": "relaxed"}, "canonicalization 'relaxed'"),
        ({"canonicalization": "nofws/simple"}, "canonicalization 'nofws/simple'"),
        ({"canonicalization": b"simple/simple"}, "canonicalization is of type"),
        ({"expires": 0}, "expires 0"),
        ({"expires": True}, "expires True"),
        ({"expires": 1.5}, "expires 1.5"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], problem: str) -> None:
    good: dict[str, Any] = {"domain": DOMAIN, "selector": "mail", "key": ED25519}
    with pytest.raises(InvalidInput) as info:
        DkimSigner(**good | arguments)
    assert problem in str(info.value)


@pytest.mark.parametrize("header", [b"", b"To: from@example.org\r\n"])
def test_a_message_without_from(header: bytes) -> None:
    with pytest.raises(InvalidInput, match="no From"):
        signer().sign(header, [])


@pytest.mark.parametrize(
    "form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]
)
def test_a_key_in_each_form(form: PrivateFormat) -> None:
    octets = pem(rsa_key(), form)
    record = DkimSigner(DOMAIN, "mail", rsa_key()).dns_record
    assert signer(octets).dns_record == record
    assert signer(octets.decode()).dns_record == record
    assert signer(pem(ED25519)).dns_record == signer().dns_record


def encrypted() -> bytes:
    return ED25519.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (encrypted(), "is encrypted"),
        (pem(ED25519)[:60], "cannot be read"),
        (pem(ED25519).replace(b"M", b"\xff"), "cannot be read"),
        (pem(ED25519).decode() + "\ud800", "cannot be read"),
        ("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", "cannot be read"),
        ("", "cannot be read"),
        (bytearray(pem(ED25519)), "key is of type bytearray"),
        (ec.generate_private_key(ec.SECP256R1()), "key is of type ECPrivateKey"),
    ],
)
def test_bad_keys_show_nothing(key: bytes, problem: str) -> None:
    with pytest.raises(InvalidInput) as info:
        signer(key)
    assert problem in str(info.value)
    told = given_away(info.value)
    assert "PRIVATE" not in told
    assert "nWGxne" not in told
    assert "MC4CAQAwBQYDK2VwBCIEI" not in told


def test_a_weak_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DkimSigner(DOMAIN, "mail", rsa_key(1024)).algorithm == "rsa-sha256"
    monkeypatch.setattr(_dkim_keys, "MIN_RSA_BITS", 1025)
    with pytest.raises(InvalidInput, match="RSA key of 1024 bits, below 1025"):
        DkimSigner(DOMAIN, "mail", rsa_key(1024))


def test_other_mistakes_do_not_show_the_key_either() -> None:
    secret = pem(ED25519)
    with pytest.raises(InvalidInput) as info:
        signer(secret, expires=0)
    assert "PRIVATE" not in given_away(info.value)


def test_a_signer_keeps_its_key_to_itself() -> None:
    signs = signer(pem(rsa_key()))
    assert repr(signs) == "DkimSigner('example.org', 'mail')"
    for steal in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            steal(signs)


def test_it_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dkim_keys, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=r"pip install 'esmtp-async\[dkim\]'"):
        signer()
