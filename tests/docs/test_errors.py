"""The page on errors tells of every error, and what it tells happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from anyio.abc import ByteStream

import esmtp_async
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
    Refused,
    SenderRefused,
    SMTPError,
    StageTimeout,
    Timeouts,
    TLSFailed,
)
from esmtp_async.testing import Rule, SMTPServer
from tests.backends import everywhere

from .errors import ADVICE, AS_REPLY, NO, PAGE, PARTS, YES
from .pages import rendered

MESSAGE: Final = b"Subject: x\r\n\r\nHello\r\n"


def test_the_page_is_made_of_the_classes() -> None:
    page = PAGE.read_text("utf-8")
    assert page == rendered(page, PARTS), "run: python -m tests.docs.errors"


def test_every_error_has_its_advice() -> None:
    public = {
        shown
        for name in esmtp_async.__all__
        if isinstance(shown := getattr(esmtp_async, name), type)
        and issubclass(shown, SMTPError)
    }
    assert set(ADVICE) == public - {SMTPError}
    assert all(all(row) for row in ADVICE.values())


def test_the_tree_has_them_all() -> None:
    words = PARTS["tree"]().split()
    assert words.count(SMTPError.__name__) == 1
    for kind in ADVICE:
        assert words.count(kind.__name__) == 1, kind
    assert "ConnectFailed  (also ConnectionError)" in PARTS["tree"]()


def test_only_doubt_forbids_to_send_again() -> None:
    rows = PARTS["table"]().splitlines()
    assert [row for row in rows if "**no**" in row] == [
        row for row in rows if row.startswith("| `OutcomeUnknown`")
    ]


async def nowhere() -> ByteStream:
    raise ConnectionRefusedError("nobody listens")


class Trouble(NamedTuple):
    """How to come by an error, and what it is to say."""

    kind: type[SMTPError]
    temporary: bool
    rule: Rule | None = None
    options: ClientOptions = ClientOptions()
    recipient: str = "bob@example.test"


def refusal(
    kind: type[SMTPError], verb: str, options: ClientOptions | None = None
) -> list[Trouble]:
    """Give both refusals of a command."""
    return [
        Trouble(kind, temporary, Rule(verb, reply=reply), options or ClientOptions())
        for reply, temporary in (("550 no", False), ("450 not now", True))
    ]


TROUBLES: Final = [
    *refusal(GreetingRefused, "CONNECT"),
    *refusal(HelloRefused, "EHLO"),
    *refusal(AuthenticationFailed, "AUTH"),
    *refusal(SenderRefused, "MAIL"),
    *refusal(RecipientsRefused, "RCPT"),
    *refusal(ContentRefused, "DATA"),
    *refusal(ContentRefused, "CONTENT"),
    Trouble(InvalidInput, temporary=False, recipient="bob"),
    Trouble(NotSupported, temporary=False, recipient="jürgen@example.test"),
    Trouble(TLSFailed, temporary=False, options={"security": "starttls"}),
    Trouble(ConnectFailed, temporary=True, options={"connect": nowhere}),
    Trouble(ConnectionLost, temporary=True, rule=Rule("MAIL", silent=True, close=True)),
    Trouble(
        StageTimeout,
        temporary=True,
        rule=Rule("EHLO", silent=True),
        options={"timeouts": 0.05},
    ),
    Trouble(ProtocolViolation, temporary=True, rule=Rule("MAIL", reply="350 go on")),
    Trouble(
        OutcomeUnknown, temporary=True, rule=Rule("CONTENT", silent=True, close=True)
    ),
]

#: What the column says, for a refusal for good and for now, and for what is neither.
SAYS: Final[dict[str, Callable[[bool], bool]]] = {
    YES: lambda temporary: temporary,
    NO: lambda temporary: not temporary,
    "no; yes if the network broke off": lambda temporary: not temporary,
    AS_REPLY: lambda _: True,
}


def test_every_error_that_is_raised_as_itself_is_tried() -> None:
    tried = {trouble.kind for trouble in TROUBLES}
    bases = {base for kind in ADVICE for base in kind.__bases__}
    assert set(ADVICE) - bases == tried
    for kind in tried & {k for k, row in ADVICE.items() if row.temporary == AS_REPLY}:
        assert issubclass(kind, Refused)
        assert {t.temporary for t in TROUBLES if t.kind is kind} == {True, False}


@everywhere
@pytest.mark.parametrize(
    "trouble",
    TROUBLES,
    ids=lambda trouble: f"{trouble.kind.__name__}-{trouble.temporary}",
)
async def test_an_error_is_what_the_page_says(trouble: Trouble) -> None:
    server = SMTPServer(
        extensions=["PIPELINING"],
        users={"alice": "secret"} if trouble.kind is AuthenticationFailed else None,
        auth_needs_tls=False,
        rules=[] if trouble.rule is None else [trouble.rule],
    )
    options = ClientOptions(timeouts=Timeouts(quit=0.1))
    options.update(trouble.options)
    async with server, server.client(**options) as client:
        with pytest.raises(SMTPError) as info:
            await client.send(
                MESSAGE, sender="alice@example.test", recipients=trouble.recipient
            )
    error = info.value
    assert type(error) is trouble.kind
    assert error.temporary is trouble.temporary
    assert SAYS[ADVICE[trouble.kind].temporary](error.temporary)
    assert error.retry_safe is trouble.kind.retry_safe
