"""A header field means on the wire what it meant before, whichever way it is folded."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.header import Header
from email.headerregistry import Address, AddressHeader
from email.message import EmailMessage, Message

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmtp_async import InvalidInput

from .prepared import ALICE, BOB, compose, octets, prepared

NAME = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"])
    | st.sampled_from(' ",;()<>@.:\\ '),
    max_size=80,
).map(lambda name: " ".join(name.split()))
LOCAL = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?", fullmatch=True)
DOMAIN = st.from_regex(r"[a-z]{1,8}\.example", fullmatch=True)
ADDRESS = st.builds(Address, NAME, LOCAL, DOMAIN)


def sent(message: EmailMessage) -> Message:
    return message_from_bytes(octets(message), policy=policy.default)


def specs(message: Message, name: str) -> list[str]:
    header = message[name]
    assert isinstance(header, AddressHeader)
    return [address.addr_spec for address in header.addresses]


@given(st.lists(ADDRESS, min_size=1, max_size=12))
def test_a_list_of_addresses_stays_the_list(addresses: list[Address]) -> None:
    message = compose()
    del message["To"]
    message["To"] = addresses
    message.set_content("Hi\n")
    wanted = [address.addr_spec for address in addresses]
    assert specs(sent(message), "To") == wanted
    paths = [each.address for each in prepared(message).envelope.recipients]
    assert paths == list(dict.fromkeys(wanted))


@given(st.lists(st.from_regex(r"[!-~]{1,120}", fullmatch=True), min_size=1))
@example(words=["<https://example.org/" + "unsubscribe/" * 9 + ">"])
@example(words=["=?utf-8?q?x?="])
def test_a_text_stays_the_text(words: list[str]) -> None:
    message = compose()
    message["X-Text"] = " ".join(words)
    message.set_content("Hi\n")
    assert str(sent(message)["X-Text"]).split() == str(message["X-Text"]).split()


def test_a_long_uri_is_no_encoded_word() -> None:
    uri = "<https://example.org/" + "unsubscribe/" * 9 + ">"
    message = compose(List_Unsubscribe=uri)
    message.set_content("Hi\n")
    assert f"\r\nList-Unsubscribe: {uri}\r\n".encode() in octets(message)


def test_names_with_commas_stay_one_person_each() -> None:
    people = [f'"Müller, Jörg {n}" <u{n}@x.test>' for n in range(20)]
    message = compose()
    del message["To"]
    message["To"] = ", ".join(people)
    message.set_content("Hi\n")
    assert specs(sent(message), "To") == [f"u{n}@x.test" for n in range(20)]


def test_a_from_of_the_old_header_class() -> None:
    message = Message()
    message["From"] = Header("Jürgen <a@x.test>", "utf-8")  # type: ignore[assignment]  # typeshed knows text only
    message["To"] = Header("b@x.test")  # type: ignore[assignment]  # typeshed knows text only
    message["Subject"] = Header("Grüße", "utf-8")  # type: ignore[assignment]  # typeshed knows text only
    message.set_payload("Hi\n")
    envelope = prepared(message, "a@x.test").envelope
    assert [each.address for each in envelope.recipients] == ["b@x.test"]
    read = message_from_bytes(octets(message), policy=policy.default)
    assert read["Subject"] == "Grüße"


@pytest.mark.parametrize("name", ["Subject", "From", "X-Other"])
def test_a_nul_in_a_header_is_refused(name: str) -> None:
    for kind in (EmailMessage, Message):
        message = kind()
        fields = {"From": ALICE, "To": BOB} | {name: "a\0b <a@x.test>"}
        for key, value in fields.items():
            message[key] = value
        message.set_payload("Hi\n")
        with pytest.raises(InvalidInput, match=r"NUL|'\\x00'"):
            octets(message)
