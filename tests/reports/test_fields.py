"""What stands in the fields of a report, however it is written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from esmtp_async import Action, DeliveryReport, EnhancedStatus, InvalidInput

from .samples import ABOUT, BOB, recipient, report, wrapped

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ("failed", Action.FAILED),
        ("FAILED", Action.FAILED),
        ("  Delayed (will try again) ", Action.DELAYED),
        ("delivered", Action.DELIVERED),
        ("(to \\) where) relayed", Action.RELAYED),
        ('(say "no) failed (again)', Action.FAILED),
        ('(say "no") "failed', None),
        ("fail(ed)", None),
        ("expanded", Action.EXPANDED),
        ("dropped", None),
        ("", None),
    ],
)
def test_actions(written: str, action: Action | None) -> None:
    found = recipient(f"Action: {written}", "Status: 5.1.1")
    assert found.action is action
    assert found.status == (5, 1, 1)


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("5.1.1", "5.1.1"),
        ("2.0.0", "2.0.0"),
        ("5.1.1 (bad destination)", "5.1.1"),
        ("(4.0.0) 5.1.1", "5.1.1"),
        ("5.7.606-649", "5.7.606"),
        ("550 5.1.1", "5.1.1"),
        ("smtp; 5.1.1.", "5.1.1"),
        ("3.1.1", None),
        ("5.1", None),
        ("5.1.1234", None),
        ("5.1234.1", None),
        ("5.1.1.1", None),
        ("15.1.1", None),
        ("192.0.2.4.4.4.4", None),
        ("5.1.(x)1", "5.1.1"),
        ("failed", None),
        ("\u0665.1.1", None),
    ],
)
def test_status(written: str, status: str | None) -> None:
    found = recipient(f"Status: {written}", "Action: failed")
    assert (None if found.status is None else str(found.status)) == status
    assert found.action is Action.FAILED


@pytest.mark.parametrize(
    ("lines", "temporary"),
    [
        (["Status: 4.4.7", "Action: failed"], True),
        (["Status: 5.0.0", "Action: delayed"], False),
        (["Action: delayed"], True),
        (["Action: failed"], False),
        (["Diagnostic-Code: smtp; 451 later"], True),
        (["Diagnostic-Code: smtp; 551 never"], False),
        (["Diagnostic-Code: x-unix; 451 later"], False),
        (["Status: 2.0.0", "Action: delivered"], False),
        (["Diagnostic-Code: smtp; 250 ok"], False),
    ],
)
def test_what_may_go_through_later(lines: list[str], *, temporary: bool) -> None:
    assert recipient(*lines).temporary is temporary


@pytest.mark.parametrize(
    ("written", "kind", "text", "code"),
    [
        ("smtp; 550 5.1.1 no", "smtp", "550 5.1.1 no", 550),
        ("SMTP;550-no (really)", "smtp", "550-no (really)", 550),
        ("smtp; 550", "smtp", "550", 550),
        ("smtp; 5501", "smtp", "5501", None),
        ("smtp; 203.0.113.1 refused", "smtp", "203.0.113.1 refused", None),
        ("smtp; 250 ok", "smtp", "250 ok", 250),
        ("smtp; 650 no", "smtp", "650 no", None),
        ("550 no; sorry", "", "550 no; sorry", 550),
        ("X-Postfix; 550 no", "x-postfix", "550 no", None),
        ("smtp ;\t550 no", "smtp", "550 no", 550),
        ("unknown", "", "unknown", None),
        ("smtp;", "smtp", "", None),
        ("; no", "", "; no", None),
    ],
)
def test_diagnostics(written: str, kind: str, text: str, code: int | None) -> None:
    found = recipient(f"Diagnostic-Code: {written}").diagnostic
    assert found is not None
    assert (found.type, found.text, found.code) == (kind, text, code)


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("Mon, 23 Nov 2026 12:00:00 +0000", NOON),
        ("23 Nov 2026 13:00 +0100 (a (nested) zone)", NOON),
        ("(noon) 23 (the 23rd) Nov 2026 12:00 +0000", NOON),
        ("Mon, 23 Nov 2026 12:00:00 -0000", NOON),
        ("Mon, 23 Nov 2026 12:00:00", NOON),
        ("Mon, 23 Nov 2026 04:00:00 PST", NOON),
        ("32 Nov 2026 12:00:00 +0000", None),
        ("23 Nov 99999 12:00:00 +0000", None),
        (f"{'9' * 30} Nov 2026 12:00:00 +0000", None),
        (f"{'9' * 5000} Nov 2026 12:00:00 +0000", None),
        ("23 Nov 2026 12:00:00 +9999999999", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(written: str, time: datetime | None) -> None:
    found = recipient(f"Last-Attempt-Date: {written}", f"Will-Retry-Until: {written}")
    assert found.last_attempt == found.will_retry_until == time
    assert found.last_attempt is None or found.last_attempt.tzinfo is not None
    assert report(BOB, about=f"Arrival-Date: {written}").arrival_date == time


def test_a_field_without_a_value_is_none() -> None:
    names = ("Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Final-Log-ID")
    found = recipient(*(f"{name}: " for name in (*names, "Original-Recipient")))
    assert (found.remote_mta, found.diagnostic, found.last_attempt) == (None,) * 3
    assert (found.final_log_id, found.original_recipient) == (None, None)
    about = report(BOB, about="Original-Envelope-Id:\nReporting-MTA: dns;")
    assert (about.envid, about.reporting_mta) == (None, None)
    assert not about.has_envid("")


def test_all_else() -> None:
    about = (
        "reporting-mta : dns;mx.example.org (\tours)\nDSN-Gateway: x400; gate) (ours)\n"
        "Received-From-MTA: client.example.org\nX-More: 1\nX-More: 2"
    )
    log = "Final-Log-ID: a; b (c)"
    found = report(f"{BOB}\nRemote-MTA: dns; (none)\n{log}", about=about)
    assert found.reporting_mta == "mx.example.org"
    assert found.dsn_gateway == "gate)"
    assert found.received_from_mta == "client.example.org"
    assert found.fields[-2:] == (("X-More", "1"), ("X-More", "2"))
    (bob,) = found.recipients
    assert bob.final_log_id == "a; b (c)"
    assert bob.remote_mta is None
    assert bob.fields[1] == ("Remote-MTA", "dns; (none)")


# Addresses and envelope ids


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("rfc822;bob@example.org", "bob@example.org"),
        ("RFC822 ; <bob@example.org>", "bob@example.org"),
        ("rfc822; <bob@example.org", "<bob@example.org"),
        ("rfc822; bob@example.org>", "bob@example.org>"),
        ("rfc822; bob@example.org (Bob (R.))", "bob@example.org"),
        ("bob@example.org", "bob@example.org"),
        ('rfc822; "b (o); b"@example.org', '"b (o); b"@example.org'),
        ('"b;b"@example.org', '"b;b"@example.org'),
        ("rfc822; bob (at example.org", "bob (at example.org"),
        # xtext: what only looks like it stays
        ("rfc822;bob+2Bnews@example.org", "bob+news@example.org"),
        ("rfc822;bob+news@example.org", "bob+news@example.org"),
        ("rfc822;bob+42@example.org", "bob+42@example.org"),
        ("rfc822;bob+20@example.org", "bob+20@example.org"),
        ("bob+20@example.org", "bob+20@example.org"),
        ("rfc822;bob+AB@example.org", "bob+AB@example.org"),
        ("rfc822;bob+0A@example.org", "bob+0A@example.org"),
        ("rfc822;bob+2Ba+news@example.org", "bob+2Ba+news@example.org"),
        ("rfc822;a+3Db@example.org", "a=b@example.org"),
        ("rfc822;+22b+20b+22@example.org", "+22b+20b+22@example.org"),
        ('rfc822;"b+20b"@example.org', '"b b"@example.org'),
        ("x400;/C+3Dus/A+3D+20/", "/C=us/A= /"),
        # RFC 6533: characters that may be shown
        (r"utf-8;j\x{FC}rg@example.org", "j\u00fcrg@example.org"),
        (r"UTF-8; a\x{2B}b\x{3d}c\x{20}@example.org", "a+b=c @example.org"),
        (r"utf-8;\x{1F600}@example.org", "\U0001f600@example.org"),
        (r"utf-8;\x{01F600}\x{5C}@example.org", "\U0001f600\\@example.org"),
        (r"utf-8;\x{001F600}@example.org", r"\x{001F600}@example.org"),
        (r"utf-8;\x{0A}\x{D800}@example.org", r"\x{0A}\x{D800}@example.org"),
        (r"utf-8;\x{202E}\x{110000}@example.org", r"\x{202E}\x{110000}@example.org"),
        ("utf-8;a+2Bb@example.org", "a+2Bb@example.org"),
        (r"rfc822;\x{FC}@example.org", r"\x{FC}@example.org"),
        ("utf-8;j\u00fcrg@example.org", "j\u00fcrg@example.org"),
    ],
)
def test_original_recipients(written: str, address: str) -> None:
    found = recipient(f"Original-Recipient: {written}")
    assert found.original_recipient == found.address == address
    assert found.final_recipient == "bob@example.org"
    assert found.is_for(address)
    assert found.is_for("bob@EXAMPLE.ORG")
    assert found.is_for(" bob@example.org ")
    assert not found.is_for("bob@example.net")


def test_a_final_recipient_is_no_xtext_nor_is_an_original_one_like_it() -> None:
    address = "bob+2Bnews@example.org"
    found = report(
        f"Original-Recipient: rfc822;{address}\nFinal-Recipient: RFC822; <{address}>",
        f"Final-Recipient: rfc822; {address}",
        f"Original-Recipient: rfc822;{address}\nFinal-Recipient: rfc822; b@c.example",
        f"Original-Recipient: rfc822;{address}",
        f"Original-Recipient: rfc822;{address}\nFinal-Recipient: x-local; {address}",
    )
    assert [
        (each.original_recipient, each.final_recipient) for each in found.recipients
    ] == [
        (address, address),
        (None, address),
        ("bob+news@example.org", "b@c.example"),
        ("bob+news@example.org", "bob+news@example.org"),
        ("bob+news@example.org", address),
    ]
    assert found.for_recipient(address) == found.recipients
    assert found.for_recipient("bob+news@example.org") == found.recipients


def test_a_final_recipient_is_found_however_it_is_written() -> None:
    found = report(r"Final-Recipient: utf-8; j\x{FC}rg@b\x{FC}cher.example.org")
    for address in (
        "j\u00fcrg@xn--bcher-kva.example.org",
        r"utf-8;j\x{fc}rg@B\x{FC}cher.example.ORG",
    ):
        assert found.for_recipient(address) == found.recipients
    assert found.for_recipient(r"j\x{fc}rg@b\u00fccher.example.org") == ()


def test_what_is_no_address_is_found_without_regard_to_case_behind_the_at() -> None:
    found = report("Final-Recipient: x-local; Bob Smith@Example.ORG")
    assert found.for_recipient("Bob Smith@example.org") == found.recipients
    assert found.for_recipient("bob smith@Example.ORG") == ()


def test_several_may_stand_for_one() -> None:
    groups = [
        f"Original-Recipient: rfc822;team@example.org\nFinal-Recipient: rfc822;{name}"
        for name in ("a@example.org", "b@example.org")
    ]
    found = report(*groups, BOB)
    assert found.for_recipient("team@example.org") == found.recipients[:2]
    assert found.for_recipient("b@example.org") == found.recipients[1:2]
    assert found.for_recipient("nobody@example.org") == ()
    assert found.recipients[2].address == "bob@example.org"
    with pytest.raises(InvalidInput, match="address is of type bytes, not str"):
        found.for_recipient(b"bob@example.org")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "envid"),
    [
        ("order-4711", "order-4711"),
        ("order 4711=(a+b)", "order 4711=(a+b)"),
        ("order+204711+3D(a+2Bb)", "order 4711=(a+b)"),
        ("order+4711", "order+4711"),
        ("a+2B+b", "a+2B+b"),
        ("a+2b", "a+2b"),
        ("a+41", "a+41"),
        ("a+AB", "a+AB"),
        ("a+0D+0A", "a+0D+0A"),
        ("QQ+2B314159", "QQ+314159"),
        ("j\u00fcrg+2B", "j\u00fcrg+2B"),
    ],
)
def test_envelope_ids(written: str, envid: str) -> None:
    found = report(BOB, about=f"Original-Envelope-Id: {written}")
    assert found.envid == envid
    assert found.has_envid(envid)
    assert found.has_envid(f" {written} ")
    assert not found.has_envid(envid.upper() + "x")
    assert report(BOB).envid is None
    assert not report(BOB).has_envid(envid)


def test_an_envelope_id_that_looks_encoded_is_found_all_the_same() -> None:
    found = report(BOB, about="Original-Envelope-Id: a+2Bb")
    assert found.has_envid("a+2Bb")
    assert found.has_envid("a+b")
    assert not found.has_envid("A+b")
    # Encoded by a client that encodes more than it must, but not less than it may.
    found = report(BOB, about="Original-Envelope-Id: order+2F7+2b")
    assert found.envid == "order+2F7+2b"
    assert found.has_envid("order/7+2b")
    assert not found.has_envid("order/7+")
    with pytest.raises(InvalidInput, match="envid is of type int, not str"):
        found.has_envid(4711)  # type: ignore[arg-type]


# How groups and fields are laid out


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_layout(end: str) -> None:
    lines = [
        *(
            "",
            "",
            ABOUT,
            "X-Long: one",
            "\t two  ",
            "   ",
            " three",
            "",
            "\tfour",
            " \t",
            "",
        ),
        *("Final-Recipient: rfc822;", "  bob@example.org", "Action:failed", " ", "\t"),
        *("Final-recipient\t: rfc822;carol@example.org", "junk", " more of it", ": x"),
        *("bad name: x", "Action :\tdelayed", "", "", "Status: 4.2.2", "", ""),
    ]
    found = DeliveryReport.parse(wrapped(end.join(lines)))
    assert found.fields == (tuple(ABOUT.split(": ")), ("X-Long", "one two three four"))
    bob, carol = found.recipients
    assert bob.fields == (
        ("Final-Recipient", "rfc822; bob@example.org"),
        ("Action", "failed"),
    )
    assert carol.final_recipient == "carol@example.org"
    assert [name for name, _ in carol.fields] == ["Final-recipient", "Action", "Status"]
    assert carol.status == EnhancedStatus(4, 2, 2)


def test_the_first_group_may_be_both_and_may_be_torn() -> None:
    both = report(about=f"{ABOUT}\n{BOB}\nAction: failed")
    assert both.reporting_mta == "mx.example.org"
    assert both.recipients[0].action is Action.FAILED
    torn = report("Original-Envelope-Id: 4711", BOB)
    assert (torn.reporting_mta, torn.envid) == ("mx.example.org", "4711")
    assert len(torn.recipients) == 1
    none = report(about=BOB)
    assert none.reporting_mta is None
    assert none.recipients[0].final_recipient == "bob@example.org"


def test_of_a_field_that_comes_twice_the_first_counts() -> None:
    found = recipient("Action: failed", "Action: delivered")
    assert found.action is Action.FAILED
    assert len(found.fields) == 3


def test_what_is_in_a_report_can_be_printed() -> None:
    nasty = b"\x1b[31m\x00\xff\xc2\x85\xe2\x80\xae\xe2\x80\xa8\x0b\x7f"
    safe = r"\x1b[31m\x00\xff\x85\u202e\u2028\x0b\x7f"
    status = b"\n".join(
        (
            b"Original-Envelope-Id: " + nasty,
            b"Reporting-MTA: dns; " + nasty,
            b"",
            b"Final-Recipient: rfc822; bob@example.org" + nasty,
            b"Diagnostic-Code: smtp; 550 " + nasty,
        )
    )
    back = b"Content-Type: message/rfc822\r\n\r\nMessage-ID: <a" + nasty + b">\r\n"
    octets = wrapped(status, back=back).replace(b"Sorry.", b"S\torry." + nasty)
    found = DeliveryReport.parse(octets)
    (bob,) = found.recipients
    assert found.envid == found.reporting_mta == safe
    assert found.message_id == f"<a{safe}>"
    assert found.text == f"S       orry.{safe}"
    assert bob.final_recipient == f"bob@example.org{safe}"
    assert bob.diagnostic == ("smtp", f"550 {safe}")
    assert bob.is_for(f"bob@example.org{safe}")
    for shown in (str(found), repr(found), str(bob), str(bob.diagnostic)):
        assert shown.isprintable()
        assert shown.encode("ascii")
