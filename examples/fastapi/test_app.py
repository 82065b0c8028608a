"""The app's mail, against a server that pytest's plugin starts for each test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import pytest_asyncio
from app import app
from fastapi.testclient import TestClient

from esmtp_async.testing import ThreadedServer, assert_nothing_sent, assert_sent

BOB = {"name": "Bob", "email": "bob@example.com"}


@pytest.fixture
def environment(smtp_server: ThreadedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the app send its mail to the test's server."""
    monkeypatch.setenv("SMTP_URL", smtp_server.url)
    monkeypatch.setenv("MAIL_PATIENCE", "5")


@pytest.fixture
def web(environment: None) -> Iterator[TestClient]:  # noqa: ARG001 - comes first
    """Run the app, from the start of its lifespan to the end."""
    with TestClient(app) as client:
        yield client


def test_who_signs_up_is_welcomed(web: TestClient, smtp_server: ThreadedServer) -> None:
    """The mail that was sent, to the letter."""
    response = web.post("/signup", json=BOB)
    assert (response.status_code, response.json()) == (201, {"mail": "sent"})
    message = assert_sent(
        smtp_server,
        to="bob@example.com",
        sender="hello@shop.example",
        subject="Welcome, Bob!",
        text="Hello Bob,\nnice to have you.",
    )
    assert message.message["From"].addresses[0].display_name == "The Shop"
    assert smtp_server.violations == []


def test_nobody_has_the_address(web: TestClient, smtp_server: ThreadedServer) -> None:
    """A refusal for good is the user's to mend."""
    smtp_server.refuse("bob@example.com", "550 5.1.1 no such user")
    response = web.post("/signup", json=BOB)
    assert (response.status_code, response.json()["detail"]) == (
        422,
        "nobody has this address",
    )
    assert_nothing_sent(smtp_server)


@pytest.mark.parametrize("path", ["/signup", "/invite"])
@pytest.mark.parametrize(
    "email",
    [
        *("bob", "bob@", "", "bob@example.com, eve@example.com"),
        "bob@example.com\r\nRCPT TO:<eve@example.com>",
    ],
)
def test_what_is_no_address_reaches_nobody(
    web: TestClient, smtp_server: ThreadedServer, email: str, path: str
) -> None:
    """Nor does it reach the server."""
    assert web.post(path, json=BOB | {"email": email}).status_code == 422
    assert_nothing_sent(smtp_server)
    assert smtp_server.connections == 0


def test_greylisting_is_worth_another_try(
    web: TestClient, smtp_server: ThreadedServer
) -> None:
    """A refusal for the time being is not the user's fault."""
    smtp_server.refuse("bob@example.com", "451 4.7.1 greylisted", times=1)
    response = web.post("/signup", json=BOB)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
    assert web.post("/signup", json=BOB).status_code == 201
    assert_sent(smtp_server, to="bob@example.com")


def test_the_server_is_down(web: TestClient, smtp_server: ThreadedServer) -> None:
    """And comes back: the app needs no restart."""
    with smtp_server.down():
        assert web.post("/signup", json=BOB).status_code == 503
    assert web.post("/signup", json=BOB).status_code == 201
    assert_sent(smtp_server, to="bob@example.com")


def test_the_server_is_slow(
    monkeypatch: pytest.MonkeyPatch, environment: None, smtp_server: ThreadedServer
) -> None:
    """Nobody waits longer than the app wants."""
    assert environment is None
    monkeypatch.setenv("MAIL_PATIENCE", "0.3")
    smtp_server.delay(30, at="RCPT")
    with TestClient(app) as web:
        start = time.monotonic()
        assert web.post("/signup", json=BOB).status_code == 503
        assert time.monotonic() - start < 5
    assert_nothing_sent(smtp_server)


def test_the_connection_is_lost_at_the_worst_time(
    web: TestClient, smtp_server: ThreadedServer
) -> None:
    """The server has the message, and the app cannot know: it does not send again."""
    smtp_server.drop(at="message")
    response = web.post("/signup", json=BOB)
    assert (response.status_code, response.json()) == (201, {"mail": "unknown"})
    assert_sent(smtp_server, to="bob@example.com", count=1)


@pytest.mark.smtp_server(
    starttls=True, users={"shop": "secret"}, require_auth=True, mechanisms=["PLAIN"]
)
def test_with_tls_and_a_password(
    monkeypatch: pytest.MonkeyPatch, environment: None, smtp_server: ThreadedServer
) -> None:
    """As in production: the URL has the password, the environment the certificate."""
    assert environment is None
    monkeypatch.setenv("SSL_CERT_FILE", smtp_server.ca_file)
    with TestClient(app) as web:
        assert web.post("/signup", json=BOB).status_code == 201
    message = assert_sent(smtp_server)
    assert message.tls
    assert message.username == "shop"


def test_mail_in_the_background(web: TestClient, smtp_server: ThreadedServer) -> None:
    """What nobody waits for is waited for by the test."""
    assert web.post("/invite", json=BOB).json() == {"mail": "queued"}
    (message,) = smtp_server.wait_for(1, timeout=5)
    assert message.subject == "Come in"


@pytest_asyncio.fixture
async def crowd(environment: None) -> AsyncIterator[httpx2.AsyncClient]:
    """Talk to the app in the event loop of the test, as many at once as wanted."""
    assert environment is None
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        yield client


@pytest.mark.asyncio
async def test_many_sign_up_at_once(
    crowd: httpx2.AsyncClient, smtp_server: ThreadedServer
) -> None:
    """One client serves all, over no more connections than its pool has."""
    people = [{"name": f"N{n}", "email": f"n{n}@example.com"} for n in range(50)]
    responses = await asyncio.gather(
        *(crowd.post("/signup", json=person) for person in people)
    )
    assert [response.status_code for response in responses] == [201] * 50
    for person in people:
        assert_sent(
            smtp_server, to=person["email"], subject=f"Welcome, {person['name']}!"
        )
    assert smtp_server.connections <= 10
