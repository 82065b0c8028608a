"""What was said in confidence, hidden where a server repeats it.

Servers quote what they do not like. Errors, events and logs are made of their
replies, so what was secret when it was said is taken out of them before anybody
sees them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

_REDACTED: Final = b"<redacted>"
#: Octets of a secret; a shorter one would tear holes into any text, and their
#: places would tell it.
_SHORTEST: Final = 4


class Sealed(bytes):
    """A response of SASL that tells which parts of it are secret.

    The others may be shown where a server repeats them: a user name, say. A
    response that is not of this type is secret as a whole.
    """

    #: The secret parts.
    secrets: tuple[bytes, ...]

    def __new__(cls, response: bytes, *secrets: bytes) -> Self:
        """Seal a response."""
        sealed = super().__new__(cls, response)
        sealed.secrets = secrets
        return sealed

    def __repr__(self) -> str:
        """Tell its length, for the rest may be a secret."""
        return f"<{len(self)} octets>"


class Redaction:
    """Takes out of lines what must not be shown."""

    def __init__(self) -> None:
        self._secrets: list[bytes] = []
        #: Whether there is anything to take out.
        self.is_needed: bool = False

    def add(self, secrets: Iterable[bytes]) -> None:
        """Take these out too, from now on."""
        known = {*self._secrets, *(s for s in secrets if len(s) >= _SHORTEST)}
        # A whole is taken out before its parts would be.
        self._secrets = sorted(known, key=len, reverse=True)
        self.is_needed = bool(self._secrets)

    def __call__(self, line: bytes) -> bytes:
        """Give a line without them; there is no LF in a line, so it marks the place."""
        for secret in self._secrets:
            line = line.replace(secret, b"\n")
        return line.replace(b"\n", _REDACTED)
