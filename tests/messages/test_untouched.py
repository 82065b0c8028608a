"""The caller's Message is never modified."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.header import Header
from email.message import EmailMessage, Message
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Final

import pytest

from esmtp_async.protocol._extensions import Extensions

from .prepared import (
    ALICE,
    BOB,
    DATE,
    EIGHT_BIT,
    MESSAGE_ID,
    SEVEN_BIT,
    compose,
    octets,
    prepared,
)


def text(**fields: str) -> EmailMessage:
    message = compose(**fields)
    message.set_content("Grüße\n.dot\nFrom here\n", cte="8bit")
    return message


def alternative() -> EmailMessage:
    message = text(Subject="Grüße")
    message.add_alternative("<p>Grüße</p>\n", subtype="html")
    message.add_attachment(b"\x00\xff\r\n" * 99, maintype="image", subtype="png")
    return message


def forwarding() -> EmailMessage:
    message = compose(Bcc="carol@example.test", Subject="Fwd")
    message.add_attachment(alternative(), filename="größe.eml")
    return message


def old() -> Message:
    message = MIMEMultipart()
    message["From"] = ALICE
    message["To"] = BOB
    message["Bcc"] = "carol@example.test"
    message["Subject"] = Header("Grüße", "iso-8859-1")  # type: ignore[assignment]  # the old policy takes it
    message.attach(MIMEText("Grüße\n", "plain", "utf-8"))
    message.attach(MIMEImage(b"\x89PNG", "png"))
    message.preamble = "preamble\n"
    message.epilogue = "epilogue\n"
    return message


def with_a_boundary() -> Message:
    message = old()
    message.set_boundary("border")
    return message


def without_a_list() -> Message:
    """Give one of the kind that programs made before there were lists of parts."""
    message = text()
    part = MIMEText("Grüße\n", "plain", "utf-8")
    part.replace_header("Content-Transfer-Encoding", "8bit")
    part.set_payload("Grüße\n".encode().decode("ascii", "surrogateescape"))
    message.replace_header("Content-Type", 'multipart/mixed; boundary="border"')
    message.set_payload(part)
    return message


def parsed() -> Message:
    return message_from_bytes(bytes(alternative()), policy=policy.default)


def parsed_raw() -> Message:
    return message_from_bytes(
        "From: Jürg <alice@example.test>\nTo: bob@example.test\n"
        "Bcc: carol@example.test\n\nGrüße\n".encode()
    )


MAKERS: Final[list[Callable[[], Message]]] = [
    *(
        text,
        alternative,
        forwarding,
        old,
        with_a_boundary,
        without_a_list,
        parsed,
        parsed_raw,
    )
]


def state(message: Message) -> list[object]:
    """Give all that a message consists of, the identity of its values included."""
    alone = message.get_payload()
    parts: list[object] = state(alone) if isinstance(alone, Message) else []
    for part in message.walk():
        values = [(name, id(value)) for name, value in part.raw_items()]
        payload = part.get_payload()
        inside = list(map(id, payload)) if isinstance(payload, list) else payload
        own = {k: v for k, v in vars(part).items() if k not in {"_headers", "_payload"}}
        parts.append((type(part), part.keys(), values, inside, repr(own), part.policy))
    return parts


@pytest.mark.parametrize("extensions", [EIGHT_BIT, SEVEN_BIT])
@pytest.mark.parametrize("make", MAKERS)
def test_the_callers_message_is_never_modified(
    make: Callable[[], Message], extensions: Extensions
) -> None:
    message = make()
    before, twin = state(message), copy.deepcopy(message)
    sent = octets(message, extensions, x_mailer="tests")
    assert b"Bcc" not in sent.partition(b"\r\n\r\n")[0]
    assert state(message) == before
    assert message.items() == twin.items()
    # Only now, for this gives a message its boundaries.
    with_boundaries = zip(message.walk(), twin.walk(), strict=True)
    for part, of_twin in with_boundaries:
        if part.is_multipart():
            part.set_boundary(f"boundary of {id(part)}")
            of_twin.set_boundary(f"boundary of {id(part)}")
    assert message.as_bytes() == twin.as_bytes()


def test_a_message_is_not_even_modified_for_a_moment() -> None:
    """Two threads may send one message."""
    message = alternative()
    seen: set[object] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(id(part.policy) for part in message.walk())
            seen.add(message.get_boundary())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(50):
        octets(message, SEVEN_BIT)
    over.set()
    watcher.join()
    assert seen == {id(message.policy), None}


def test_the_same_message_gives_the_same_octets() -> None:
    message = with_a_boundary()
    message["Date"] = DATE
    message["Message-ID"] = MESSAGE_ID
    assert octets(message) == octets(message)
    outgoing = prepared(message, ALICE, BOB)
    wide = outgoing.mail_data(EIGHT_BIT).octets
    narrow = outgoing.mail_data(SEVEN_BIT).octets
    assert outgoing.mail_data(EIGHT_BIT).octets == wide
    assert outgoing.mail_data(SEVEN_BIT).octets == narrow
    assert outgoing.mail_data(SEVEN_BIT) is outgoing.mail_data(SEVEN_BIT)


def test_attributes_of_an_apps_own_are_left_alone() -> None:
    message = alternative()
    message.lock = threading.Lock()  # type: ignore[attr-defined]
    assert octets(message).count(b"Content-Type") == 5
