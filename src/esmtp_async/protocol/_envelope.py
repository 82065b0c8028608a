"""The envelope: who a message is from and who it is for (RFC 5321 §2.3.1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Self

from esmtp_async.protocol import _parameters
from esmtp_async.protocol._addresses import ForwardPath, ReversePath
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._parameters import Parameter


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path, and what is asked for it.

    `notify` is `"NEVER"`, or any of `"SUCCESS"`, `"FAILURE"`, `"DELAY"`;
    `orcpt` the original recipient, a plain address or `addr-type;address`.
    Both need the server's DSN extension (RFC 3461 §4.1, §4.2; RFC 6533 §3).

    `rrvs` is since when the mailbox must have belonged to whom it is for, a `datetime`
    with a time zone; `rrvs_action` what a server on the way does that cannot tell:
    `"C"` delivers, `"R"` returns the message. They need RRVS (RFC 7293 §3.1).

    Raises `InvalidInput`.
    """

    #: The address, as given.
    address: str
    #: When it is to be reported on (RFC 3461 §4.1).
    notify: str | Sequence[str] | None = field(default=None, kw_only=True)
    #: Who it was for at first (RFC 3461 §4.2).
    orcpt: str | None = field(default=None, kw_only=True)
    #: Since when the mailbox must have its owner (RFC 7293 §3.1).
    rrvs: datetime | None = field(default=None, kw_only=True)
    #: What a server does that cannot tell (RFC 7293 §3.1).
    rrvs_action: str | None = field(default=None, kw_only=True)
    #: The address, parsed.
    path: ForwardPath = field(init=False, repr=False, compare=False)
    #: The parameters of RCPT that these come to.
    parameters: tuple[Parameter, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check address and parameters."""
        parameters = []
        if self.notify is not None:
            parameters.append(_parameters.notify(self.notify))
        if self.orcpt is not None:
            parameters.append(_parameters.orcpt(self.orcpt))
        if self.rrvs is not None:
            parameters.append(_parameters.rrvs(self.rrvs, self.rrvs_action))
        elif self.rrvs_action is not None:
            msg = "rrvs_action is for a recipient with rrvs"
            raise InvalidInput(msg)
        object.__setattr__(self, "path", ForwardPath.parse(self.address))
        object.__setattr__(self, "parameters", tuple(parameters))


class Envelope(NamedTuple):
    """Who it is from and who it is for (RFC 5321 §2.3.1)."""

    #: Who it is from.
    reverse_path: ReversePath
    #: Who it is for, each once.
    recipients: tuple[Recipient, ...]
    #: Parameters of MAIL that the caller asked for.
    parameters: tuple[Parameter, ...] = ()
    #: What XFORWARD tells of where it comes from.
    forwarded: tuple[Parameter, ...] = ()
    #: Extensions whose parameters are left out where a server cannot serve them.
    preferred: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        sender: str,
        recipients: str | Recipient | Iterable[str | Recipient],
        parameters: tuple[Parameter, ...] = (),
        *,
        forwarded: tuple[Parameter, ...] = (),
        preferred: frozenset[str] = frozenset(),
    ) -> Self:
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
        return cls(
            reverse_path, tuple(unique.values()), parameters, forwarded, preferred
        )


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
