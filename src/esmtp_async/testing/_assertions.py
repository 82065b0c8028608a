"""Assertions about the mail that a server took, which tell what it took instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import ndiff, unified_diff
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from esmtp_async.testing._store import Said, StoredMessage, lines_of

#: What a text must be: equal to a string, or have in it what a pattern matches.
Expected = str | re.Pattern[str]

#: How many messages, and lines of a conversation, are told at most.
_SHOWN: Final = 20
#: Characters within whose lines differences are looked for: that takes its time.
_CLOSELY: Final = 8000
#: How many lines are told of what is longer.
_LINES: Final = 60

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


class Inbox(Protocol):
    """What holds messages: `SMTPServer`, `ThreadedServer`, and what is like them."""

    @property
    def messages(self) -> Sequence[StoredMessage]:
        """The messages taken."""
        ...

    @property
    def transcript(self) -> Sequence[Sequence[Said]]:
        """What was said on each connection."""
        ...


class _Text(NamedTuple):
    """A text that a message must have."""

    name: str
    expected: Expected
    #: Gets it from the message.
    of: Callable[[StoredMessage], str]


class _Mismatch(NamedTuple):
    """What about a message is otherwise."""

    name: str
    expected: object
    found: object


class _Wanted(NamedTuple):
    """What a message must be; None is anything."""

    to: str | Sequence[str] | None
    sender: str | None
    texts: Sequence[_Text]
    attachments: Sequence[str] | None
    content: bytes | None

    def mismatches(self, message: StoredMessage) -> Iterator[_Mismatch]:
        """Yield what about a message is otherwise."""
        paths = list(message.forward_paths)
        if isinstance(self.to, str):
            if self.to not in paths:
                yield _Mismatch("to", self.to, ", ".join(paths))
        elif self.to is not None and sorted(self.to) != sorted(paths):
            yield _Mismatch("to", ", ".join(self.to), ", ".join(paths))
        if self.sender not in {None, message.reverse_path}:
            yield _Mismatch("sender", self.sender, message.reverse_path)
        for name, expected, of in self.texts:
            found = of(message)
            if not _fits(expected, found):
                yield _Mismatch(name, expected, found)
        if self.attachments is not None:
            names = [attachment.filename for attachment in message.attachments]
            if list(self.attachments) != names:
                yield _Mismatch("attachments", list(self.attachments), names)
        if self.content is not None and self.content != message.content:
            yield _Mismatch("content", self.content, message.content)


def assert_sent(
    inbox: Inbox,
    *,
    to: str | Iterable[str] | None = None,
    sender: str | None = None,
    subject: Expected | None = None,
    text: Expected | None = None,
    html: Expected | None = None,
    headers: Mapping[str, Expected] | None = None,
    attachments: Iterable[str] | None = None,
    content: bytes | None = None,
    count: int | None = 1,
) -> StoredMessage:
    """Assert that a message was sent, and give the first of those that fit.

    ::

        message = assert_sent(smtp_server, to="bob@example.com", subject="Welcome!")
        assert "confirm" in message.text

    What is not given may be anything. A string must be equal, but for line ends at the
    end of a body; in a text a compiled pattern must be found.

    Args:
        inbox: a server, such as the fixture `smtp_server`.
        to: one of the recipients of the envelope, or exactly all, in any order: with
            Bcc, whatever the header fields say.
        sender: the reverse-path of the envelope, empty for the null one.
        subject: the Subject, decoded.
        text: the body as plain text.
        html: the body as HTML.
        headers: header fields by name, decoded; one that is missing is an empty string.
        attachments: the names of all files, in their order.
        content: all octets of the message.
        count: how many messages must fit, 1 or more; None for one at least.

    Raises:
        AssertionError: telling what came, and how it differs.
        ValueError: for a `count` of none, which is `assert_nothing_sent`.
    """
    __tracebackhide__ = True  # pytest shows where it was called
    if count is not None and count < 1:
        raise ValueError(f"count={count}: for none there is assert_nothing_sent")
    texts = {"subject": subject, "text": text, "html": html}
    wanted = _Wanted(
        to if to is None or isinstance(to, str) else list(to),
        sender,
        [
            *(_Text(n, x, attrgetter(n)) for n, x in texts.items() if x is not None),
            *(_Text(n, x, partial(_field, n)) for n, x in (headers or {}).items()),
        ],
        None if attachments is None else list(attachments),
        content,
    )
    messages = list(inbox.messages)
    wrong = [list(wanted.mismatches(message)) for message in messages]
    fitting = [m for m, ways in zip(messages, wrong, strict=True) if not ways]
    if not fitting or count not in {None, len(fitting)}:
        problem = _problem(messages, wrong, len(fitting), count)
        if not messages:
            problem += _conversation(inbox)
        raise AssertionError("\n".join(problem))
    return fitting[0]


def assert_nothing_sent(inbox: Inbox, *, to: str | None = None) -> None:
    """Assert that no message was sent, or none that has a certain recipient.

    Raises:
        AssertionError: naming the messages that were.
    """
    __tracebackhide__ = True
    came = [m for m in inbox.messages if to is None or to in m.forward_paths]
    if came:
        whom = "" if to is None else f" to {to}"
        were = "was" if len(came) == 1 else "were"
        told = [f"no message was to be sent{whom}, but {_count(len(came))} {were}:"]
        told += [_summary(number, message) for number, message in enumerate(came, 1)]
        raise AssertionError("\n".join(told[: _SHOWN + 1]))


def _field(name: str, message: StoredMessage) -> str:
    """Give a header field of a message."""
    return str(message.message.get(name, ""))


def _fits(expected: Expected, found: str) -> bool:
    if isinstance(expected, re.Pattern):
        return expected.search(found) is not None
    return _lines(expected) == _lines(found)


def _lines(text: str) -> list[str]:
    """Take a text apart, whatever its line ends, and whether or not one ends it."""
    return _LINE_END.split(text.rstrip("\r\n"))


def _told(mismatch: _Mismatch) -> list[str]:
    """Tell what was expected and what was found; line by line if there are several."""
    name, expected, found = mismatch
    heading = f"{name}: - expected, + found"
    if isinstance(expected, bytes) and isinstance(found, bytes):
        return [heading, *_differences(_octets(expected), _octets(found))]
    if isinstance(expected, str) and isinstance(found, str):
        wanted, there = _lines(expected), _lines(found)
        if max(len(wanted), len(there)) > 1:
            return [heading, *_differences(wanted, there)]
    pattern = isinstance(expected, re.Pattern)
    shown = expected.pattern if isinstance(expected, re.Pattern) else expected
    return [
        f"{name}: {'pattern ' if pattern else 'expected'} {shown!r}",
        f"{' ' * len(name)}  found    {found!r}",
    ]


def _octets(content: bytes) -> list[str]:
    """Give the lines of a message, each octet as it is."""
    return [repr(line)[1:] for line in content.splitlines(keepends=True)]


def _differences(wanted: list[str], there: list[str]) -> Iterator[str]:
    """Tell two texts line by line, of long ones only where they begin to differ."""
    if sum(map(len, wanted)) + sum(map(len, there)) <= _CLOSELY:
        lines = ndiff(wanted, there)
    else:
        headless = islice(unified_diff(wanted, there, n=1, lineterm=""), 2, None)
        lines = islice(headless, _LINES)
    return (f"  {line.rstrip()}" for line in lines)


def _problem(
    messages: Sequence[StoredMessage],
    wrong: Sequence[list[_Mismatch]],
    fitting: int,
    count: int | None,
) -> list[str]:
    """Tell which messages there are, and how the likeliest one differs."""
    wanted = "a message" if count is None else _count(count)
    told = [f"{wanted} should be like that, of {len(messages)} that came: {fitting}"]
    # The one that was meant is probably the one with the fewest faults.
    by_likeness = sorted(range(len(messages)), key=lambda index: len(wrong[index]))
    likeliest = next((index for index in by_likeness if wrong[index]), None)
    if fitting >= (1 if count is None else count):
        likeliest = None
    for index, message in enumerate(messages):
        if index < _SHOWN or index == likeliest:
            fits = "" if wrong[index] else ": fits"
            told.append(_summary(index + 1, message) + fits)
        if index == likeliest:
            told += [f"     {line}" for each in wrong[index] for line in _told(each)]
    if len(messages) > _SHOWN:
        told.append(f"  and others, {len(messages)} in all")
    return told


def _count(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _summary(number: int, message: StoredMessage) -> str:
    paths = ", ".join(message.forward_paths)
    return f"  {number}. <{message.reverse_path}> to {paths}: {message.subject!r}"


def _conversation(inbox: Inbox) -> list[str]:
    """Tell how the last conversation ended, which tells why nothing came."""
    conversations = list(inbox.transcript)
    if not conversations:
        return ["nobody connected"]
    lines = [f"  {line}" for line in lines_of(conversations[-1])]
    return ["the last conversation ended like this:", *lines[-_SHOWN:]]
