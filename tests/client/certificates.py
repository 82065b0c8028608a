"""A throw-away authority and what it certifies, made once a test run."""

from __future__ import annotations

import ipaddress
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

# As it is, whatever a test puts there.
_create_default_context: Final = ssl.create_default_context

NOW: Final = datetime.now(UTC)
DAY: Final = timedelta(days=1)
#: Of every special certificate.
SERIAL: Final = 4711


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


@cache
def server_context(name: str = "127.0.0.1") -> ssl.SSLContext:
    """Give a server's side, with a certificate for one name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority("ours").issue_cert(name).configure_cert(context)
    return context


@cache
def client_context(authority: str = "ours") -> ssl.SSLContext:
    """Give a client's side, which trusts one authority."""
    return fresh_client_context(authority)


def fresh_client_context(authority: str = "ours") -> ssl.SSLContext:
    """Give such a context that nobody else has."""
    context = _create_default_context()
    _authority(authority).configure_trust(context)
    return context


def asking_context(name: str = "127.0.0.1") -> ssl.SSLContext:
    """Give a server's side that wants a certificate of the client, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority("ours").issue_cert(name).configure_cert(context)
    _authority("ours").configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def identify(context: ssl.SSLContext, authority: str = "ours") -> bytes:
    """Load a client certificate; give it, DER."""
    certificate = _authority(authority).issue_cert("alice@example.test")
    certificate.configure_cert(context)
    pem = certificate.cert_chain_pems[0].bytes().decode()
    return ssl.PEM_cert_to_DER_cert(pem)


def only(
    context: ssl.SSLContext, version: ssl.TLSVersion, *, ciphers: str = ""
) -> ssl.SSLContext:
    """Let a context speak one version of TLS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 is meant
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.removeprefix("ip:")))
    except ValueError:
        return x509.DNSName(text.removeprefix("dns:"))


def special_context(
    *names: str,
    common_name: str = "a test",
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    issuer: str | None = "ours",
) -> ssl.SSLContext:
    """Give a server's side whose certificate is as no good authority would issue it.

    Names are DNS names, or addresses; `dns:` makes a DNS name of anything. Without an
    issuer it signs itself.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(SERIAL)
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    signer, signed_by = key, subject
    if issuer is not None:
        signer, signed_by = _signer(issuer)
    builder = builder.add_extension(_identifier(signer), critical=False)
    certificate = builder.issuer_name(signed_by).sign(signer, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.Blob(private + certificate.public_bytes(Encoding.PEM)).tempfile() as p:
        context.load_cert_chain(p)
    return context


def revoking_context() -> ssl.SSLContext:
    """Give a client's side that knows the special certificates to be revoked."""
    context = fresh_client_context()
    key, name = _signer("ours")
    revoked = (
        x509.RevokedCertificateBuilder()
        .serial_number(SERIAL)
        .revocation_date(NOW - DAY)
        .build()
    )
    revocations = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
        .add_revoked_certificate(revoked)
        .add_extension(_identifier(key), critical=False)
        .sign(key, SHA256())
    )
    with trustme.Blob(revocations.public_bytes(Encoding.PEM)).tempfile() as path:
        context.load_verify_locations(path)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


def _identifier(signer: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """Tell whose signature it is, which the strict checks of Python 3.13 want."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())


def _signer(issuer: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Name]:
    authority = _authority(issuer)
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
