"""Receipts and errors: what a caller is told of the results."""

from __future__ import annotations

import pickle

import pytest

from esmtp_async import (
    ConnectionLost,
    ContentRefused,
    HelloRefused,
    NotSupported,
    Outcome,
    OutcomeUnknown,
    ProtocolViolation,
    Receipt,
    RecipientResult,
    RecipientsRefused,
    Refused,
    Reply,
    SenderRefused,
    SMTPError,
    Stage,
    StageTimeout,
)
from esmtp_async._receipts import failure_of
from esmtp_async.protocol import ReversePath

OK = Reply(250, (b"2.0.0 Ok: queued as 4F2kd",))
NO = Reply(550, (b"5.1.1 no",))
LATER = Reply(451, (b"4.3.0 later",))


def result(
    name: str, outcome: Outcome, reply: Reply | None, stage: Stage
) -> RecipientResult:
    temporary = reply is None or reply.temporary
    return RecipientResult(f"{name}@x.test", outcome, reply, stage, temporary)


CLOSING = Reply(421, (b"closing",))
ACCEPTED = result("a", Outcome.ACCEPTED, OK, Stage.FINAL)
REFUSED = result("r", Outcome.REFUSED, NO, Stage.RCPT)
DEFERRED = result("d", Outcome.REFUSED, LATER, Stage.RCPT)
UNWANTED = result("w", Outcome.REFUSED, NO, Stage.FINAL)
NOT_FROM = result("f", Outcome.REFUSED, NO, Stage.MAIL)
NOT_SENT = result("n", Outcome.NOT_SENT, None, Stage.RCPT)
UNKNOWN = result("u", Outcome.UNKNOWN, None, Stage.FINAL)
LACKING = result("l", Outcome.REFUSED, None, Stage.LOCAL)
SHUT = result("s", Outcome.REFUSED, CLOSING, Stage.COMMAND)
GREETED_ANEW = result("h", Outcome.REFUSED, CLOSING, Stage.HELLO)

LOST = ConnectionLost("lost", stage=Stage.RCPT, temporary=True)
TIMEOUT = StageTimeout("late", stage=Stage.FINAL, temporary=True)
BROKEN = ProtocolViolation("odd", stage=Stage.FINAL)


@pytest.mark.parametrize(
    ("results", "cause", "kind"),
    [
        # Somebody accepted, nobody unknown: no error, whatever else happened.
        ([ACCEPTED], None, None),
        ([ACCEPTED, REFUSED], None, None),
        ([ACCEPTED], BROKEN, None),
        ([ACCEPTED, REFUSED], LOST, None),
        # One unknown is worse than all others.
        ([UNKNOWN], TIMEOUT, OutcomeUnknown),
        ([ACCEPTED, UNKNOWN], LOST, OutcomeUnknown),
        ([REFUSED, UNKNOWN], None, OutcomeUnknown),
        # Nobody: what ended it, or who said no.
        ([NOT_SENT], LOST, ConnectionLost),
        ([REFUSED, NOT_SENT], LOST, ConnectionLost),
        ([REFUSED], LOST, RecipientsRefused),
        ([REFUSED], None, RecipientsRefused),
        ([REFUSED, NOT_SENT], None, RecipientsRefused),
        ([NOT_FROM], None, SenderRefused),
        ([REFUSED, UNWANTED], None, ContentRefused),
        ([LACKING], NotSupported("x"), NotSupported),
        ([LACKING, REFUSED], None, RecipientsRefused),
        ([SHUT], None, Refused),
        ([GREETED_ANEW], None, HelloRefused),
    ],
)
def test_the_error_of_results(
    results: list[RecipientResult],
    cause: SMTPError | None,
    kind: type[SMTPError] | None,
) -> None:
    error = failure_of(tuple(results), cause)
    assert (None if error is None else type(error)) is kind
    if error is not None:
        assert error.recipients == tuple(results)


def test_an_unknown_outcome_tells_why() -> None:
    error = failure_of((UNKNOWN,), TIMEOUT)
    assert error is not None
    assert error.__cause__ is TIMEOUT
    assert str(error).endswith(": late")
    assert error.stage is Stage.FINAL
    assert not error.retry_safe
    assert failure_of((UNKNOWN,), None).__cause__ is None  # type: ignore[union-attr]


def test_a_refusal_tells_who_and_what() -> None:
    error = failure_of((REFUSED, DEFERRED), None)
    assert isinstance(error, RecipientsRefused)
    assert error.command == "RCPT"
    assert "r@x.test" in str(error)
    assert "d@x.test" in str(error)
    assert error.temporary  # for one of them
    assert error.stage is Stage.RCPT
    last = failure_of((REFUSED, UNWANTED), None)
    assert isinstance(last, ContentRefused)
    assert last.reply is NO
    assert not last.temporary


def test_a_refusal_names_some_of_many() -> None:
    many = tuple(REFUSED._replace(address=f"{n}@x.test") for n in range(500))
    error = failure_of(many, None)
    assert isinstance(error, RecipientsRefused)
    assert str(error) == (
        "the server refused RCPT for 0@x.test, 1@x.test, 2@x.test, 3@x.test, 4@x.test "
        "and 495 more: 550 5.1.1 no"
    )
    assert error.recipients == many


@pytest.mark.parametrize("sender", ["alice@x.test", "", "ü@x.test"])
def test_a_refusal_of_the_sender_tells_who_that_is(sender: str) -> None:
    error = failure_of((NOT_FROM,), None, sender=ReversePath.parse(sender))
    assert str(error) == f"the server refused MAIL from <{sender}>: 550 5.1.1 no"
    error = failure_of((REFUSED,), None, sender=ReversePath.parse(sender))
    assert "from" not in str(error)


def receipt(*results: RecipientResult, reply: Reply = OK) -> Receipt:
    return Receipt(results, reply, None, "<1@x.test>", 1)


def test_a_receipt() -> None:
    mixed = receipt(REFUSED, ACCEPTED, DEFERRED)
    assert mixed.accepted == ("a@x.test",)
    assert mixed.refused == (REFUSED, DEFERRED)
    assert mixed.queue_id == "4F2kd"
    with pytest.raises(RecipientsRefused, match=r"r@x\.test, d@x\.test") as info:
        mixed.raise_for_refused()
    assert info.value.recipients == (REFUSED, ACCEPTED, DEFERRED)
    assert not info.value.retry_safe  # one has it already
    again = pickle.loads(pickle.dumps(info.value))  # noqa: S301 - our own octets
    assert not again.retry_safe
    receipt(ACCEPTED).raise_for_refused()


def test_a_receipt_tells_of_those_who_were_not_asked_for() -> None:
    with pytest.raises(RecipientsRefused) as info:
        receipt(ACCEPTED, LACKING).raise_for_refused()
    assert info.value.reply is None
    assert str(info.value).endswith("the server lacks an extension that is needed")


@pytest.mark.parametrize("stage", Stage)
def test_a_receipt_tells_of_those_who_were_not_sent_to(stage: Stage) -> None:
    left = RecipientResult("n@x.test", Outcome.NOT_SENT, None, stage, temporary=True)
    with pytest.raises(RecipientsRefused) as info:
        receipt(left, ACCEPTED).raise_for_refused()
    error = info.value
    assert str(error) == f"the message was not sent to n@x.test (stage: {stage.value})"
    assert (error.stage, error.reply, error.command) == (stage, None, "")
    assert error.temporary
    assert not error.retry_safe
    with pytest.raises(RecipientsRefused, match=r"n@x\.test, r@x\.test: 550") as info:
        receipt(left, ACCEPTED, REFUSED).raise_for_refused()
    assert (info.value.stage, info.value.command) == (Stage.RCPT, "RCPT")


def test_a_receipt_tells_of_who_was_refused_at_the_end() -> None:
    """LMTP has a reply for each recipient there (RFC 2033 section 4.2)."""
    with pytest.raises(RecipientsRefused) as info:
        receipt(ACCEPTED, UNWANTED).raise_for_refused()
    assert (info.value.stage, info.value.command) == (Stage.FINAL, "DATA")
    assert info.value.reply is NO


@pytest.mark.parametrize(
    ("text", "queue_id"),
    [
        (b"2.0.0 Ok: queued as 4cQx1Z2b3Cz", "4cQx1Z2b3Cz"),
        (b"OK id=1rXyAB-0001Ab-2C", "1rXyAB-0001Ab-2C"),
        (b"2.0.0 4ANAB1cd012345 Message accepted for delivery", "4ANAB1cd012345"),
        (b"Queued as <ab.cd>", "ab.cd"),
        (b"ok", None),
        (b"", None),
        (b"queued as \x1b[2J", None),
    ],
)
def test_queue_ids(text: bytes, queue_id: str | None) -> None:
    assert receipt(ACCEPTED, reply=Reply(250, (text,))).queue_id == queue_id
