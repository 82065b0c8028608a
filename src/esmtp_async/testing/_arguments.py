"""The arguments of MAIL and RCPT, read strictly (RFC 5321 §4.1.1.2, §4.1.1.3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from esmtp_async.protocol._addresses import ForwardPath, ReversePath
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.testing._answers import Breach, Refusal
from esmtp_async.testing._store import Parameters

# xchar = %x21-2A / %x2C-3C / %x3E-7E, hexchar = "+" and two upper-case digits
#                                                       (RFC 3461 §4)
_XTEXT: Final = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"
_NOTIFY: Final = r"(?:SUCCESS|FAILURE|DELAY)"
_RFC3339: Final = (
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"  # RFC 3339 §5.6
)


class _Parameter(NamedTuple):
    """What one keyword needs: an extension, and a value of a certain form."""

    #: Any one of them allows it.
    extensions: frozenset[str]
    #: None where there must be no value.
    value: re.Pattern[str] | None
    #: How many octets it may add to the command line, its space included.
    allowance: int


def _parameter(extensions: str, value: str | None, allowance: int) -> _Parameter:
    pattern = None if value is None else re.compile(value, re.ASCII)
    return _Parameter(frozenset(extensions.split()), pattern, allowance)


MAIL_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    # RFC 1870 §3 (26 octets), RFC 6152 §2 (17), RFC 3030 §3
    "SIZE": _parameter("SIZE", r"[0-9]{1,20}", 26),
    "BODY": _parameter("8BITMIME BINARYMIME", r"(?i:7BIT|8BITMIME|BINARYMIME)", 17),
    # RFC 6531 §3.1 (10 octets), RFC 4954 §3 (500), RFC 8689 §2 (11)
    "SMTPUTF8": _parameter("SMTPUTF8", None, 10),
    "AUTH": _parameter("AUTH", rf"<>|{_XTEXT}+", 500),
    "REQUIRETLS": _parameter("REQUIRETLS", None, 11),
    # RFC 3461 §4.3, §4.4
    "RET": _parameter("DSN", r"(?i:FULL|HDRS)", 9),
    "ENVID": _parameter("DSN", rf"(?=.{{1,100}}\Z){_XTEXT}+", 107),
    # RFC 2852 §4 (17 octets), RFC 4865 §3 (34), RFC 6710 §3 (15)
    "BY": _parameter("DELIVERBY", r"(?i:[+-]?[0-9]{1,9};[NR]T?)", 17),
    "HOLDFOR": _parameter("FUTURERELEASE", r"[1-9][0-9]{0,8}", 18),
    "HOLDUNTIL": _parameter("FUTURERELEASE", _RFC3339, 34),
    "MT-PRIORITY": _parameter("MT-PRIORITY", r"-?[1-9]|0", 15),
}

RCPT_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    # RFC 3461 §4.1, §4.2; RFC 6533 §3 for addresses outside ASCII
    "NOTIFY": _parameter("DSN", rf"(?i:NEVER|{_NOTIFY}(?:,{_NOTIFY}){{0,2}})", 29),
    "ORCPT": _parameter(
        "DSN",
        rf"(?=.{{1,500}}\Z)(?:[A-Za-z0-9-]+;{_XTEXT}+|(?i:utf-8);[!-<>-~\x80-\U0010ffff]+)",
        507,
    ),
    # RFC 7293 §3.1
    "RRVS": _parameter("RRVS", rf"{_RFC3339}(?:;[CRcr])?", 33),
}

#: An argument: the keyword, the path in its brackets, and the parameters behind it.
_ARGUMENT: Final = re.compile(
    r"""(?P<path><(?:"(?:[^"\\]|\\.)*"|[^"<>\s])*>)(?P<parameters>(?:[ ][^ ]+)*)"""
)
_PARAMETER: Final = re.compile(
    r"(?P<keyword>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>.+))?"
)


_ATTRIBUTE: Final = re.compile(rf"(?P<name>[A-Za-z]+)=(?P<value>{_XTEXT}+)")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")


class Argument(NamedTuple):
    """A path without its brackets, and its parameters."""

    path: str
    parameters: Parameters


def line_allowance(
    parameters: Mapping[str, _Parameter], offered: Collection[str]
) -> int:
    """Give how many octets the offered extensions add to a command line."""
    return sum(
        parameter.allowance
        for parameter in parameters.values()
        if not parameter.extensions.isdisjoint(offered)
    )


def read_mail(argument: str, offered: Collection[str]) -> Argument:
    """Read what follows `MAIL `.

    Raises:
        Breach: where it is not what the RFCs and the offered extensions allow.
    """
    mail = _read("FROM:", MAIL_PARAMETERS, argument, offered)
    body = (mail.parameters.get("BODY") or "").upper()
    needed = "BINARYMIME" if body == "BINARYMIME" else "8BITMIME"
    if body and needed not in offered:
        raise Breach(555, "5.5.4", f"BODY={body} without {needed} offered")
    if mail.path:
        _check_path(ReversePath, mail.path, "5.1.7")
    if not mail.path.isascii() and "SMTPUTF8" not in mail.parameters:
        raise Breach(553, "5.6.7", "the reverse-path needs SMTPUTF8")
    return mail


def read_rcpt(argument: str, offered: Collection[str], *, smtputf8: bool) -> Argument:
    """Read what follows `RCPT `; `smtputf8` is whether MAIL declared it.

    Raises:
        Breach: where it is not what the RFCs and the offered extensions allow.
    """
    rcpt = _read("TO:", RCPT_PARAMETERS, argument, offered)
    if not rcpt.path:
        raise Breach(501, "5.1.3", "a forward-path cannot be null")
    _check_path(ForwardPath, rcpt.path, "5.1.3")
    if not argument.isascii() and not smtputf8:
        raise Breach(553, "5.6.7", "the forward-path needs SMTPUTF8")
    notify = (rcpt.parameters.get("NOTIFY") or "").upper().split(",")
    if len(notify) != len(set(notify)):
        raise Breach(501, "5.5.4", "NOTIFY repeats a keyword")
    return rcpt


def _check_path(
    production: type[ForwardPath | ReversePath], path: str, status: str
) -> None:
    try:
        production.parse(path)
    except InvalidInput as error:
        raise Breach(501, status, str(error)) from None


def _read(
    keyword: str,
    known: Mapping[str, _Parameter],
    argument: str,
    offered: Collection[str],
) -> Argument:
    match = _ARGUMENT.fullmatch(argument, len(keyword))
    if not argument.upper().startswith(keyword) or match is None:
        raise Breach(501, "5.5.4", f"expected {keyword}<path>, then parameters")
    parameters: dict[str, str | None] = {}
    for text in match["parameters"].split():
        name, value = _read_parameter(text, known, offered)
        if name in parameters:
            raise Breach(501, "5.5.4", f"{name} is given twice")
        parameters[name] = value
    return Argument(match["path"][1:-1], parameters)


def _read_parameter(
    text: str, known: Mapping[str, _Parameter], offered: Collection[str]
) -> tuple[str, str | None]:
    match = _PARAMETER.fullmatch(text)
    if match is None:
        raise Breach(501, "5.5.4", f"{text} is no parameter")
    name, value = match["keyword"].upper(), match["value"]
    parameter = known.get(name)
    if parameter is None:
        raise Breach(555, "5.5.4", f"{name} is not known here")
    if parameter.extensions.isdisjoint(offered):
        raise Breach(555, "5.5.4", f"{name} belongs to an extension not offered")
    well_formed = (
        value is None
        if parameter.value is None
        else value is not None and parameter.value.fullmatch(value) is not None
    )
    if not well_formed:
        raise Breach(501, "5.5.4", f"{text} does not follow the grammar of {name}")
    return name, value


def read_attributes(verb: str, argument: str, known: str) -> dict[str, str]:
    """Read what follows XCLIENT or XFORWARD; `known` are the attributes offered.

    Raises:
        Breach: where it is not what Postfix defines.
    """
    attributes: dict[str, str] = {}
    for word in argument.split(" "):
        match = _ATTRIBUTE.fullmatch(word)
        if match is None or match["name"].upper() not in known.upper().split():
            raise Breach(501, "5.5.4", f"{word} is no attribute of {verb}")
        octets = _HEXCHAR.sub(lambda hexchar: chr(int(hexchar[1], 16)), match["value"])
        attributes[match["name"].upper()] = octets.encode("latin-1").decode()
    return attributes


def check_declared_size(parameters: Parameters, limit: int) -> None:
    """Refuse a message that declares itself too large (RFC 1870 §6.1).

    Raises:
        Refusal: if it does.
    """
    if int(parameters.get("SIZE") or 0) > limit:
        raise Refusal(552, "5.3.4", f"the limit is {limit} octets")
