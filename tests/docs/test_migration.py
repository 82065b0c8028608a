"""The pages on migration name everything that is there, and nothing that is not.

The left column is held against the library itself, and so is the right one; what is
said of errors is provoked from both sides, and the samples deliver the same.
"""

from __future__ import annotations

import asyncio
import builtins
import email.message
import gc
import inspect
import pathlib
import re
import smtplib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import aiosmtplib
import anyio
import pytest
from anyio.from_thread import start_blocking_portal

import esmtp_async
import esmtp_async.protocol
from conftest import Page
from esmtp_async import (
    ClientOptions,
    InvalidInput,
    Receipt,
    Recipient,
    Reply,
    SendOptions,
    ServerInfo,
    SMTPClient,
    SMTPError,
    Timeouts,
)
from esmtp_async.testing import Rule, SMTPServer, ThreadedServer

from .migration import AIOSMTPLIB, SMTPLIB, Row, pairs, tables

PAGES: Final = [AIOSMTPLIB, SMTPLIB]
MESSAGE: Final = b"Subject: x\r\n\r\nHello\r\n"

# The left column


def arguments(*functions: Callable[..., object]) -> set[str]:
    return {
        name
        for function in functions
        for name in inspect.signature(function).parameters
        if name != "self"
    }


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def errors(module: object) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }


def attributes(*errors: Exception) -> set[str]:
    return {name for error in errors for name in vars(error)}


#: What each table of a page must name, no less and no more.
THEIRS: Final[dict[Path, dict[str, set[str]]]] = {
    AIOSMTPLIB: {
        "aiosmtplib.SMTP(...)": arguments(
            aiosmtplib.SMTP.__init__, aiosmtplib.SMTP.connect
        ),
        "aiosmtplib.send(...)": {
            *arguments(aiosmtplib.SMTP.sendmail, aiosmtplib.SMTP.send_message),
            *(arguments(aiosmtplib.send) - arguments(aiosmtplib.SMTP.__init__)),
        },
        "aiosmtplib.SMTP": public(aiosmtplib.SMTP),
        "aiosmtplib": {
            *("errors", "response", "SMTPStatus", "SMTPTokenGenerator"),
            *(f"SMTPResponse.{field}" for field in aiosmtplib.SMTPResponse._fields),
        },
        "aiosmtplib again": errors(aiosmtplib),
        "attribute of an exception": attributes(
            aiosmtplib.SMTPResponseException(550, "no"),
            aiosmtplib.SMTPSenderRefused(550, "no", "a"),
            aiosmtplib.SMTPRecipientRefused(550, "no", "b"),
            aiosmtplib.SMTPRecipientsRefused([]),
        ),
    },
    SMTPLIB: {
        "smtplib.SMTP(...)": arguments(
            *(smtplib.SMTP.__init__, smtplib.SMTP_SSL.__init__, smtplib.LMTP.__init__),
            *(smtplib.SMTP.connect, smtplib.SMTP.starttls),
        )
        | {"keyfile", "certfile"},  # which are no more since 3.12
        "sendmail(...)": arguments(smtplib.SMTP.sendmail, smtplib.SMTP.send_message),
        "smtplib.SMTP": {
            name
            for name in public(smtplib.SMTP)
            if inspect.isfunction(getattr(smtplib.SMTP, name))
        },
        "smtplib": {"refused", "(code, text)"},
        "smtplib again": errors(smtplib),
        "attribute of an exception": attributes(
            smtplib.SMTPResponseException(550, b"no"),
            smtplib.SMTPSenderRefused(550, b"no", "a"),
            smtplib.SMTPRecipientsRefused({}),
        ),
    },
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_left_column_is_the_library(page: Path) -> None:
    named = {
        head: sorted(row.theirs for row in rows) for head, rows in tables(page).items()
    }
    assert named == {head: sorted(names) for head, names in THEIRS[page].items()}


def test_both_ways_to_connect_take_the_same() -> None:
    assert arguments(aiosmtplib.SMTP.connect) <= arguments(aiosmtplib.SMTP.__init__)
    assert arguments(aiosmtplib.SMTP.__init__) <= arguments(aiosmtplib.send)


# The right column

OURS: Final = {
    "client": SMTPClient,
    "receipt": Receipt,
    "reply": Reply,
    "info": ServerInfo,
    "error": SMTPError("no"),
}
OPTIONS: Final = {
    *arguments(SMTPClient, SMTPClient.send),
    *(field.name for kind in (SendOptions, Recipient) for field in fields(kind)),
}
NAMES: Final = {
    name: getattr(door, name)
    for door in (esmtp_async.protocol, esmtp_async)
    for name in dir(door)
    if not name.startswith("_")
}


def exists(code: str) -> bool:
    """Tell whether there is what a code of the right column names."""
    if argument := re.fullmatch(r"(\w+)=(.*)", code):
        return argument[1] in OPTIONS and (not argument[2] or exists(argument[2]))
    if member := re.fullmatch(r"(\w+)\.(\w+)", code):
        return hasattr(OURS[member[1]], member[2])
    if call := re.fullmatch(r"(\w+)(\(.*\))?", code):
        return call[1] in NAMES
    return re.fullmatch(r'"[a-z]*(\+unix:///path)?"', code) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_right_column_is_this_library(page: Path) -> None:
    rows = [row for rows in tables(page).values() for row in rows]
    assert len(rows) > 50
    assert [code for row in rows for code in row.ours if not exists(code)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_remarks_name_what_is_there(page: Path) -> None:
    others = {*dir(builtins), *dir(email.message), *dir(pathlib), "asyncio"}
    strange = [
        code
        for rows in tables(page).values()
        for row in rows
        for code in row.remarks
        if re.fullmatch(r"[A-Z]\w+", code)
        and not (exists(code) or code in others or hasattr(smtplib, code))
    ]
    assert strange == []


def test_what_is_told_of_names_can_fail() -> None:
    assert exists("auth=XOAuth2(user, token)")
    assert exists('security="tls"')
    for wrong in ("hostname=", "client.login", "Refusal", "auth=Digest(user)", "a b"):
        assert not exists(wrong)


# The samples


def delivered(code: str, namespace: dict[str, object]) -> list[tuple[object, ...]]:
    """Run a sample; give what a server has by it."""
    page = Page()
    page.set_up(namespace)
    try:
        exec(compile(code, "sample", "exec"), namespace)  # noqa: S102 - our own pages
        server = page.server
        assert server.violations == []
        return [
            (
                stored.reverse_path,
                [each.path for each in stored.recipients],
                stored.message["Subject"],
                stored.message.get_content(),
                stored.username,
                stored.tls,
            )
            for stored in server.messages
        ]
    finally:
        page.tear_down({})


@contextmanager
def leaving_things_open() -> Iterator[None]:
    """Let a client leave connections to the end of its loop, as aiosmtplib does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_both_samples_of_a_pair_deliver_the_same(page: Path) -> None:
    before: dict[str, object] = {}
    now: dict[str, object] = {}
    samples = list(pairs(page))
    assert len(samples) == 3
    for theirs, ours in samples:
        with leaving_things_open():
            messages = delivered(theirs, before)
        assert messages
        assert delivered(ours, now) == messages


# The exceptions


class Trouble(NamedTuple):
    """What a server does, and whoever else has a part in it."""

    rules: tuple[Rule, ...] = ()
    recipient: str = "bob@example.test"
    login: bool = False
    listens: bool = True


def refused(verb: str) -> Trouble:
    return Trouble((Rule(verb, reply="550 no"),))


BREAKS: Final = Trouble((Rule("MAIL", silent=True, close=True),))
HANGS: Final = Trouble((Rule("EHLO", silent=True),))

#: Exception of theirs to how one comes by it.
TROUBLES: Final[dict[Path, dict[str, Trouble]]] = {
    AIOSMTPLIB: {
        "SMTPServerDisconnected": BREAKS,
        "SMTPConnectError": Trouble(listens=False),
        "SMTPConnectTimeoutError": Trouble((Rule("CONNECT", silent=True),)),
        "SMTPReadTimeoutError": HANGS,
        "SMTPNotSupported": Trouble(recipient="jürgen@example.test"),
        "SMTPConnectResponseError": Trouble((Rule("CONNECT", reply="550 no"),)),
        "SMTPHeloError": refused("EHLO|HELO"),
        "SMTPAuthenticationError": refused("AUTH")._replace(login=True),
        "SMTPSenderRefused": refused("MAIL"),
        "SMTPRecipientsRefused": refused("RCPT"),
        "SMTPDataError": refused("CONTENT"),
    },
    SMTPLIB: {
        "SMTPServerDisconnected": BREAKS,
        "SMTPConnectError": refused("CONNECT"),
        "SMTPHeloError": refused("EHLO|HELO"),
        "SMTPAuthenticationError": refused("AUTH")._replace(login=True),
        "SMTPNotSupportedError": Trouble(recipient="jürgen@example.test"),
        "SMTPSenderRefused": refused("MAIL"),
        "SMTPRecipientsRefused": refused("RCPT"),
        "SMTPDataError": refused("CONTENT"),
    },
}
#: Those that are raised by their subclasses only, or stand in another one.
BASES: Final = {"SMTPException", "SMTPResponseException", "SMTPTimeoutError"}
WITHIN: Final = {"SMTPRecipientRefused"}


def message_to(recipient: str) -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"] = "alice@example.test"
    message["To"] = recipient
    message.set_content("Hello")
    return message


def by_aiosmtplib(port: int, trouble: Trouble) -> None:
    login = ("alice", "secret") if trouble.login else (None, None)
    asyncio.run(
        aiosmtplib.send(
            message_to(trouble.recipient),
            hostname="127.0.0.1",
            port=port,
            username=login[0],
            password=login[1],
            timeout=0.2,
        )
    )


def by_smtplib(port: int, trouble: Trouble) -> None:
    with closing(smtplib.SMTP("127.0.0.1", port, timeout=5)) as client:
        if trouble.login:
            client.login("alice", "secret")
        client.send_message(message_to(trouble.recipient))


def by_this(port: int, trouble: Trouble) -> None:
    options = ClientOptions(security="plaintext", timeouts=Timeouts.each(0.2))
    if trouble.login:
        options["username"], options["password"] = "alice", "secret"
        options["allow_plaintext_auth"] = True
    anyio.run(
        partial(
            esmtp_async.send,
            message_to(trouble.recipient),
            "127.0.0.1",
            port,
            **options,
        )
    )


THEM: Final = {AIOSMTPLIB: by_aiosmtplib, SMTPLIB: by_smtplib}


def error_of(
    send: Callable[[int, Trouble], None], trouble: Trouble
) -> tuple[str, list[str]]:
    """Send to a server that makes trouble; give the error's name and its bases'."""
    server = SMTPServer(
        users={"alice": "secret"} if trouble.login else None,
        auth_needs_tls=False,
        extensions=["PIPELINING"],
        rules=trouble.rules,
    )
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(server.listen()):
            port = server.port or 0
            if trouble.listens:
                return raised(send, port, trouble)
        return raised(send, port, trouble)


def raised(
    send: Callable[[int, Trouble], None], port: int, trouble: Trouble
) -> tuple[str, list[str]]:
    with pytest.raises((SMTPError, OSError, aiosmtplib.SMTPException)) as info:
        send(port, trouble)
    return info.type.__name__, [base.__name__ for base in info.type.__mro__]


def exceptions(page: Path) -> Iterable[Row]:
    return tables(page)[f"{page.stem} again"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_exception_is_provoked(page: Path) -> None:
    named = {row.theirs for row in exceptions(page)}
    assert named - BASES - WITHIN == set(TROUBLES[page])


@pytest.mark.parametrize(
    ("page", "name"),
    [(page, name) for page in PAGES for name in TROUBLES[page]],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_an_exception_is_what_the_table_says(page: Path, name: str) -> None:
    trouble = TROUBLES[page][name]
    (row,) = (row for row in exceptions(page) if row.theirs == name)
    theirs, _ = error_of(THEM[page], trouble)
    assert theirs == name
    _, ours = error_of(by_this, trouble)
    assert row.ours[0] in ours


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_sender_is_told(page: Path) -> None:
    (row,) = (
        row
        for row in tables(page)["attribute of an exception"]
        if row.theirs == "sender"
    )
    assert row.remarks == ("str(error)",)
    with ThreadedServer(rules=[Rule("MAIL", reply="550 no")]) as server:
        with pytest.raises(
            esmtp_async.SenderRefused, match=r"<alice@example\.test>: 550"
        ):
            by_this(server.port, Trouble())


# What to look out for

NAMED: Final = "Bob <bob@example.test>"


def test_names_beside_addresses() -> None:
    with ThreadedServer() as server:
        theirs = partial(
            aiosmtplib.send, MESSAGE, hostname=server.host, port=server.port
        )
        with leaving_things_open():
            asyncio.run(theirs(sender=NAMED, recipients=[NAMED]))
        with closing(smtplib.SMTP(server.host, server.port)) as client:
            client.sendmail(NAMED, NAMED, MESSAGE)
        assert len(server.messages) == 2
        assert {each.recipients[0].path for each in server.messages} == {
            "bob@example.test"
        }
        ours = partial(esmtp_async.send_sync, MESSAGE, server.host, server.port)
        for envelope in ((NAMED, "bob@example.test"), ("bob@example.test", NAMED)):
            with pytest.raises(InvalidInput, match="without display name"):
                ours(sender=envelope[0], recipients=envelope[1])


def test_one_client_once_and_one_event_loop() -> None:
    with ThreadedServer() as server:
        at = {"hostname": server.host, "port": server.port}
        theirs = aiosmtplib.SMTP(**at)  # type: ignore[arg-type]  # each of its type
        ours = SMTPClient(server.host, server.port)

        async def by_them() -> None:
            async with theirs:
                await theirs.send_message(message_to("bob@example.test"))

        async def by_us() -> None:
            async with ours:
                await ours.send(message_to("bob@example.test"))

        with leaving_things_open():
            asyncio.run(by_them())
            asyncio.run(by_them())
        asyncio.run(by_us())
        with pytest.raises(RuntimeError, match="for good"):
            asyncio.run(by_us())
    assert len(server.messages) == 3


def test_what_the_older_pythons_had() -> None:
    assert (sys.version_info < (3, 12)) is (
        "keyfile" in arguments(smtplib.SMTP_SSL.__init__)
    )
