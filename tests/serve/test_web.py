"""The page over HTTP: what it answers, and whom it does not answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import NamedTuple

import pytest

from esmtp_async._serve import _web
from esmtp_async._serve._maildir import MailDirectory
from esmtp_async.testing import StoredMessage, StoredRecipient
from tests.serve.served import HTML, PNG, SOON, Got, http, letter, newsletter

MARKUP = "<script>document.title = 'owned'</script>"


class Site(NamedTuple):
    """A page, and the directory that it shows."""

    mail: MailDirectory
    port: int

    def get(self, target: str, **headers: str) -> Got:
        return http(self.port, "GET", target, **headers)

    def delete(self, target: str, **headers: str) -> Got:
        return http(self.port, "DELETE", target, **headers)

    def store(self, content: bytes, *to: str) -> str:
        """Store a message, and give its id."""
        recipients = tuple(StoredRecipient(path, {}) for path in to or ["b@x.test"])
        message = StoredMessage(
            queue_id=self.mail.next_id(),
            reverse_path="a@x.test",
            mail_parameters={},
            recipients=recipients,
            content=content,
            username=None,
            tls=False,
            connection=1,
            via="DATA",
        )
        self.mail.store(message)
        return message.queue_id


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    mail = MailDirectory(tmp_path)
    with _web.serving(mail, 0) as port:
        yield Site(mail, port)


def subjects(got: Got) -> list[str]:
    messages = got.told["messages"]
    assert isinstance(messages, list)
    return [message["subject"] for message in messages]


@pytest.mark.parametrize("target", ["/", "/page.js", "/page.css", "/icon.svg"])
def test_the_page_is_there(site: Site, target: str) -> None:
    got = site.get(target)
    assert got.status == 200
    assert len(got.body) > 100
    assert got.headers["Content-Security-Policy"].startswith("default-src 'none';")


def test_the_page_names_nothing_outside(site: Site) -> None:
    for target in ("/", "/page.js", "/page.css"):
        assert b"//" not in site.get(target).body.replace(b"// ", b"")
    assert b"http:" not in site.get("/").body


def test_the_list_has_the_newest_first(site: Site) -> None:
    for number in range(3):
        site.store(letter(f"no. {number}").as_bytes(), f"u{number}@x.test", "c@x.test")
    got = site.get("/api/messages")
    assert got.headers["Content-Type"] == "application/json"
    assert subjects(got) == ["no. 2", "no. 1", "no. 0"]
    assert (got.told["total"], got.told["before"]) == (3, None)
    messages = got.told["messages"]
    assert isinstance(messages, list)
    assert messages[0]["recipients"] == ["u2@x.test", "c@x.test"]
    assert messages[0]["from"] == "Ada <a@example.test>"
    assert messages[0]["reverse_path"] == "a@x.test"
    assert set(messages[0]) == {
        *("id", "received", "reverse_path", "recipients", "from", "subject", "size"),
        "breaches",
    }


def test_the_list_goes_on_page_by_page(site: Site) -> None:
    for number in range(5):
        site.store(letter(str(number)).as_bytes())
    seen: list[str] = []
    before: object = ""
    while before is not None:
        got = site.get(f"/api/messages?limit=2&before={before}")
        assert len(subjects(got)) <= 2
        seen += subjects(got)
        before = got.told["before"]
    assert seen == ["4", "3", "2", "1", "0"]


def test_the_list_can_be_searched(site: Site) -> None:
    site.store(letter("Reset your password").as_bytes(), "ada@x.test")
    site.store(letter("Welcome, Zoë").as_bytes(), "zoe@x.test")
    assert subjects(site.get("/api/messages?search=PASSWORD")) == [
        "Reset your password"
    ]
    assert subjects(site.get("/api/messages?search=zo%C3%AB")) == ["Welcome, Zoë"]
    assert subjects(site.get("/api/messages?recipient=ADA@x.test")) == [
        "Reset your password"
    ]
    assert subjects(site.get("/api/messages?recipient=da@x.test")) == []


def test_a_list_can_be_waited_for(site: Site) -> None:
    began = time.monotonic()
    assert subjects(site.get("/api/messages?wait=0.2&recipient=z@x.test")) == []
    assert time.monotonic() - began >= 0.2
    threading.Timer(0.1, site.store, [letter("late").as_bytes(), "z@x.test"]).start()
    assert subjects(site.get("/api/messages?wait=20&recipient=z@x.test")) == ["late"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0x1", "limit=501", "limit=0", "limit=1.5", "wait=61", "wait=-1"),
        *("q=1", "limit=1&limit=2"),
    ],
)
def test_a_query_that_makes_no_sense(site: Site, query: str) -> None:
    got = site.get(f"/api/messages?{query}")
    assert got.status == 400
    assert got.told["error"]


def test_a_message(site: Site) -> None:
    message_id = site.store(newsletter().as_bytes())
    told = site.get(f"/api/messages/{message_id}").told
    assert told["id"] == message_id
    assert told["subject"] == "Your order no. 1207 is on its way ☕"
    assert told["recipients"] == [{"path": "b@x.test", "parameters": {}}]
    assert told["text"] == "Your coffee is on its way.\n\nThe Mill\n"
    assert told["html"] == HTML
    fields = told["fields"]
    assert isinstance(fields, list)
    assert ["From", "Mill & Daughters <orders@mill.example>"] in fields
    attachments = told["attachments"]
    assert isinstance(attachments, list)
    assert [each["name"] for each in attachments] == [
        *("logo.png", "Rechnung Größe 7.pdf", "passwd.csv")
    ]


def test_the_source_is_what_came(site: Site) -> None:
    octets = b"Subject: x\r\n\r\n\xff\x00\r\n"
    got = site.get(f"/api/messages/{site.store(octets)}/source")
    assert got.body == octets
    assert got.headers["Content-Type"] == "message/rfc822"


def test_a_file_has_a_safe_name_and_type(site: Site) -> None:
    message_id = site.store(newsletter().as_bytes())
    base = f"/api/messages/{message_id}/attachments"
    picture, pdf = site.get(f"{base}/2"), site.get(f"{base}/3")
    assert picture.body == PNG
    assert picture.headers["Content-Type"] == "image/png"
    assert pdf.headers["Content-Disposition"] == (
        'attachment; filename="Rechnung Gr__e 7.pdf"; '
        "filename*=UTF-8''Rechnung%20Gr%C3%B6%C3%9Fe%207.pdf"
    )
    for got in (picture, pdf):
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in got.headers["Content-Security-Policy"]
    assert site.get(f"{base}/9").status == 404


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "text/javascript"])
def test_a_file_that_could_run_is_no_page(site: Site, kind: str) -> None:
    content = (
        f"Content-Type: {kind}; name=x\r\nContent-Disposition: attachment\r\n\r\n"
        f"{MARKUP}"
    )
    message_id = site.store(content.encode())
    got = site.get(f"/api/messages/{message_id}/attachments/0")
    assert got.body == MARKUP.encode()
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"].startswith("attachment;")


def test_html_may_do_nothing(site: Site) -> None:
    content = f"Content-Type: text/html\r\n\r\n{MARKUP}"
    got = site.get(f"/api/messages/{site.store(content.encode())}/html")
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = got.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert [each for each in policy if "script" in each] == []
    assert got.body.endswith(MARKUP.encode())


def test_a_message_without_html_has_none(site: Site) -> None:
    message_id = site.store(letter().as_bytes())
    assert site.get(f"/api/messages/{message_id}/html").status == 404


def test_what_goes_while_it_is_listed_is_not_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = site.store(letter("kept").as_bytes()), site.mail.next_id()
    monkeypatch.setattr(MailDirectory, "ids", lambda _: [gone, kept])
    assert subjects(site.get("/api/messages")) == ["kept"]


def test_delete(site: Site) -> None:
    first, second, third = (site.store(letter().as_bytes()) for _ in range(3))
    assert site.delete(f"/api/messages/{second}").status == 204
    assert site.get(f"/api/messages/{second}").status == 404
    assert site.delete(f"/api/messages/{second}").status == 404
    assert site.mail.ids() == [third, first]
    assert site.delete("/api/messages").status == 204
    assert site.mail.ids() == []


def test_every_answer_says_who_may_use_it(site: Site) -> None:
    message_id = site.store(newsletter().as_bytes())
    base = f"/api/messages/{message_id}"
    targets = ["/", "/nothing", "/api/messages", base, f"{base}/source", f"{base}/html"]
    for target in targets:
        headers = site.get(target, Origin="http://evil.example").headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:1080", "localhost.evil.example", "127.0.0.1.x", ""],
)
@pytest.mark.parametrize("target", ["/", "/api/messages", "/api/events"])
def test_another_name_of_this_machine_is_refused(
    site: Site, host: str, target: str
) -> None:
    got = site.get(target, Host=host)
    assert got.status == 421
    assert b"messages" not in got.body


@pytest.mark.parametrize(
    "hosts", [[], ["localhost", "evil.example"], ["localhost"] * 2]
)
def test_a_request_names_one_host(site: Site, hosts: list[str]) -> None:
    lines = ["GET / HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]
    with socket.create_connection(("127.0.0.1", site.port), SOON) as raw:
        raw.sendall("\r\n".join(lines).encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:99"])
def test_a_tunnel_may_end_at_another_port(site: Site, host: str) -> None:
    assert site.get("/api/messages", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
@pytest.mark.parametrize("one", [True, False])
def test_another_page_cannot_delete(
    site: Site,
    headers: dict[str, str],
    one: bool,  # noqa: FBT001
) -> None:
    message_id = site.store(letter().as_bytes())
    target = f"/api/messages/{message_id}" if one else "/api/messages"
    assert site.delete(target, **headers).status in {403, 421}
    assert site.mail.ids() == [message_id]


def test_this_page_can_delete(site: Site) -> None:
    site.store(letter().as_bytes())
    origin = f"http://127.0.0.1:{site.port}"
    got = site.delete("/api/messages", Origin=origin, Sec_Fetch_Site="same-origin")
    assert got.status == 204
    assert site.mail.ids() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_method_changes_anything(site: Site, method: str) -> None:
    message_id = site.store(letter().as_bytes())
    for target in ("/api/messages", f"/api/messages/{message_id}"):
        got = http(site.port, method, target)
        assert got.status == 501
        assert "Access-Control-Allow-Methods" not in got.headers
    assert site.mail.ids() == [message_id]


def test_a_method_that_a_thing_does_not_have(site: Site) -> None:
    message_id = site.store(letter().as_bytes())
    got = site.delete(f"/api/messages/{message_id}/source")
    assert (got.status, got.headers["Allow"]) == (405, "GET")


def test_a_request_with_a_body_is_refused(site: Site) -> None:
    message_id = site.store(letter().as_bytes())
    connection = HTTPConnection("127.0.0.1", site.port, timeout=SOON)
    connection.request("DELETE", f"/api/messages/{message_id}", body=b"{}")
    response = connection.getresponse()
    assert response.status == 400
    assert response.getheader("Connection") == "close"
    connection.close()
    assert site.mail.ids() == [message_id]


@pytest.mark.parametrize(
    "target",
    [
        "/../pyproject.toml",
        "/page.js/../_web.py",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/messages/..%2f..%2fca.pem",
        "/api/messages/%2e%2e/source",
        "/api/messages/..%5c..%5cx/source",
        "/api/messages/%00",
        "/api/messages/x/attachments/..%2f1",
        "/api/messages/",
        "//etc/passwd",
        "/index.html",
        "/_page.py",
    ],
)
def test_a_target_is_no_path(site: Site, target: str) -> None:
    (site.mail.path / "ca.pem").write_text("secret")
    got = site.get(target)
    assert got.status == 404
    assert got.told == {"error": "there is no such thing here"}


def test_head_is_get_without_a_body(site: Site) -> None:
    site.store(letter().as_bytes())
    get, head = site.get("/api/messages"), http(site.port, "HEAD", "/api/messages")
    assert head.body == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_a_connection_serves_many_requests(site: Site) -> None:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=SOON)
    for target in ("/", "/api/messages", "/nothing", "/page.css"):
        connection.request("GET", target)
        connection.getresponse().read()
        assert connection.sock is not None
    connection.close()


def test_octets_that_are_no_request(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    for octets in (
        b"\0\xff\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", site.port), SOON) as raw:
            raw.sendall(octets)
            assert b"400 " in raw.recv(4096).split(b"\r\n")[0]
    with socket.create_connection(("127.0.0.1", site.port), SOON) as raw:
        raw.sendall(b"GET /page.js HTTP/1.1\r\nHost: loc")
    assert site.get("/").status == 200
    assert capfd.readouterr() == ("", "")


def test_a_listener_is_told_of_each_change(site: Site) -> None:
    connection, response = listener(site)
    assert response.getheader("Content-Type") == "text/event-stream"
    versions = [response.readline()]
    assert response.readline() == b"\n"
    message_id = site.store(letter().as_bytes())
    versions.append(response.readline())
    assert response.readline() == b"\n"
    site.mail.delete(message_id)
    versions.append(response.readline())
    assert all(line.startswith(b"data: ") for line in versions)
    assert len(set(versions)) == 3
    connection.close()


def listener(site: Site) -> tuple[HTTPConnection, HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=SOON)
    connection.request("GET", "/api/events")
    return connection, connection.getresponse()


def test_only_so_many_listen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_web, "_HEARTBEAT", 0.05)
    listening = [listener(site) for _ in range(32)]
    assert {response.status for _, response in listening} == {200}
    assert site.get("/api/events").status == 503
    for connection, response in listening:
        response.close()
        connection.close()
    deadline = time.monotonic() + SOON
    status = 503
    while status == 503:
        assert time.monotonic() < deadline
        connection, response = listener(site)
        status = response.status
        response.close()
        connection.close()
    assert status == 200


def test_a_directory_that_is_gone_is_told(site: Site) -> None:
    (site.mail.path / "envelopes").rmdir()
    got = site.get("/api/messages")
    assert got.status == 500
    assert "the directory cannot be used" in str(got.told["error"])


def test_a_port_is_of_one_page(site: Site) -> None:
    with pytest.raises(OSError, match="in use"), _web.serving(site.mail, site.port):
        pass


def test_a_port_can_be_had_again_at_once(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    with _web.serving(mail, 0) as port:
        # Who closes first is who the port is not free for.
        with socket.create_connection(("127.0.0.1", port), SOON) as raw:
            raw.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            while raw.recv(65536):
                pass
    with _web.serving(mail, port) as again:
        assert again == port
        assert http(port, "GET", "/").status == 200


def test_it_listens_on_this_machine_alone(site: Site) -> None:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=SOON)
    connection.request("GET", "/")
    assert connection.sock.getpeername()[0] == "127.0.0.1"
    connection.close()
    with socket.socket() as other:
        # Were it on every address, this one would be taken too.
        other.bind(("127.0.0.2", site.port))


def test_json_is_ascii(site: Site) -> None:
    site.store(letter("Grüße ☕").as_bytes())
    body = site.get("/api/messages").body
    assert body.isascii()
    assert json.loads(body)["messages"][0]["subject"] == "Grüße ☕"
