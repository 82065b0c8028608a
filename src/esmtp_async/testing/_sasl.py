"""The server's half of SASL (RFC 4422, RFC 4954), mechanism by mechanism."""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Generator, Mapping
from functools import partial
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


class Realm(dict[str, str]):
    """The users of a server, name to password, and where they authenticate."""

    def __init__(
        self,
        users: Users,
        *,
        certificate: str = "",
        offered: tuple[str, ...] = (),
        any_user: bool = False,
    ) -> None:
        super().__init__(users)
        #: The server's certificate, PEM; empty without TLS.
        self.certificate = certificate
        #: The mechanisms offered, in upper case.
        self.offered = offered
        #: Whether a user it does not know is let in, by a password that it can see.
        self.any_user = any_user


def _plain(realm: Realm) -> Challenges:
    """PLAIN: authzid NUL authcid NUL password (RFC 4616 §2)."""
    message = yield b""
    if message.count(b"\0") != 2:
        raise Breach(501, "5.5.2", "PLAIN has three fields")
    authzid, name, password = message.split(b"\0")
    if authzid not in {b"", name}:
        raise Refusal(535, "5.7.8", "nobody acts for another user here")
    return _authenticated(realm, name, password)


def _login(realm: Realm) -> Challenges:
    """LOGIN: a prompt for the name, and one for the password."""
    name = yield b"Username:"
    password = yield b"Password:"
    return _authenticated(realm, name, password)


def _cram_md5(users: Users) -> Challenges:
    """CRAM-MD5: a challenge nobody has seen, and its digest (RFC 2195 §2)."""
    challenge = f"<{secrets.token_hex(8)}@mail.example.test>".encode()
    name, space, digest = (yield challenge).rpartition(b" ")
    if not space:
        raise Breach(501, "5.5.2", "CRAM-MD5 is a name, a space and a digest")
    for user, secret in users.items():
        right = hmac.new(secret.encode(), challenge, "md5").hexdigest()
        if (user.encode(), right.encode()) == (name, digest):
            return user
    raise Refusal(535, "5.7.8", "credentials invalid")


def _external(users: Users) -> Challenges:
    """EXTERNAL: whoever comes is taken for the first user (RFC 4422 appendix A)."""
    authzid = yield b""
    user = next(iter(users))
    if authzid not in {b"", user.encode()}:
        raise Refusal(535, "5.7.8", "nobody acts for another user here")
    return user


def _anonymous(_users: Users) -> Challenges:
    """ANONYMOUS: anybody, with a word of his own (RFC 4505 §2)."""
    trace = (yield b"").decode("utf-8", "replace")
    if "\ufffd" in trace or ("@" not in trace and len(trace) > 255):
        raise Breach(501, "5.5.2", "ANONYMOUS is at most 255 characters of UTF-8")
    return "anonymous"


def _scram(name: str, realm: Realm) -> Challenges:
    """SCRAM, by scramp: it asks, checks the proof, and gives its own (RFC 5802 §3)."""
    # An extra of the package, which the client's half needs too.
    import scramp  # noqa: PLC0415

    binds = realm.certificate and any(each.endswith("-PLUS") for each in realm.offered)
    mechanism = scramp.ScramMechanism(name)
    user = ""

    def account(username: str) -> object:
        nonlocal user
        user = username
        password = realm.get(username)
        return None if password is None else mechanism.make_auth_info(password)

    server = mechanism.make_server(
        account,
        channel_binding=("tls-server-end-point", realm.certificate) if binds else None,
    )
    try:
        server.set_client_first((yield b"").decode("utf-8", "replace"))
        proof = yield str(server.get_server_first()).encode()
        server.set_client_final(proof.decode("utf-8", "replace"))
    except scramp.ScramException as error:
        if str(error).endswith("other-error"):  # what the RFC has no word for
            raise Breach(501, "5.5.2", f"SCRAM: {error}") from None
        raise Refusal(535, "5.7.8", f"SCRAM: {error}") from None
    if (yield str(server.get_server_final()).encode()):
        raise Breach(501, "5.5.2", "SCRAM: nothing follows the server's proof")
    return user


def _xoauth2(realm: Realm) -> Challenges:
    """XOAUTH2: the user's password is the token."""
    message = yield b""
    match = _XOAUTH2.fullmatch(message)
    if match is None:
        raise Breach(501, "5.5.2", "not the message of XOAUTH2")
    return (yield from _bearer(realm, match[1], match[2], acknowledgement=b""))


def _oauthbearer(realm: Realm) -> Challenges:
    """OAUTHBEARER: the user's password is the token (RFC 7628 §3.1)."""
    message = yield b""
    match = _OAUTHBEARER.fullmatch(message)
    if match is None:
        raise Breach(501, "5.5.2", "not the message of OAUTHBEARER")
    name = match[1].replace(b"=2C", b",").replace(b"=3D", b"=")
    return (yield from _bearer(realm, name, match[2], acknowledgement=b"\1"))


def _bearer(
    realm: Realm, name: bytes, token: bytes, *, acknowledgement: bytes
) -> Challenges:
    """Authenticate; tell of a failure, which the client acknowledges (RFC 7628 §3.2.3).

    Raises:
        Breach: if it says anything else.
    """
    try:
        return _authenticated(realm, name, token)
    except Refusal:
        if (yield b'{"status":"invalid_token","scope":"mail"}') != acknowledgement:
            raise Breach(501, "5.5.2", "not the acknowledgement of a failure") from None
        raise


def _authenticated(realm: Realm, name: bytes, password: bytes) -> str:
    for user, secret in realm.items():
        if user.encode() == name and secret.encode() == password:
            return user
    if realm.any_user and name:
        return name.decode("utf-8", "replace")
    raise Refusal(535, "5.7.8", "credentials invalid")


#: The mechanisms a server can offer.
MECHANISMS: Final[Mapping[str, Callable[[Realm], Challenges]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "EXTERNAL": _external,
    "ANONYMOUS": _anonymous,
    **{
        name: partial(_scram, name)
        for function in ("SHA-1", "SHA-256", "SHA-512")
        for name in (f"SCRAM-{function}", f"SCRAM-{function}-PLUS")
    },
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
