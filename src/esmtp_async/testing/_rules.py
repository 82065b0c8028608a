"""Rules: where a server departs from serving, written down as data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, eq=False)
class Rule:
    """What the server does at a command instead of, or besides, serving it.

    The first rule that matches decides, but those that go on. Without any of the
    options behind `argument`, a rule just serves the command as usual, before the rules
    behind it.
    """

    #: The verb; `CONNECT` for the greeting, `CONTENT` for the end of the mail data,
    #: `LAST` for `BDAT n LAST`, `RESPONSE` for a client's line within AUTH. Several are
    #: separated by `|`.
    verb: str
    #: A regular expression searched, whatever the case, in what follows the verb. For
    #: CONTENT and LAST these are the paths, `<sender> <recipient> <recipient>`; with
    #: LMTP there is one recipient to each reply. For AUTH it is the mechanism alone.
    argument: str = ""
    #: The reply, without its final CRLF, `\n` between its lines. A command is also
    #: executed iff the reply is 2yz or 3yz, which is then said whatever happened.
    reply: str | None = None
    #: How many matches it applies to; None for all.
    times: int | None = None
    #: How many matches come before the first it applies to.
    skip: int = 0
    #: Seconds until the command is executed; `math.inf` lasts until the client is gone.
    delay: float = 0.0
    #: Whether the reply is withheld.
    silent: bool = False
    #: Whether the connection is closed behind the reply.
    close: bool = False
    #: Whether the connection is reset behind the reply, which may then get lost.
    drop: bool = False
    #: Whether this is but a delay, and the rules behind it decide the rest.
    goes_on: bool = False

    @property
    def executes(self) -> bool:
        """Whether the command is executed."""
        return self.reply is None or self.reply[:1] in {"2", "3"}

    @property
    def octets(self) -> bytes | None:
        """The octets of the reply, if the rule has one."""
        if self.reply is None:
            return None
        return self.reply.replace("\n", "\r\n").encode() + b"\r\n"

    def fits(self, verb: str, argument: str) -> bool:
        """Tell whether the rule is about this command."""
        return verb in self.verb.split("|") and bool(
            re.search(self.argument, argument, re.IGNORECASE)
        )


#: The rule where there is none: serve.
SERVE = Rule("")


class RuleBook:
    """Rules in order of precedence, and how often each has matched."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        #: May be changed while the server runs.
        self.rules = list(rules)
        self._matches: Counter[Rule] = Counter()

    def clear(self) -> None:
        """Forget the rules; one that comes back counts from the beginning."""
        self.rules.clear()
        self._matches.clear()

    def match(self, verb: str, argument: str) -> Rule:
        """Give the first rule that applies to this command, and count it.

        It has the delays of those that apply before it and go on.
        """
        delay = 0.0
        for rule in self.rules:
            if rule.fits(verb, argument) and self._applies(rule):
                if not rule.goes_on:
                    return replace(rule, delay=rule.delay + delay) if delay else rule
                delay += rule.delay
        return replace(SERVE, delay=delay) if delay else SERVE

    def _applies(self, rule: Rule) -> bool:
        self._matches[rule] += 1
        nth = self._matches[rule] - rule.skip
        return nth > 0 and (rule.times is None or nth <= rule.times)
