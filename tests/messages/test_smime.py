"""S/MIME, held against OpenSSL: what a client sends verifies, and decrypts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.mime.text import MIMEText
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings

from esmtp_async import InvalidInput, compose, smime_encrypt, smime_sign

from .prepared import EIGHT_BIT, SEVEN_BIT, envelope, octets
from .test_compose import ALICE, BOB, INVITATION, LOGO, PAGE, ended, texts

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Identity(NamedTuple):
    """A key, and the certificate that says whose it is."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def issued(name: str, key: Key, by: Identity | None = None, *, ca: bool) -> Identity:
    """Give a certificate by another identity, or by itself."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name(name)]), critical=False
        )
    return Identity(key, builder.sign(by.key if by else key, SHA256()))


def curve() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(number: int) -> Key:
    """Give one of a few keys, which take long to make."""
    return rsa.generate_private_key(65537, 2048 + 8 * number)


@cache
def root() -> Identity:
    return issued("Root", curve(), ca=True)


@cache
def middle() -> Identity:
    return issued("Middle", curve(), root(), ca=True)


@cache
def alice() -> Identity:
    return issued(ALICE, rsa_key(0), root(), ca=False)


@cache
def bob() -> Identity:
    return issued(BOB, rsa_key(1), root(), ca=False)


def openssl(directory: Path, *arguments: str, source: bytes) -> bytes:
    """Run `openssl cms` on a message, and give what it puts out."""
    program = shutil.which("openssl")
    assert program is not None, "openssl is needed"
    (directory / "root.pem").write_bytes(root().pem)
    for name, who in (("alice", alice()), ("bob", bob())):
        (directory / f"{name}.pem").write_bytes(who.pem + who.key_pem)
    run = subprocess.run(
        [program, "cms", *arguments],
        input=source,
        capture_output=True,
        check=False,
        cwd=directory,
    )
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def verified(directory: Path, source: bytes) -> bytes:
    """Give what a signature covers, once it is found to be right.

    It is looked at as OpenSSL reads a message, with line ends of its own, and octet
    for octet.
    """
    openssl(directory, "-verify", "-CAfile", "root.pem", source=source)
    match = re.search(rb'boundary="([^"]*)"', source)
    assert match is not None
    delimiter = b"\r\n--" + match[1]
    content = source.split(delimiter)[1].removeprefix(b"\r\n")
    signature = list(message_from_bytes(source).walk())[-1].get_payload(decode=True)
    assert isinstance(signature, bytes)
    (directory / "content").write_bytes(content)
    options = ("-verify", "-binary", "-inform", "DER", "-content", "content")
    got = openssl(directory, *options, "-CAfile", "root.pem", source=signature)
    assert got == content
    return content


def decrypted(directory: Path, source: bytes, who: str = "bob") -> bytes:
    return openssl(directory, "-decrypt", "-recip", f"{who}.pem", source=source)


def forms(message: Message) -> list[bytes]:
    """Give what is sent to a server with 8BITMIME and to one without."""
    return [octets(message, extensions) for extensions in (EIGHT_BIT, SEVEN_BIT)]


def rich() -> EmailMessage:
    return compose(
        "Ä <alice@example.org>",
        BOB,
        "Grüße",
        text="Grüße \nFrom here\n.\n" + "long " * 400,
        html=PAGE,
        inline={"logo": LOGO},
        attachments=[("größe.txt", b"\0\r\n \n"), compose(BOB, ALICE, "é", text="é ")],
        calendar=INVITATION,
    )


def fragile() -> EmailMessage:
    return compose(ALICE, BOB, "x", text="From here on \n\ttabs\t\nand = signs  ")


def old() -> Message:
    message = MIMEText("Grüße", "plain", "utf-8")
    message["From"], message["To"], message["X-Old"] = ALICE, BOB, "x"
    return message


def raw() -> Message:
    return message_from_bytes(
        f"From: {ALICE}\nTo: {BOB}\nContent-Transfer-Encoding: 8bit\n"
        "Content-Type: text/plain; charset=utf-8\n\nGrüße \n".encode()
    )


def without_mime() -> Message:
    return message_from_bytes(f"From: {ALICE}\nTo: {BOB}\n\ntext\n".encode())


def empty() -> EmailMessage:
    return compose(ALICE, BOB, "")


def signed_before() -> Message:
    return smime_sign(rich(), alice().certificate, alice().key)


def with_odd_ends() -> Message:
    return message_from_bytes(
        f"From: {ALICE}\nTo: {BOB}\nContent-Type: multipart/mixed; boundary=b\n\n"
        "preamble \n--b\n\none\n--b\nContent-Type: text/html\n"
        f"X-Long: {'y ' * 99}\n\n\n--b--\nepilogue \n\n".encode()
    )


MAKERS: Final[list[Callable[[], Message]]] = [
    *(rich, fragile, old, raw, without_mime, empty, signed_before, with_odd_ends)
]


def body(part: Message) -> object:
    """Give what a reader sees of a message: types, names, and decoded content."""
    inner = part.get_payload()
    own = (part.get_content_type(), part.get_filename(), part["Content-ID"])
    if isinstance(inner, list):
        return own, [body(each) for each in inner if isinstance(each, Message)]
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    is_text = part.get_content_maintype() == "text" and not part.get_filename()
    return own, ended(content.decode()) if is_text else content


def as_sent(message: Message) -> object:
    return body(message_from_bytes(octets(message), policy=policy.default))


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_signed_verifies(make: Callable[[], Message], tmp_path: Path) -> None:
    message = make()
    signed = smime_sign(message, alice().certificate, alice().key)
    assert type(signed) is type(message)
    assert signed.policy is message.policy
    eight_bit, seven_bit = forms(signed)
    for source in (eight_bit, seven_bit):
        content = verified(tmp_path, source)
        assert content in source
        assert content.isascii()
        assert b" \r\n" not in without_fields(content)
        assert b"\nFrom " not in content
        assert max(map(len, content.split(b"\r\n"))) <= 998
        inner = message_from_bytes(content, policy=policy.default)
        assert all(name.lower().startswith("content-") for name in inner)
        assert body(inner) == as_sent(message)


def without_fields(content: bytes) -> bytes:
    """Give what stands in no header section of a part, as far as `X-Long` goes."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"X-Long"))


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_encrypted_decrypts(
    make: Callable[[], Message], tmp_path: Path
) -> None:
    message = make()
    encrypted = smime_encrypt(message, [alice().certificate, bob().pem])
    assert type(encrypted) is type(message)
    for source in forms(encrypted):
        for who in ("alice", "bob"):
            content = decrypted(tmp_path, source, who)
            inner = message_from_bytes(content, policy=policy.default)
            assert all(name.lower().startswith("content-") for name in inner)
            assert body(inner) == as_sent(message)
        printed = openssl(tmp_path, "-cmsout", "-print", source=source)
        assert b"algorithm: aes-256-cbc" in printed
        assert printed.count(b"d.ktri") == 2


def test_what_is_signed_and_encrypted(tmp_path: Path) -> None:
    signed = smime_sign(rich(), alice().pem, alice().key_pem)
    both = smime_encrypt(signed, [bob().certificate])
    for source in forms(both):
        content = b"MIME-Version: 1.0\r\n" + decrypted(tmp_path, source)
        inner = message_from_bytes(verified(tmp_path, content), policy=policy.default)
        assert body(inner) == as_sent(rich())


@given(texts)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_verifies(tmp_path: Path, text: str) -> None:
    message = compose(ALICE, BOB, "x", text=text)
    for source in forms(smime_sign(message, alice().certificate, alice().key)):
        inner = message_from_bytes(verified(tmp_path, source), policy=policy.default)
        assert body(inner) == as_sent(message)


def test_what_is_changed_does_not_verify(tmp_path: Path) -> None:
    message = compose(ALICE, BOB, "x", text="pay 1 dollar")
    source = octets(smime_sign(message, alice().certificate, alice().key))
    assert verified(tmp_path, source)
    with pytest.raises(AssertionError, match="verification failure"):
        verified(tmp_path, source.replace(b"pay 1", b"pay 9"))


def test_the_signature_is_detached() -> None:
    message = compose(ALICE, BOB, "x", text="pay 1 dollar")
    _, signature = smime_sign(message, alice().pem, alice().key).iter_parts()
    octets_of_it = signature.get_payload(decode=True)
    assert isinstance(octets_of_it, bytes)
    assert ALICE.encode() in octets_of_it
    assert b"pay 1 dollar" not in octets_of_it


def test_what_another_signature_covers_stays_as_it_is(tmp_path: Path) -> None:
    covered = b"Content-Type: text/plain\r\n\r\nFrom here \r\non\t\r\n"
    foreign = message_from_bytes(
        f"From: {ALICE}\r\nTo: {BOB}\r\n".encode()
        + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n"
        + covered
        + b"\r\n--b\r\nContent-Type: application/x-sig\r\n\r\nx\r\n--b--\r\n"
    )
    for source in forms(smime_sign(foreign, alice().certificate, alice().key)):
        assert covered in verified(tmp_path, source)
    for source in forms(smime_encrypt(foreign, [bob().certificate])):
        assert covered in decrypted(tmp_path, source)


def test_what_stands_around_the_parts_is_not_left_in_clear() -> None:
    for made in (
        smime_sign(with_odd_ends(), alice().certificate, alice().key),
        smime_encrypt(with_odd_ends(), [bob().certificate]),
    ):
        assert made.preamble is made.epilogue is None
        assert b"preamble" not in octets(made)
        assert b"epilogue" not in octets(made)


def test_the_chain_goes_along(tmp_path: Path) -> None:
    carol = issued("carol@example.org", curve(), middle(), ca=False)
    message = compose("carol@example.org", BOB, "x", text="x")
    signed = smime_sign(message, carol.certificate, carol.key, chain=[middle().pem])
    assert verified(tmp_path, octets(signed))
    alone = smime_sign(message, carol.pem, carol.key)
    with pytest.raises(AssertionError, match="unable to get local issuer"):
        verified(tmp_path, octets(alone))


def test_fields_stay_outside() -> None:
    message = compose(
        ALICE, BOB, "Grüße", text="x", bcc="carol@example.org", headers={"X-A": "b"}
    )
    before = message.items()
    for made in (
        smime_sign(message, alice().certificate, alice().key),
        smime_encrypt(message, [bob().certificate]),
    ):
        kept = [(name, value) for name, value in made.items() if "Content-" not in name]
        assert sorted(kept) == sorted(
            (name, value) for name, value in before if "Content-" not in name
        )
        assert envelope(made) == (ALICE, [BOB, "carol@example.org"])
        assert b"Subject: =?utf-8?" in octets(made)
        assert message.items() == before
        assert message.get_content() == "x\n"


def test_the_types() -> None:
    signed = smime_sign(fragile(), alice().certificate, alice().key)
    params = dict(signed["Content-Type"].params)
    assert signed.get_content_type() == "multipart/signed"
    assert params.pop("boundary")
    assert params == {"protocol": "application/pkcs7-signature", "micalg": "sha-256"}
    _, signature = signed.iter_parts()
    assert signature["Content-Type"] == 'application/pkcs7-signature; name="smime.p7s"'
    assert signature["Content-Disposition"] == 'attachment; filename="smime.p7s"'
    encrypted = smime_encrypt(fragile(), [bob().certificate])
    assert encrypted.get_content_type() == "application/pkcs7-mime"
    assert dict(encrypted["Content-Type"].params) == {
        "smime-type": "enveloped-data",
        "name": "smime.p7m",
    }
    assert encrypted["Content-Disposition"] == 'attachment; filename="smime.p7m"'
    assert encrypted["Content-Transfer-Encoding"] == "base64"


# What is refused


def test_keys_and_certificates_that_do_not_fit() -> None:
    message = fragile()
    secret = alice().key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")
    )
    for key, told in (
        (bob().key, "key is not that of certificate"),
        (b"hush", "key cannot be read as PEM without a passphrase"),
        (secret, "key cannot be read as PEM without a passphrase"),
        (alice().pem, "key cannot be read as PEM without a passphrase"),
        ("hush", "key is of type str, not RSA or of an elliptic curve"),
        (
            ed25519.Ed25519PrivateKey.generate(),
            "key is of type Ed25519PrivateKey, not RSA or of an elliptic curve",
        ),
    ):
        with pytest.raises(InvalidInput) as info:
            smime_sign(message, alice().certificate, key)  # type: ignore[arg-type]  # wrong on purpose
        assert str(info.value) == told
        assert info.value.__cause__ is None
    for certificate, told in (
        (b"x", "certificate cannot be read as PEM"),
        ("x", "certificate is of type str, not Certificate or bytes"),
    ):
        with pytest.raises(InvalidInput, match=told):
            smime_sign(message, certificate, alice().key)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidInput, match=r"chain\[1\] cannot be read as PEM"):
        smime_sign(message, alice().pem, alice().key, chain=[root().pem, b"x"])


def test_readers_that_there_are_not() -> None:
    with pytest.raises(InvalidInput, match="certificates has none"):
        smime_encrypt(fragile(), [])
    with pytest.raises(InvalidInput, match=r"certificates\[1\] is not RSA"):
        smime_encrypt(fragile(), [alice().pem, root().pem])
    with pytest.raises(InvalidInput, match=r"certificates\[0\] is of type str"):
        smime_encrypt(fragile(), ["x"])  # type: ignore[list-item]  # wrong on purpose


def test_messages_that_are_none() -> None:
    with pytest.raises(InvalidInput, match="message is of type bytes, not Message"):
        smime_encrypt(b"x", [bob().pem])  # type: ignore[type-var]  # wrong on purpose
    signed = message_from_bytes(
        "Content-Type: multipart/signed; boundary=b\n\n--b\n\nGrüße\n--b--\n".encode()
    )
    with pytest.raises(InvalidInput, match="holds a signed part"):
        smime_sign(signed, alice().certificate, alice().key)


def test_the_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    serialization = "cryptography.hazmat.primitives.serialization"
    told = r"pip install 'esmtp-async\[smime\]'"
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, serialization, None)
        with pytest.raises(InvalidInput, match=told):
            smime_sign(fragile(), b"", b"")
    monkeypatch.delattr(f"{serialization}.pkcs7.PKCS7EnvelopeBuilder")
    with pytest.raises(InvalidInput, match=told):
        smime_encrypt(fragile(), [b""])


def test_cryptography_is_loaded_where_it_is_needed() -> None:
    program = (
        "import sys, esmtp_async; esmtp_async.smime_sign; "
        "print([name for name in sys.modules if name.startswith('cryptography')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
