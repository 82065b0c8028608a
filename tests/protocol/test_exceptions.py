"""The tree of errors, as users catch them (the public contract, whole)."""

from __future__ import annotations

import copy
import pickle

import pytest

from esmtp_async.protocol import (
    ForwardPath,
    Outcome,
    RecipientResult,
    Reply,
    Stage,
    _exceptions,
)
from esmtp_async.protocol._exceptions import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    ContentRefused,
    GreetingRefused,
    HelloRefused,
    InvalidInput,
    LocalProtocolError,
    NotDelivered,
    NotSupported,
    OutcomeUnknown,
    ProtocolViolation,
    RecipientsRefused,
    Refused,
    RemoteProtocolError,
    SenderRefused,
    SMTPError,
    StageTimeout,
    TLSFailed,
)

#: Each error and the bases it has, its own ones only.
TREE: dict[type[SMTPError], tuple[type[Exception], ...]] = {
    SMTPError: (Exception,),
    InvalidInput: (SMTPError, ValueError),
    NotDelivered: (SMTPError,),
    Refused: (NotDelivered,),
    GreetingRefused: (Refused,),
    HelloRefused: (Refused,),
    AuthenticationFailed: (Refused,),
    SenderRefused: (Refused,),
    RecipientsRefused: (Refused,),
    ContentRefused: (Refused,),
    NotSupported: (NotDelivered,),
    TLSFailed: (NotDelivered,),
    ConnectFailed: (NotDelivered, ConnectionError),
    ConnectionLost: (NotDelivered, ConnectionError),
    StageTimeout: (NotDelivered, TimeoutError),
    ProtocolViolation: (NotDelivered,),
    OutcomeUnknown: (SMTPError,),
}
REFUSALS = [error for error in TREE if issubclass(error, Refused)]

RESULTS = (
    RecipientResult(
        "bob@example.test",
        Outcome.REFUSED,
        Reply(452, (b"4.2.2 full", b"\xff")),
        Stage.RCPT,
        temporary=True,
    ),
    RecipientResult(
        "eve@example.test", Outcome.NOT_SENT, None, Stage.TLS, temporary=True
    ),
)
REPLY = Reply(452, (b"4.2.2 full",))


def told(error: type[SMTPError]) -> SMTPError:
    """Make an error of a class, with every argument that it takes."""
    if issubclass(error, Refused):
        return error(
            "no",
            command="RCPT",
            stage=Stage.RCPT,
            reply=REPLY,
            recipients=RESULTS,
            temporary=True,
        )
    if issubclass(error, NotSupported):
        return error(
            "no",
            extension="DSN",
            stage=Stage.RCPT,
            reply=REPLY,
            recipients=RESULTS,
            temporary=True,
        )
    if issubclass(error, TLSFailed):
        return error(
            "no",
            certificate_error="certificate has expired",
            stage=Stage.RCPT,
            reply=REPLY,
            recipients=RESULTS,
            temporary=True,
        )
    return error(
        "no", stage=Stage.RCPT, reply=REPLY, recipients=RESULTS, temporary=True
    )


def test_the_tree_is_whole() -> None:
    defined = {
        value
        for value in vars(_exceptions).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == {*TREE, LocalProtocolError, RemoteProtocolError}


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_its_bases(error: type[SMTPError]) -> None:
    assert error.__bases__ == TREE[error]


@pytest.mark.parametrize("error", [LocalProtocolError, RemoteProtocolError])
def test_the_errors_of_the_machine_are_no_errors_of_sending(
    error: type[Exception],
) -> None:
    assert error.__bases__ == (Exception,)
    again = pickle.loads(pickle.dumps(error("why")))  # noqa: S301 - our own octets
    assert (type(again), again.args) == (error, ("why",))


def test_nothing_but_an_unknown_outcome_forbids_sending_again() -> None:
    assert {error for error in TREE if not error.retry_safe} == {OutcomeUnknown}
    assert not issubclass(OutcomeUnknown, NotDelivered)


@pytest.mark.parametrize("error", TREE)
def test_every_error_tells_what_it_was_told(error: type[SMTPError]) -> None:
    made = told(error)
    assert str(made) == "no"
    attributes = vars(made)
    assert attributes.pop("command", None) == (
        "RCPT" if issubclass(error, Refused) else None
    )
    assert attributes.pop("extension", None) == (
        "DSN" if error is NotSupported else None
    )
    assert attributes.pop("certificate_error", None) == (
        "certificate has expired" if error is TLSFailed else None
    )
    refused_credentials = error is AuthenticationFailed
    assert attributes.pop("mechanism", None) == ("" if refused_credentials else None)
    assert attributes.pop("details", None) == ({} if refused_credentials else None)
    assert attributes == {
        "stage": Stage.RCPT,
        "reply": REPLY,
        "recipients": RESULTS,
        "temporary": True,
    }


@pytest.mark.parametrize("error", TREE)
def test_every_error_tells_nothing_by_itself(error: type[SMTPError]) -> None:
    made = error("no")
    assert (made.stage, made.reply, made.recipients, made.temporary) == (
        Stage.LOCAL,
        None,
        (),
        False,
    )
    assert getattr(made, "command", "") == ""
    assert getattr(made, "extension", "") == ""


@pytest.mark.parametrize("error", TREE)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_pickles_with_all_that_it_tells(
    error: type[SMTPError], protocol: int
) -> None:
    made = told(error)
    made.add_note("seen in a worker")
    again = pickle.loads(pickle.dumps(made, protocol))  # noqa: S301 - our own octets
    assert type(again) is error
    assert (again.args, str(again)) == (("no",), "no")
    assert vars(again) == vars(made)
    assert again.retry_safe is made.retry_safe


def test_a_refused_authentication_tells_its_details() -> None:
    details = {"status": "invalid_token", "scope": "mail"}
    made = AuthenticationFailed("no", mechanism="XOAUTH2", details=details)
    details.clear()
    assert made.mechanism == "XOAUTH2"
    assert made.details == {"status": "invalid_token", "scope": "mail"}
    for again in (copy.copy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301
        assert str(again) == "no (status=invalid_token, scope=mail)"
        assert vars(again) == vars(made)


@pytest.mark.parametrize("error", TREE)
def test_every_error_can_be_copied(error: type[SMTPError]) -> None:
    made = told(error)
    for again in (copy.copy(made), copy.deepcopy(made)):
        assert type(again) is error
        assert again.args == made.args
        assert vars(again) == vars(made)


@pytest.mark.parametrize("error", REFUSALS)
@pytest.mark.parametrize(
    ("code", "temporary"), [(421, True), (450, True), (550, False), (250, False)]
)
def test_a_refusal_is_as_temporary_as_its_reply(
    error: type[Refused], code: int, *, temporary: bool
) -> None:
    reply = Reply(code, (b"",))
    assert error("no", reply=reply).temporary is temporary
    assert error("no", reply=reply, temporary=not temporary).temporary is not temporary


def test_errors_of_the_network_are_the_ones_of_the_standard_library_too() -> None:
    for error, caught in [
        (ConnectFailed, OSError),
        (ConnectionLost, ConnectionError),
        (StageTimeout, TimeoutError),
        (InvalidInput, ValueError),
    ]:
        with pytest.raises(caught, match=r"^no$"):
            raise error("no")


def test_bad_input_is_shown_but_not_all_of_it() -> None:
    with pytest.raises(InvalidInput) as caught:
        ForwardPath.parse("x" * 1_000_000)
    told = str(caught.value)
    assert len(told) < 700
    assert told.startswith("'xxx")
    assert told.endswith("(RFC 5321 section 4.1.2)")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # its own
    assert str(again) == told
