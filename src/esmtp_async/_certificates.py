"""What a server's certificate says, once it was verified."""

import ssl
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from esmtp_async.protocol._replies import printable

# Types of attributes, as they are mostly written.
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}


class Certificate(NamedTuple):
    """A certificate that was verified; control characters in its names are escaped."""

    #: Whose it is, for example `CN=mail.example.com, O=Example`; may be empty.
    subject: str
    #: Who vouches for it.
    issuer: str
    #: The host names and addresses that it is for, patterns such as `*.example.com`
    #: among them.
    names: tuple[str, ...]
    #: From when it counts, in UTC.
    not_before: datetime
    #: Until when, in UTC.
    not_after: datetime


def certificate_of(records: ssl.SSLObject | None) -> Certificate | None:
    """Read the peer's certificate; None in clear text, or if it was not verified."""
    details = None if records is None else records.getpeercert()
    if not details:
        return None
    alternatives = _pairs(details.get("subjectAltName"))
    return Certificate(
        subject=_distinguished(details.get("subject")),
        issuer=_distinguished(details.get("issuer")),
        names=tuple(dict.fromkeys(value for _, value in alternatives)),
        not_before=_time(details.get("notBefore")),
        not_after=_time(details.get("notAfter")),
    )


def _distinguished(name: object) -> str:
    parts = [
        f"{_SHORT.get(kind, kind)}={value}"
        for part in _items(name)
        for kind, value in _pairs(part)
    ]
    return ", ".join(parts)


def _pairs(values: object) -> Iterator[tuple[str, str]]:
    """Go through pairs of strings, as the standard library gives them."""
    for kind, value in map(_items, _items(values)):
        yield str(kind), printable(str(value).encode())


def _items(values: object) -> Iterable[object]:
    return values if isinstance(values, tuple) else ()


def _time(text: object) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)
