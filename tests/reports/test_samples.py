"""Reports as the RFCs show them and as servers write them."""

from __future__ import annotations

import email
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import policy

import pytest

from esmtp_async import Action, DeliveryReport, EnhancedStatus

from .samples import SAMPLES

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def parsed(name: str) -> DeliveryReport:
    return DeliveryReport.parse(SAMPLES[name])


def test_every_sample_is_a_report_in_every_form() -> None:
    assert len(SAMPLES) == 14
    for octets in SAMPLES.values():
        report = DeliveryReport.parse(octets)
        assert report.recipients
        assert report.reporting_mta
        forms = (
            octets.replace(b"\n", b"\r\n"),
            octets.replace(b"\n", b"\r"),
            bytearray(octets),
            memoryview(octets),
            octets.decode(),
        )
        for form in forms:
            assert DeliveryReport.parse(form) == report
        assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301  # its own
        assert len({report, DeliveryReport.parse(octets)}) == 1


@pytest.mark.parametrize(
    "how",
    [
        policy.compat32,
        policy.default,
        policy.default.clone(refold_source="all"),
        policy.SMTP,
    ],
)
def test_a_parsed_message_is_a_report_and_stays_as_it_is(how: policy.Policy) -> None:
    for octets in SAMPLES.values():
        message = email.message_from_bytes(octets, policy=how)
        before = message.as_bytes()
        report, expected = DeliveryReport.parse(message), DeliveryReport.parse(octets)
        assert message.as_bytes() == before
        if report.returned is not None and expected.returned is not None:
            # The library puts a space behind the colon of a field, and a blank line
            # between fields and a body that are none.
            returned = report.returned.replace(b": \r\n", b":\r\n")
            assert returned.strip(b"\r\n") == expected.returned.strip(b"\r\n")
            report = replace(report, returned=expected.returned)
        assert report == expected


@pytest.mark.parametrize("how", [policy.compat32, policy.default])
def test_a_message_need_not_be_in_seven_bits(how: policy.Policy) -> None:
    """Its policy wants that, and the library fails to do so."""
    octets = SAMPLES["rfc6533-global"]
    message = email.message_from_bytes(octets, policy=how.clone(cte_type="7bit"))
    expected = DeliveryReport.parse(octets)
    assert DeliveryReport.parse(message).recipients == expected.recipients


def test_a_simple_report() -> None:
    report = parsed("rfc3464-e1-simple")
    assert report.reporting_mta == "cs.utk.edu"
    assert report.envid is None
    assert report.arrival_date is None
    assert report.message_id is None
    assert report.returned == b"[original message goes here]\r\n"
    assert report.text.startswith("The original message was received at Sat, 2 Jul")
    assert report.fields == (("Reporting-MTA", "dns; cs.utk.edu"),)
    (recipient,) = report.recipients
    assert recipient.final_recipient == "louisl@larry.slip.umd.edu"
    assert recipient.original_recipient == "louisl@larry.slip.umd.edu"
    assert recipient.action is Action.FAILED
    assert recipient.status == EnhancedStatus(4, 0, 0)
    assert recipient.temporary
    assert recipient.diagnostic == ("smtp", "426 connection timed out")
    assert recipient.diagnostic is not None
    assert recipient.diagnostic.code == 426
    zone = timezone(timedelta(hours=-4))
    assert recipient.last_attempt == datetime(1994, 7, 7, 17, 15, 49, tzinfo=zone)


def test_a_report_about_several_recipients() -> None:
    report = parsed("rfc3464-e2-multi-recipient")
    first, second, third = report.recipients
    assert [each.final_recipient for each in report.recipients] == [
        "arathib@vnet.ibm.com",
        "johnh@hpnjld.njd.hp.com",
        "wsnell@sdcc13.ucsd.edu",
    ]
    assert first.status == EnhancedStatus(5, 0, 0)
    assert first.remote_mta == "vnet.ibm.com"
    assert first.diagnostic == (
        "smtp",
        "550 'arathib@vnet.IBM.COM' is not a registered gateway user",
    )
    assert (second.action, second.temporary) == (Action.DELAYED, True)
    assert second.diagnostic is None
    assert (third.action, third.temporary) == (Action.FAILED, False)
    assert report.for_recipient("wsnell@SDCC13.ucsd.edu") == (third,)


def test_a_report_from_a_gateway() -> None:
    report = parsed("rfc3464-e3-gateway")
    assert report.reporting_mta == "SYS30"
    assert report.returned is None
    (recipient,) = report.recipients
    assert recipient.final_recipient == "nair_s"
    assert recipient.original_recipient is None
    assert report.for_recipient("nair_s") == (recipient,)


def test_a_report_of_a_delay() -> None:
    (recipient,) = parsed("rfc3464-e4-delayed").recipients
    assert recipient.action is Action.DELAYED
    assert recipient.status == EnhancedStatus(4, 0, 0)
    assert recipient.temporary


@pytest.mark.parametrize(
    ("name", "mta", "recipients"),
    [
        ("10-6-delivered", "mail.Example.COM", ["Bob@Example.COM"] * 2),
        ("10-7-failed", "Example.ORG", ["Carol@Ivory.EDU"] * 2),
        ("10-8-relayed", "Ivory.EDU", ["Dana@Ivory.EDU"] * 2),
        (
            "10-9-forwarded",
            "Boondoggle.GOV",
            ["George@Tax-ME.GOV", "Sam@Boondoggle.GOV"],
        ),
    ],
)
def test_the_reports_on_one_message(name: str, mta: str, recipients: list[str]) -> None:
    """What comes of `transcripts/rfc3461-10-dsn.txt`."""
    report = parsed(f"rfc3461-{name}")
    assert report.envid == "QQ314159"
    assert report.reporting_mta == mta
    assert report.returned == b"(headers of returned message go here)\r\n"
    assert report.message_id is None
    (recipient,) = report.recipients
    assert [recipient.original_recipient, recipient.final_recipient] == recipients


def test_what_became_of_one_message() -> None:
    reports = [parsed(name) for name in SAMPLES if name.startswith("rfc3461-10")]
    recipients = [each for report in reports for each in report.recipients]
    assert [(each.action, each.status, each.temporary) for each in recipients] == [
        (Action.DELIVERED, (2, 0, 0), False),
        (Action.FAILED, (5, 0, 0), False),
        (Action.RELAYED, (2, 0, 0), False),
        (Action.FAILED, (4, 2, 2), True),
    ]
    assert recipients[1].diagnostic == ("smtp", "550 error - no such recipient")
    assert ("SMTP-Remote-Recipient", "Carol@Ivory.EDU") in recipients[1].fields


def test_a_part_without_the_blank_line_is_text() -> None:
    text = parsed("rfc3461-10-9-forwarded").text
    assert text.startswith("Your message, originally addressed to George@Tax-ME.GOV")
    assert text.endswith("\n\nwrite error to mailbox, disk quota exceeded")


def test_an_internationalized_report() -> None:
    report = parsed("rfc6533-global")
    assert report.text == "j\u00fcrg@example.org is unknown."
    assert report.message_id == "<4711@example.org>"
    assert report.envid == "order-4711"
    (recipient,) = report.recipients
    assert recipient.original_recipient == "j\u00fcrg+news@example.org"
    assert recipient.final_recipient == "j\u00fcrg@b\u00fccher.example.org"
    assert recipient.remote_mta == "b\u00fccher.example.org"
    for address in (
        "j\u00fcrg+news@example.org",
        r"utf-8;j\x{fc}rg+news@EXAMPLE.org",
        "j\u00fcrg@b\u00fccher.example.org",
        "j\u00fcrg@xn--bcher-kva.example.org",
    ):
        assert report.for_recipient(address) == (recipient,)


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_envid_and_orcpt_come_decoded_or_not(name: str) -> None:
    report = parsed(name)
    assert report.envid == "order 4711=a+b"
    assert report.has_envid("order 4711=a+b")
    assert report.reporting_mta == "mx.example.org"
    assert report.message_id == "<4711@example.org>"
    assert report.returned is not None
    assert report.returned.endswith(b"\r\n\r\nHello\r\n")
    (recipient,) = report.recipients
    assert recipient.original_recipient == "bob+news@example.net"
    assert recipient.final_recipient == "bob+news@example.net"
    assert report.for_recipient("bob+news@example.net") == (recipient,)
    assert report.for_recipient("rfc822;bob+news@Example.Net") == (recipient,)
    assert report.for_recipient("Bob+news@example.net") == ()
    assert recipient.diagnostic is not None
    assert recipient.diagnostic.code == 550


def test_postfix_tells_more() -> None:
    report = parsed("postfix")
    assert ("X-Postfix-Queue-ID", "4Xy0") in report.fields
    assert report.arrival_date == NOON
    (recipient,) = report.recipients
    name, value = recipient.fields[-1]
    assert name == "Diagnostic-Code"
    assert value.startswith("smtp; 550 5.1.1 <bob+news@example.net>: Recipient addr")
    assert value.endswith("address rejected: User unknown in virtual mailbox table")


def test_dovecot_leaves_no_blank_line_between_the_groups() -> None:
    report = parsed("dovecot")
    assert report.reporting_mta == "mail.example.net"
    (recipient,) = report.recipients
    assert recipient.final_recipient == "bob@example.net"
    assert recipient.diagnostic is not None
    assert recipient.diagnostic.type == "x-dovecot"
    assert recipient.diagnostic.code is None


def test_a_comment_behind_the_host_and_pictures_for_people() -> None:
    report = parsed("gmail")
    assert report.text.endswith(
        "Your message wasn\u2019t delivered to bob@example.net."
    )
    (recipient,) = report.recipients
    assert recipient.remote_mta == "mail.example.net."
    assert recipient.diagnostic is not None
    assert recipient.diagnostic.code == 550
    assert recipient.last_attempt == NOON
    assert recipient.address == "bob@example.net"


def test_a_status_with_a_range_and_alternatives_for_people() -> None:
    report = parsed("exchange")
    assert report.text == "Delivery has failed to these recipients or groups:"
    assert report.received_from_mta == "client.example.org"
    assert report.message_id == "<4711@example.org>"
    (recipient,) = report.recipients
    assert recipient.status == EnhancedStatus(5, 7, 606)
