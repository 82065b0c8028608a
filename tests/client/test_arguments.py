"""Everything a caller can get wrong is told before anything is written."""

from __future__ import annotations

from email.message import EmailMessage, Message
from math import nan
from typing import Any

import pytest

from esmtp_async import (
    InvalidInput,
    Plain,
    SendOptions,
    SMTPClient,
    Timeouts,
)
from tests.backends import everywhere
from tests.client.checks import (
    ALICE,
    BOB,
    never,
    refusal,
    simple,
)


class _Nothing:
    """Cannot be sent."""

    def __repr__(self) -> str:
        return "nothing"


@everywhere
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"message": None}, "message is of type NoneType"),
        ({"message": 5}, "message is of type int"),
        ({"message": _Nothing()}, "message is of type _Nothing"),
        ({"message": "lone \ud800"}, "surrogate"),
        ({"sender": 5}, "sender is of type int"),
        ({"sender": b"a@b.test"}, "sender is of type bytes"),
        ({"recipients": 5}, "recipients is of type int"),
        ({"recipients": b"a@b.test"}, "recipients[0] is of type bytes"),
        ({"recipients": [BOB, 5]}, "recipients[1] is of type int"),
        ({"recipients": [BOB, None]}, "recipients[1] is of type NoneType"),
        ({"recipients": [b"a@b.test"]}, "recipients[0] is of type bytes"),
        ({"recipients": []}, "no recipient"),
        ({"recipients": ()}, "no recipient"),
        ({"recipients": frozenset()}, "no recipient"),
        ({"recipients": ""}, "recipients[0]"),
        ({"sender": None}, "give a sender"),
        ({"recipients": None}, "no address in To, Cc or Bcc"),
        ({"message": [b"x"], "sender": None}, "sender must be given"),
        ({"message": [b"x"], "recipients": None}, "recipients must be given"),
        ({"message": [b"x", "y"]}, "the message's iterable gave a str, not bytes"),
        ({"message": {"Subject": "x"}}, "the message's iterable gave a str"),
        ({"message": (5,)}, "the message's iterable gave a int"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": -1}, "timeout is -1"),
        ({"timeout": nan}, "timeout is nan"),
        ({"timeout": "5"}, "timeout is '5'"),
        ({"timeout": True}, "timeout is True"),
        ({"options": {"ret": "FULL"}}, "options is of type dict"),
        ({"options": {}}, "options is of type dict"),
        ({"all_or_nothing": "no"}, "all_or_nothing is of type str, not bool"),
        ({"all_or_nothing": None}, "all_or_nothing is of type NoneType, not bool"),
        ({"timeout": 10**400}, "timeout is 1000"),
        ({"options": SendOptions(x_mailer="x")}, "x_mailer"),
    ],
    ids=str,
)
async def test_wrong_arguments_of_send(arguments: dict[str, object], told: str) -> None:
    assert told in await refusal(**arguments)


@everywhere
async def test_headers_that_name_nobody() -> None:
    for make in (EmailMessage, Message):
        empty = make()
        assert "give a sender" in await refusal(empty, sender=None)
        empty["From"] = ALICE
        told = await refusal(empty, sender=None, recipients=None)
        assert "no address in To, Cc or Bcc" in told
    two = simple()
    del two["From"]
    two["From"] = f"{ALICE}, {BOB}"
    assert "From has 2 addresses" in await refusal(two, sender=None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"server": None}, "server is of type NoneType, not str"),
        ({"server": b"smtp://a:b@host"}, "server is of type bytes, not str"),
        ({"server": ""}, "server is ''"),
        ({"server": "a b"}, "server: 'a b'"),
        ({"server": "a..b"}, "server: 'a..b'"),
        ({"server": "-a"}, "server: '-a'"),
        ({"server": "a\r\nb"}, "server: 'a\\r\\nb'"),
        ({"server": "host:"}, "colon without a port"),
        ({"server": "host:x"}, "port 'x'"),
        ({"server": "host:0"}, "port 0"),
        ({"server": "host:" + "9" * 5000}, "port '9"),
        ({"server": "host:65536"}, "port 65536"),
        ({"server": "host:٢٥"}, "port '٢٥'"),
        ({"server": "[::1"}, "server"),
        ({"server": "[::1]x"}, "server"),
        ({"server": "host:25", "port": 26}, "port is given twice"),
        ({"port": 0}, "port 0"),
        ({"port": -1}, "port -1"),
        ({"port": 65536}, "port 65536"),
        ({"port": True}, "port True"),
        ({"port": "25"}, "port is of type str, not int"),
        ({"port": 25.0}, "port is of type float"),
        ({"security": "ssl"}, "security is 'ssl'"),
        ({"security": ""}, "security is ''"),
        ({"security": True}, "security is True"),
        ({"ssl_context": True}, "ssl_context is of type bool"),
        ({"server_hostname": 5}, "server_hostname is of type int"),
        ({"server_hostname": ""}, "server_hostname"),
        ({"server_hostname": "a b"}, "server_hostname: 'a b'"),
        ({"username": "a"}, "password is missing"),
        ({"password": "a"}, "username is missing"),
        ({"username": "", "password": ""}, "username is missing or empty"),
        ({"username": "", "password": "a"}, "username is missing"),
        ({"username": "a", "password": ""}, "password is missing"),
        ({"username": 5, "password": "a"}, "username is of type int"),
        ({"username": "a", "password": 5}, "password is of type int"),
        ({"username": "a", "password": "b", "auth": Plain("a", "b")}, "not both"),
        ({"auth": "PLAIN"}, "auth"),
        ({"auth": ("alice", "b")}, "auth[0] is of type str"),
        ({"auth": [Plain("a", "b"), 5]}, "auth[1] is of type int"),
        ({"auth": []}, "auth names no mechanism"),
        ({"auth": 5}, "auth[0] is of type int"),
        ({"allow_plaintext_auth": "no"}, "allow_plaintext_auth is of type str"),
        ({"client_hostname": 5}, "client_hostname is of type int"),
        ({"local_address": 5}, "local_address is of type int"),
        ({"local_address": ""}, "local_address: ''"),
        ({"local_address": "x y"}, "local_address: 'x y'"),
        ({"local_address": "\ud800"}, "local_address: '\\ud800'"),
        ({"server": "smtp://h?local_address=a%0Ab"}, "local_address: 'a\\nb'"),
        ({"server": "smtp+unix:///a%00b"}, "has a NUL in its path"),
        ({"connect": 5}, "connect is of type int, not callable"),
        ({"on_event": []}, "on_event is of type list, not callable"),
        ({"timeouts": 0}, "timeouts"),
        ({"timeouts": -1}, "timeouts"),
        ({"timeouts": nan}, "timeouts"),
        ({"timeouts": 10**400}, "timeouts"),
        ({"timeouts": "5"}, "timeouts"),
        ({"timeouts": True}, "timeouts"),
        ({"timeouts": {"connect": 5}}, "timeouts"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"max_connections": -1}, "max_connections is -1"),
        ({"max_connections": 1.5}, "max_connections is 1.5"),
        ({"max_connections": True}, "max_connections is True"),
        ({"max_connections": None}, "max_connections is None"),
        ({"max_connections": "4"}, "max_connections is '4'"),
        ({"max_messages_per_connection": 0}, "max_messages_per_connection is 0"),
        ({"max_messages_per_connection": "n"}, "max_messages_per_connection is 'n'"),
        ({"max_idle": 0}, "max_idle is 0"),
        ({"max_idle": nan}, "max_idle is nan"),
        ({"max_idle": None}, "max_idle is None"),
        ({"max_age": 0}, "max_age is 0"),
        ({"max_age": "x"}, "max_age is 'x'"),
        ({"pipelining": "yes"}, "pipelining is 'yes'"),
        ({"pipelining": ""}, "pipelining is ''"),
        ({"pipelining": True}, "pipelining is True"),
    ],
    ids=str,
)
def test_wrong_arguments_of_the_client(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput) as info:
        SMTPClient(**arguments)
    assert told in str(info.value)
    assert str(info.value).isprintable()
    assert isinstance(info.value, ValueError)


@pytest.mark.parametrize(
    "stage", ["connect", "greeting", "command", "data", "block", "final", "quit"]
)
@pytest.mark.parametrize("value", [0, -1, nan, "5", None, True])
def test_wrong_timeouts(stage: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=rf"timeouts\.{stage} is "):
        Timeouts(**{stage: value})


@pytest.mark.parametrize("url", [None, 5, b"smtp://alice:secret@host", ["smtp://h"]])
def test_a_url_is_text(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^url is of type \w+, not str$"):
        SMTPClient.from_url(url)


@pytest.mark.parametrize("name", ["ret", "envid", "auth", "x_mailer"])
@pytest.mark.parametrize("value", [5, False, b"FULL", bytearray(b"x"), ["HDRS"]])
def test_options_are_text(name: str, value: Any) -> None:  # noqa: ANN401  # wrong
    with pytest.raises(InvalidInput, match=rf"^{name} is of type \w+, not str$"):
        SendOptions(**{name: value})


@everywhere
async def test_wrong_arguments_of_inquiries() -> None:
    async with SMTPClient(connect=never) as client:
        wrong: list[Any] = ["", "a\r\nQUIT", "\0", "x" * 600, 5, None]
        for bad in wrong:
            with pytest.raises(InvalidInput, match="VRFY"):
                await client.verify(bad)
            with pytest.raises(InvalidInput, match="EXPN"):
                await client.expand(bad)
