"""OpenDKIM verifies what is signed here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esmtp_async import DkimSigner
from tests.messages.signing import (
    BODIES,
    BODY,
    CUTS,
    DOMAIN,
    ED25519,
    FORMS,
    HEADER,
    Key,
    cut,
    headers,
    rsa_key,
)

from . import _opendkim
from ._opendkim import OpenDKIM
from .conftest import require

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

KEYS: Final[dict[str, Key]] = {"ed": ED25519, "rsa": rsa_key()}
SIGNERS: Final = [
    DkimSigner(DOMAIN, name, key, canonicalization=form, identity="@a.example.org")
    for name, key in KEYS.items()
    for form in FORMS
]

#: It takes fields in two halves, as a milter does, and forgets what stood between.
RELAXED: Final = [signs for signs in SIGNERS if signs.canonicalization[:2] == "re"]


@pytest.fixture(scope="module")
def opendkim(tmp_path_factory: pytest.TempPathFactory) -> OpenDKIM:
    require(_opendkim.NAME, _opendkim.unavailable())
    directory: Path = tmp_path_factory.mktemp("opendkim")
    return OpenDKIM(directory, dict(signs.dns_record for signs in SIGNERS))


@pytest.mark.parametrize("signs", SIGNERS, ids=repr)
def test_a_signature_verifies_and_a_forgery_does_not(
    opendkim: OpenDKIM, signs: DkimSigner
) -> None:
    signed = signs.sign(HEADER, [BODY]) + HEADER + b"\r\n" + BODY
    assert "succeeded" in opendkim.says(signed)
    for forged in (
        signed.replace(b"Hello", b"Hallo"),
        signed.replace(b"Alice\r\n", b"Carol\r\n"),
        signed.replace(b"\r\n\r\n", b"\r\nFrom: carol@example.net\r\n\r\n", 1),
    ):
        said = opendkim.says(forged)
        assert "failed" in said
        assert "succeeded" not in said


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(RELAXED), headers(), BODIES, CUTS)
def test_any_message_verifies(
    opendkim: OpenDKIM, signs: DkimSigner, header: bytes, body: bytes, cuts: list[int]
) -> None:
    body = body.replace(b"\0", b"")  # where it ends a line of a file
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"  # as on the wire
    # It says nothing of a message whose first From has no address.
    header = b"From: alice@example.org\r\n" + header.replace(b"From:", b"X-From:")
    field = signs.sign(header, cut(body, cuts))
    assert "succeeded" in opendkim.says(field + header + b"\r\n" + body)
