"""How the client plays a transcript, and what it may tell of the messages."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from anyio.abc import ByteStream

from esmtp_async import (
    Event,
    Outcome,
    OutcomeUnknown,
    Pipelining,
    SendOptions,
    SMTPClient,
    SMTPError,
    Stage,
    Timeouts,
)
from tests.client.certificates import client_context
from tests.conversation import Lines, account, mechanisms, problem
from tests.playing import accounts
from tests.transcript import Message, Transcript

NAME: Final = "127.0.0.1"
#: Where recipients were too many, as an outcome tells.
TOO_MANY: Final = re.compile("REFUSED (452|552) rcpt temporary")
#: Seconds for a stage, and in real time for a whole conversation.
LIMIT: Final = 10.0

_SECURITY: Final = {
    "never": "plaintext",
    "required": "starttls",
    "opportunistic": "opportunistic",
}


def client_of(
    transcript: Transcript,
    connect: Callable[[], Awaitable[ByteStream]],
    *,
    timeouts: Timeouts | float = LIMIT,
    on_event: Callable[[Event], None] | None = None,
) -> SMTPClient:
    """Give the client that a transcript tells of; a handshake first is implicit TLS.

    It may have one connection: what is not given back is missed by the next message.
    """
    at_once = transcript.flights[0].handshake
    eager = any(message.eager for message in transcript.messages)
    pipelining = Pipelining.EAGER if eager else Pipelining.CONFORMANT
    return SMTPClient(
        f"{'lmtp' if transcript.lmtp else 'smtp'}://{NAME}",
        security="tls" if at_once else _SECURITY[transcript.starttls],
        ssl_context=client_context(),
        auth=mechanisms(transcript) or None,
        allow_plaintext_auth=transcript.allow_plaintext_auth,
        client_hostname=transcript.client,
        connect=connect,
        timeouts=timeouts,
        max_connections=1,
        pipelining=pipelining if transcript.pipelining else Pipelining.OFF,
        on_event=on_event,
    )


async def send(
    client: SMTPClient, message: Message, *, timeout: float | None = None
) -> list[str]:
    """Send a message; give what is reported of it."""
    words = {p.keyword: p.value for p in message.parameters}
    submitter = words.get("AUTH")
    options = SendOptions(
        ret=words.get("RET"),
        envid=words.get("ENVID"),
        auth=submitter and submitter.replace("+3D", "=").strip("<>"),
        body="BINARYMIME" if message.binary else None,
    )
    try:
        receipt = await client.send(
            Lines(message) if message.stream else message.octets,
            sender=message.sender,
            recipients=message.recipients,
            options=options,
            all_or_nothing=message.all_or_nothing,
            timeout=timeout,
        )
    except SMTPError as error:
        assert_safe(error)
        causes = [error]
        if isinstance(error, OutcomeUnknown) and isinstance(error.__cause__, SMTPError):
            causes.append(error.__cause__)
        return [*map(problem, causes), *map(account, error.recipients)]
    return [*map(account, receipt.recipients)]


def assert_safe(error: SMTPError) -> None:
    """See that trying again is called safe exactly if nobody can have the message."""
    outcomes = {result.outcome for result in error.recipients}
    doubtful = {Outcome.ACCEPTED, Outcome.UNKNOWN}
    assert error.retry_safe == outcomes.isdisjoint(doubtful)


def fits_the_client(transcript: Transcript) -> bool:
    """Tell whether a client can be told all that a transcript tells.

    It is eager or not for all messages, of MAIL's parameters `send` gives those of
    DSN and AUTH, recipients that are too many get a transaction of their own, and what
    is asked for by VRFY is no message.
    """
    keywords = {p.keyword for m in transcript.messages for p in m.parameters}
    eager = {message.eager for message in transcript.messages}
    too_many = any(TOO_MANY.search(line) for line in transcript.outcomes)
    return (
        keywords <= {"RET", "ENVID", "AUTH"}
        and len(eager) <= 1
        and not (too_many or transcript.verify)
    )


def everybody(message: Message, failure: str) -> list[str]:
    """Give everybody the failure of the connection for an outcome."""
    _, name, code, stage = failure.split()
    lasting = code[0] == "5" or (code == "-" and name == "TLSFailed")
    why = f"{code} {stage}" if lasting else f"{code} {stage} temporary"
    return [f"= {recipient.address} NOT_SENT {why}" for recipient in message.recipients]


def ended_early(lines: list[str]) -> bool:
    """Tell whether the connection ended before the mail data, and before a refusal."""
    broken = lines[0].startswith(("! ConnectionLost", "! ProtocolViolation"))
    final = Stage.FINAL.value
    told = accounts(lines)
    left = any(each.code == "421" for each in told)
    refused = any(each.code not in {"-", "250", "421"} for each in told)
    ended = any(final in line.split() for line in lines)
    return (broken or left) and not (refused or ended)


#: Which error a refusal is, by its stage; later ones are nearer to the message.
_REFUSALS: Final = {
    "local": "RecipientsRefused",
    "command": "Refused",
    "rset": "Refused",
    "mail": "SenderRefused",
    "rcpt": "RecipientsRefused",
    "data": "ContentRefused",
    "final": "ContentRefused",
}


def raised(lines: list[str]) -> list[str]:
    """Tell which error is raised, if one is.

    What is unknown goes before what was accepted, and that before what ended the
    attempt, which counts if it left somebody undecided; else the last refusal does.
    """
    results = accounts(lines)
    outcomes = {result.outcome for result in results}
    cause = lines[0]
    if "UNKNOWN" in outcomes:
        return ["! OutcomeUnknown - final", cause]
    if "ACCEPTED" in outcomes:
        return []
    if cause[0] == "!" and ("NOT_SENT" in outcomes or "NotSupported" in cause):
        return [cause]
    refused = [result for result in results if result.outcome == "REFUSED"]
    last = max(refused, key=lambda result: [*_REFUSALS].index(result.stage))
    return [f"! {_REFUSALS[last.stage]} {last.code} {last.stage}"]
