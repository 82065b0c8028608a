"""`esmtp serve` as a process, and mail for it."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, NamedTuple

#: Seconds for anything to happen.
SOON: Final = 20.0

#: One pixel, brown.
PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de000000"
    "0c49444154789c63d812cc090002cf01117f85b4e00000000049454e44ae426082"
)


class Got(NamedTuple):
    """What was answered over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, object]:
        """The body, which is a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


def http(port: int, method: str, target: str, **headers: str) -> Got:
    """Make a request; `_` in a header's name stands for `-`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SOON)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=named)
        response = connection.getresponse()
        return Got(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


class Serving:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        #: The first line of its output.
        self.where: dict[str, str] = json.loads(line)
        self.port = int(self.where["server"].rpartition(":")[2].partition("?")[0])
        page = self.where["page"]
        self.http_port = int(page.rpartition(":")[2].rstrip("/")) if page else 0

    def get(self, target: str, **headers: str) -> Got:
        """Ask for something."""
        return http(self.http_port, "GET", target, **headers)

    def delete(self, target: str, **headers: str) -> Got:
        """Have something deleted."""
        return http(self.http_port, "DELETE", target, **headers)

    def send(self, message: EmailMessage | bytes, to: str = "b@example.test") -> None:
        """Send a message by the standard library's client."""
        octets = (
            message if isinstance(message, bytes) else message.as_bytes(policy=SMTP)
        )
        with smtplib.SMTP("127.0.0.1", self.port, "c.example.test", SOON) as client:
            client.sendmail("a@example.test", [to], octets, ["BODY=8BITMIME"])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Stop it; give the exit code, and the rest of its output and complaints."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> tuple[int, str, str]:
        """Wait for its end; give the exit code, and the rest of what it says."""
        # What was read ahead behind the first line is known to this object alone.
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(SOON), out, err


def command(*arguments: str) -> list[str]:
    """Give the command line of a server on free ports."""
    ports = ["--port", "0", "--http-port", "auto"]
    return [sys.executable, "-m", "esmtp_async", "serve", *ports, *arguments]


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[Serving]:
    """Run a server while the context lasts."""
    with subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,  # no terminal to ask for a password
    ) as process:
        try:
            yield Serving(process)
        finally:
            process.terminate()
            process.wait(SOON)


def files(directory: Path) -> list[Path]:
    """Give the files of the messages in a Maildir, in their order."""
    return sorted((directory / "new").iterdir())


def letter(subject: str = "Hello", text: str = "Hello.\n") -> EmailMessage:
    """Write a message."""
    message = EmailMessage()
    message["From"] = "Ada <a@example.test>"
    message["To"] = "b@example.test"
    message["Subject"] = subject
    message.set_content(text)
    return message


def newsletter(
    pdf: str = "Rechnung Größe 7.pdf", csv: str = "../../etc/passwd.csv"
) -> EmailMessage:
    """Write a message with all that a page shows."""
    message = EmailMessage()
    message["From"] = "Mill & Daughters <orders@mill.example>"
    message["To"] = "Zoë Müller <zoe@books.example>"
    message["Subject"] = "Your order no. 1207 is on its way ☕"
    message.set_content("Your coffee is on its way.\n\nThe Mill\n")
    message.add_alternative(HTML, subtype="html")
    [_, html] = message.iter_parts()
    assert isinstance(html, EmailMessage)
    html.add_related(
        PNG, "image", "png", cid="<logo@mill.example>", filename="logo.png"
    )
    message.add_attachment(b"%PDF-1.7\n%%EOF\n", "application", "pdf", filename=pdf)
    message.add_attachment("7;8\n", subtype="csv", filename=csv)
    return message


HTML: Final = """\
<div style="max-width:520px;margin:24px auto;font-family:Georgia,serif;color:#3b2f2a">
<img src="cid:logo@mill.example" alt="" width="48" height="48"
 style="border-radius:24px">
<h2 style="color:#b45309">Good morning, Zoë</h2>
<p>Your order <b>no. 1207</b> left our mill today and should be with you on
Saturday. Two bags of the dark roast, ground for a moka pot.</p>
<p><a href="https://mill.example/track/1207"
 style="background:#b45309;color:#fff;padding:10px 18px;border-radius:6px;
 text-decoration:none">Follow the parcel</a></p>
<p style="color:#8a7d76;font-size:13px">The Mill, 1 Weir Lane</p></div>
"""
