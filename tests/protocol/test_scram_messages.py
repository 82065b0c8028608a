"""What a server may say within SCRAM, to the octet (RFC 5802 §5.1, §7)."""

from __future__ import annotations

from string import ascii_letters

import pytest

from tests.protocol.test_scram import (
    RFC5802,
    RFC7677,
    SALT,
    refused,
)

EXTENDED = RFC7677.nonce + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
GOOD = f"r={EXTENDED},s={SALT},i=4096"
MALFORMED = [
    "",
    ",",
    f"r={EXTENDED},s={SALT}",
    f"r={EXTENDED},i=4096",
    f"s={SALT},i=4096",
    f"s={SALT},r={EXTENDED},i=4096",
    f"r={EXTENDED},i=4096,s={SALT}",
    f"{GOOD},r={EXTENDED}",
    f"{GOOD},i=4097",
    f"r={EXTENDED},r={EXTENDED},s={SALT},i=4096",
    f"x=1,{GOOD}",
    f"{GOOD},",
    f"{GOOD},x",
    f"{GOOD},x=",
    f"{GOOD},x=a\0b",
    f"{GOOD},x=1,,y=2",
    f"{GOOD},1=x",
    *(f"{GOOD},{reserved}=AAAA" for reserved in "anmrcsipve"),
    f" {GOOD}",
    f"{GOOD}\n",
    GOOD.replace("i=4096", "i=04096"),
    GOOD.replace("i=4096", "i=+4096"),
    GOOD.replace("i=4096", "i=4_096"),
    GOOD.replace("i=4096", "i=٤٠٩٦"),
    GOOD.replace("i=4096", f"i={'9' * 5000}"),
    GOOD.replace("i=4096", "i=4096 "),
    GOOD.replace("i=4096", "i="),
    GOOD.replace("==", "="),
    GOOD.replace("==", ""),
    GOOD.replace("W22Z", "W2!Z"),
    GOOD.replace("r=", "R="),
    GOOD.replace("%hv", "%\x7fhv"),
    GOOD.replace("%hv", "%ühv"),
    "r=,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
]


@pytest.mark.parametrize("message", MALFORMED)
def test_U8_a_malformed_first_message_is_refused(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashlib.pbkdf2_hmac", None)
    responses = RFC7677.begin(monkeypatch)
    problem = refused(responses, message.encode())
    assert problem == "SCRAM-SHA-256: the server's message is malformed"


OTHERWISE_REFUSED = [
    (f"r={RFC7677.nonce},s={SALT},i=4096".encode(), "does not extend ours"),
    (f"r=x{EXTENDED},s={SALT},i=4096".encode(), "does not extend ours"),
    (f"r={EXTENDED[1:]},s={SALT},i=4096".encode(), "does not extend ours"),
    (f"r={EXTENDED.lower()},s={SALT},i=4096".encode(), "does not extend ours"),
    (f"m=x,{GOOD}".encode(), "demands an extension"),
    (b"m=", "demands an extension"),
    (b"m=\n", "demands an extension"),
    (b"e=unknown-user", "the server reports the error unknown-user"),
    (b"e=other-error,x=y", "the server reports the error other-error"),
    (b"e=\x1b[2J", "the server reports the error \\x1b[2J"),
    (b"e=" + b"x" * 9000, f"the server reports the error {'x' * 80}"),
    (b"e=", "malformed"),
    (b"r=\xff", "is not UTF-8"),
    (f"r={EXTENDED},s=AAAA,i=4096".encode(), "'salt' is 3 bytes long"),
    (f"r={EXTENDED},s=,i=4096".encode(), "SCRAM-SHA-256: "),
    (f"{GOOD},x=1,x=2".encode(), "Duplicate attributes"),
    (None, "success before it proved who it is"),
]


@pytest.mark.parametrize(("message", "problem"), OTHERWISE_REFUSED)
def test_U8_what_else_the_first_message_may_not_be(
    message: bytes | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashlib.pbkdf2_hmac", None)
    told = refused(RFC7677.begin(monkeypatch), message)
    assert problem in told
    assert told.isprintable()
    assert len(told) < 200


EVERY_OTHER = "".join(f",{c}=1" for c in ascii_letters if c not in "anmrcsipve")


@pytest.mark.parametrize("extension", [",x=1", ",x==", ",B=ü,Z=%", EVERY_OTHER])
def test_U8_extensions_that_may_be_ignored_are(
    extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = RFC7677.begin(monkeypatch)
    final = responses.send(f"{GOOD}{extension}".encode())
    assert isinstance(final, bytes)
    # They are part of what is proved.
    assert not final.startswith(RFC7677.client_final.encode())


VERIFIER = RFC7677.server_final
AT_THE_END = [
    (None, "success before it proved who it is"),
    (b"", "malformed"),
    (b"v=", "does not know the password"),
    (f"{VERIFIER},v=AAAA".encode(), "malformed"),
    (f"{VERIFIER},".encode(), "malformed"),
    (f"x=1,{VERIFIER}".encode(), "malformed"),
    (GOOD.encode(), "malformed"),
    (b"v=AAAA", "does not know the password"),
    (VERIFIER.replace("6r", "7r").encode(), "does not know the password"),
    (RFC5802.server_final.encode(), "does not know the password"),
    (b"e=invalid-proof", "the server reports the error invalid-proof"),
    (b"v=\xff", "is not UTF-8"),
]


@pytest.mark.parametrize(("message", "problem"), AT_THE_END)
def test_U9_the_server_must_prove_itself(
    message: bytes | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = RFC7677.begin(monkeypatch)
    responses.send(RFC7677.server_first.encode())
    assert problem in refused(responses, message)


def test_U9_the_proof_may_be_followed_by_extensions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    responses = RFC7677.begin(monkeypatch)
    responses.send(RFC7677.server_first.encode())
    assert responses.send(f"{VERIFIER},x=1".encode()) == b""
