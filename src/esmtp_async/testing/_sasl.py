"""The server's half of SASL (RFC 4422, RFC 4954)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Generator, Mapping
from typing import Final

from esmtp_async.testing._answers import Breach, Refusal

#: User name to password.
Users = Mapping[str, str]
#: Yields challenges, is sent the client's responses, returns the user name.
Challenges = Generator[bytes, bytes, str]

_XOAUTH2: Final = re.compile(rb"user=([^\x01]+)\x01auth=Bearer ([!-~]+)\x01\x01")
# gs2-header kvsep *kvpair kvsep (RFC 7628 §3.1); a saslname has no comma.
_OAUTHBEARER: Final = re.compile(
    rb"n,a=([^,\x01]+),\x01(?:(?:host|port)=[^\x01]+\x01)*auth=Bearer ([!-~]+)\x01\x01"
)


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


def _xoauth2(users: Users) -> Challenges:
    """XOAUTH2: the user's password is the token."""
    message = yield b""
    match = _XOAUTH2.fullmatch(message)
    if match is None:
        raise Breach(501, "5.5.2", "not the message of XOAUTH2")
    return (yield from _bearer(users, match[1], match[2], acknowledgement=b""))


def _oauthbearer(users: Users) -> Challenges:
    """OAUTHBEARER: the user's password is the token (RFC 7628 §3.1)."""
    message = yield b""
    match = _OAUTHBEARER.fullmatch(message)
    if match is None:
        raise Breach(501, "5.5.2", "not the message of OAUTHBEARER")
    name = match[1].replace(b"=2C", b",").replace(b"=3D", b"=")
    return (yield from _bearer(users, name, match[2], acknowledgement=b"\1"))


def _bearer(
    users: Users, name: bytes, token: bytes, *, acknowledgement: bytes
) -> Challenges:
    """Authenticate; tell of a failure, which the client acknowledges (RFC 7628 §3.2.3).

    Raises:
        Breach: if it says anything else.
    """
    try:
        return _authenticated(users, name, token)
    except Refusal:
        if (yield b'{"status":"invalid_token","scope":"mail"}') != acknowledgement:
            raise Breach(501, "5.5.2", "not the acknowledgement of a failure") from None
        raise


def _authenticated(users: Users, name: bytes, password: bytes) -> str:
    for user, secret in users.items():
        if user.encode() == name and secret.encode() == password:
            return user
    raise Refusal(535, "5.7.8", "credentials invalid")


#: The mechanisms a server can offer.
MECHANISMS: Final[Mapping[str, Callable[[Users], Challenges]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "OAUTHBEARER": _oauthbearer,
    "XOAUTH2": _xoauth2,
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
