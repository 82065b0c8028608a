"""The envelope: who a message is from and who it is for (RFC 5321 §2.3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from esmtp_async.protocol import _grammar
from esmtp_async.protocol._addresses import ForwardPath, ReversePath
from esmtp_async.protocol._commands import Parameters
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._extensions import Extensions

#: RFC 3461 §4.2, in characters of the encoded value.
MAX_ORCPT: Final = 500

_NOTIFY: Final = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path, and what to report about it (RFC 3461 §4.1, §4.2).

    `notify` is `"NEVER"`, or any of `"SUCCESS"`, `"FAILURE"`, `"DELAY"`;
    `orcpt` the original recipient, a plain address or `addr-type;address`.
    Both need the server's DSN extension. Raises `InvalidInput`.
    """

    address: str
    notify: str | Sequence[str] | None = field(default=None, kw_only=True)
    orcpt: str | None = field(default=None, kw_only=True)
    path: ForwardPath = field(init=False, repr=False, compare=False)
    parameters: Parameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check address and parameters."""
        parameters: dict[str, str | None] = {}
        if self.notify is not None:
            parameters["NOTIFY"] = _notify(self.notify)
        if self.orcpt is not None:
            parameters["ORCPT"] = _orcpt(self.orcpt)
        object.__setattr__(self, "path", ForwardPath.parse(self.address))
        object.__setattr__(self, "parameters", parameters)

    def missing(self, extensions: Extensions) -> str | None:
        """Give an extension that this recipient needs and the server lacks."""
        if self.path.needs_smtputf8 and "SMTPUTF8" not in extensions:
            return "SMTPUTF8"
        if self.parameters and "DSN" not in extensions:
            return "DSN"
        return None


def _notify(notify: str | Sequence[str]) -> str:
    words = [notify] if isinstance(notify, str) else notify
    check_type("notify", words, Iterable)
    for word in words:
        check_type("each word of notify", word, str)
    words = list(dict.fromkeys(word.upper() for word in words))
    if not words or not _NOTIFY.issuperset(words) or ("NEVER" in words and words[1:]):
        msg = (
            f"notify {notify!r} is neither NEVER nor any of SUCCESS, FAILURE, DELAY "
            "(RFC 3461 section 4.1)"
        )
        raise InvalidInput(msg)
    return ",".join(words)


def _orcpt(orcpt: str) -> str:
    check_type("orcpt", orcpt, str)
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon:
        kind, address = "rfc822", orcpt
    if not (_grammar.ADDR_TYPE.fullmatch(kind) and address and address.isascii()):
        msg = f"orcpt {orcpt!r} is not addr-type;address in ASCII (RFC 3461)"
        raise InvalidInput(msg)
    encoded = f"{kind};{_grammar.xtext(address)}"
    if len(encoded) > MAX_ORCPT:
        msg = f"orcpt {orcpt!r} exceeds {MAX_ORCPT} characters (RFC 3461 section 4.2)"
        raise InvalidInput(msg)
    return encoded


class Parameter(NamedTuple):
    """A parameter of MAIL and the extension that it needs."""

    extension: str
    keyword: str
    value: str | None = None


class Envelope(NamedTuple):
    """Who it is from and who it is for (RFC 5321 §2.3.1)."""

    reverse_path: ReversePath
    recipients: tuple[Recipient, ...]
    #: Parameters of MAIL that the caller asked for.
    parameters: tuple[Parameter, ...] = ()

    @classmethod
    def of(
        cls,
        sender: str,
        recipients: str | Recipient | Iterable[str | Recipient],
        parameters: tuple[Parameter, ...] = (),
    ) -> Envelope:
        """Make an envelope of addresses; a path given twice is kept once.

        Raises `InvalidInput`, which tells the address that is wrong.
        """
        if not isinstance(sender, str):
            check_type("sender", sender, str)
        try:
            reverse_path = ReversePath.parse(sender)
        except InvalidInput as error:
            raise _told("sender", error) from None
        if isinstance(recipients, (str, bytes, Recipient)):
            recipients = [recipients]
        elif not isinstance(recipients, (list, tuple)):
            check_type("recipients", recipients, Iterable)
        unique: dict[tuple[str, str], Recipient] = {}
        for index, entry in enumerate(recipients):
            recipient = _recipient(index, entry)
            unique.setdefault(recipient.path.identity, recipient)
        if not unique:
            msg = "there is no recipient"
            raise InvalidInput(msg)
        return cls(reverse_path, tuple(unique.values()), parameters)


@lru_cache(maxsize=1024)  # whoever gets mail mostly gets more
def _plain(address: str) -> Recipient:
    return Recipient(address)


def _recipient(index: int, entry: str | Recipient) -> Recipient:
    if isinstance(entry, Recipient):
        return entry
    if not isinstance(entry, str):
        check_type(f"recipients[{index}]", entry, str)
    try:
        return _plain(entry)
    except InvalidInput as error:
        raise _told(f"recipients[{index}]", error) from None


def _told(where: str, error: InvalidInput) -> InvalidInput:
    """Say of an address that is wrong which one it is."""
    return InvalidInput(f"{where}: {error}")
