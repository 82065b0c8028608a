"""Certificates signed in several ways, for channel binding."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


class Certificate(NamedTuple):
    """One certificate in both its forms."""

    der: bytes
    pem: str

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Certificate:
        """Give both forms."""
        pem = certificate.public_bytes(Encoding.PEM).decode()
        return cls(certificate.public_bytes(Encoding.DER), pem)


_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
# Nothing is protected by it.
_RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_ED448: Final = ed448.Ed448PrivateKey.generate()


def _builder(key: rsa.RSAPublicKey | ed448.Ed448PublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key)
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    )


def _signed(function: SHA256 | SHA384) -> Certificate:
    return Certificate.of(_builder(_RSA.public_key()).sign(_RSA, function))


RSA_SHA256: Final = _signed(SHA256())
RSA_SHA384: Final = _signed(SHA384())
RSA_PSS_SHA512: Final = Certificate.of(
    _builder(_RSA.public_key()).sign(
        _RSA, SHA512(), rsa_padding=padding.PSS(padding.MGF1(SHA512()), 64)
    )
)
ED448: Final = Certificate.of(_builder(_ED448.public_key()).sign(_ED448, None))

# sha256WithRSAEncryption and sha1WithRSAEncryption differ in the last octet of
# their OIDs. Nobody signs by the latter any more; nobody here verifies it.
_SHA256_OID: Final = bytes.fromhex("2a864886f70d01010b")
_SHA1_OID: Final = bytes.fromhex("2a864886f70d010105")
_sha1: Final = RSA_SHA256.der.replace(_SHA256_OID, _SHA1_OID)
RSA_SHA1: Final = Certificate.of(x509.load_der_x509_certificate(_sha1))
