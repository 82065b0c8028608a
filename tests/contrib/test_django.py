"""Django's mail by our backend: what arrives, what is told, what is shared."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core import mail
from django.utils.log import AdminEmailHandler
from django.utils.translation import gettext_lazy

from esmtp_async import (
    ConnectFailed,
    InvalidInput,
    Receipt,
    RecipientsRefused,
    SMTPError,
)
from esmtp_async.contrib import django as contrib
from esmtp_async.testing import Rule, SMTPServer
from tests.contrib.office import (
    ADMIN,
    MAILERS,
    admins,
    backend,
    letter,
    mailers,
    url,
)
from tests.serving import heard, held, served

NOBODY = Rule("RCPT", "carol", reply="550 5.1.1 nobody")


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with served() as running:
        yield running
        contrib._CLIENTS.close()
    assert running.violations == []


# What arrives


def test_a_message_arrives_with_all_that_it_has(server: SMTPServer) -> None:
    message = letter("Grüße\n.\nFrom here\n", to=("Bob <bob@example.test>", "d@ü.test"))
    message.cc = ["Carol <carol@example.test>"]
    message.bcc = ["secret@example.test"]
    message.reply_to = ["office@example.test"]
    message.extra_headers = {"X-Campaign": "7", "Message-ID": "<1@example.test>"}
    message.attach_alternative("<p>Grüße</p>", "text/html")
    message.attach("räte.bin", bytes(range(256)), "application/octet-stream")
    with mailers(url=url(server)):
        assert backend().send_messages([message]) == 1
    (stored,) = server.messages
    assert stored.reverse_path == "alice@example.test"
    assert [each.path for each in stored.recipients] == [
        *("bob@example.test", "d@xn--tda.test"),
        *("carol@example.test", "secret@example.test"),
    ]
    assert b"secret@" not in stored.content
    parsed = stored.message
    assert parsed["Bcc"] is None
    assert parsed["X-Campaign"] == "7"
    assert parsed["Message-ID"] == "<1@example.test>"
    assert parsed["Reply-To"] == "office@example.test"
    assert parsed["Cc"] == "Carol <carol@example.test>"
    plain, html = (parsed.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines() == ["Grüße", ".", "From here"]
    assert html.get_content().strip() == "<p>Grüße</p>"
    (attachment,) = parsed.iter_attachments()
    assert attachment.get_filename() == "räte.bin"
    assert attachment.get_content() == bytes(range(256))


def test_django_sends_by_it(server: SMTPServer) -> None:
    with mailers(url=url(server)):
        sent = mail.send_mail("Hi", "Ho\n", "alice@example.test", ["bob@example.test"])
        mail.mail_admins("Fire", "It burns.\n")
    assert sent == 1
    assert [m.message["Subject"] for m in server.messages] == ["Hi", "[Django] Fire"]


def test_a_server_of_seven_bits_gets_seven_bits() -> None:
    with served(SMTPServer(extensions=["PIPELINING"])) as server:
        with mailers(url=url(server)):
            assert backend().send_messages([letter("Grüße\n")]) == 1
            contrib._CLIENTS.close()
        assert server.messages[0].content.isascii()
        assert server.messages[0].message.get_content().splitlines() == ["Grüße"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("bob@example.test", "bob@example.test"),
        ("Bob Smith <bob@example.test>", "bob@example.test"),
        ('"Smith, Bob" <bob@example.test>', "bob@example.test"),
        ("Bøb <bob@bücher.test>", "bob@xn--bcher-kva.test"),
        ("Bøb <bøb@bücher.test>", "bøb@xn--bcher-kva.test"),
        ('"bob smith"@example.test', '"bob smith"@example.test'),
        ("Bob <bob@EXAMPLE.test>", "bob@EXAMPLE.test"),
    ],
)
def test_an_address_may_have_a_name(server: SMTPServer, given: str, path: str) -> None:
    with mailers(url=url(server)):
        backend().send_messages([letter(to=(given,), sender=given)])
    assert server.messages[0].reverse_path == path
    assert [each.path for each in server.messages[0].recipients] == [path]


def test_an_address_may_be_a_translation(server: SMTPServer) -> None:
    message = letter()
    vars(message)["from_email"] = gettext_lazy("alice@example.test")
    with mailers(url=url(server)):
        assert backend().send_messages([message]) == 1


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        "bob@example.test\r\nRCPT TO:<evil@example.test>",
        "Bob\r\nBcc: evil@example.test <bob@example.test>",
        "bob@example.test\n",
        "bob@example.test, carol@example.test",
        "bob@example.test> NOTIFY=NEVER",
        "bob",
        "",
    ],
)
@pytest.mark.parametrize("where", ["sender", "to"])
def test_what_is_no_address_sends_nothing(
    server: SMTPServer, given: str, where: str, *, silently: bool
) -> None:
    message = letter()
    if where == "to":
        message.to = ["carol@example.test", given or " "]
    else:
        message.from_email = given or " "
    with mailers(url=url(server), fail_silently=silently):
        with pytest.raises(InvalidInput, match="is not one address"):
            backend().send_messages([message])
    assert server.connections == 0


@pytest.mark.parametrize("silently", [False, True])
def test_a_subject_of_two_lines_sends_nothing(
    server: SMTPServer, *, silently: bool
) -> None:
    message = letter()
    message.subject = "Hello\r\nBcc: evil@example.test"
    with mailers(url=url(server), fail_silently=silently):
        with pytest.raises(ValueError, match=r"(?i)header|newline|linefeed"):
            backend().send_messages([message])
    assert server.messages == []


# What is told


def test_a_message_without_recipients_does_not_count(server: SMTPServer) -> None:
    with mailers(url=url(server)):
        assert backend().send_messages([]) == 0
        assert backend().send_messages([letter(to=()), letter(), letter(to=())]) == 1
    assert len(server.messages) == 1


def test_the_receipt_is_on_the_message(server: SMTPServer) -> None:
    message = letter()
    with mailers(url=url(server)):
        backend().send_messages([message])
    receipt = vars(message)["esmtp_receipt"]
    assert isinstance(receipt, Receipt)
    assert receipt.queue_id == server.messages[0].queue_id
    assert vars(message)["esmtp_error"] is None


def test_who_is_refused_is_in_the_receipt_and_in_the_log(
    server: SMTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.rules.append(NOBODY)
    message = letter(to=("bob@example.test", "carol@example.test"))
    with mailers(url=url(server)), caplog.at_level(logging.WARNING, "esmtp_async"):
        assert backend().send_messages([message]) == 1
    receipt = vars(message)["esmtp_receipt"]
    assert [each.address for each in receipt.refused] == ["carol@example.test"]
    assert "refused for carol@example.test: 550 5.1.1 nobody" in caplog.text


def test_all_or_nothing(server: SMTPServer) -> None:
    server.rules.append(NOBODY)
    message = letter(to=("bob@example.test", "carol@example.test"))
    with mailers(url=url(server), all_or_nothing=True):
        with pytest.raises(RecipientsRefused):
            backend().send_messages([message])
    assert server.messages == []


def test_an_error_ends_it(server: SMTPServer) -> None:
    server.rules.append(NOBODY)
    first, second, third = letter(), letter(to=("carol@example.test",)), letter()
    with mailers(url=url(server)):
        with pytest.raises(RecipientsRefused) as info:
            backend().send_messages([first, second, third])
    assert vars(second)["esmtp_error"] is info.value
    assert vars(second)["esmtp_receipt"] is None
    assert "esmtp_receipt" not in vars(third)
    assert len(server.messages) == 1


def test_silently_the_others_go_on(server: SMTPServer) -> None:
    server.rules.append(NOBODY)
    first, second, third = letter(), letter(to=("carol@example.test",)), letter()
    with mailers(url=url(server), fail_silently=True):
        assert backend().send_messages([first, second, third]) == 2
    assert isinstance(vars(second)["esmtp_error"], RecipientsRefused)
    assert len(server.messages) == 2


def test_without_a_server() -> None:
    with mailers(url="smtp://127.0.0.1:1"):
        with pytest.raises(ConnectFailed):
            backend().send_messages([letter()])
    with mailers(url="smtp://127.0.0.1:1", fail_silently=True):
        assert backend().send_messages([letter()]) == 0


def test_a_signal_tells_of_each_message(server: SMTPServer) -> None:
    server.rules.append(NOBODY)
    told: list[tuple[object, Receipt | None, SMTPError | None]] = []

    def hear(
        message: object,
        receipt: Receipt | None,
        error: SMTPError | None,
        **_: object,
    ) -> None:
        told.append((message, receipt, error))

    first, second = letter(), letter(to=("carol@example.test",))
    contrib.message_finished.connect(hear)
    try:
        with mailers(url=url(server), fail_silently=True):
            backend().send_messages([first, second])
    finally:
        contrib.message_finished.disconnect(hear)
    assert told == [
        (first, vars(first)["esmtp_receipt"], None),
        (second, None, vars(second)["esmtp_error"]),
    ]


def test_what_a_receiver_raises_is_mailed_to_the_admins_once(
    server: SMTPServer,
) -> None:
    calls: list[object] = []

    def fail(message: object, **_: object) -> None:
        calls.append(message)
        raise ZeroDivisionError

    contrib.message_finished.connect(fail)
    try:
        with mailers(url=url(server)):
            assert backend().send_messages([letter()]) == 1
    finally:
        contrib.message_finished.disconnect(fail)
    assert len(calls) == 1
    told = [stored.message["Subject"] for stored in server.messages]
    assert told[0] == "Hello"
    assert len(told) == 2
    assert "ERROR" in told[1]


def test_a_refusal_is_mailed_to_the_admins_once(server: SMTPServer) -> None:
    server.rules.append(Rule("RCPT", ADMIN, reply="550 5.1.1 nobody"))
    handler = AdminEmailHandler()
    logging.getLogger("esmtp_async").addHandler(handler)
    try:
        with mailers(url=url(server)), admins(ADMIN, "other@example.test"):
            mail.mail_admins("Fire", "It burns.\n")
    finally:
        logging.getLogger("esmtp_async").removeHandler(handler)
    told = [stored.message["Subject"] for stored in server.messages]
    assert told[0] == "[Django] Fire"
    assert len(told) == 2
    assert ADMIN in told[1]


# What is shared


def test_backends_share_connections(server: SMTPServer) -> None:
    with mailers(url=url(server)):
        for _ in range(3):
            with backend() as opened:
                assert opened.open() is False
                opened.send_messages([letter(), letter()])
            opened.send_messages([letter()])
    assert len(server.messages) == 9
    assert server.connections == 1


def test_threads_share_connections(server: SMTPServer) -> None:
    def send(number: int) -> int:
        return backend().send_messages([letter(f"{number}\n")])

    with mailers(url=url(server), max_connections=3):
        with ThreadPoolExecutor(12) as others:
            assert sum(others.map(send, range(48))) == 48
    numbers = sorted(int(m.message.get_content()) for m in server.messages)
    assert numbers == list(range(48))
    assert server.peak_connections <= 3


def test_who_has_another_password_has_another_connection() -> None:
    users = {"alice": "secret", "bob": "secret"}
    with served(SMTPServer(users=users, auth_needs_tls=False)) as server:
        common = {"url": url(server), "allow_plaintext_auth": True}
        with mailers(**common, username="alice", password="secret"):
            backend().send_messages([letter()])
        with mailers(**common, username="alice", password="wrong"):
            with pytest.raises(SMTPError, match="535"):
                backend().send_messages([letter()])
        with mailers(**common, username="bob", password="secret"):
            backend().send_messages([letter()])
        with mailers(**common, username="alice", password="secret"):
            backend().send_messages([letter()])
        contrib._CLIENTS.close()
        told = [(each.username, each.connection) for each in server.messages]
        assert told == [("alice", 1), ("bob", 3), ("alice", 1)]


def test_it_sends_within_an_event_loop(server: SMTPServer) -> None:
    async def view() -> int:
        return backend().send_messages([letter()])

    with mailers(url=url(server)):
        assert asyncio.run(view()) == 1
        assert asyncio.run(view()) == 1
    assert server.connections == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(server: SMTPServer) -> None:
    with mailers(url=url(server)):
        backend().send_messages([letter()])
        with held(contrib._CLIENTS._lock):
            child = os.fork()
        if not child:
            code = 1
            try:
                code = backend().send_messages([letter()]) - 1
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        backend().send_messages([letter()])
    assert status == 0
    assert [stored.connection for stored in server.messages] == [1, 2, 1]


def test_the_end_of_the_process_says_quit(server: SMTPServer) -> None:
    program = f"""
        from tests.contrib.office import backend, letter, mailers
        with mailers(url={url(server)!r}):
            backend().send_messages([letter()])
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.messages) == 1
    assert heard(server)[-1] == "QUIT"


def test_this_django_is_the_newest_for_this_python() -> None:
    assert hasattr(mail, "mailers") is MAILERS
