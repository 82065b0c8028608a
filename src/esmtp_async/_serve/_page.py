"""What the page is made of: a request in, an answer out, and no sockets.

The page is a few files that never change, and a program of theirs that asks the same
API that tests do (docs/howto/serve.md).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from http import HTTPStatus
from importlib import resources
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from esmtp_async._serve._maildir import Envelope, MailDirectory
from esmtp_async._serve._reading import (
    HEAD,
    Reading,
    first,
    inert,
    read,
    read_fields,
    with_pictures,
)

_JSON: Final = "application/json"
#: Messages in an answer, unless asked for another number; and the most.
_FEW: Final = 50
_MOST: Final = 500
#: Seconds that a request may wait for a message to come.
LONGEST_WAIT: Final = 60.0
#: Messages whose From and Subject are kept at hand.
_KNOWN: Final = 20_000

# The page's own files and nothing else.
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# A mail's HTML runs nothing, loads nothing and is nobody: what it shows, it brings
# along. A link that somebody follows opens in a page of its own.
_MAIL_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
_MAIL_PROLOGUE: Final = '<!doctype html><base target="_blank">'
# What a file of a mail may do in a browser: nothing.
_FILE_POLICY: Final = "default-src 'none'; sandbox"

_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
# What is told to be nothing else may be downloaded as what it is; a browser must not
# take the rest for a page.
_HARMLESS: Final = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"),
        *("application/zip", "text/plain", "text/csv", "text/calendar"),
    }
)


class Answer(NamedTuple):
    """An answer before it is written."""

    status: HTTPStatus
    type: str
    body: bytes
    headers: Mapping[str, str] = {}


class Unusable(Exception):
    """A request makes no sense; why, in words."""


def told(value: object, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Answer with a value as JSON."""
    return Answer(status, _JSON, json.dumps(value, indent=1).encode() + b"\n")


def problem(status: HTTPStatus, text: str) -> Answer:
    """Answer that something cannot be done."""
    return told({"error": text}, status)


class Page:
    """Answers requests about the mail in a directory."""

    def __init__(self, mail: MailDirectory) -> None:
        self._mail = mail
        self._headline = lru_cache(_KNOWN)(self._read_headline)
        files = resources.files("esmtp_async._serve") / "static"
        policy = {"Content-Security-Policy": _PAGE_POLICY}
        self._static = {
            path: Answer(HTTPStatus.OK, kind, (files / name).read_bytes(), policy)
            for path, (name, kind) in _FILES.items()
        }
        one = "/api/messages/(?P<id>[^/]+)"
        self._api: dict[str, dict[str, Callable[[Mapping[str, str]], Answer]]] = {
            "/api/messages": {"GET": self._list, "DELETE": self._clear},
            one: {"GET": self._show, "DELETE": self._delete},
            f"{one}/source": {"GET": self._source},
            f"{one}/html": {"GET": self._html},
            f"{one}/attachments/(?P<index>[0-9]+)": {"GET": self._attachment},
        }

    def answer(self, method: str, target: str) -> Answer:
        """Answer a request; HEAD is asked as GET."""
        split = urlsplit(target)
        if method == "GET" and split.path in self._static:
            return self._static[split.path]
        for path, acts in self._api.items():
            match = re.fullmatch(path, split.path)
            if match and method in acts:
                asked = {
                    name: unquote(step) for name, step in match.groupdict().items()
                }
                return self._act(acts[method], asked | {"query": split.query})
            if match:
                no = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not for it")
                return no._replace(headers={"Allow": ", ".join(acts)})
        return _NOWHERE

    def _act(
        self, act: Callable[[Mapping[str, str]], Answer], asked: Mapping[str, str]
    ) -> Answer:
        try:
            return act(asked)
        except KeyError:
            return _NOWHERE
        except Unusable as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))

    def _list(self, asked: Mapping[str, str]) -> Answer:
        wanted = _Wanted.of(asked["query"])
        deadline = time.monotonic() + wanted.wait
        while True:
            version = self._mail.version
            answer = self._found(wanted)
            left = deadline - time.monotonic()
            if answer["messages"] or left <= 0:
                return told(answer)
            self._mail.wait_for_change(version, left)

    def _clear(self, _asked: Mapping[str, str]) -> Answer:
        self._mail.clear()
        return _DONE

    def _delete(self, asked: Mapping[str, str]) -> Answer:
        self._mail.delete(asked["id"])
        return _DONE

    def _found(self, wanted: _Wanted) -> dict[str, object]:
        ids = self._mail.ids()
        start = 0
        if wanted.before:
            start = next((n for n, i in enumerate(ids) if i < wanted.before), len(ids))
        found: list[dict[str, object]] = []
        behind: str | None = None
        for message_id in ids[start:]:
            entry = self._entry(message_id)
            if entry is None or not wanted.fits(entry):
                continue
            if len(found) == wanted.limit:
                behind = str(found[-1]["id"])
                break
            found.append(entry)
        return {"total": len(ids), "messages": found, "before": behind}

    def _entry(self, message_id: str) -> dict[str, object] | None:
        """Give the entry of a message in the list, unless it is gone already."""
        try:
            envelope = self._mail.envelope(message_id)
            author, subject = self._headline(message_id)
        except KeyError:
            return None
        return {
            "id": envelope.id,
            "received": envelope.received,
            "reverse_path": envelope.reverse_path,
            "recipients": [recipient["path"] for recipient in envelope.recipients],
            "from": author,
            "subject": subject,
            "size": envelope.size,
            "breaches": len(envelope.breaches),
        }

    def _read_headline(self, message_id: str) -> tuple[str, str]:
        fields = read_fields(self._mail.octets(message_id, HEAD))
        return first(fields, "From"), first(fields, "Subject")

    def _read(self, message_id: str) -> tuple[Envelope, Reading]:
        octets = self._mail.octets(message_id)
        return self._mail.envelope(message_id), read(octets)

    def _show(self, asked: Mapping[str, str]) -> Answer:
        envelope, reading = self._read(asked["id"])
        return told(
            {
                **asdict(envelope),
                "from": reading.field("From"),
                "subject": reading.field("Subject"),
                "fields": reading.fields,
                "text": reading.text,
                "html": reading.html,
                "attachments": [
                    {
                        "index": each.index,
                        "name": each.name,
                        "type": each.type,
                        "content_id": each.content_id,
                        "size": len(each.octets),
                    }
                    for each in reading.attachments
                ],
                "problem": reading.problem,
            }
        )

    def _source(self, asked: Mapping[str, str]) -> Answer:
        octets = self._mail.octets(asked["id"])
        return _file(f"{asked['id']}.eml", "message/rfc822", octets)

    def _html(self, asked: Mapping[str, str]) -> Answer:
        _, reading = self._read(asked["id"])
        if reading.html is None:
            raise KeyError(asked["id"])
        html = with_pictures(inert(reading.html), reading.attachments)
        return Answer(
            HTTPStatus.OK,
            "text/html; charset=utf-8",
            (_MAIL_PROLOGUE + html).encode("utf-8", "replace"),
            {"Content-Security-Policy": _MAIL_POLICY},
        )

    def _attachment(self, asked: Mapping[str, str]) -> Answer:
        _, reading = self._read(asked["id"])
        for each in reading.attachments:
            if str(each.index) == asked["index"]:
                known = each.type in _HARMLESS
                kind = each.type if known else "application/octet-stream"
                return _file(each.name, kind, each.octets)
        raise KeyError(asked["index"])


_NOWHERE: Final = problem(HTTPStatus.NOT_FOUND, "there is no such thing here")
_DONE: Final = Answer(HTTPStatus.NO_CONTENT, "", b"")


def _file(name: str, kind: str, octets: bytes) -> Answer:
    """Answer with a file to be saved, under a name that is safe (RFC 6266)."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    exact = quote(name, safe="")
    named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"
    policy = {"Content-Disposition": named, "Content-Security-Policy": _FILE_POLICY}
    return Answer(HTTPStatus.OK, kind, octets, policy)


class _Wanted(NamedTuple):
    """Which messages are asked for."""

    limit: int = _FEW
    #: Only those before this one, which is newer.
    before: str = ""
    #: Only those to this forward-path.
    recipient: str = ""
    #: Only those with these words in a path, in From or in Subject.
    search: str = ""
    #: Seconds to wait for the first of them.
    wait: float = 0.0

    @classmethod
    def of(cls, query: str) -> _Wanted:
        """Read a query.

        Raises `Unusable`.
        """
        pairs = parse_qsl(query, keep_blank_values=True)
        asked = dict(pairs)
        unknown = asked.keys() - cls._fields
        if unknown or len(asked) < len(pairs):
            names = ", ".join(cls._fields)
            raise Unusable(f"a query has each of {names} at most once, and no others")
        limit = _number("limit", asked, _FEW, _MOST)
        if limit < 1 or limit % 1:
            raise Unusable("limit is a whole number of at least 1")
        return cls(
            limit=int(limit),
            before=asked.get("before", ""),
            recipient=asked.get("recipient", "").casefold(),
            search=asked.get("search", "").casefold(),
            wait=_number("wait", asked, 0, LONGEST_WAIT),
        )

    def fits(self, entry: Mapping[str, object]) -> bool:
        """Tell whether a message is one of them."""
        recipients = entry["recipients"]
        paths = (
            [str(path) for path in recipients] if isinstance(recipients, list) else []
        )
        if self.recipient and self.recipient not in map(str.casefold, paths):
            return False
        seen = (entry["reverse_path"], entry["from"], entry["subject"], *paths)
        return not self.search or any(
            self.search in str(each).casefold() for each in seen
        )


def _number(name: str, asked: Mapping[str, str], otherwise: int, most: float) -> float:
    text = asked.get(name, str(otherwise))
    if not _NUMBER.fullmatch(text) or float(text) > most:
        raise Unusable(f"{name} is a number up to {most:g}, in digits")
    return float(text)


_NUMBER: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?", re.ASCII)
