"""Header fields that fold into what they mean, whichever Python folds them.

The standard library may fold a comma into an encoded word, lose the quotes of a
name, or make an encoded word of a long URI; on some versions a list of addresses
then names other people. Here a field is words, and a line breaks between two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from email import policy
from email.charset import Charset
from email.headerregistry import (
    Address,
    AddressHeader,
    BaseHeader,
    ContentDispositionHeader,
    Group,
    HeaderRegistry,
    UnstructuredHeader,
)
from email.message import EmailMessage
from itertools import count
from typing import Final
from urllib.parse import quote

from esmtp_async._headers import Field
from esmtp_async.protocol._exceptions import InvalidInput, check_type

#: Octets that a word may have, so that it fits a line of 998 with any name.
MAX_WORD: Final = 900
# What makes an encoded word of 75 at most (RFC 2047 §2), in base64.
_MAX_CHUNK: Final = 45
# Longer ones are not quoted, but taken apart.
_MAX_QUOTED: Final = 60

_UTF8: Final = Charset("utf-8")
_WORDS: Final = re.compile(r"[!-~]+(?: +[!-~]+)*")
_ONE_SPACE: Final = re.compile(r"(?<! ) (?! )")
_ATOMS: Final = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII
)
_QUOTABLE: Final = re.compile(r"[!-~]+(?: [!-~]+)*")
_ESCAPED: Final = re.compile(r'["\\]')
_FOLD: Final = re.compile(r"\r\n(?=[ \t])")
# The tab apart: it is a space. And whatever Python takes for the end of a line.
_CONTROL: Final = re.compile(r"[\0-\x08\n-\x1f\x7f-\x9f\u2028\u2029]")


def checked_text(argument: str, value: object) -> str:
    """Give a text without lone surrogates; raises `InvalidInput` for anything else."""
    check_type(argument, value, str)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{argument} holds a lone surrogate at character {error.start}"
        raise InvalidInput(msg) from None
    return text


def checked_line(argument: str, value: object) -> str:
    """Give a text that stays in its field: without line ends and control characters."""
    text = checked_text(argument, value)
    if control := _CONTROL.search(text):
        msg = f"{argument} holds {control[0]!r} at character {control.start()}"
        raise InvalidInput(msg)
    return text


class Text(UnstructuredHeader):
    """Text, taken literally: what looks like an encoded word is none."""

    @classmethod
    def parse(cls, value: str, kwds: dict[str, object]) -> None:
        """Take the value as it is."""
        kwds["parse_tree"] = None
        kwds["decoded"] = value


class UniqueText(Text):
    """A text that a message has once."""

    max_count = 1


class FoldedByWords(BaseHeader):
    """A header whose lines break between words."""

    def fold(self, *, policy: policy.Policy) -> str:
        """Give the whole field, in lines of the policy's length where that can be."""
        words = _words(self.name, self)
        if words is None:
            return super().fold(policy=policy)
        return _by_words(self.name, words, policy.max_line_length, policy.linesep)


def _by_words(name: str, words: list[str], limit: int | None, line_end: str) -> str:
    """Give a whole field, in lines of this length where words allow it.

    The first word stands beside the name in any case: there are readers that take a
    name alone for an empty field.
    """
    lines = [f"{name}:"]
    for index, word in enumerate(words):
        if index and len(lines[-1]) + 1 + len(word) > (limit or float("inf")):
            lines.append("")
        lines[-1] += f" {word}"
    return line_end.join(lines) + line_end


def _words(name: str, header: BaseHeader) -> list[str] | None:
    """Give what stands between two spaces, in ASCII but for a local part.

    None for what the standard library folds well.
    """
    field = Field(name, header)
    if isinstance(header, UnstructuredHeader):
        return _text(str(header))
    if isinstance(header, AddressHeader):
        specs = iter(field.mailboxes)
        return _listed(_group(group, specs) for group in header.groups)
    if isinstance(header, ContentDispositionHeader):
        words = [str(header.content_disposition)]
        for key, value in header.params.items():
            words += _parameter(key, value)
        return [f"{word};" for word in words[:-1]] + words[-1:]
    return None


def faithful(name: str, header: object, folded: bytes, limit: int | None) -> bytes:
    """Give a folded field; by words, where it has come to mean something else.

    What stands in one line, without encoded words, means what it says; so does what is
    no header object, but text that is folded where it has spaces.
    """
    is_one_line = b"=?" not in folded and folded.count(b"\r\n") == 1
    if is_one_line or not isinstance(header, BaseHeader):
        return folded
    # In what is for programs, such as List-Unsubscribe, nobody decodes a word.
    is_needless = b"=?" in folded and header.isascii() and "=?" not in header
    if not is_needless and _is_read_as(name, header, folded):
        return folded
    words = _words(name, header)
    if words is None:
        return folded
    return _by_words(name, words, limit, "\r\n").encode("utf-8", "surrogateescape")


def _is_read_as(name: str, header: BaseHeader, folded: bytes) -> bool:
    """Tell whether the standard library reads from it what the header says."""
    text = folded.decode("utf-8", "surrogateescape").partition(":")[2]
    try:
        read = policy.default.header_factory(name, _FOLD.sub("", text).strip())
        return _meaning(read) == _meaning(header)
    except Exception:  # noqa: BLE001  # on what it did not foresee, in any way there is
        return False


def _meaning(header: object) -> object:
    """Give what a reader makes of a header."""
    if isinstance(header, AddressHeader):
        return [(each.display_name, each.addr_spec) for each in header.addresses]
    if isinstance(header, ContentDispositionHeader):
        return dict(header.params)
    return str(header).split()


def _is_plain(form: re.Pattern[str], text: str) -> bool:
    """Tell whether a text stands for itself, and cannot be taken for encoded words."""
    return form.fullmatch(text) is not None and "=?" not in text


def _text(text: str) -> list[str]:
    """Write a text: as it is, or all of it encoded."""
    words = _ONE_SPACE.split(text)
    if _is_plain(_WORDS, text) and max(map(len, words)) <= MAX_WORD:
        return words
    return list(_encoded_words(text))


def _encoded_words(text: str) -> Iterator[str]:
    """Give a text as encoded words; spaces between them are none (RFC 2047 §6.2)."""
    for chunk in _chunks(text, _MAX_CHUNK, lambda each: len(each.encode())):
        yield _UTF8.header_encode(chunk)


def _chunks(text: str, limit: int, width: Callable[[str], int]) -> Iterator[str]:
    """Cut a text between characters (RFC 2047 §5) into pieces of a width at most."""
    start = size = 0
    for index, each in enumerate(text):
        size += width(each)
        if size > limit:
            yield text[start:index]
            start, size = index, width(each)
    if text:
        yield text[start:]


def _phrase(name: str) -> list[str]:
    """Write a display name: as it is, quoted, or encoded (RFC 5322 §3.2.5)."""
    atoms = name.split(" ")
    if _is_plain(_ATOMS, name) and max(map(len, atoms)) <= _MAX_QUOTED:
        return atoms
    if _is_plain(_QUOTABLE, name) and len(name) <= _MAX_QUOTED:
        return ['"' + _ESCAPED.sub(r"\\\g<0>", name) + '"']
    return list(_encoded_words(name))


def _group(group: Group, specs: Iterator[str]) -> list[str]:
    """Write a group, or the one mailbox that stands for a group without a name."""
    people = _listed(_mailbox(each, next(specs)) for each in group.addresses)
    if group.display_name is None:
        return people
    return [*_phrase(group.display_name), ":", *people, ";"]


def _mailbox(address: Address, spec: str) -> list[str]:
    if not address.display_name:
        return [spec]
    return [*_phrase(address.display_name), f"<{spec}>"]


def _listed(items: Iterable[list[str]]) -> list[str]:
    """Put commas between what is in a list."""
    words: list[str] = []
    for item in items:
        if words:
            words[-1] += ","
        words += item
    return words


def _parameter(name: str, value: str) -> list[str]:
    """Write a parameter: quoted, or in UTF-8 and, where long, in pieces (RFC 2231)."""
    plain = _is_plain(_QUOTABLE, value) and not _ESCAPED.search(value)
    if plain and len(value) <= _MAX_QUOTED:
        return [f'{name}="{value}"']
    pieces = list(_chunks(value, _MAX_QUOTED, lambda each: len(quote(each, safe=""))))
    coded = [quote(piece, safe="") for piece in pieces]
    if len(coded) == 1:
        return [f"{name}*=utf-8''{coded[0]}"]
    marks = ["utf-8''"] + [""] * len(coded)
    return [
        f"{name}*{index}*={mark}{piece}"
        for index, mark, piece in zip(count(), marks, coded)
    ]


def _policy() -> policy.EmailPolicy[EmailMessage]:
    registry = HeaderRegistry(base_class=FoldedByWords, default_class=Text)
    for name in ("subject", "message-id", "in-reply-to", "references"):
        registry.map_to_type(name, UniqueText)  # type: ignore[arg-type]  # typeshed asks for what no header class is
    return policy.SMTP.clone(header_factory=registry)


#: The policy of messages whose fields fold so, with CRLF as the end of a line.
POLICY: Final = _policy()
