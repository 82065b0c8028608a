"""What `probe()` tells of a server's certificate."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import trustme
from cryptography import x509

from esmtp_async import Certificate
from esmtp_async.testing import SMTPServer
from tests.backends import everywhere
from tests.raw import NAME, offering, script, serving


@everywhere
async def test_a_certificate_that_was_verified_is_told_as_it_is() -> None:
    """As another library reads it."""
    async with SMTPServer(hostname="mail.example.test", starttls=True) as server:
        async with server.client() as client:
            info = await client.probe()
    assert info.tls is not None
    read = x509.load_der_x509_certificate(info.tls.peer_certificate)
    told = info.certificate
    assert isinstance(told, Certificate)
    assert told.not_before == read.not_valid_before_utc
    assert told.not_after == read.not_valid_after_utc
    assert told.not_after > datetime.now(UTC)
    extension = read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    names = extension.value.get_values_for_type(x509.DNSName)
    assert set(names) <= set(told.names)
    assert len(told.names) == len(set(told.names))
    for text, name in ((told.subject, read.subject), (told.issuer, read.issuer)):
        (organization,) = name.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        assert f"O={organization.value!s}" in text.split(", ")


@everywhere
async def test_what_a_certificate_says_can_be_printed() -> None:
    authority = trustme.CA()
    issued = authority.issue_cert(NAME, organization_name="Ex\x1b[2Jample\u202e")
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(theirs)
    offer = script(EHLO=[offering("STARTTLS"), offering()])
    async with serving(offer, tls=theirs) as server:
        async with server.client(
            security="starttls", ssl_context=ours, server_hostname=NAME
        ) as client:
            told = (await client.probe()).certificate
    assert told is not None
    assert r"O=Ex\x1b[2Jample\u202e" in told.subject.split(", ")


@everywhere
async def test_of_what_was_not_verified_nothing_is_told() -> None:
    unwary = ssl.create_default_context()
    unwary.check_hostname = False
    unwary.verify_mode = ssl.CERT_NONE
    async with SMTPServer(starttls=True) as server:
        async with server.client(ssl_context=unwary) as client:
            info = await client.probe()
            assert info.tls is not None
            assert info.certificate is None
        async with server.client(security="plaintext") as client:
            info = await client.probe()
            assert (info.tls, info.certificate) == (None, None)
