"""S/MIME: messages that are signed, or for the eyes of some only (RFC 8551).

The cryptography is that of the package of this name, an extra. What is signed is
made so that nothing on the way has a reason to touch it: ASCII, in lines that end
in CRLF, without what transports are known to change.
"""

from __future__ import annotations

import copy
import re
from base64 import encodebytes
from collections.abc import Iterable
from email import message_from_bytes, policy
from email.encoders import encode_quopri
from email.message import EmailMessage, Message
from email.policy import EmailPolicy
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from esmtp_async._headers import Header
from esmtp_async._mime import Body, Flattened
from esmtp_async.protocol._exceptions import InvalidInput, bare, check_type

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

_M = TypeVar("_M", bound=Message)

_CONTENT: Final = "content-"
_ENCODING: Final = "Content-Transfer-Encoding"
# A field with the lines that it goes on in (RFC 5322 §2.2.3).
_FIELD: Final = re.compile(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*")
# What transports have changed: they quote the one and cut off the other.
_FRAGILE: Final = re.compile(r"^From |[ \t]\r?$", re.MULTILINE)
_TEXTUAL: Final = frozenset({"7bit", "quoted-printable"})
# Fields stay as they are written, whatever their length.
_VERBATIM: Final[EmailPolicy[EmailMessage]] = policy.SMTP.clone(
    refold_source="none", max_line_length=0
)


def smime_sign(
    message: _M,
    certificate: Certificate | bytes,
    key: RSAPrivateKey | EllipticCurvePrivateKey | bytes,
    *,
    chain: Iterable[Certificate | bytes] = (),
) -> _M:
    """Give a signed copy of a message, which any reader can read (RFC 8551 §3.5.3).

    The signature covers the content, in its 7-bit form, and none of From, To,
    Subject and the other fields. It is detached, by SHA-256. Whoever changes the
    content afterwards breaks it; `send` changes nothing of it.

    Args:
        message: The message, which stays as it is.
        certificate: The signer's, or the same in PEM.
        key: Its private key, RSA or of an elliptic curve, or the same in PEM without
            a passphrase. One with a passphrase is loaded by
            `cryptography.hazmat.primitives.serialization.load_pem_private_key`.
        chain: Certificates between the signer's and one that readers trust.

    Returns:
        A message of the same class and policy, of the type multipart/signed.

    Raises:
        InvalidInput: If the extra `smime` is missing, a certificate or the key
            cannot be read or do not belong together, or the message cannot be
            made into octets of ASCII.
    """
    _demand()
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization.pkcs7 import (  # noqa: PLC0415
        PKCS7Options,
        PKCS7SignatureBuilder,
    )

    signer = _certificate("certificate", certificate)
    secret = _key(key)
    if secret.public_key() != signer.public_key():
        msg = "key is not that of certificate"
        raise InvalidInput(msg)
    part = message_from_bytes(_entity(message), policy=_VERBATIM)
    _harden(part)
    octets = part.as_bytes()
    builder = PKCS7SignatureBuilder().set_data(octets)
    builder = builder.add_signer(signer, secret, SHA256())
    for index, each in enumerate(chain):
        builder = builder.add_certificate(_certificate(f"chain[{index}]", each))
    signature = builder.sign(
        Encoding.DER, [PKCS7Options.DetachedSignature, PKCS7Options.Binary]
    )
    signed = _bare_copy(message)
    signed["Content-Type"] = (
        'multipart/signed; protocol="application/pkcs7-signature"; micalg="sha-256"; '
        f'boundary="{uuid4()}"'
    )
    attached = EmailMessage(policy=_VERBATIM)
    attached["Content-Type"] = 'application/pkcs7-signature; name="smime.p7s"'
    _fill(attached, signature, "smime.p7s")
    signed.set_payload([part, attached])
    return signed


def smime_encrypt(message: _M, certificates: Iterable[Certificate | bytes]) -> _M:
    """Give an encrypted copy of a message (RFC 8551 §3.3).

    Its content is encrypted by AES-256 in CBC mode, which shows nothing of it but
    its size; nothing proves that it was not changed, so sign first. From, To,
    Subject and the other fields stay outside and can be read by everybody.

    Args:
        message: The message, which stays as it is.
        certificates: Those of all who shall read it, RSA, or the same in PEM. The
            sender is one of them only if named. Who they are can be seen by all,
            and so can those of Bcc: send them messages of their own.

    Returns:
        A message of the same class and policy, of the type application/pkcs7-mime.

    Raises:
        InvalidInput: If the extra `smime` is missing, there is no certificate, one
            cannot be read or is not RSA, or the message cannot be made into octets
            of ASCII.
    """
    _demand()
    from cryptography.hazmat.primitives.asymmetric.rsa import (  # noqa: PLC0415
        RSAPublicKey,
    )
    from cryptography.hazmat.primitives.ciphers.algorithms import (  # noqa: PLC0415
        AES256,
    )
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization.pkcs7 import (  # noqa: PLC0415
        PKCS7EnvelopeBuilder,
        PKCS7Options,
    )

    builder = PKCS7EnvelopeBuilder().set_data(_entity(message))
    builder = builder.set_content_encryption_algorithm(AES256)
    readers = [
        _certificate(f"certificates[{index}]", each)
        for index, each in enumerate(certificates)
    ]
    if not readers:
        msg = "certificates has none: nobody could read the message"
        raise InvalidInput(msg)
    for index, reader in enumerate(readers):
        if not isinstance(reader.public_key(), RSAPublicKey):
            msg = f"certificates[{index}] is not RSA"
            raise InvalidInput(msg)
        builder = builder.add_recipient(reader)
    envelope = builder.encrypt(Encoding.DER, [PKCS7Options.Binary])
    encrypted = _bare_copy(message)
    encrypted["Content-Type"] = (
        'application/pkcs7-mime; smime-type="enveloped-data"; name="smime.p7m"'
    )
    _fill(encrypted, envelope, "smime.p7m")
    return encrypted


# Certificates and keys


def _demand() -> None:
    try:
        # An extra of the package; it costs an import of its own, and so comes late.
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            pkcs7,
        )

        enough = hasattr(pkcs7, "PKCS7EnvelopeBuilder")
    except ImportError:
        enough = False
    if not enough:
        msg = "S/MIME needs cryptography 46 or newer: pip install 'esmtp-async[smime]'"
        raise InvalidInput(msg)


def _certificate(argument: str, given: object) -> Certificate:
    from cryptography.x509 import (  # noqa: PLC0415
        Certificate,
        load_pem_x509_certificate,
    )

    if isinstance(given, Certificate):
        return given
    if not isinstance(given, bytes):
        msg = f"{argument} is of type {type(given).__name__}, not Certificate or bytes"
        raise InvalidInput(msg)
    try:
        return load_pem_x509_certificate(given)
    except ValueError:
        msg = f"{argument} cannot be read as PEM"
        raise InvalidInput(msg) from None


def _key(given: object) -> RSAPrivateKey | EllipticCurvePrivateKey:
    """Give the key; no error shows anything of it, nor what it was read from."""
    from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
        EllipticCurvePrivateKey,
    )
    from cryptography.hazmat.primitives.asymmetric.rsa import (  # noqa: PLC0415
        RSAPrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_private_key,
    )

    loaded = given
    if isinstance(given, bytes):
        try:
            loaded = load_pem_private_key(given, None)
        except (ValueError, TypeError):  # the latter where it has a passphrase
            msg = "key cannot be read as PEM without a passphrase"
            raise bare(InvalidInput(msg)) from None
    if not isinstance(loaded, (RSAPrivateKey, EllipticCurvePrivateKey)):
        msg = f"key is of type {type(loaded).__name__}, not RSA or of an elliptic curve"
        raise InvalidInput(msg)
    return loaded


# What is signed or encrypted


def _entity(message: Message) -> bytes:
    """Give the content with its own fields, canonical and in ASCII (RFC 8551 §3.1)."""
    check_type("message", message, Message)
    octets = Flattened(message, Header(message)).mail_data(Body.SEVEN_BIT).octets
    header, _, body = octets.partition(b"\r\n\r\n")
    fields = _FIELD.findall(header + b"\r\n")
    content = [each for each in fields if each.lower().startswith(_CONTENT.encode())]
    entity = b"".join([*content, b"\r\n", body])
    if not entity.isascii():
        msg = (
            "the message holds a signed part, or a field of one, in 8 bits, which "
            "cannot be changed (RFC 8551 section 3.1.3)"
        )
        raise InvalidInput(msg)
    return entity


def _harden(part: Message) -> None:
    """Take out what transports are known to change (RFC 8551 §3.1.3).

    What another signature covers stays as it is.
    """
    payload = part.get_payload()
    if not isinstance(payload, list):
        _harden_leaf(part)
    elif part.get_content_type() != "multipart/signed":
        part.preamble = part.epilogue = None  # for readers without MIME
        for inner in payload:
            if isinstance(inner, Message):
                _harden(inner)


def _harden_leaf(part: Message) -> None:
    encoding = str(part.get(_ENCODING, "7bit")).strip().lower()
    if encoding in _TEXTUAL and _FRAGILE.search(str(part.get_payload())):
        octets = part.get_payload(decode=True)
        del part[_ENCODING]
        part.set_payload(octets)
        encode_quopri(part)


def _bare_copy(message: _M) -> _M:
    """Give a message with the same fields but for those of the content."""
    twin = copy.copy(message)
    del twin["MIME-Version"]  # a list of fields of its own, from here on
    for name in set(twin.keys()):
        if name.lower().startswith(_CONTENT):
            del twin[name]
    twin.preamble = twin.epilogue = None
    twin["MIME-Version"] = "1.0"
    return twin


def _fill(part: Message, octets: bytes, name: str) -> None:
    """Put octets into a part, and the name that readers know it by (RFC 8551 §3.2)."""
    part[_ENCODING] = "base64"
    part["Content-Disposition"] = f'attachment; filename="{name}"'
    part.set_payload(encodebytes(octets).decode("ascii"))
