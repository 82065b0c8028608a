"""Keys that sign, and the records that publish them (RFC 6376 §3.3, §3.6.1; RFC 8463).

The arithmetic is that of `cryptography`, an extra of the package.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._sasl import Secret

if TYPE_CHECKING:  # where it is missing, the rest works without it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: The fewest bits of an RSA key (RFC 8301 §3.2).
MIN_RSA_BITS: Final = 1024


class SigningKey(NamedTuple):
    """A key, as far as a signature needs it."""

    #: Its name in `a=`.
    algorithm: str
    #: What its record holds.
    record: str
    sign: Callable[[bytes], bytes]


def signing_key(key: str | bytes | RSAPrivateKey | Ed25519PrivateKey) -> SigningKey:
    """Take a private key, as PEM or as an object of `cryptography`'s.

    Raises `InvalidInput`; no error shows anything of the key.
    """
    if find_spec("cryptography") is None:
        msg = "DKIM needs cryptography: pip install 'esmtp-async[dkim]'"
        raise InvalidInput(msg)
    try:
        if isinstance(key, (str, bytes)):
            return _of_object(_loaded(_secret(key)))
        return _of_object(key)
    finally:
        del key  # from here on no traceback with variables shows it


def _secret(pem: str | bytes) -> Secret:
    return Secret(pem if isinstance(pem, str) else pem.decode("latin-1"))


def _loaded(pem: Secret) -> object:
    # An extra of the package; it costs an import of its own, and so comes late.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_private_key,
    )

    try:
        return load_pem_private_key(pem.reveal().encode("utf-8"), None)
    except TypeError:
        problem = (
            "is encrypted; decrypt it with cryptography's load_pem_private_key, and "
            "give what that returns"
        )
    except (ValueError, UnsupportedAlgorithm):
        problem = "cannot be read as the PEM of a private key"
    msg = f"key {problem}"
    raise InvalidInput(msg)


def _of_object(key: object) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415
        ed25519,
        rsa,
    )

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _ed25519(key)
    if isinstance(key, rsa.RSAPrivateKey):
        return _rsa(key)
    kind = type(key).__name__
    del key  # as above
    msg = f"key is of type {kind}; what can sign is RSA or Ed25519, or the PEM of it"
    raise InvalidInput(msg)


def _ed25519(key: Ed25519PrivateKey) -> SigningKey:
    """Sign the hash of what is signed; the record is the bare key (RFC 8463 §3, §4)."""
    public = b64encode(key.public_key().public_bytes_raw()).decode("ascii")
    return SigningKey(
        "ed25519-sha256",
        f"v=DKIM1; k=ed25519; p={public}",
        lambda octets: key.sign(sha256(octets).digest()),
    )


def _rsa(key: RSAPrivateKey) -> SigningKey:
    """Sign by PKCS #1 v1.5 with SHA-256, as nothing else may be (RFC 8301 §3.1)."""
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

    if key.key_size < MIN_RSA_BITS:
        msg = (
            f"key is an RSA key of {key.key_size} bits, below {MIN_RSA_BITS} "
            "(RFC 8301 section 3.2)"
        )
        raise InvalidInput(msg)
    public = b64encode(
        key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    ).decode("ascii")
    return SigningKey(
        "rsa-sha256",
        f"v=DKIM1; k=rsa; p={public}",
        lambda octets: key.sign(octets, padding.PKCS1v15(), hashes.SHA256()),
    )
