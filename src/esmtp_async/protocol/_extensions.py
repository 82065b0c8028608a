"""What the server offers: its answer to EHLO or LHLO, read once (RFC 5321 §4.1.1.1).

Lines outside the grammar are ignored, as are values outside theirs: an offer
that cannot be read is no offer. The first line is the server's name, never an
extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from esmtp_async.protocol import _grammar
from esmtp_async.protocol._replies import Reply, printable

# SIZE 1*20DIGIT (RFC 1870 §3); LIMITS values 1*6DIGIT, not 0 (RFC 9422 §4).
_MAX_SIZE_DIGITS = 20
_MAX_LIMIT_DIGITS = 6


def _number(text: str, max_digits: int) -> int | None:
    """Read 1*max_digits ASCII digits, or give None."""
    if text.isascii() and text.isdigit() and len(text) <= max_digits:
        return int(text)
    return None


class Extensions(Mapping[str, str]):
    """Keywords, in upper case, to the parameters that followed them, to be printed.

    Look-up ignores case. Empty before EHLO, after HELO and after a TLS
    handshake (RFC 3207 §4.2).
    """

    def __init__(self, offers: Mapping[str, str] | None = None) -> None:
        self._offers = dict(offers or {})

    @classmethod
    def from_reply(cls, reply: Reply) -> Extensions:
        """Read the lines behind the first of a reply to EHLO or LHLO."""
        offers: dict[str, str] = {}
        for line in reply.lines[1:]:
            text = printable(line).strip(" ")
            # "AUTH=LOGIN PLAIN" stood in drafts before RFC 4954 and lives on.
            if text[:5].upper() == "AUTH=":
                text = f"AUTH {text[5:]}"
            keyword, _, parameters = text.partition(" ")
            if not _grammar.KEYWORD.fullmatch(keyword):
                continue
            keyword = keyword.upper()
            if keyword == "AUTH" and keyword in offers:
                offers[keyword] += f" {parameters}"
            else:
                offers.setdefault(keyword, parameters)
        return cls(offers)

    def __getitem__(self, keyword: str) -> str:
        """Give the parameters of a keyword, in any case, as text."""
        return self._offers[keyword.upper()]

    def __contains__(self, keyword: object) -> bool:
        """Tell whether a keyword is offered."""
        return isinstance(keyword, str) and (
            keyword in self._offers or keyword.upper() in self._offers
        )

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keywords in the order of the reply."""
        return iter(self._offers)

    def __len__(self) -> int:
        """Count the keywords."""
        return len(self._offers)

    def __repr__(self) -> str:
        """Show the offers."""
        return f"{type(self).__name__}({self._offers!r})"

    @cached_property
    def size(self) -> int | None:
        """The largest message in octets; None where no limit is told (RFC 1870)."""
        return _number(self.get("SIZE", ""), _MAX_SIZE_DIGITS) or None

    @cached_property
    def auth(self) -> tuple[str, ...]:
        """The SASL mechanisms, in upper case, in the server's order (RFC 4954)."""
        names = self.get("AUTH", "").upper().split()
        return tuple(
            dict.fromkeys(n for n in names if _grammar.SASL_MECHANISM.fullmatch(n))
        )

    @cached_property
    def limits(self) -> Mapping[str, int]:
        """The numeric limits of RFC 9422: MAILMAX, RCPTMAX, RCPTDOMAINMAX."""
        limits: dict[str, int] = {}
        for item in self.get("LIMITS", "").split():
            name, equals, value = item.partition("=")
            if not equals:
                return {}  # a syntax error voids the line (§3)
            if number := _number(value, _MAX_LIMIT_DIGITS):
                limits.setdefault(name.upper(), number)
        return limits
