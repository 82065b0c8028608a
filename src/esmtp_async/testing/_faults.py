"""Faults in one line each: what a server refuses, how slow it is, where it breaks off.

They make rules, which stand behind those that are there: the first one that matches
decides, and delays are added to whatever is decided.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from esmtp_async.protocol._addresses import ForwardPath, Mailbox, ReversePath
from esmtp_async.testing._rules import Rule

#: Where in a conversation a fault can happen, and the verbs of `Rule` it stands for.
PLACES: Final = {
    "greeting": "CONNECT",
    "hello": "EHLO|HELO|LHLO",
    "starttls": "STARTTLS",
    "auth": "AUTH",
    "mail": "MAIL",
    "rcpt": "RCPT",
    "data": "DATA|BDAT|LAST",
    "message": "CONTENT|LAST",
    "rset": "RSET",
    "noop": "NOOP",
    "vrfy": "VRFY",
    "expn": "EXPN",
    "quit": "QUIT",
}
#: All verbs of `Rule`.
ANYWHERE: Final = "|".join(
    dict.fromkeys("|".join((*PLACES.values(), "RESPONSE", "HELP")).split("|"))
)

# RFC 2034 §4: a greeting and the answer to EHLO have no enhanced status code.
_BARE: Final = frozenset({PLACES["greeting"], PLACES["hello"]})

_TEXTS: Final = {
    421: "4.3.2 closing the connection",
    450: "4.2.0 mailbox not available, try again later",
    451: "4.3.0 try again later",
    452: "4.3.1 insufficient system storage",
    535: "5.7.8 credentials invalid",
    550: "5.1.1 no such user here",
    552: "5.3.4 the message is too large",
    554: "5.7.1 refused",
}

#: What is said where nobody says otherwise.
_CODES: Final = {"RCPT": 550, "AUTH": 535}

# Reply-line, 4yz or 5yz (RFC 5321 §4.2), LF between the lines.
_REFUSAL: Final = re.compile(
    r"(?P<code>[45][0-9][0-9])(?:-[^\r\n]*\n(?P=code))*(?: [^\r\n]*)?"
)


class Faulty(ABC):
    """A server that can be told to fail, by a line for each fault."""

    @property
    @abstractmethod
    def rules(self) -> list[Rule]:
        """The rules, which may be changed at any time."""

    def refuse(
        self,
        recipient: str | None = None,
        reply: str | None = None,
        *,
        sender: str | None = None,
        at: str | None = None,
        code: int | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> Rule:
        r"""Refuse something from now on; give the rule that does it.

        ::

            server.refuse("bob@example.com")
            server.refuse("@example.org", "450 4.2.1 not now", times=1)
            server.refuse(sender="spam@example.com", code=554)
            server.refuse(at="data", code=451, times=1)

        Args:
            recipient: a forward-path, or `@` and a domain for all its mailboxes.
            reply: what is said, `\n` between lines; 421 closes the connection as well.
            sender: a reverse-path, empty for the null one, or `@` and a domain.
            at: where, by its verb in any case, or `"greeting"`, `"hello"`, `"data"`
                (DATA or BDAT) or `"message"` (the end of the mail data). Unless given
                it is RCPT for a recipient, MAIL for a sender.
            code: what is said where there is no `reply`: 4yz for the time being, 5yz
                for good. Unless given it is 550 for a recipient, 535 at AUTH, else 554.
            times: how often; always, unless given.
            skip: how often it is let pass before.

        Raises:
            ValueError: if nothing tells what is refused, if there is no such place, or
                a path has no place there or is none, or the reply is none.
        """
        if recipient is None and sender is None and at is None:
            raise ValueError("what is refused? Give a recipient, a sender, or at=")
        if at is None:
            at = "mail" if recipient is None else "rcpt"
        verbs = _verbs(at)
        if reply is None:
            reply = _reply(verbs, code)
        if not _REFUSAL.fullmatch(reply):
            raise ValueError(f"{reply!r} is no reply that refuses")
        argument = _argument(at, sender, recipient)
        return self._add(Rule(verbs, argument, reply, times=times, skip=skip))

    def delay(
        self,
        seconds: float,
        *,
        at: str | None = None,
        recipient: str | None = None,
        sender: str | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> Rule:
        """Be slow from now on; give the rule that does it.

        `seconds` pass before what is said at each command, or only `at` one of the
        places of `refuse`; `math.inf` lasts until the client is gone. What else is to
        happen there happens behind it.

        Raises:
            ValueError: for less than no time, or as `refuse`.
        """
        if not seconds >= 0:
            raise ValueError(f"{seconds} seconds are no delay")
        if at is None and (recipient is not None or sender is not None):
            at = "mail" if recipient is None else "rcpt"
        verbs = ANYWHERE if at is None else _verbs(at)
        argument = "" if at is None else _argument(at, sender, recipient)
        rule = Rule(
            verbs, argument, times=times, skip=skip, delay=seconds, goes_on=True
        )
        return self._add(rule)

    def drop(
        self,
        *,
        at: str,
        taken: bool = True,
        recipient: str | None = None,
        sender: str | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> Rule:
        """Break the connection off from now on; give the rule that does it.

        It is reset instead of a reply `at` one of the places of `refuse`. A client
        that has sent a whole message cannot know whether the server has it: at
        `"message"` it has, unless `taken` is False.

        Raises:
            ValueError: as `refuse`.
        """
        rule = Rule(
            _verbs(at),
            _argument(at, sender, recipient),
            None if taken else "451 never said",
            times=times,
            skip=skip,
            silent=True,
            drop=True,
        )
        return self._add(rule)

    def _add(self, rule: Rule) -> Rule:
        self.rules.append(rule)
        return rule


def _reply(verbs: str, code: int | None) -> str:
    """Make a reply for whom the words do not matter."""
    if code is None:
        code = _CODES.get(verbs, 554)
    text = _TEXTS.get(code, f"{code // 100}.0.0 refused")
    return f"{code} {text.partition(' ')[2] if verbs in _BARE else text}"


def _verbs(at: str) -> str:
    if at.lower() not in PLACES:
        raise ValueError(f"at={at!r} is none of {', '.join(PLACES)}")
    return PLACES[at.lower()]


def _path(kind: type[ForwardPath | ReversePath], path: str) -> str:
    """Make an expression for a path, without which a fault would never happen.

    A client may say a domain as it is given here, or by its A-labels.
    """
    if path.startswith("@"):
        domain = Mailbox.parse(f"x{path}").domain
        return f"<[^>]*{_either(path, f'@{domain}')}>"
    return _either(f"<{path}>", kind.parse(path).wire.decode())


def _either(*texts: str) -> str:
    return f"(?:{'|'.join(dict.fromkeys(map(re.escape, texts)))})"


def _argument(at: str, sender: str | None, recipient: str | None) -> str:
    """Make an expression for what `Rule` sees of these paths."""
    place = at.lower()
    if place == "message":
        from_ = "" if sender is None else f"^{_path(ReversePath, sender)}"
        to = "" if recipient is None else f".* {_path(ForwardPath, recipient)}"
        return from_ + to
    known = f"at {place!r}: only at 'mail' (a sender), 'rcpt' (a recipient), 'message'"
    if recipient is not None and place != "rcpt":
        raise ValueError(f"a recipient is not known {known}")
    if sender is not None and place != "mail":
        raise ValueError(f"a sender is not known {known}")
    if recipient is not None:
        return f"^TO:{_path(ForwardPath, recipient)}"
    return "" if sender is None else f"^FROM:{_path(ReversePath, sender)}"
