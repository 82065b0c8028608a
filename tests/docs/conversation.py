"""The conversation page's dialogue, held by the state machine itself.

`python -m tests.docs.conversation` writes it anew; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from esmtp_async.protocol import (
    NEED_DATA,
    Command,
    Envelope,
    Exchange,
    Inquiry,
    Login,
    MailData,
    Opening,
    Quit,
    Replied,
    Session,
    Transaction,
)

from .pages import DOCS, write

PAGE = DOCS / "explanation" / "conversation.md"

MESSAGE = b"""\
Date: Mon, 23 Nov 2026 12:00:00 +0000
From: alice@example.test
To: bob@example.test
X-Mailer: esmtp_async
Subject: Hello

This is the body.
"""


class Step(NamedTuple):
    """A reply that the server gives, and what it is about."""

    reply: bytes
    meaning: str


# One reply after another: the server of the page, without PIPELINING.
STEPS = (
    Step(b"220 mail.example.test ESMTP", "The server greets; connecting asked for it."),
    Step(
        b"250-mail.example.test\r\n250-AUTH LOGIN PLAIN\r\n250 SIZE 10485760",
        "What it offers: two mechanisms, and a limit on size.",
    ),
    Step(b"334 VXNlcm5hbWU6", "`Username:` in base64. LOGIN now waits for it."),
    Step(b"334 UGFzc3dvcmQ6", "`Password:`. Only now is the password given."),
    Step(b"235 2.7.0 Authentication successful", "We are who we say we are."),
    Step(b"250 2.1.0 Ok", "The reverse-path is taken: a transaction is open."),
    Step(b"250 2.1.5 Ok", "The forward-path is taken."),
    Step(b"354 End data with <CR><LF>.<CR><LF>", "The mail data may come."),
    Step(b"250 2.0.0 Ok: queued as 4F2kdx", "The server took responsibility."),
    Step(b"221 2.0.0 Bye", "Nothing more will be said."),
)


def exchanges() -> Iterator[Exchange]:
    """Give what the client wants to say, one part after another."""
    yield Opening(
        "client.example.test", mechanisms=[Login("alice", "secret")], secure=True
    )
    yield Transaction(
        Envelope.of("alice@example.test", ["bob@example.test"]), MailData(MESSAGE)
    )
    yield Inquiry(Quit())


def lines() -> Iterator[str]:
    """Hold the conversation; give a line of the page's table for each step."""
    parts = list(exchanges())
    session = Session(parts[0])
    answers = iter(STEPS)

    def answer(said: str) -> str:
        step = next(answers)
        session.receive_data(step.reply + b"\r\n")
        event = session.next_event()
        assert isinstance(event, Replied)
        assert event.owner is not None
        event.owner.replied(event.command, event.reply)
        heard = "<br>".join(
            f"`{line}`" for line in step.reply.decode("ascii").split("\r\n")
        )
        return f"| {said} | {heard} | **{event.state.name}** | {step.meaning} |"

    yield answer("*(connects)*")
    for part in parts:
        for step in part.commands(session):
            assert isinstance(step, Command)
            session.send(step, part)
            yield answer(f"`{step}`")
            if session.next_event() is not NEED_DATA:
                return


def dialogue() -> str:
    """Set the conversation as a table."""
    head = ["| client | server | state | what happened |", "|---|---|---|---|"]
    return "\n".join([*head, *lines()])


PARTS = {"dialogue": dialogue}

if __name__ == "__main__":
    write(PAGE, PARTS)
