"""A certificate that is the same in every run, so that no octet of TLS moves.

Ed25519 signatures have one length and need no chance; a key, a serial number and dates
that are given make each handshake as long as the one before.
"""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from esmtp_async.testing._tls import Authority

HOST: Final = "mail.example.test"
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"of the simulation alone, no key.")


def _certificate() -> bytes:
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(_KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(_KEY, None)
    )
    return certificate.public_bytes(Encoding.PEM)


class Fixed(Authority):
    """Certifies one server, and is trusted by its clients."""

    def __init__(self, tap: type[ssl.SSLObject]) -> None:
        """Make the contexts; the client's octets go through a `tap`."""
        pem = _certificate()
        key = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.server_certificate = pem.decode()
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            (path := Path(folder) / "chain.pem").write_bytes(key + pem)
            self.server_context.load_cert_chain(path)
        self.client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client_context.load_verify_locations(cadata=pem.decode())
        self.client_context.sslobject_class = tap


@cache
def authority(tap: type[ssl.SSLObject]) -> Fixed:
    """Give the authority, made once a process."""
    return Fixed(tap)
