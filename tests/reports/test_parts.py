"""Where in a message a report is, and what is none."""

from __future__ import annotations

import base64
import email
import quopri
from email import policy
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart

import pytest

from esmtp_async import DeliveryReport, InvalidInput

from .samples import ABOUT, BOB, SAMPLES, wrapped

STATUS = f"{ABOUT}\r\n\r\n{BOB}\r\n"
WHOLE = wrapped(STATUS)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "is of the type 'text/plain', not multipart/report"),
        (b"Subject: hello\r\n\r\nmultipart/report", "type 'text/plain', not multipart"),
        (WHOLE.replace(b"multipart/report", b"report"), "is of the type 'text/plain'"),
        (WHOLE.replace(b"multipart/report", b"multipart/mixed"), "'multipart/mixed'"),
        (
            WHOLE.replace(b"multipart/report", b"a\x1b/" + b"b" * 99),
            r"'a\\\\x1b/b+\.\.\.'",
        ),
        (WHOLE.replace(b"multipart/report", b"a/" + b"b" * 58), f"'a/{'b' * 58}'"),
        (
            WHOLE.replace(b"report-type=delivery-status", b"x=y"),
            "its report-type is ''",
        ),
        (
            WHOLE.replace(b"=delivery-status", b'="disposition\\-notification"'),
            "its report-type is 'disposition-notification', not delivery-status",
        ),
        (
            WHOLE.replace(b"message/delivery", b"text/delivery"),
            "message/delivery-status",
        ),
        (WHOLE.replace(b"boundary=b", b"boundary=c"), "no part of the type message"),
        (WHOLE.replace(b"boundary=b", b""), "no part of the type message"),
        (
            WHOLE.replace(b"boundary=b", b"").replace(b"--b", b"--"),
            "no part of the type message",
        ),
        (WHOLE.replace(BOB.encode(), b"Action: failed"), "no Final-Recipient"),
        (wrapped(""), "no Final-Recipient"),
    ],
)
def test_what_is_missing_is_told(octets: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        DeliveryReport.parse(octets)


@pytest.mark.parametrize("message", [None, 5, ["x"], object])
def test_what_is_no_message(message: object) -> None:
    with pytest.raises(
        InvalidInput, match=r"the report is of type (NoneType|int|list|type)"
    ):
        DeliveryReport.parse(message)  # type: ignore[arg-type]


def test_text_must_be_encodable() -> None:
    with pytest.raises(InvalidInput, match="lone surrogate at character 3") as told:
        DeliveryReport.parse("abc\ud800")
    assert told.value.__cause__ is None  # it would show the whole report
    text = wrapped(STATUS).decode().replace("Sorry", "S\udcffrry")
    assert DeliveryReport.parse(text).text == r"S\xffrry."


@pytest.mark.parametrize(
    "header",
    [
        ['CONTENT-TYPE : Multipart/REPORT;Boundary="b";Report-Type="Delivery-Status"'],
        [
            'Content-Type: multipart/report; x="a\\"; boundary=c";boundary=b ;',
            "\treport-type=delivery-status",
        ],
        [
            "Content-Type: multipart/report (; boundary=c);report-type",
            " = delivery-status;  boundary=b",
            "Content-Type: text/plain",
        ],
        [
            "From daemon Mon Nov 23 12:00:00 2026",
            "Content-Type: multipart/report;",
            " boundary=b; report-type=delivery-status",
        ],
        ["Content-Type: multipart/report; report-type=delivery-status ; boundary=b"],
        ['Content-Type: multipart/report; report-type=delivery-status; boundary="b "'],
        [
            ">From daemon Mon Nov 23 12:00:00 2026",
            "Content-Type: multipart/report; boundary=b; report-type=delivery-status",
        ],
        [
            " of what came before",
            "Content-Type: multipart/report; boundary=b; report-type=delivery-status",
        ],
    ],
)
def test_how_the_type_may_be_written(header: list[str]) -> None:
    octets = "\n".join(header).encode() + WHOLE[WHOLE.index(b"\r\n\r\n") :]
    assert len(DeliveryReport.parse(octets).recipients) == 1


def test_a_boundary_is_a_whole_line() -> None:
    status = f"--bb\r\n --b\r\n{STATUS}\r\n--b--x\r\nX-Last: 1"
    octets = (
        wrapped(status).replace(b"\r\n--b\r\n", b"\r\n--b \t\r\n") + b"--b\r\n\r\nmore"
    )
    (bob,) = DeliveryReport.parse(octets).recipients
    assert bob.fields[-1] == ("X-Last", "1")


def test_a_boundary_may_hold_any_character() -> None:
    octets = WHOLE.replace(b"boundary=b", b'boundary="(+.?"').replace(b"--b", b"--(+.?")
    assert len(DeliveryReport.parse(octets).recipients) == 1


def test_a_report_that_is_cut_off_is_one() -> None:
    octets = wrapped(STATUS).removesuffix(b"\r\n--b--\r\n")
    assert octets.endswith(b"bob@example.org\r\n")
    assert len(DeliveryReport.parse(octets).recipients) == 1


@pytest.mark.parametrize(
    "kind", ["message/delivery-status", "message/global-delivery-status"]
)
@pytest.mark.parametrize("as_message", [False, True])
def test_transfer_encodings(kind: str, *, as_message: bool) -> None:
    coded = {
        "Base64 (why not)": base64.encodebytes(STATUS.encode()).replace(b"\n", b"\r\n"),
        "Quoted-Printable": quopri.encodestring(STATUS.encode()).replace(b"@", b"=40"),
        "8bit": STATUS.encode(),
        "x-unknown": STATUS.encode(),
    }
    for encoding, status in coded.items():
        header = f"Content-Transfer-Encoding: {encoding}\r\n"
        octets = wrapped(status, header=header, kind=kind)
        form = email.message_from_bytes(octets) if as_message else octets
        (bob,) = DeliveryReport.parse(form).recipients
        assert bob.final_recipient == "bob@example.org", encoding


def test_base64_that_cannot_be_decoded_stays_as_it_is() -> None:
    header = "Content-Transfer-Encoding: base64\r\n"
    with pytest.raises(InvalidInput, match="no Final-Recipient"):
        DeliveryReport.parse(wrapped(b"A", header=header))
    text = WHOLE.replace(b"\r\n\r\nSorry.", b"\r\n" + header.encode() + b"\r\nSorry.")
    assert DeliveryReport.parse(text).text == "Sorry."
    cut = base64.b64encode(STATUS.encode() + b"\r\n").rstrip(b"=")
    assert DeliveryReport.parse(wrapped(cut, header=header)).recipients


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("message/rfc822", "7bit"),
        ("text/rfc822-headers", "7bit"),
        ("message/global", "base64"),
        ("message/global-headers", "8bit"),
    ],
)
def test_what_comes_back(kind: str, encoding: str) -> None:
    sent = b"From: alice@example.org\nMessage-ID:\n <1@example.org>\n"
    body = base64.b64encode(sent) if encoding == "base64" else sent
    back = b"Content-Type: %b; x=y\nContent-Transfer-Encoding: %b\n\n%b" % (
        *(kind.encode(), encoding.encode()),
        body,
    )
    found = DeliveryReport.parse(wrapped(STATUS, back=back))
    assert found.returned == sent.replace(b"\n", b"\r\n")
    assert found.message_id == "<1@example.org>"


def test_what_stands_ahead_of_the_status_does_not_come_back() -> None:
    octets = WHOLE.replace(
        b"\r\n\r\nSorry.", b"\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@a>"
    )
    found = DeliveryReport.parse(octets)
    assert (found.returned, found.message_id, found.text) == (None, None, "")


def test_nothing_comes_back_behind_the_end() -> None:
    behind = b"Content-Type: message/rfc822\r\n\r\nMessage-ID: <1@example.org>\r\n"
    assert DeliveryReport.parse(WHOLE + behind).returned is None


def test_what_comes_back_may_tell_no_message_id() -> None:
    for back in (
        b"Content-Type: message/rfc822\n\n\nMessage-ID: <1@example.org>",
        b"\nx",
        b"Content-Type: message/rfc822\n\nMessage-ID: \n\nHello",
    ):
        assert DeliveryReport.parse(wrapped(STATUS, back=back)).message_id is None
    found = DeliveryReport.parse(wrapped(STATUS))
    assert (found.returned, found.message_id) == (None, None)


@pytest.mark.parametrize(
    ("header", "body", "text"),
    [
        ("text/plain", b"na\xc3\xafve\n\nx\n", "na\u00efve\n\nx"),
        ("text/plain; charset=us-ascii", b"na\xc3\xafve", "na\u00efve"),
        ("text/plain; charset=iso-8859-1", b"na\xefve", "na\u00efve"),
        ("text/plain; charset=windows-1251", b"\xe4\xe0", "\u0434\u0430"),
        ("text/plain; charset=KOI8_R", b"\xc4\xc1", "\u0434\u0430"),
        ("text/plain; charset=Shift_JIS", b"\x93\xfa", "\u65e5"),
        ("text/plain; charset=ISO-2022-JP", b"\x1b$BF|\x1b(B", "\u65e5"),
        ("text/plain; charset=windows-1252", b"a\x81b", "a\ufffdb"),
        ("text/plain; charset=cp0", b"na\xefve", r"na\xefve"),
        ("text/plain; charset=punycode", b"bcher-kva", "bcher-kva"),
        ("text/html", b"<p>no</p>", ""),
        ("multipart/mixed", b"x", ""),
        ("multipart/mixed; boundary=c", b"--c\n\nyes\n--c--", "yes"),
        ("multipart/mixed; boundary=c", b"--c--", ""),
        (
            "multipart/mixed; boundary=c",
            b"--c\nSorry, Bob.\nNo.\n--c--",
            "Sorry, Bob.\nNo.",
        ),
        (
            "multipart/mixed; boundary=c",
            b"--c\nSorry, Bob.\nContent-Type: text/html\n--c--",
            "Sorry, Bob.\nContent-Type: text/html",
        ),
    ],
)
def test_what_people_are_told(header: str, body: bytes, text: str) -> None:
    octets = WHOLE.replace(
        b"--b\r\n\r\nSorry.", b"--b\nContent-Type: %b\n\n%b" % (header.encode(), body)
    )
    assert DeliveryReport.parse(octets).text == text


@pytest.mark.parametrize(("depth", "text"), [(1, "yes"), (3, "yes"), (4, "")])
def test_how_deep_it_may_stand(depth: int, text: str) -> None:
    part = b"\n\nyes"
    for level in range(depth):
        boundary = b"c%d" % level
        part = b"\nContent-Type: multipart/mixed; boundary=%b\n\n--%b%b\n--%b--" % (
            *(boundary, boundary),
            *(part, boundary),
        )
    octets = WHOLE.replace(b"\r\n\r\nSorry.", part)
    assert DeliveryReport.parse(octets).text == text


def test_nothing_is_told_to_people_behind_the_status() -> None:
    octets = WHOLE.replace(b"--b\r\n\r\nSorry.\r\n", b"")
    assert DeliveryReport.parse(octets).text == ""


def test_a_forwarded_report_is_not_the_report_but_can_be_given() -> None:
    original = email.message_from_bytes(SAMPLES["postfix"])
    forward = EmailMessage()
    forward["Subject"] = "Fwd: Undelivered"
    forward.set_content("Look at this.")
    forward.add_attachment(email.message_from_bytes(SAMPLES["postfix"]))
    with pytest.raises(InvalidInput, match="multipart/mixed"):
        DeliveryReport.parse(forward)
    attached = next(
        part for part in forward.walk() if part.get_content_type() == "multipart/report"
    )
    assert DeliveryReport.parse(attached).message_id == "<4711@example.org>"
    wrapper = MIMEMultipart("mixed", _subparts=[original])
    with pytest.raises(InvalidInput, match="multipart/mixed"):
        DeliveryReport.parse(wrapper.as_bytes())


def test_a_report_that_comes_back_is_not_the_report() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + SAMPLES["postfix"]
    found = DeliveryReport.parse(wrapped(STATUS, back=inner))
    assert found.reporting_mta == "mx.example.org"
    assert found.envid is None
    assert found.message_id == "<20261123120001.4Xy1@mx.example.org>"


def test_a_message_without_a_boundary_gets_none() -> None:
    status = Message()
    status["Content-Type"] = "message/delivery-status"
    about, bob = Message(), Message()
    about["Reporting-MTA"] = "dns; mx.example.org"
    bob["Final-Recipient"] = "rfc822; bob@example.org"
    status.set_payload([about, bob])
    whole = MIMEMultipart("report", _subparts=[status], report_type="delivery-status")
    assert DeliveryReport.parse(whole).recipients[0].address == "bob@example.org"
    assert whole.get_boundary() is None


@pytest.mark.parametrize("how", [policy.compat32, policy.default])
def test_a_message_that_is_made_is_folded_nowhere(how: policy.Policy) -> None:
    long = "smtp; 550 " + ",".join("abcdefgh" * 3 for _ in range(60))
    status, about, bob = Message(how), Message(how), Message(how)
    status["Content-Type"] = "message/delivery-status"
    about["Reporting-MTA"] = "dns; mx.example.org"
    bob["Final-Recipient"] = "rfc822; bob@example.org"
    bob["Diagnostic-Code"] = long
    status.set_payload([about, bob])
    whole = MIMEMultipart(
        "report", _subparts=[status], policy=how, report_type="delivery-status"
    )
    (recipient,) = DeliveryReport.parse(whole).recipients
    assert recipient.fields[-1] == ("Diagnostic-Code", long)


def test_a_message_that_is_made_may_hold_utf8() -> None:
    status, bob = Message(policy.default), Message(policy.default)
    status["Content-Type"] = "message/global-delivery-status"
    bob["Final-Recipient"] = "utf-8; j\u00fcrg@example.org"
    status.set_payload([bob])
    whole = MIMEMultipart("report", _subparts=[status], report_type="delivery-status")
    whole.policy = policy.default
    (recipient,) = DeliveryReport.parse(whole).recipients
    assert recipient.final_recipient == "j\u00fcrg@example.org"


def test_no_line_is_changed_that_begins_like_a_mailbox() -> None:
    message = email.message_from_bytes(WHOLE.replace(b"Sorry.", b"From me:\r\nSorry."))
    assert DeliveryReport.parse(message).text == "From me:\nSorry."


def test_a_message_that_is_none() -> None:
    message = MIMEMultipart("report", report_type="delivery-status")
    message.set_payload([5])  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match="the report cannot be made into octets"):
        DeliveryReport.parse(message)
