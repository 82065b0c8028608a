"""Any octets are a report or are refused; what is written into one comes out of it."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmtp_async import (
    Action,
    DeliveryReport,
    EnhancedStatus,
    InvalidInput,
    Recipient,
    SendOptions,
)

from .samples import ABOUT, BOB, SAMPLES, wrapped

ATOM = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}", fullmatch=True)
LOCAL_PART = st.lists(ATOM, min_size=1, max_size=3).map(".".join)
DOMAIN = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){1,2}", fullmatch=True)
ADDRESS = st.builds("{}@{}".format, LOCAL_PART, DOMAIN)
# What SendOptions takes, and a header field does not lose at its ends.
ENVID = st.text(
    st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=90
)
ENVID = ENVID.map(str.strip).filter(bool)
TIME = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # the zone is given beside


def fields(**values: str | None) -> Message:
    group = Message()
    for name, value in values.items():
        if value is not None:
            group[name.replace("_", "-")] = value
    return group


def composed(*groups: Message) -> MIMEMultipart:
    """Make a report by the standard library."""
    status = MIMENonMultipart("message", "delivery-status")
    status.set_payload(list(groups))
    sent = EmailMessage()
    sent["Message-ID"] = "<1@example.org>"
    sent.set_content("Hello")
    parts = [MIMEText("Sorry.\n"), status, MIMEMessage(sent)]
    return MIMEMultipart("report", _subparts=parts, report_type="delivery-status")


@given(
    address=ADDRESS,
    envid=ENVID,
    action=st.sampled_from(Action),
    status=st.builds(
        EnhancedStatus,
        st.sampled_from([2, 4, 5]),
        st.integers(0, 999),
        st.integers(0, 999),
    ),
    moment=TIME,
    encoded=st.booleans(),
    as_octets=st.booleans(),
)
@example(
    address="bob+2B20@example.org",
    envid="a+2B+20",
    action=Action.FAILED,
    status=EnhancedStatus(5, 1, 1),
    moment=datetime(2026, 1, 1, tzinfo=UTC),
    encoded=False,
    as_octets=False,
)
def test_what_was_sent_is_found_again(
    address: str,
    envid: str,
    action: Action,
    status: EnhancedStatus,
    moment: datetime,
    *,
    encoded: bool,
    as_octets: bool,
) -> None:
    """Whether the server decodes ENVID and ORCPT or leaves them encoded."""
    (parameter,) = SendOptions(envid=envid).parameters
    (original,) = Recipient(address, orcpt=address).parameters
    orcpt = original.value
    moment = moment.replace(microsecond=0)
    whole = composed(
        fields(
            Reporting_MTA="dns; mx.example.org",
            Original_Envelope_Id=parameter.value if encoded else envid,
            Arrival_Date=format_datetime(moment),
        ),
        fields(
            Original_Recipient=orcpt if encoded else f"rfc822;{address}",
            Final_Recipient=f"rfc822; {address}",
            Action=action.value.title(),
            Status=str(status),
            Last_Attempt_Date=format_datetime(moment),
        ),
    )
    report = DeliveryReport.parse(whole.as_bytes() if as_octets else whole)
    assert report.has_envid(envid)
    (recipient,) = report.for_recipient(address)
    assert recipient.final_recipient == address
    assert (recipient.action, recipient.status) == (action, status)
    assert report.arrival_date == recipient.last_attempt == moment
    assert report.message_id == "<1@example.org>"
    assert report.text == "Sorry."
    if encoded:
        assert report.envid == envid
    if not encoded:
        assert recipient.original_recipient == address


PIECES = (
    *(
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"--b\r\n",
        b"--b--",
        b"\n \t\n",
        b"(",
        b'"',
        b"\\",
        b";",
    ),
    *(b"Final-Recipient: ", b"Status:", b"Action: failed", b"+2B", b"\\x{FC}"),
)
JUNK = st.binary(max_size=60) | st.sampled_from(PIECES)


@given(octets=st.lists(JUNK, max_size=12).map(b"".join), inside=st.booleans())
def test_any_octets_are_a_report_or_are_refused(octets: bytes, *, inside: bool) -> None:
    given_octets = wrapped(octets) if inside else octets
    for form in (given_octets, message_from_bytes(given_octets)):
        check(form)


@given(st.sampled_from(sorted(SAMPLES)), st.randoms(use_true_random=False))
def test_a_sample_with_octets_changed(name: str, chance: random.Random) -> None:
    octets = bytearray(SAMPLES[name])
    for _ in range(chance.randrange(1, 8)):
        place = chance.randrange(len(octets))
        octets[place : place + chance.randrange(3)] = chance.randbytes(
            chance.randrange(3)
        )
    forms = (
        octets,
        message_from_bytes(octets),
        message_from_bytes(octets, policy=policy.default),
    )
    for form in forms:
        check(form)


def check(form: bytes | bytearray | Message) -> None:
    """Hold what is read from anything against what is promised of every report."""
    try:
        report = DeliveryReport.parse(form)
    except InvalidInput as error:
        told = str(error)
    else:
        told = repr(report)
        checked(report)
    assert told.isprintable()


def checked(report: DeliveryReport) -> None:
    assert report.recipients
    for line in report.text.split("\n"):
        assert line.isascii() <= line.isprintable()
    for recipient in report.recipients:
        if recipient.address:
            assert recipient in report.for_recipient(recipient.address)
        for name, value in recipient.fields:
            assert name.isascii()
            assert "\n" not in value
    if report.envid is not None:
        assert report.has_envid(report.envid)


MANY = 200_000


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(
            wrapped(f"{ABOUT}\n\n" + f"{BOB}\n\n" * (MANY // 10)), id="groups"
        ),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}\n" + "X:\n" * MANY), id="fields"),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}\n" + " x\n" * MANY), id="folds"),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}\n\n" + "X: 1\n\n" * MANY), id="torn"),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}" + " " * MANY + "x"), id="blanks"),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}" + "\n" * MANY), id="blank lines"),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}\nAction: " + "(" * MANY), id="comments"
        ),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}\nStatus: " + '"(' * MANY), id="quotes"),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}\nStatus: " + "5.1." * MANY), id="status"
        ),
        pytest.param(wrapped(f"{ABOUT}+2B" + "+2B" * MANY + f"\n\n{BOB}"), id="xtext"),
        pytest.param(wrapped(f"{ABOUT}\n\n{BOB}" + ".a" * MANY), id="address"),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}\nArrival-Date: " + "1:" * MANY), id="date"
        ),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}").replace(b"report;", b"report" + b";" * MANY),
            id="parameters",
        ),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}").replace(
                b"report;", b'report;x="' + b';a="\\' * MANY
            ),
            id="quoted parameters",
        ),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}").replace(b"Sorry", b"--b\r\n" * MANY),
            id="parts",
        ),
        pytest.param(
            wrapped(f"{ABOUT}\n\n{BOB}").replace(
                b"\r\nSorry",
                b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n"
                * (MANY // 10),
            ),
            id="nested",
        ),
        pytest.param(
            wrapped(
                f"{ABOUT}\n\n{BOB}",
                back="Content-Type: message/rfc822\n\n" + "Message-ID:\n" * MANY,
            ),
            id="returned",
        ),
    ],
)
def test_it_takes_time_in_proportion(octets: bytes) -> None:
    """Something quadratic in these would take minutes."""
    before = time.process_time()
    try:
        report = DeliveryReport.parse(octets)
        report.for_recipient("bob@example.org")
        report.has_envid("x")
    except InvalidInput:
        pass
    assert time.process_time() - before < 5
