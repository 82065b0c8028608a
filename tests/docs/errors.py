"""The errors of the page on errors: their tree, and what to do about each.

``python -m tests.docs.errors`` writes them; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from esmtp_async import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    ContentRefused,
    GreetingRefused,
    HelloRefused,
    InvalidInput,
    NotDelivered,
    NotSupported,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    Refused,
    SenderRefused,
    SMTPError,
    StageTimeout,
    TLSFailed,
)

from .pages import DOCS, write

PAGE: Final = DOCS / "howto" / "errors.md"

YES, NO, AS_REPLY = "yes", "no", "as the reply"


class Advice(NamedTuple):
    """What a row of the page says of an error."""

    meaning: str
    temporary: str
    advice: str


ADVICE: Final[dict[type[SMTPError], Advice]] = {
    InvalidInput: Advice(
        "An address, an option or a message cannot be sent. Nothing was written.",
        NO,
        "Mend what the error names; `ValueError` catches it too.",
    ),
    NotDelivered: Advice(
        "The base of all in which nobody has the message.", "see below", "Catch it."
    ),
    Refused: Advice(
        "The base of all in which the server said no; by itself for a 421 that nothing "
        "had asked for.",
        AS_REPLY,
        "Read `reply`.",
    ),
    GreetingRefused: Advice(
        "The server does not serve us: too busy, or it does not like our address.",
        AS_REPLY,
        "Later, or with fewer `max_connections`; else ask who runs it.",
    ),
    HelloRefused: Advice(
        "EHLO was refused, mostly for the name in it.",
        AS_REPLY,
        "Give a name that the DNS knows: `client_hostname`.",
    ),
    AuthenticationFailed: Advice(
        "The password or token is wrong, no mechanism fits, or there is no TLS to send "
        "them under.",
        AS_REPLY,
        "Mend the credentials; to try again with the same locks accounts.",
    ),
    SenderRefused: Advice(
        "The reverse-path was refused: not yours, over a limit, or nobody may send who "
        "has not logged in (530).",
        AS_REPLY,
        "Use a sender that the account may use; for 530 give `username` and "
        "`password`.",
    ),
    RecipientsRefused: Advice(
        "Every recipient was refused.",
        AS_REPLY,
        "Later, for full mailboxes and greylisting; strike out who does not exist. "
        "Where relaying is denied, log in, or use a server that serves you.",
    ),
    ContentRefused: Advice(
        "The message was refused: spam, a virus, too big, or no room.",
        AS_REPLY,
        "Read `reply`; change the message.",
    ),
    NotSupported: Advice(
        "The message needs what the server does not offer: `extension`. Nobody was "
        "asked.",
        NO,
        "Do without it (`SendOptions.prefer`), shrink the message, or use another "
        "server.",
    ),
    TLSFailed: Advice(
        "There is no TLS as it is required: not offered, a certificate that does not "
        "verify, a wrong port.",
        "no; yes if the network broke off",
        "Read the error: it tells which `security=` the port wants, or "
        "[whom to trust](../explanation/tls.md#a-server-with-a-certificate-of-its-own)."
        " Never turn verification off.",
    ),
    ConnectFailed: Advice(
        "No connection came about: the name, the network, or nobody listens.",
        YES,
        "Later; look at name and port, and in a container at what `localhost` is.",
    ),
    ConnectionLost: Advice(
        "The connection ended before the server could have the message.",
        YES,
        "Send it again.",
    ),
    StageTimeout: Advice(
        "A time limit passed before the server could have the message; `stage` tells "
        "which.",
        YES,
        "Send it again, with more time.",
    ),
    ProtocolViolation: Advice(
        "The server said what no server may say. The connection was cut off.",
        YES,
        "Look at what it is, with `on_event`; tell who runs it.",
    ),
    OutcomeUnknown: Advice(
        "The end of the message was on its way, and no reply came. Somebody may have "
        "it.",
        YES,
        "[Look before you send it again](#when-nobody-can-know).",
    ),
}


def tree() -> str:
    """Draw the tree of the classes."""
    return "\n".join(["```text", SMTPError.__name__, *_branches(SMTPError, ""), "```"])


def _branches(base: type[SMTPError], indent: str) -> Iterator[str]:
    kinds = [kind for kind in ADVICE if kind.__bases__[0] is base]
    for kind in kinds:
        others = [each.__name__ for each in kind.__bases__[1:]]
        also = f"  (also {', '.join(others)})" if others else ""
        is_last = kind is kinds[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{kind.__name__}{also}"
        yield from _branches(kind, indent + ("    " if is_last else "│   "))


def table() -> str:
    """Set what to do as a table."""
    lines = [
        "| error | what happened | `temporary` | `retry_safe` | what to do |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *_rows()])


def _rows() -> Iterator[str]:
    for kind, (meaning, temporary, advice) in ADVICE.items():
        safe = "yes" if kind.retry_safe else "**no**"
        yield f"| `{kind.__name__}` | {meaning} | {temporary} | {safe} | {advice} |"


PARTS: Final = {"tree": tree, "table": table}


if __name__ == "__main__":
    write(PAGE, PARTS)
