"""Signing by dkimpy, which has no types and takes a message as a whole.

It is slower than `DkimSigner` by far, and does the arithmetic of RSA in Python; what
it has beside it is ARC (RFC 8617).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, Final, NoReturn, TypeVar

from esmtp_async._dkim_canonical import SignedField, fields_of
from esmtp_async._dkim_keys import MIN_RSA_BITS
from esmtp_async._dkim_settings import HEADERS, OVERSIGN, FieldNames, Place, forms
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._sasl import Secret

_T = TypeVar("_T")

_RESULTS: Final = "authentication-results"
#: A message that any key can sign.
_TRIAL: Final = b"From: postmaster@example.org\r\n"


class _Key:
    """A key in a form of dkimpy's; it shows itself nowhere."""

    def __init__(self, key: str | bytes) -> None:
        try:
            if not isinstance(key, (str, bytes)):
                msg = f"key is of type {type(key).__name__}, not str or bytes"
                raise InvalidInput(msg)
            self._secret = Secret(
                key if isinstance(key, str) else key.decode("latin-1")
            )
        finally:
            del key  # from here on no traceback with variables shows it

    @property
    def is_pem(self) -> bool:
        return "-----BEGIN" in self._secret.reveal()

    def use(self, what: str, call: Callable[[bytes], _T]) -> _T:
        """Have something done with the key; raises `InvalidInput`.

        What goes wrong in there is told by its kind alone: its text and its traceback
        could show the key. It fails in any way there is.
        """
        try:
            return call(self._secret.reveal().encode("utf-8"))
        except Exception as error:  # noqa: BLE001  # as said above
            kind = type(error).__name__
        msg = f"dkimpy cannot {what}: {kind}"
        raise InvalidInput(msg)

    def check_rsa(self) -> None:
        """See that it is an RSA key of enough bits (RFC 8301 §3.2)."""
        from dkim.crypto import parse_pem_private_key  # noqa: PLC0415

        bits = self.use(
            "read the key", lambda pem: _bits(parse_pem_private_key(pem)["modulus"])
        )
        if bits < MIN_RSA_BITS:
            msg = (
                f"key is an RSA key of {bits} bits, below {MIN_RSA_BITS} "
                "(RFC 8301 section 3.2)"
            )
            raise InvalidInput(msg)

    def __reduce__(self) -> NoReturn:
        msg = "a key that signs cannot be pickled"
        raise TypeError(msg)


def _bits(modulus: int) -> int:
    return modulus.bit_length()


class DkimpySigner:
    """Signs with a domain's key as `DkimSigner` does, over dkimpy: the extra `dkimpy`.

    Args:
        domain: As for `DkimSigner`.
        selector: As for `DkimSigner`.
        key: PEM of an RSA key without a password, or the 32 octets of an Ed25519 key in
            base64.
        identity: As for `DkimSigner`.
        headers: As for `DkimSigner`.
        oversign: As for `DkimSigner`.
        canonicalization: As for `DkimSigner`.

    Raises:
        InvalidInput: where an argument is not that; nothing shows the key.
    """

    def __init__(
        self,
        domain: str,
        selector: str,
        key: str | bytes,
        *,
        identity: str | None = None,
        headers: Iterable[str] = HEADERS,
        oversign: Iterable[str] = OVERSIGN,
        canonicalization: str = "relaxed/relaxed",
    ) -> None:
        try:
            _demand("DkimpySigner", "dkim", "nacl")
            self._place = Place(domain, selector)
            #: The domain that signs, in A-labels.
            self.domain: str = self._place.domain
            #: The name of its key, in A-labels.
            self.selector: str = self._place.selector
            self._key = _Key(key)
        finally:
            del key  # from here on no traceback with variables shows it
        self._names = FieldNames(headers, oversign)
        self._identity = self._place.identity(
            f"@{self._place.domain}" if identity is None else identity
        )
        self._forms = forms(canonicalization)
        if self._key.is_pem:
            self._key.check_rsa()
        self.sign(_TRIAL, [])

    def __repr__(self) -> str:
        return f"DkimpySigner({self.domain!r}, {self.selector!r})"

    def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
        """Give the DKIM-Signature field for a message; see `Signer.sign`.

        Raises `InvalidInput` as `DkimSigner.sign` does, and where dkimpy fails.
        """
        import dkim  # noqa: PLC0415  # an extra of the package

        names = self._names.of(fields_of(header))
        message = _joined(header, body)
        signature: bytes = self._key.use(
            "sign",
            lambda key: dkim.sign(
                message,
                self.selector.encode(),
                self.domain.encode(),
                key,
                identity=self._identity.encode(),
                canonicalize=tuple(form.encode() for form in self._forms),
                signature_algorithm=(
                    b"rsa-sha256" if self._key.is_pem else b"ed25519-sha256"
                ),
                include_headers=[name.encode() for name in names],
            ),
        )
        return signature


class ArcSealer:
    """Seals what is passed on (ARC, RFC 8617), over dkimpy: the extra `dkimpy`.

    For those who forward mail, or are a mailing list: it tells what they found when the
    message came, before they changed it. They must have put that into the message as an
    `Authentication-Results` field (RFC 8601) of their own `authserv_id`, with `arc=`
    where it has been sealed before, and have taken out those that a stranger made up
    in their name.

    Args:
        authserv_id: The name that your Authentication-Results begin with.
        domain: The domain that seals, `d=`.
        selector: The name of the key below the domain, `s=`.
        key: PEM of an RSA key without a password.

    Raises:
        InvalidInput: where an argument is not that; nothing shows the key.
    """

    def __init__(
        self, authserv_id: str, domain: str, selector: str, key: str | bytes
    ) -> None:
        try:
            _demand("ArcSealer", "dkim", "authres")
            self._place = Place(domain, selector)
            #: The domain that signs, in A-labels.
            self.domain: str = self._place.domain
            #: The name of its key, in A-labels.
            self.selector: str = self._place.selector
            self._key = _Key(key)
        finally:
            del key  # from here on no traceback with variables shows it
        check_type("authserv_id", authserv_id, str)
        self._authserv_id = authserv_id
        self._names = FieldNames(HEADERS, OVERSIGN)
        self._key.check_rsa()

    def __repr__(self) -> str:
        return f"ArcSealer({self.domain!r}, {self.selector!r})"

    def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
        """Give the three fields of an ARC set for a message; see `Signer.sign`.

        Raises `InvalidInput` as `DkimSigner.sign` does, where dkimpy fails, and where
        there are no results to tell of.
        """
        import dkim  # noqa: PLC0415  # an extra of the package

        fields = fields_of(header)
        names = self._names.of(fields)
        message = _joined(b"".join(map(_as_dkimpy_knows_it, fields)), body)
        seal: list[Any] = self._key.use(
            "seal",
            lambda key: dkim.arc_sign(
                message,
                self.selector.encode(),
                self.domain.encode(),
                key,
                self._authserv_id.encode(),
                include_headers=[name.encode() for name in names],
            ),
        )
        if not seal:
            msg = (
                "there is nothing to seal: the message has no Authentication-Results "
                f"of {self._authserv_id!r}, or they have no arc= for the seals it has"
            )
            raise InvalidInput(msg)
        return b"".join(seal)


def _as_dkimpy_knows_it(field: SignedField) -> bytes:
    """Give a field with a name that is found, whatever its case was."""
    if field.key == _RESULTS:
        return b"Authentication-Results:" + field.value
    return field.octets


def _joined(header: bytes, body: Iterable[bytes]) -> bytes:
    return b"".join((header, b"\r\n", *body))


def _demand(what: str, *modules: str) -> None:
    for module in modules:
        if find_spec(module) is None:
            msg = f"{what} needs {module}: pip install 'esmtp-async[dkimpy]'"
            raise InvalidInput(msg)
