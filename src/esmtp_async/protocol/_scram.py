"""SCRAM: proof of the password without saying it (RFC 5802, RFC 7677).

The server proves that it knows the password too, and with `-PLUS` both prove
that they are the two ends of the same TLS connection (RFC 5929 §4).

The arithmetic is scramp's, an extra of the package. What the server says is
held against the grammar here first, and the price it asks against a limit.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from inspect import signature
from types import ModuleType
from typing import Final

from esmtp_async.protocol._asks import Compute
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._outcomes import Stage
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._sasl import (
    Channel,
    Credentials,
    Responses,
    Secret,
    refuse,
)

#: The fewest iterations a server may ask for (RFC 5802 §5.1, RFC 7677 §4).
MIN_ITERATIONS: Final = 4096
#: The iterations from which on the key is derived where it holds nobody up.
LONG_DERIVATION: Final = 20_000

# value       = 1*value-char; no NUL, no ","            (RFC 5802 §7)
# extensions  = attr-val *("," attr-val); a name that the RFC gives a meaning of
#               its own would be a second or a misplaced one
_VALUE: Final = r"[^\0,]+"
_EXTENSIONS: Final = rf"(?:,[bdf-hj-loqtuw-zA-Z]={_VALUE})*"
# base64 = *base64-4 [base64-3 / base64-2], the last two with "=" at their end
_BASE64: Final = r"(?:[A-Za-z0-9/+]{4})*(?:[A-Za-z0-9/+]{3}=|[A-Za-z0-9/+]{2}==)?"
# server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count
#                        ["," extensions]
# nonce       = "r=" c-nonce [s-nonce], of printable characters but ","
# posit-number = %x31-39 *DIGIT
_SERVER_FIRST: Final = re.compile(
    rf"r=(?P<nonce>[!-+\--~]+),s={_BASE64},i=(?P<iterations>[1-9][0-9]{{0,11}})"
    rf"{_EXTENSIONS}"
)
# server-final-message = (server-error / verifier) ["," extensions]
_SERVER_FINAL: Final = re.compile(rf"v={_BASE64}{_EXTENSIONS}")
# server-error = "e=" server-error-value
_SERVER_ERROR: Final = re.compile(rf"e=(?P<value>{_VALUE}){_EXTENSIONS}")
# reserved-mext = "m=" 1*(value-char): who does not know it must stop (§5.1)
_MANDATORY_EXTENSION: Final = re.compile(r"m=.*", re.DOTALL)

# Of a signature's hash function, the one that hashes the certificate
#                                                       (RFC 5929 §4.1)
_END_POINT_HASHES: Final = {
    "md5": "sha256",
    "sha1": "sha256",
    **{name: name for name in ("sha224", "sha256", "sha384", "sha512")},
}

#: How much of an error's value is told.
_SHOWN: Final = 80


class Scram(Credentials):
    """The strongest SCRAM that the server offers, bound to the channel if it can be.

    `max_iterations` bounds the work a server may ask for (RFC 5802 §9). Needs
    the extra `scram`; user name and password must be what SASLprep lets pass
    (RFC 4013). Raises `InvalidInput` otherwise.
    """

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = (
        "SCRAM-SHA-512-PLUS",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
    )

    def __init__(
        self,
        username: str,
        password: str | Secret,
        *,
        max_iterations: int = 1_000_000,
    ) -> None:
        try:
            super().__init__(username, password)
        finally:
            del password  # from here on no traceback with variables shows it
        if isinstance(max_iterations, bool) or not isinstance(max_iterations, int):
            kind = type(max_iterations).__name__
            msg = f"max_iterations is of type {kind}, not int"
            raise InvalidInput(msg)
        if max_iterations < MIN_ITERATIONS:
            msg = f"max_iterations is {max_iterations}, below {MIN_ITERATIONS}"
            raise InvalidInput(msg)
        self._max_iterations = max_iterations
        self._scramp = _import_scramp()
        for what, problem in (
            ("username", self._unprepared(username, "x")),
            ("password", self._unprepared("x", self._password)),
        ):
            if problem:
                msg = f"the {what} cannot be said by SCRAM: {problem}"
                raise InvalidInput(msg)

    def respond(self, channel: Channel) -> Responses:
        """Prove the password, and have the server prove it."""
        name = channel.mechanism
        scramp = self._scramp
        nonce = secrets.token_urlsafe(24)
        client = scramp.ScramClient(
            [name],
            self.username,
            self._password.reveal(),
            channel_binding=_binding(channel),
            c_nonce=nonce,
        )
        server_first = _message(name, (yield _octets(client.get_client_first())))
        iterations = self._check_first(name, server_first, nonce)
        try:
            client.set_server_first(server_first)
        except scramp.ScramException as error:
            refuse(f"{name}: {error.args[0]}")
        if iterations > LONG_DERIVATION:
            server_final = yield (
                yield Compute(Stage.AUTH, lambda: _octets(client.get_client_final()))
            )
        else:
            server_final = yield _octets(client.get_client_final())
        verifier = _message(name, server_final)
        _check(name, _SERVER_FINAL, verifier)
        try:
            client.set_server_final(verifier)
        except scramp.ScramException:
            refuse(f"{name}: the server does not know the password, as it must")
        yield b""

    def _check_first(self, name: str, message: str, nonce: str) -> int:
        """Check the server's first message; give how many iterations it asks for."""
        if _MANDATORY_EXTENSION.fullmatch(message):
            refuse(f"{name}: the server demands an extension that nobody knows")
        match = _check(name, _SERVER_FIRST, message)
        if not match["nonce"].startswith(nonce) or match["nonce"] == nonce:
            refuse(f"{name}: the server's nonce does not extend ours")
        iterations = int(match["iterations"])
        if not MIN_ITERATIONS <= iterations <= self._max_iterations:
            refuse(
                f"{name}: the server asks for {iterations} iterations, outside "
                f"{MIN_ITERATIONS} to {self._max_iterations}"
            )
        return iterations

    def _unprepared(self, username: str, password: str | Secret) -> str:
        """Tell why SASLprep lets a text not pass; "" where it does."""
        try:
            self._scramp.ScramClient(
                ["SCRAM-SHA-256"],
                username,
                password.reveal() if isinstance(password, Secret) else password,
            )
        except self._scramp.ScramException as error:
            return str(error.args[0])
        return ""


class ScramSHA1(Scram):
    """SCRAM-SHA-1, with -PLUS where that can be (RFC 5802)."""

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")


class ScramSHA256(Scram):
    """SCRAM-SHA-256, with -PLUS where that can be (RFC 7677)."""

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")


class ScramSHA512(Scram):
    """SCRAM-SHA-512, with -PLUS where that can be (draft-melnikov-scram-sha-512)."""

    #: The names that it is offered by (RFC 4422 §3.1).
    names: tuple[str, ...] = ("SCRAM-SHA-512-PLUS", "SCRAM-SHA-512")


class Unavailable:
    """Stands where a mechanism cannot be, and says why if it comes to it."""

    def __init__(self, names: tuple[str, ...], problem: str) -> None:
        self.names = names
        #: Why it cannot be.
        self.problem: str = problem

    def respond(self, channel: Channel) -> Responses:
        """Refuse before anything is said."""
        refuse(f"{channel.mechanism} is offered, but {self.problem}")


def _import_scramp() -> ModuleType:
    with suppress(ImportError):
        # An extra of the package; it costs an import of its own, and so comes late.
        import scramp  # noqa: PLC0415

        # Of those who brought an old one for something else, some lack this.
        if "channel_binding" in signature(scramp.ScramClient).parameters:
            module: ModuleType = scramp
            return module
    msg = "SCRAM needs scramp 1.5 or newer: pip install 'esmtp-async[scram]'"
    raise InvalidInput(msg)


def _binding(channel: Channel) -> tuple[str, bytes] | None:
    """Give what binds the channel, where both sides can (RFC 5802 §6).

    scramp says `p` with it and a -PLUS name, `y` with it and another one, `n`
    without it. `y` tells the server that we saw no -PLUS: if it did offer one,
    somebody between us took it away.
    """
    name = channel.mechanism
    binds = name.endswith("-PLUS")
    if not binds and f"{name}-PLUS" in channel.offered:
        return None
    digest = _end_point(channel.peer_certificate)
    if binds and not digest:
        refuse(f"{name}: there is no certificate that a channel can be bound to")
    return ("tls-server-end-point", digest) if digest else None


def _end_point(certificate: bytes) -> bytes:
    """Give the `tls-server-end-point` of a certificate, b"" if none (RFC 5929 §4.1).

    It is a hash of it, by the function that it was signed with. Where there is
    no such function, there is no end point.
    """
    from asn1crypto.x509 import Certificate  # noqa: PLC0415  # comes with scramp

    try:
        function = _END_POINT_HASHES.get(Certificate.load(certificate).hash_algo)
    except ValueError:
        return b""
    return b"" if function is None else hashlib.new(function, certificate).digest()


def _message(name: str, challenge: bytes | None) -> str:
    """Read a message of the server; a success in its place is none."""
    if challenge is None:
        refuse(f"{name}: the server reported success before it proved who it is")
    try:
        message = challenge.decode()
    except UnicodeDecodeError:
        refuse(f"{name}: the server's message is not UTF-8")
    if error := _SERVER_ERROR.fullmatch(message):
        value = printable(error["value"][:_SHOWN].encode())
        refuse(f"{name}: the server reports the error {value}")
    return message


def _check(name: str, grammar: re.Pattern[str], message: str) -> re.Match[str]:
    match = grammar.fullmatch(message)
    if match is None:
        refuse(f"{name}: the server's message is malformed")
    return match


def _octets(text: object) -> bytes:
    return str(text).encode()
