"""Parameters of MAIL and RCPT: what extensions let a client ask for, checked.

Each is made from what the caller means and has its RFC's grammar from then on; what
the server at hand can do of it is told by `Parameter.unmet`, before MAIL is said.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from esmtp_async.protocol import _grammar
from esmtp_async.protocol._exceptions import InvalidInput, check_type
from esmtp_async.protocol._gateways import Attributes, checked
from esmtp_async.protocol._session import Session

#: RFC 3461 §4.2 and §4.4: of the encoded original recipient, of the identifier.
MAX_ORCPT: Final = 500
MAX_ENVID: Final = 100
#: RFC 4954 §3: of the encoded mailbox.
_MAX_SUBMITTER: Final = 500 - len(" AUTH=")
#: RFC 2852 §4 and RFC 4865 §3: nine digits of seconds.
_MAX_SECONDS: Final = 999_999_999
#: RFC 6710 §3.
_MAX_PRIORITY: Final = 9

_RET: Final = frozenset({"FULL", "HDRS"})
_NOTIFY: Final = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})
_BY_MODES: Final = frozenset({"R", "N"})
_RRVS_ACTIONS: Final = frozenset({"C", "R"})


class Parameter(NamedTuple):
    """A parameter of MAIL or RCPT and the extension that it needs."""

    #: The EHLO keyword of the extension that defines it.
    extension: str
    #: The word before `=` (RFC 5321 §4.1.2).
    keyword: str
    #: The word behind it; None where there is none.
    value: str | None = None
    #: Tells why a server that offers the extension cannot do this with it.
    check: Callable[[Session], str | None] | None = None

    def unmet(self, session: Session) -> str | None:
        """Tell why it cannot be said in a session; None where it can."""
        if self.extension not in session.extensions:
            return (
                f"{self.keyword} needs {self.extension}, "
                "which the server does not offer"
            )
        return None if self.check is None else self.check(session)


def said(parameters: Iterable[Parameter]) -> Mapping[str, str | None]:
    """Give parameters as commands take them."""
    return {parameter.keyword: parameter.value for parameter in parameters}


# DSN (RFC 3461)


def ret(value: str) -> Parameter:
    """Make RET: whether a report returns the message or its header (§4.3)."""
    return Parameter("DSN", "RET", _word("ret", value, _RET, "RFC 3461 section 4.3"))


def envid(value: str) -> Parameter:
    """Make ENVID: what reports name the transaction by (§4.4)."""
    check_type("envid", value, str)
    if not (value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ENVID):
        msg = (
            f"envid {value!r} is not 1 to {MAX_ENVID} printable ASCII characters "
            "(RFC 3461 section 4.4)"
        )
        raise InvalidInput(msg)
    return Parameter("DSN", "ENVID", _grammar.xtext(value))


def notify(value: str | Sequence[str]) -> Parameter:
    """Make NOTIFY: what is reported of a recipient (§4.1)."""
    words = [value] if isinstance(value, str) else value
    check_type("notify", words, Iterable)
    for word in words:
        check_type("each word of notify", word, str)
    words = list(dict.fromkeys(word.upper() for word in words))
    if not words or not _NOTIFY.issuperset(words) or ("NEVER" in words and words[1:]):
        msg = (
            f"notify {value!r} is neither NEVER nor any of SUCCESS, FAILURE, "
            "DELAY (RFC 3461 section 4.1)"
        )
        raise InvalidInput(msg)
    return Parameter("DSN", "NOTIFY", ",".join(words))


def orcpt(value: str) -> Parameter:
    """Make ORCPT: the original recipient (§4.2).

    An address outside ASCII is of the type utf-8, in the form that is ASCII on the
    wire and needs no SMTPUTF8 (RFC 6533 §3).
    """
    check_type("orcpt", value, str)
    kind, semicolon, address = value.partition(";")
    if not semicolon:
        kind, address = "rfc822" if value.isascii() else "utf-8", value
    internationalized = kind.lower() == "utf-8"
    if not (
        _grammar.ADDR_TYPE.fullmatch(kind)
        and address
        and (
            _grammar.STRING.fullmatch(address)
            if internationalized
            else address.isascii()
        )
    ):
        msg = (
            f"orcpt {value!r} is not addr-type;address, in ASCII unless the type "
            "is utf-8 (RFC 3461 section 4.2, RFC 6533 section 3)"
        )
        raise InvalidInput(msg)
    encode = _grammar.embedded if internationalized else _grammar.xtext
    encoded = f"{kind};{encode(address)}"
    if len(encoded) > MAX_ORCPT:
        msg = f"orcpt {value!r} exceeds {MAX_ORCPT} characters (RFC 3461 section 4.2)"
        raise InvalidInput(msg)
    return Parameter("DSN", "ORCPT", encoded)


# DELIVERBY (RFC 2852)


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """When a message must be delivered, and what if it is not (RFC 2852 §4).

    `by_time` is the time left, in seconds or as a `timedelta`. `by_mode` is `"R"`
    (return it as undeliverable) or `"N"` (tell the sender and go on, in which case the
    time may be past). With `by_trace` every relay reports. Raises `InvalidInput`.
    """

    #: Seconds from now, negative where it is late already (RFC 2852 §4).
    by_time: int | timedelta
    #: What then: `"R"` returns the message, `"N"` tells and goes on.
    by_mode: str = "R"
    #: Whether each server on the way tells that it has it.
    by_trace: bool = False

    def __post_init__(self) -> None:
        """Check each against its grammar."""
        check_type("by_trace", self.by_trace, bool)
        mode = _word("by_mode", self.by_mode, _BY_MODES, "RFC 2852 section 4")
        least = 1 if mode == "R" else -_MAX_SECONDS
        _seconds("by_time", self.by_time, least, "RFC 2852 section 4")

    @property
    def seconds(self) -> int:
        """The time left, in seconds."""
        return _whole(self.by_time)


def deliver_by(value: DeliverBy | int | timedelta) -> Parameter:
    """Make BY: when it must be delivered, and what if it is not.

    A mere time is that of `DeliverBy`, and it is returned then.
    """
    check_type("deliver_by", value, DeliverBy, int, timedelta)
    if not isinstance(value, DeliverBy):
        value = DeliverBy(value)
    mode = value.by_mode.upper()
    trace = "T" if value.by_trace else ""
    check = partial(_check_by_time, value.seconds) if mode == "R" else None
    return Parameter("DELIVERBY", "BY", f"{value.seconds};{mode}{trace}", check)


def _check_by_time(seconds: int, session: Session) -> str | None:
    least = _number(session.extensions["DELIVERBY"])
    if least is None or seconds >= least:
        return None
    return (
        f"BY={seconds} is less than the {least} seconds in which the server delivers "
        "or returns a message (DELIVERBY)"
    )


# 8BITMIME (RFC 6152)


def eight_bit() -> Parameter:
    """Make BODY=8BITMIME: octets above 127 may come, and are not to be encoded."""
    return Parameter("8BITMIME", "BODY", "8BITMIME")


# FUTURERELEASE (RFC 4865)


def hold_for(value: int | timedelta) -> Parameter:
    """Make HOLDFOR: how long the server keeps it back, in seconds (§3)."""
    seconds = _seconds("hold_for", value, 1, "RFC 4865 section 3")
    check = partial(_check_interval, seconds)
    return Parameter("FUTURERELEASE", "HOLDFOR", str(seconds), check)


def _check_interval(seconds: int, session: Session) -> str | None:
    most = _number(session.extensions["FUTURERELEASE"].partition(" ")[0])
    if most is None or seconds <= most:
        return None
    return (
        f"HOLDFOR={seconds} exceeds the {most} seconds for which the server holds "
        "a message (FUTURERELEASE)"
    )


def hold_until(value: datetime) -> Parameter:
    """Make HOLDUNTIL: when the server lets it go (§3)."""
    until = _date_time("hold_until", value)
    check = partial(_check_moment, value)
    return Parameter("FUTURERELEASE", "HOLDUNTIL", until, check)


def _check_moment(until: datetime, session: Session) -> str | None:
    latest = session.extensions["FUTURERELEASE"].partition(" ")[2]
    if (last := _moment(latest)) is None or until <= last:
        return None
    return (
        f"HOLDUNTIL of {until} is later than {last}, until when the server holds "
        "a message (FUTURERELEASE)"
    )


# MT-PRIORITY (RFC 6710), REQUIRETLS (RFC 8689), AUTH (RFC 4954), RRVS (RFC 7293)


def priority(value: int) -> Parameter:
    """Make MT-PRIORITY: how urgent it is, from -9 to 9 (RFC 6710 §3)."""
    check_type("priority", value, int)
    if isinstance(value, bool) or abs(value) > _MAX_PRIORITY:
        msg = f"priority {value!r} is not -9 to 9 (RFC 6710 section 3)"
        raise InvalidInput(msg)
    return Parameter("MT-PRIORITY", "MT-PRIORITY", str(value))


def require_tls() -> Parameter:
    """Make REQUIRETLS: under TLS all the way, or not at all (RFC 8689 §2)."""
    return Parameter("REQUIRETLS", "REQUIRETLS", None, _check_tls)


def _check_tls(session: Session) -> str | None:
    if session.tls:
        return None
    return "REQUIRETLS needs TLS, and the connection has none"


def submitter(value: str) -> Parameter:
    """Make AUTH: who submitted it, a mailbox, or "" for nobody known (RFC 4954 §5)."""
    check_type("auth", value, str)
    encoded = "<>"
    if value:
        if not _grammar.MAILBOX.fullmatch(value) or not value.isascii():
            msg = f"auth {value!r} is not a mailbox in ASCII (RFC 4954 section 5)"
            raise InvalidInput(msg)
        encoded = _grammar.xtext(value)
    if len(encoded) > _MAX_SUBMITTER:
        msg = f"auth {value!r} exceeds {_MAX_SUBMITTER} characters (RFC 4954)"
        raise InvalidInput(msg)
    return Parameter("AUTH", "AUTH", encoded, _check_authenticated)


def _check_authenticated(session: Session) -> str | None:
    if session.peer.authenticated:
        return None
    return "AUTH= is for those who are authenticated (RFC 4954 section 5)"


def rrvs(value: datetime, action: str | None = None) -> Parameter:
    """Make RRVS: since when the mailbox must have been its owner's (RFC 7293 §3.1).

    `action` is `"C"` (deliver) or `"R"` (return it) for where a server on the way
    cannot tell.
    """
    since = _date_time("rrvs", value)
    if action is not None:
        word = _word("rrvs_action", action, _RRVS_ACTIONS, "RFC 7293 section 3.1")
        since = f"{since};{word}"
    return Parameter("RRVS", "RRVS", since)


# XFORWARD (Postfix), which says by a command what belongs to the next message


def forwarded(attributes: Attributes) -> tuple[Parameter, ...]:
    """Make what XFORWARD tells of where the message comes from, by attribute."""
    return tuple(
        Parameter("XFORWARD", name, value, partial(_check_attribute, name))
        for name, value in checked(attributes).items()
    )


def _check_attribute(name: str, session: Session) -> str | None:
    if name in session.extensions["XFORWARD"].upper().split():
        return None
    return f"the server takes no attribute {name} (XFORWARD)"


# The words, numbers and times in them


def _word(what: str, value: str, words: frozenset[str], source: str) -> str:
    check_type(what, value, str)
    if value.upper() not in words:
        choices = " nor ".join(sorted(words))
        msg = f"{what} {value!r} is neither {choices} ({source})"
        raise InvalidInput(msg)
    return value.upper()


def _whole(value: int | timedelta) -> int:
    return math.ceil(value.total_seconds()) if isinstance(value, timedelta) else value


def _seconds(what: str, value: int | timedelta, least: int, source: str) -> int:
    check_type(what, value, int, timedelta)
    seconds = _whole(value)
    if isinstance(value, bool) or not least <= seconds <= _MAX_SECONDS:
        msg = f"{what} {value!r} is not {least} to {_MAX_SECONDS} seconds ({source})"
        raise InvalidInput(msg)
    return seconds


def _date_time(what: str, value: datetime) -> str:
    """Give a moment as a date-time of RFC 3339 §5.6, in UTC and to the second."""
    check_type(what, value, datetime)
    if value.tzinfo is None or value.utcoffset() is None:
        msg = f"{what} {value} has no time zone"
        raise InvalidInput(msg)
    try:
        moment = value.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    except (OverflowError, ValueError):
        msg = f"{what} {value} is beyond what UTC can tell"
        raise InvalidInput(msg) from None
    return f"{moment.isoformat()}Z"


def _number(text: str) -> int | None:
    """Read a number of the server's; None where there is none."""
    return int(text) if _grammar.SECONDS.fullmatch(text) else None


def _moment(text: str) -> datetime | None:
    """Read a date-time of the server's; None where there is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
