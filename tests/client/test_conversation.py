"""Authenticated submission, step by step: the conversation of the docs, on a wire.

Each step is answered as it should be, and then with every class of reply that it
should not get; what `send` raises, and what became of the recipient, is written
down for each.
"""

from __future__ import annotations

from email.message import EmailMessage
from typing import Final, NamedTuple

import pytest

from esmtp_async import (
    AuthenticationFailed,
    ContentRefused,
    GreetingRefused,
    HelloRefused,
    Login,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    SenderRefused,
    SendOptions,
    SMTPError,
    Stage,
)
from tests.backends import everywhere
from tests.raw import Answer, Script, offering, script, serving

from .checks import outcomes

CHALLENGES: Final[Answer] = b"334 VXNlcm5hbWU6\r\n"
CONVERSATION: Final[Script] = script(
    EHLO=offering("AUTH LOGIN PLAIN"),
    AUTH=CHALLENGES,
    RESPONSE=[b"334 UGFzc3dvcmQ6\r\n", b"235 welcome\r\n"],
)
WELL: Final = dict.fromkeys(["MAIL", "RCPT", "CONTENT"], b"250 ok\r\n") | {
    "DATA": b"354 go\r\n"
}
COMMANDS: Final = [
    b"EHLO client.example.test",
    b"AUTH LOGIN",
    b"YWxpY2U=",
    b"c2VzYW1l",
    b"MAIL FROM:<alice@example.test>",
    b"RCPT TO:<bob@example.test>",
    b"DATA",
    b"QUIT",
]


class Wrong(NamedTuple):
    """A reply that a step should not get, and what comes of it."""

    step: str
    reply: bytes
    error: type[SMTPError]
    #: What becomes of the recipient, and the code of the reply that decided.
    outcome: str
    code: int | None
    #: How many of the commands the server had heard by then.
    heard: int


VIOLATION: Final = (ProtocolViolation, "NOT_SENT", None)
WRONG: Final = [
    Wrong("CONNECT", b"354", *VIOLATION, 0),
    Wrong("CONNECT", b"250", *VIOLATION, 0),
    Wrong("CONNECT", b"454", GreetingRefused, "NOT_SENT", 454, 0),
    Wrong("CONNECT", b"554", GreetingRefused, "NOT_SENT", 554, 0),
    Wrong("CONNECT", b"421", GreetingRefused, "NOT_SENT", 421, 0),
    Wrong("EHLO", b"354", *VIOLATION, 1),
    Wrong("EHLO", b"451", HelloRefused, "NOT_SENT", 451, 1),
    Wrong("EHLO", b"502", HelloRefused, "NOT_SENT", 502, 1),
    Wrong("EHLO", b"421", HelloRefused, "NOT_SENT", 421, 1),
    Wrong("AUTH", b"235", AuthenticationFailed, "NOT_SENT", 235, 2),
    Wrong("AUTH", b"250", *VIOLATION, 2),
    Wrong("AUTH", b"354", *VIOLATION, 2),
    Wrong("AUTH", b"454", AuthenticationFailed, "NOT_SENT", 454, 2),
    Wrong("AUTH", b"504", AuthenticationFailed, "NOT_SENT", 504, 2),
    Wrong("AUTH", b"421", AuthenticationFailed, "NOT_SENT", 421, 2),
    Wrong("USERNAME", b"235", AuthenticationFailed, "NOT_SENT", 235, 3),
    Wrong("USERNAME", b"250", *VIOLATION, 3),
    Wrong("USERNAME", b"454", AuthenticationFailed, "NOT_SENT", 454, 3),
    Wrong("USERNAME", b"535", AuthenticationFailed, "NOT_SENT", 535, 3),
    Wrong("USERNAME", b"421", AuthenticationFailed, "NOT_SENT", 421, 3),
    Wrong("PASSWORD", b"250", *VIOLATION, 4),
    Wrong("PASSWORD", b"354", *VIOLATION, 4),
    Wrong("PASSWORD", b"454", AuthenticationFailed, "NOT_SENT", 454, 4),
    Wrong("PASSWORD", b"535", AuthenticationFailed, "NOT_SENT", 535, 4),
    Wrong("PASSWORD", b"421", AuthenticationFailed, "NOT_SENT", 421, 4),
    Wrong("MAIL", b"354", *VIOLATION, 5),
    Wrong("MAIL", b"451", SenderRefused, "REFUSED", 451, 5),
    Wrong("MAIL", b"550", SenderRefused, "REFUSED", 550, 5),
    Wrong("MAIL", b"421", SenderRefused, "REFUSED", 421, 5),
    Wrong("RCPT", b"354", *VIOLATION, 6),
    Wrong("RCPT", b"450", RecipientsRefused, "REFUSED", 450, 6),
    Wrong("RCPT", b"550", RecipientsRefused, "REFUSED", 550, 6),
    Wrong("RCPT", b"421", RecipientsRefused, "REFUSED", 421, 6),
    Wrong("DATA", b"250", *VIOLATION, 7),
    Wrong("DATA", b"334", *VIOLATION, 7),
    Wrong("DATA", b"451", ContentRefused, "REFUSED", 451, 7),
    Wrong("DATA", b"554", ContentRefused, "REFUSED", 554, 7),
    Wrong("DATA", b"421", ContentRefused, "REFUSED", 421, 7),
    Wrong("CONTENT", b"354", OutcomeUnknown, "UNKNOWN", None, 7),
    Wrong("CONTENT", b"452", ContentRefused, "REFUSED", 452, 7),
    Wrong("CONTENT", b"554", ContentRefused, "REFUSED", 554, 7),
    Wrong("CONTENT", b"421", ContentRefused, "REFUSED", 421, 7),
]


def conversation(step: str = "", reply: bytes = b"") -> Script:
    """Give the script, with one step answered otherwise."""
    answer = reply + b" x\r\n"
    if step == "USERNAME":
        return {**CONVERSATION, "RESPONSE": answer}
    if step == "PASSWORD":
        return {**CONVERSATION, "RESPONSE": [b"334 UGFzc3dvcmQ6\r\n", answer]}
    if step in {"MAIL", "RCPT", "DATA", "CONTENT"}:
        # The next message may come on the same connection.
        return {**CONVERSATION, step: [answer, WELL[step]]}
    return {**CONVERSATION, step: answer} if step else CONVERSATION


def message() -> EmailMessage:
    made = EmailMessage()
    made["From"] = "Alice <alice@example.test>"
    made["To"] = "bob@example.test"
    made["Subject"] = "Hello"
    made.set_content("This is the body.\n.And a dot.\n")
    return made


@everywhere
async def test_every_step_is_said_in_its_turn() -> None:
    async with serving(conversation()) as server:
        client = server.client(auth=Login("alice", "sesame"), allow_plaintext_auth=True)
        async with client:
            receipt = await client.send(
                message(), options=SendOptions(x_mailer="esmtp_async")
            )
        assert receipt.accepted == ("bob@example.test",)
        (heard,) = server.heard
        assert heard.lines == COMMANDS
        (content,) = heard.contents
    header, _, body = content.partition(b"\r\n\r\n")
    fields = {line.partition(b":")[0] for line in header.split(b"\r\n")}
    assert {b"Date", b"From", b"To", b"X-Mailer", b"Subject", b"Message-ID"} <= fields
    assert b"\r\nX-Mailer: esmtp_async" in header
    assert body == b"This is the body.\r\n..And a dot.\r\n.\r\n"


@everywhere
@pytest.mark.parametrize(
    "wrong", WRONG, ids=[f"{wrong.step}-{wrong.reply.decode()}" for wrong in WRONG]
)
async def test_every_step_may_be_answered_otherwise(wrong: Wrong) -> None:
    answers = conversation(wrong.step, wrong.reply)
    async with serving(answers, CONVERSATION) as server:
        client = server.client(auth=Login("alice", "sesame"), allow_plaintext_auth=True)
        async with client:
            with pytest.raises(SMTPError) as info:
                await client.send(message())
            error = info.value
            assert type(error) is wrong.error
            assert outcomes(error.recipients) == [("bob", wrong.outcome, wrong.code)]
            assert error.temporary is (
                wrong.reply[:1] == b"4" or type(error) in DOUBTFUL
            )
            said = [line.partition(b" SIZE")[0] for line in server.heard[0].lines]
            assert said[: wrong.heard] == COMMANDS[: wrong.heard]
            assert b"c2VzYW1l" not in said[:3]
            receipt = await client.send(message())
        assert receipt.accepted == ("bob@example.test",)
        assert receipt.reply.code == 250


DOUBTFUL: Final = {ProtocolViolation, OutcomeUnknown}


@everywhere
async def test_the_password_is_not_given_to_a_prompt_for_the_name() -> None:
    wrong = {**CONVERSATION, "RESPONSE": [CHALLENGES, b"501 cancelled\r\n"]}
    async with serving(wrong) as server:
        client = server.client(auth=Login("alice", "sesame"), allow_plaintext_auth=True)
        async with client:
            with pytest.raises(AuthenticationFailed) as info:
                await client.send(message())
        assert info.value.stage is Stage.AUTH
        assert server.heard[0].lines[1:4] == [b"AUTH LOGIN", b"YWxpY2U=", b"*"]
        assert b"c2VzYW1l" not in server.heard[0].octets
