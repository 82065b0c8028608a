"""Authenticated submission, step by step: the conversation of the docs, on a wire.

Each step is answered as it should be, and then with every class of reply that it
should not get; what `send` raises, and what became of the recipient, is written
down for each.
"""

from __future__ import annotations

from email.message import EmailMessage
from typing import Final

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

# The step; what it is answered with; the error; the recipient's outcome and the
# code of the reply that decided it; the commands the server had heard by then.

VIOLATION = (ProtocolViolation, "NOT_SENT", None)
WRONG: Final = [
    ("CONNECT", b"354", *VIOLATION, 0),
    ("CONNECT", b"250", *VIOLATION, 0),
    ("CONNECT", b"454", GreetingRefused, "NOT_SENT", 454, 0),
    ("CONNECT", b"554", GreetingRefused, "NOT_SENT", 554, 0),
    ("CONNECT", b"421", GreetingRefused, "NOT_SENT", 421, 0),
    ("EHLO", b"354", *VIOLATION, 1),
    ("EHLO", b"451", HelloRefused, "NOT_SENT", 451, 1),
    ("EHLO", b"502", HelloRefused, "NOT_SENT", 502, 1),
    ("EHLO", b"421", HelloRefused, "NOT_SENT", 421, 1),
    ("AUTH", b"235", AuthenticationFailed, "NOT_SENT", 235, 2),
    ("AUTH", b"250", *VIOLATION, 2),
    ("AUTH", b"354", *VIOLATION, 2),
    ("AUTH", b"454", AuthenticationFailed, "NOT_SENT", 454, 2),
    ("AUTH", b"504", AuthenticationFailed, "NOT_SENT", 504, 2),
    ("AUTH", b"421", AuthenticationFailed, "NOT_SENT", 421, 2),
    ("USERNAME", b"235", AuthenticationFailed, "NOT_SENT", 235, 3),
    ("USERNAME", b"250", *VIOLATION, 3),
    ("USERNAME", b"454", AuthenticationFailed, "NOT_SENT", 454, 3),
    ("USERNAME", b"535", AuthenticationFailed, "NOT_SENT", 535, 3),
    ("USERNAME", b"421", AuthenticationFailed, "NOT_SENT", 421, 3),
    ("PASSWORD", b"250", *VIOLATION, 4),
    ("PASSWORD", b"354", *VIOLATION, 4),
    ("PASSWORD", b"454", AuthenticationFailed, "NOT_SENT", 454, 4),
    ("PASSWORD", b"535", AuthenticationFailed, "NOT_SENT", 535, 4),
    ("PASSWORD", b"421", AuthenticationFailed, "NOT_SENT", 421, 4),
    ("MAIL", b"354", *VIOLATION, 5),
    ("MAIL", b"451", SenderRefused, "REFUSED", 451, 5),
    ("MAIL", b"550", SenderRefused, "REFUSED", 550, 5),
    ("MAIL", b"421", SenderRefused, "REFUSED", 421, 5),
    ("RCPT", b"354", *VIOLATION, 6),
    ("RCPT", b"450", RecipientsRefused, "REFUSED", 450, 6),
    ("RCPT", b"550", RecipientsRefused, "REFUSED", 550, 6),
    ("RCPT", b"421", RecipientsRefused, "REFUSED", 421, 6),
    ("DATA", b"250", *VIOLATION, 7),
    ("DATA", b"334", *VIOLATION, 7),
    ("DATA", b"451", ContentRefused, "REFUSED", 451, 7),
    ("DATA", b"554", ContentRefused, "REFUSED", 554, 7),
    ("DATA", b"421", ContentRefused, "REFUSED", 421, 7),
    ("CONTENT", b"354", OutcomeUnknown, "UNKNOWN", None, 7),
    ("CONTENT", b"452", ContentRefused, "REFUSED", 452, 7),
    ("CONTENT", b"554", ContentRefused, "REFUSED", 554, 7),
    ("CONTENT", b"421", ContentRefused, "REFUSED", 421, 7),
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
    ("step", "reply", "kind", "outcome", "code", "heard"),
    WRONG,
    ids=[f"{row[0]}-{row[1].decode()}" for row in WRONG],
)
async def test_every_step_may_be_answered_otherwise(
    step: str,
    reply: bytes,
    kind: type[SMTPError],
    outcome: str,
    code: int | None,
    heard: int,
) -> None:
    async with serving(conversation(step, reply), CONVERSATION) as server:
        client = server.client(auth=Login("alice", "sesame"), allow_plaintext_auth=True)
        async with client:
            with pytest.raises(SMTPError) as info:
                await client.send(message())
            assert type(info.value) is kind
            assert outcomes(info.value.recipients) == [("bob", outcome, code)]
            assert info.value.temporary is (reply[:1] == b"4" or kind in DOUBTFUL)
            said = server.heard[0].lines
            assert [line.partition(b" SIZE")[0] for line in said][:heard] == COMMANDS[
                :heard
            ]
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
