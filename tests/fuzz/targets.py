"""What must hold no matter what octets come; each target takes some and checks it.

A target raises only when its promise is broken: `AssertionError`, or any error
that is not among those that the code under test documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Final

from esmtp_async import DeliveryReport, OAuthBearer, XOAuth2
from esmtp_async._endpoint import parse_server
from esmtp_async.protocol import (
    UPGRADE,
    Anonymous,
    Channel,
    Command,
    Compute,
    CramMD5,
    Ehlo,
    Extensions,
    External,
    Fetch,
    ForwardPath,
    Login,
    Mail,
    Mailbox,
    Plain,
    Rcpt,
    Recipient,
    RemoteProtocolError,
    Reply,
    ReplyReader,
    ReversePath,
    Scram,
    State,
    Vrfy,
)
from esmtp_async.protocol._commands import Parameters
from esmtp_async.protocol._exceptions import AuthenticationFailed, InvalidInput
from esmtp_async.protocol._parameters import said
from tests.conversation import Conversation
from tests.protocol.certificates import RSA_SHA256
from tests.protocol.dialogue import answer_to
from tests.protocol.speaker import Speaker
from tests.transcript import Message, Transcript

#: Takes any octets.
Target = Callable[[bytes], None]

# RFC 5321 §4.2, read by one expression: an oracle for the reader, which is a loop.
_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\n]*))?\r\n")

# What a terminal, a log or a reader could be deceived by.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def replies(data: bytes) -> None:
    """No matter what comes and how it is cut, two readings of the grammar agree."""
    cut, octets = data[:1], data[1:]
    expected = list(_replies(octets))
    step = (cut[0] if cut else 0) + 1
    for pieces in (
        [octets],
        [octets[i : i + step] for i in range(0, len(octets), step)],
    ):
        reader, read = ReplyReader(), list[Reply]()
        with suppress(RemoteProtocolError):
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next_reply()) is not None:
                    read.append(reply)
        assert read == expected
    for reply in expected:
        assert not _UNSAFE.search(str(reply))
        assert not _UNSAFE.search(reply.text.replace("\n", ""))
        str(reply).encode("utf-8")
        status = reply.enhanced_status
        assert status is None or str(status)[0] == str(reply.code)[0]
        offered = Extensions.from_reply(reply)
        assert all(re.fullmatch(r"[A-Z0-9][A-Z0-9-]*", each) for each in offered)
        assert all(re.fullmatch(r"[A-Z0-9_-]{1,20}", each) for each in offered.auth)
        assert offered.size is None or 0 < offered.size < 10**20
        assert all(0 < limit < 10**6 for limit in offered.limits.values())


def _cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


def _replies(octets: bytes) -> Iterator[Reply]:
    """Read replies until something is none, or is longer than a reply may be."""
    lines: list[bytes] = []
    first, size = b"", 0
    while octets:
        match = _LINE.match(octets)
        if match is None or match.end() > 2048:
            return
        octets = octets[match.end() :]
        code, separator, text = match.groups()
        first = first or code
        if code != first:
            return
        lines.append(text or b"")
        size += len(match[0]) - 2
        if separator != b"-":
            yield Reply(int(code), tuple(lines))
            lines, first, size = [], b"", 0
        elif len(lines) >= 512 or size > 64 * 1024:
            return


def _message(**how: bool) -> Message:
    message = Message("a@x.test", [Recipient("b@x.test"), Recipient("c@x.test")])
    message.lines = [b"Hi.\r\n", b".\r\n"]
    for key, value in how.items():
        setattr(message, key, value)
    return message


_CONVERSATIONS: Final = [
    Transcript(
        "",
        "",
        lmtp=lmtp,
        pipelining=pipelining,
        starttls=starttls,
        auth=auth,
        allow_plaintext_auth=True,
        messages=[_message(**{how: True}), _message()],
    )
    for lmtp in (False, True)
    for pipelining in (True, False)
    for starttls, auth in (
        ("never", ()),
        ("required", ("PLAIN", "u", "p")),
        ("opportunistic", ("LOGIN", "u", "p")),
    )
    for how in ("eager", "all_or_nothing", "stream")
]

# Everything that any of these conversations may say, line by line.
_SAID: Final = re.compile(
    rb"EHLO client\.example\.test|HELO client\.example\.test|LHLO client\.example\.test"
    rb"|STARTTLS|AUTH PLAIN AHUAcA==|AUTH LOGIN|dQ==|cA==|\*|RSET|DATA|QUIT"
    rb"|MAIL FROM:<a@x\.test>(?: SIZE=8)?(?: BODY=8BITMIME)?|RCPT TO:<[bc]@x\.test>"
    rb"|BDAT [0-8](?: LAST)?|Hi\.|\.\.?"
)


def conversation(data: bytes) -> None:
    """No matter what a server says, we say only what was asked of us, and we end.

    Nothing that the server says comes back to it, no message is told accepted
    without a reply that takes it, and its end ends the conversation.
    """
    which, cut = (data[0], data[1] + 1) if len(data) > 1 else (0, 1)
    octets = data[2:]
    held = Conversation(_CONVERSATIONS[which % len(_CONVERSATIONS)])
    drive = Speaker(held).run()
    said = bytearray()
    # Behind the server's end nothing is waited for but what takes our leave.
    for heard in chain([None], _cut(octets, cut), [b""] * 8):
        try:
            step = next(drive) if heard is None else drive.send(heard)
            while step is UPGRADE:
                step = drive.send(b"")
        except StopIteration:
            break
        assert isinstance(step, bytes)
        said += step
    else:
        raise AssertionError(f"it goes on: {held.outcomes}, {bytes(said)!r}")
    for line in bytes(said).split(b"\r\n")[:-1]:
        assert _SAID.fullmatch(line), line
    assert said.endswith(b"\r\n") or not said
    taken = sum("ACCEPTED" in outcome for outcome in held.outcomes)
    assert taken <= 2 * octets.count(b"2")
    assert not taken or held.session.state in {State.CLOSED, State.READY}


_PASSWORD: Final = "correct horse"
_MECHANISMS: Final = [
    (mechanism, name)
    for mechanism in (
        Plain("u", _PASSWORD),
        Login("u", _PASSWORD),
        CramMD5("u", _PASSWORD),
        Scram("u", _PASSWORD, max_iterations=5000),
        External(),
        Anonymous(),
        OAuthBearer("u", "t0ken"),
        XOAuth2("u", "t0ken"),
    )
    for name in mechanism.names
]


def challenges(data: bytes) -> None:
    """No matter what a server asks, a mechanism ends and gives nobody its password.

    And no server that does not know the password succeeds where it must prove it.
    """
    mechanism, name = _MECHANISMS[(data[0] if data else 0) % len(_MECHANISMS)]
    proves = name.startswith("SCRAM-")
    offered = (name, f"{name}-PLUS") if data[:1] >= b"\x80" else (name,)
    responses = mechanism.respond(Channel(name, offered, "x.test", 587, RSA_SHA256.der))
    nonce = b""
    try:
        for asked in [None, *data[1:].split(b"\n"), *[b""] * 4]:
            # Our nonce is random, and a challenge may hold it.
            said = responses.send(asked and asked.replace(b"NONCE", nonce))
            while isinstance(said, (Fetch, Compute)):
                said = responses.send(answer_to(said))
            assert said is None or len(said) < 4096
            if proves or name == "CRAM-MD5":
                assert _PASSWORD.encode() not in (said or b"")
            if proves and not nonce:
                nonce = (said or b"").rpartition(b"r=")[2]
        raise AssertionError(f"{name} goes on")
    except AuthenticationFailed as refusal:
        told = str(refusal)
    except StopIteration:
        assert not proves, f"{name} believed the server"
        told = ""
    assert _PASSWORD not in told
    assert not _UNSAFE.search(told)


def addresses(data: bytes) -> None:
    """No matter what text it is, what is taken is one path on one line."""
    text = data.decode("utf-8", "surrogateescape")
    for kind in (ReversePath, ForwardPath):
        with suppress(InvalidInput):
            _check_path(kind.parse(text).wire)
    with suppress(InvalidInput):
        mailbox = Mailbox.parse(text)
        assert Mailbox.parse(str(mailbox)) == mailbox
    with suppress(InvalidInput):
        _check_line(Rcpt(text, said(Recipient("a@x.test", orcpt=text).parameters)))
    with suppress(InvalidInput):
        assert re.fullmatch(
            rb"EHLO ([A-Za-z0-9.-]+|\[[!-Z^-~]+\])\r\n", Ehlo(text).wire
        )
    with suppress(InvalidInput):
        _check_line(Vrfy(text))


def _check_path(wire: bytes) -> None:
    """See that it is one path: what ends it stands nowhere else outside quotes."""
    assert len(wire) <= 256
    inside = wire[1:-1]
    assert wire == b"<%b>" % inside
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", inside)
    assert not re.search(rb"[\x00-\x20<>\x7f]", bare), wire
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", inside.decode()), wire


def _check_line(command: Command) -> None:
    """See that it is one line, and no control is in it."""
    line = command.wire.decode()
    assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\r\n", line)
    assert not _UNSAFE.search(str(command))


def parameters(data: bytes) -> None:
    """No matter what a caller asks for, a line holds those parameters and no more."""
    words = data.decode("utf-8", "replace").split("\n")
    asked: Parameters = dict(zip(words[::2], [*words[1::2], None], strict=False))
    with suppress(InvalidInput):
        command = Mail("a@x.test", asked)
        _check_line(command)
        verb, path, *rest = command.wire.decode().removesuffix("\r\n").split(" ")
        assert (verb, path) == ("MAIL", "FROM:<a@x.test>")
        parts = (each.partition("=") for each in rest)
        assert {key: value if sign else None for key, sign, value in parts} == asked


def servers(data: bytes) -> None:
    """No matter what text names a server, it is understood or refused, safely."""
    text = data.decode("utf-8", "replace")
    secret = "s3cr3t"
    for given in (text, f"smtp://user:{secret}@{text}", f"smtps://{text}"):
        try:
            target = parse_server(given)
        except InvalidInput as error:
            told = str(error)
        else:
            told = f"{target!r}"
            assert target.path is not None or re.fullmatch(
                r"[a-z0-9._-]+|[0-9a-f:.]+(%[\w.~-]+)?", target.host
            ), target.host
        assert secret not in told
        assert told.isprintable()


#: By name.
def reports(data: bytes) -> None:
    """No matter what comes back, it is a report that can be shown, or refused."""
    try:
        report = DeliveryReport.parse(data)
    except InvalidInput:
        return
    assert report.recipients
    for recipient in report.recipients:
        if recipient.address:
            # With its type, as an address may have a semicolon of its own.
            assert recipient in report.for_recipient(f"rfc822;{recipient.address}")
        for shown in (recipient.address, recipient.remote_mta or ""):
            assert not _UNSAFE.search(shown)
    assert report.envid is None or report.has_envid(report.envid)
    assert report.message_id is None or not _UNSAFE.search(report.message_id)


TARGETS: Final[Mapping[str, Target]] = {
    target.__name__: target
    for target in (
        *(replies, conversation, challenges),
        *(addresses, parameters, servers, reports),
    )
}
