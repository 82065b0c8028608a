"""Errors and receipts, as they travel between processes."""

from __future__ import annotations

import pickle
from typing import Final

import pytest

from esmtp_async import (
    AuthenticationFailed,
    ClientOptions,
    ConnectFailed,
    ConnectionLost,
    ContentRefused,
    GreetingRefused,
    HelloRefused,
    InvalidInput,
    NotSupported,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    SenderRefused,
    SMTPClient,
    SMTPError,
    StageTimeout,
    Timeouts,
    TLSFailed,
)
from tests.backends import everywhere
from tests.client.checks import (
    BOB,
    CAROL,
    failure,
    send,
)
from tests.raw import (
    EOF,
    HANG,
    NAME,
    Answer,
    offering,
    script,
    serving,
)

WITH_PASSWORD: Final = ClientOptions(
    username="u", password="p", allow_plaintext_auth=True
)


@everywhere
@pytest.mark.parametrize(
    ("answers", "kind", "options"),
    [
        ({"CONNECT": b"554 no\r\n"}, GreetingRefused, {}),
        ({"EHLO": b"550 no\r\n"}, HelloRefused, {}),
        ({"CONNECT": b"oops\r\n"}, ProtocolViolation, {}),
        ({"CONNECT": EOF}, ConnectionLost, {}),
        ({}, TLSFailed, {"security": "starttls"}),
        ({"EHLO": offering("AUTH X")}, AuthenticationFailed, WITH_PASSWORD),
        ({"MAIL": b"451 4.3.0 later\r\n"}, SenderRefused, {}),
        ({"RCPT": b"550 5.1.1 no\r\n"}, RecipientsRefused, {}),
        ({"CONTENT": b"554 5.6.0 no\r\n"}, ContentRefused, {}),
        ({"CONTENT": EOF}, OutcomeUnknown, {}),
        ({"EHLO": offering("SIZE 1")}, NotSupported, {}),
        ({"MAIL": HANG}, StageTimeout, {"timeouts": Timeouts(command=0.1)}),
    ],
)
async def test_errors_can_be_pickled(
    answers: dict[str, Answer], kind: type[SMTPError], options: ClientOptions
) -> None:
    async with serving(script(**answers)) as server:
        async with server.client(**options) as client:
            error = await failure(client, kind, recipients=[BOB, CAROL])
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert type(copied) is kind
    assert str(copied) == str(error)
    assert repr(copied) == repr(error)
    assert vars(copied) == vars(error)
    assert len(copied.recipients) == 2
    assert copied.stage is error.stage
    assert copied.reply == error.reply
    assert type(copied).__module__ == "esmtp_async"


@everywhere
async def test_other_errors_can_be_pickled() -> None:
    async with SMTPClient("127.0.0.1", 1, client_hostname=NAME) as client:
        refused = await failure(client, ConnectFailed)
        invalid = await failure(client, InvalidInput, recipients="bad")
    for error in (refused, invalid):
        copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
        assert type(copied) is type(error)
        assert str(copied) == str(error)
        assert vars(copied) == vars(error)


@everywhere
async def test_receipts_can_be_pickled() -> None:
    async with serving(script()) as server, server.client() as client:
        receipt = await send(client)
        assert pickle.loads(pickle.dumps(receipt)) == receipt  # noqa: S301  # our own
        assert pickle.loads(pickle.dumps(await client.probe()))  # noqa: S301
