"""The SASL mechanisms that a user name and a password are enough for, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from esmtp_async.protocol._sasl import CramMD5, Login, Mechanism, Plain, Secret
from esmtp_async.protocol._scram import ScramSHA1, ScramSHA256, ScramSHA512

MECHANISMS: Final[dict[str, Callable[[str, Secret], Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMD5,
    "SCRAM-SHA-1": ScramSHA1,
    "SCRAM-SHA-256": ScramSHA256,
    "SCRAM-SHA-512": ScramSHA512,
}
