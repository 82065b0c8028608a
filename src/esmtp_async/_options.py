"""What may be asked for beside the message."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from esmtp_async._mime import Body
from esmtp_async.protocol import _parameters
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._gateways import Attributes
from esmtp_async.protocol._parameters import DeliverBy, Parameter

#: The extensions that a message can do without.
_PREFERABLE: Final = frozenset(
    {
        *("AUTH", "BINARYMIME", "DELIVERBY", "DSN"),
        *("FUTURERELEASE", "MT-PRIORITY", "RRVS", "XFORWARD"),
    }
)


def _envid(value: str | Literal[True]) -> Parameter | None:
    """Make ENVID, unless it is the Message-ID, which is not known yet."""
    return None if value is True else _parameters.envid(value)


def _require_tls(value: object) -> Parameter | None:
    """Make REQUIRETLS; the opposite is said by a header field."""
    check_type("require_tls", value, bool)
    return _parameters.require_tls() if value else None


def _eight_bit(value: Body | str) -> Parameter | None:
    """Make BODY where it is asked for by name; else the octets tell what it is."""
    return _parameters.eight_bit() if _form(value) is Body.EIGHT_BIT else None


# Options that come to a parameter of MAIL each, by its maker.
_MAKERS: Final[dict[str, Callable[[Any], Parameter | None]]] = {
    "ret": _parameters.ret,
    "envid": _envid,
    "deliver_by": _parameters.deliver_by,
    "hold_for": _parameters.hold_for,
    "hold_until": _parameters.hold_until,
    "priority": _parameters.priority,
    "require_tls": _require_tls,
    "auth": _parameters.submitter,
    "body": _eight_bit,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """What may be asked for beside the message; all of it is checked at once.

    What the server cannot serve is refused before MAIL, as `NotSupported`, unless
    `prefer` names the extension. Raises `InvalidInput`.
    """

    #: What a report of non-delivery returns: `"FULL"` or `"HDRS"`. Needs DSN
    #: (RFC 3461 §4.3).
    ret: str | None = None
    #: What reports name the transaction by, printable ASCII; True: the Message-ID.
    #: Needs DSN (RFC 3461 §4.4).
    envid: str | Literal[True] | None = None
    #: When it must be delivered, and what if it is not; a mere time, in seconds or as a
    #: `timedelta`: then it is returned. Needs DELIVERBY (RFC 2852).
    deliver_by: DeliverBy | int | timedelta | None = None
    #: How long the server holds it back, in seconds or as a `timedelta`. Needs
    #: FUTURERELEASE (RFC 4865).
    hold_for: int | timedelta | None = None
    #: Until when it does, with a time zone. Needs FUTURERELEASE.
    hold_until: datetime | None = None
    #: How urgent it is: -9 to 9. Needs MT-PRIORITY (RFC 6710).
    priority: int | None = None
    #: True: under TLS all the way or not at all, which needs REQUIRETLS. False: to be
    #: delivered even where a policy asks for TLS that is not to be had, which is a
    #: header field and needs an `email.message.Message` (RFC 8689).
    require_tls: bool | None = None
    #: Who submitted it: a mailbox, or `""` for nobody known. Needs AUTH, and to be
    #: authenticated (RFC 4954 §5).
    auth: str | None = None
    #: What a gateway tells the server's log of where the message came from: NAME, ADDR,
    #: PORT, PROTO, HELO, IDENT, SOURCE; None where it is not known. Needs XFORWARD
    #: (Postfix), and that the server trusts us.
    xforward: Attributes | None = None
    #: The form of the mail data: `"7BIT"`, `"8BITMIME"` (never encoded anew; needs
    #: 8BITMIME, RFC 6152) or `"BINARYMIME"` (attachments without base64; octets go
    #: out with their line ends untouched). The server's offer decides unless given.
    body: Body | str | None = None
    #: Extensions without which it goes out all the same, and less is asked for.
    prefer: str | Collection[str] = ()
    #: The X-Mailer field to send; replaces one that the message has.
    x_mailer: str | None = None
    #: The parameters of MAIL that these come to, but for an ENVID by the Message-ID.
    parameters: tuple[Parameter, ...] = field(init=False, repr=False, compare=False)
    #: What `xforward` comes to.
    forwarded: tuple[Parameter, ...] = field(init=False, repr=False, compare=False)
    #: What `prefer` names, in upper case.
    preferred: frozenset[str] = field(init=False, repr=False, compare=False)
    #: The form that `body` asks for.
    form: Body | None = field(init=False, repr=False, compare=False)
    #: An option that changes the message, so that it must be a Message.
    changing: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check each against its grammar."""
        if self.hold_for is not None and self.hold_until is not None:
            msg = "hold_for and hold_until exclude each other (RFC 4865 section 3)"
            raise InvalidInput(msg)
        parameters = tuple(
            parameter
            for name, make in _MAKERS.items()
            if (value := getattr(self, name)) is not None
            and (parameter := make(value)) is not None
        )
        object.__setattr__(self, "parameters", parameters)
        forwarded = (
            () if self.xforward is None else _parameters.forwarded(self.xforward)
        )
        object.__setattr__(self, "forwarded", forwarded)
        form = None if self.body is None else _form(self.body)
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "preferred", _preferred(self.prefer))
        if "BINARYMIME" in self.preferred and form is not Body.BINARY:
            msg = "prefer names BINARYMIME, and body does not ask for it"
            raise InvalidInput(msg)
        changing = None
        if self.x_mailer is not None:
            _check_mailer(self.x_mailer)
            changing = "x_mailer"
        elif self.require_tls is False:
            changing = "require_tls=False"
        elif "BINARYMIME" in self.preferred:
            changing = "BINARYMIME as a preference"
        object.__setattr__(self, "changing", changing)

    @property
    def fields(self) -> dict[str, str]:
        """The header fields that these come to."""
        fields = {}
        if self.x_mailer is not None:
            fields["X-Mailer"] = self.x_mailer
        if self.require_tls is False:
            fields["TLS-Required"] = "No"
        return fields


def _form(body: Body | str) -> Body:
    check_type("body", body, str, Body)
    try:
        return Body(body.upper() if isinstance(body, str) else body)
    except ValueError:
        choices = ", ".join(body.value for body in Body)
        msg = f"body {body!r} is none of {choices}"
        raise InvalidInput(msg) from None


def _preferred(prefer: str | Collection[str]) -> frozenset[str]:
    names = [prefer] if isinstance(prefer, str) else prefer
    check_type("prefer", names, Collection)
    preferred = set()
    for name in names:
        check_type("each name of prefer", name, str)
        if name.upper() not in _PREFERABLE:
            choices = ", ".join(sorted(_PREFERABLE))
            msg = f"prefer names {name!r}, none of {choices}"
            raise InvalidInput(msg)
        preferred.add(name.upper())
    return frozenset(preferred)


def _check_mailer(mailer: str) -> None:
    check_type("x_mailer", mailer, str)
    if not (mailer.isascii() and mailer.isprintable() and mailer.strip()):
        msg = f"x_mailer {mailer!r} is not a line of printable ASCII"
        raise InvalidInput(msg)


#: Nothing beside the message.
NO_OPTIONS: Final = SendOptions()
