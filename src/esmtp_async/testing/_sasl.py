"""The server's half of SASL (RFC 4422, RFC 4954): PLAIN and LOGIN."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Generator, Mapping
from typing import Final

from esmtp_async.testing._answers import Breach, Refusal

#: User name to password.
Users = Mapping[str, str]
#: Yields challenges, is sent the client's responses, returns the user name.
Challenges = Generator[bytes, bytes, str]


def _plain(users: Users) -> Challenges:
    """PLAIN: authzid NUL authcid NUL password (RFC 4616 §2)."""
    message = yield b""
    if message.count(b"\0") != 2:
        raise Breach(501, "5.5.2", "PLAIN has three fields")
    authzid, name, password = message.split(b"\0")
    if authzid not in {b"", name}:
        raise Refusal(535, "5.7.8", "nobody acts for another user here")
    return _authenticated(users, name, password)


def _login(users: Users) -> Challenges:
    """LOGIN: a prompt for the name, and one for the password."""
    name = yield b"Username:"
    password = yield b"Password:"
    return _authenticated(users, name, password)


def _authenticated(users: Users, name: bytes, password: bytes) -> str:
    for user, secret in users.items():
        if user.encode() == name and secret.encode() == password:
            return user
    raise Refusal(535, "5.7.8", "credentials invalid")


#: The mechanisms a server can offer.
MECHANISMS: Final[Mapping[str, Callable[[Users], Challenges]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
}


def decode(text: bytes) -> bytes:
    """Decode base64 strictly: only what encoding gives back (RFC 4648 §3.5).

    Raises:
        Breach: if it is anything else.
    """
    try:
        octets = b64decode(text)
    except Error:
        octets = b""
    if b64encode(octets) != text:
        raise Breach(501, "5.5.2", "not base64")
    return octets
