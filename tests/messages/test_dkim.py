"""DKIM signatures: the RFC's own, and others that dkimpy verifies."""

from __future__ import annotations

import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from esmtp_async import DkimSigner, Signer, _dkim

from .signing import (
    BODIES,
    BODY,
    CUTS,
    DOMAIN,
    ED25519,
    FORMS,
    HEADER,
    Key,
    cut,
    headers,
    rsa_key,
    signer,
    tags,
    verifies,
)


def names(field: bytes) -> list[str]:
    return tags(field)["h"].split(" : ")


def is_good(by: DkimSigner, message: bytes) -> bool:
    return verifies(message, dict([by.dns_record]))


# What the RFCs have

# RFC 8463 appendix A
RFC_8463_RSA: Final = """\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
RFC_8463_ED25519: Final = Ed25519PrivateKey.from_private_bytes(
    b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
)
RFC_8463_HEADER: Final = (
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
)
RFC_8463_BODY: Final = (
    b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
)


@pytest.mark.parametrize(
    ("selector", "key", "signature", "record"),
    [
        (
            "brisbane",
            RFC_8463_ED25519,
            (
                "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
                "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
            ),
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        ),
        (
            "test",
            RFC_8463_RSA,
            (
                "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
                "DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
                "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="
            ),
            (
                "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
                "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
                "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
                "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
            ),
        ),
    ],
)
def test_the_signatures_of_rfc_8463(
    monkeypatch: pytest.MonkeyPatch,
    selector: str,
    key: Key,
    signature: str,
    record: str,
) -> None:
    monkeypatch.setattr(_dkim, "time", lambda: 1528637909.9)
    signs = DkimSigner(
        "football.example.com",
        selector,
        key,
        identity="@football.example.com",
        headers=("from", "to", "subject", "date", "message-id"),
        oversign=("from", "subject", "date"),
    )
    told = tags(signs.sign(RFC_8463_HEADER, [RFC_8463_BODY]))
    assert told == {
        "v": "1",
        "a": signs.algorithm,
        "c": "relaxed/relaxed",
        "d": "football.example.com",
        "i": "@football.example.com",
        "q": "dns/txt",
        "s": selector,
        "t": "1528637909",
        "h": "from : to : subject : date : message-id : from : subject : date",
        "bh": "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=",
        "b": told["b"],
    }
    assert told["b"].replace(" ", "") == signature
    assert signs.dns_record == (
        f"{selector}._domainkey.football.example.com",
        record,
    )


# What dkimpy makes of it

EACH: Final = {
    (form, kind): DkimSigner(DOMAIN, "mail", key, canonicalization=form)
    for form in FORMS
    for kind, key in (("ed25519", ED25519), ("rsa", rsa_key()))
}


@settings(max_examples=400)
@given(st.sampled_from(list(EACH)), headers(), BODIES, CUTS)
def test_any_message_verifies(
    which: tuple[str, str], header: bytes, body: bytes, cuts: list[int]
) -> None:
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"  # as on the wire
    signs = EACH[which]
    field = signs.sign(header, iter(cut(body, cuts)))
    assert is_good(signs, field + header + b"\r\n" + body)
    assert not is_good(signs, field + header + b"\r\n" + body + b"x\r\n")
    assert not is_good(signs, field + header + b"From: x@example.net\r\n\r\n" + body)


@pytest.mark.parametrize("which", EACH)
def test_a_change_of_any_octet_is_noticed(which: tuple[str, str]) -> None:
    signs = EACH[which]
    field = signs.sign(HEADER, [BODY])
    signed = HEADER + b"\r\n" + BODY
    assert is_good(signs, field + signed)
    tried = 0
    for place, octet in enumerate(signed):
        if chr(octet).isalnum() or signs is EACH["simple/simple", which[1]]:
            changed = signed[:place] + bytes([octet ^ 2]) + signed[place + 1 :]
            tried += 1
            assert not is_good(signs, field + changed), changed
    assert tried > 50


@pytest.mark.parametrize("name", DkimSigner.OVERSIGN)
@pytest.mark.parametrize("place", ["top", "bottom"])
def test_nobody_can_add_what_is_oversigned(name: str, place: str) -> None:
    signs = signer()
    field = signs.sign(HEADER, [BODY])
    added = f"{name}: other\r\n".encode()
    header = added + HEADER if place == "top" else HEADER + added
    assert not is_good(signs, field + header + b"\r\n" + BODY)


def test_others_may_be_added_on_the_way() -> None:
    signs = signer()
    field = signs.sign(HEADER, [BODY])
    added = b"Received: from here\r\nDate: now\r\nSender: s@example.net\r\n"
    assert is_good(signs, added + field + HEADER + b"\r\n" + BODY)


def test_fields_of_one_name_are_signed_from_the_last() -> None:
    signs = signer(headers=["from", "x-note"], oversign=[])
    header = (
        b"X-Note: one\r\nFrom: a@example.org\r\nX-Note: two\r\nFrom: b@c.example\r\n"
    )
    field = signs.sign(header, [])
    assert names(field) == ["from", "from", "x-note", "x-note"]
    assert is_good(signs, field + header + b"\r\n")
    assert is_good(signs, b"X-Note: three\r\n" + field + header + b"\r\n")
    assert not is_good(signs, field + header + b"X-Note: three\r\n\r\n")
    swapped = header.replace(b"one", b"2").replace(b"two", b"one").replace(b"2", b"two")
    assert not is_good(signs, field + swapped + b"\r\n")


def test_a_name_may_have_space_behind_it() -> None:
    by_simple = signer(canonicalization="simple/simple")
    for signs in (signer(), by_simple):
        told = tags(signs.sign(b"FROM \t: a@example.org\r\n", []))
        assert told["h"].startswith("from : from : ")


def test_two_signatures_stand_side_by_side() -> None:
    both: tuple[Signer, ...] = (signer(), DkimSigner(DOMAIN, "rsa", rsa_key()))
    fields = b"".join(each.sign(HEADER, [BODY]) for each in both)
    records = dict(
        [signer().dns_record, DkimSigner(DOMAIN, "rsa", rsa_key()).dns_record]
    )
    message = fields + HEADER + b"\r\n" + BODY
    assert verifies(message, records, 0)
    assert verifies(message, records, 1)


def test_many_threads_share_a_signer() -> None:
    signs = DkimSigner(DOMAIN, "mail", rsa_key(), timestamp=False)
    bodies = [b"%d\r\n" % number * 5000 for number in range(40)]
    alone = [signs.sign(HEADER, [body]) for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda body: signs.sign(HEADER, [body]), bodies)) == alone


# What is said


def test_the_default_covers_what_lists_and_their_readers_go_by() -> None:
    header = HEADER + (
        b"List-Unsubscribe: <https://example.org/u>\r\nReceived: x\r\nX-Own: y\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nReturn-Path: <>\r\n"
    )
    told = names(signer().sign(header, []))
    there = ["from", "to", "subject", "list-unsubscribe", "list-unsubscribe-post"]
    assert told == there + list(DkimSigner.OVERSIGN)


def test_names_have_no_case_and_come_once() -> None:
    signs = signer(headers=["FROM", "From", "X-A"], oversign=("x-b", "X-B", "Subject"))
    header = b"x-a: 1\r\nSUBJECT: s\r\nfRom: a@example.org\r\nX-a: 2\r\n"
    told = names(signs.sign(header, []))
    assert told == ["from", "x-a", "x-a", "subject", "x-b", "subject"]


def test_times() -> None:
    before = int(time.time())
    told = tags(signer(expires=3600).sign(HEADER, []))
    assert before <= int(told["t"]) <= time.time()
    assert int(told["x"]) == int(told["t"]) + 3600
    assert "x" not in tags(signer().sign(HEADER, []))
    assert "t" not in tags(signer(timestamp=False).sign(HEADER, []))
    assert "t" not in (
        told := tags(signer(timestamp=False, expires=9).sign(HEADER, []))
    )
    assert int(told["x"]) >= before + 9


def test_there_is_no_length_of_a_part_of_the_body() -> None:
    assert "l" not in tags(signer(expires=1).sign(HEADER, [BODY]))


def test_lines_are_short_and_fold_where_they_may() -> None:
    signs = DkimSigner(f"{'a' * 60}.example.org", "s" * 63, rsa_key(), expires=9)
    header = HEADER + b"".join(b"%b: x\r\n" % n.encode() for n in DkimSigner.HEADERS)
    field = signs.sign(header, [])
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert max(map(len, lines)) <= 78
    assert len(lines) < 20
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    assert is_good(signs, field + header + b"\r\n")


def test_an_internationalized_domain_is_said_in_a_labels() -> None:
    signs = DkimSigner(
        "Bücher.example", "Süd", ED25519, identity="jürg@a.bücher.example"
    )
    told = tags(signs.sign(HEADER, []))
    assert told["d"] == signs.domain == "xn--bcher-kva.example"
    assert told["s"] == signs.selector == "xn--sd-xka"
    assert told["i"] == "j=C3=BCrg@a.xn--bcher-kva.example"
    name, _ = signs.dns_record
    assert name == "xn--sd-xka._domainkey.xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ("@example.org", "@example.org"),
        ("alice@Sub.Example.org", "alice@sub.example.org"),
        ('"a;b =\\"@x"@example.org', '"a=3Bb=20=3D\\"@x"@example.org'),
    ],
)
def test_an_identity(identity: str, said: str) -> None:
    signs = signer(identity=identity)
    field = signs.sign(HEADER, [BODY])
    assert tags(field)["i"] == said
    assert is_good(signs, field + HEADER + b"\r\n" + BODY)
