"""Chromium without a window, told what to do over a pipe (DevTools protocol)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CHROMIUM: Final = os.environ.get("ESMTP_CHROMIUM", "/usr/bin/chromium")
#: Seconds for anything to happen.
SOON: Final = 15.0

_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-GB"),
    "--remote-debugging-pipe",
)

Told = dict[str, object]


class Tab:
    """One page of the browser."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = os.fdopen(events, "rb")
        self._number = 0
        self._session = ""
        #: The URL of each request that the page has made.
        self.requests: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        attached = self.tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Network", "Runtime"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: object) -> Told:
        """Give a command, and its answer; what happens meanwhile is noted."""
        self._number += 1
        command: Told = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result = answer["result"]
                assert isinstance(result, dict)
                return result

    def _next(self) -> Told:
        octets = bytearray()
        while (octet := self._events.read(1)) != b"\0":
            assert octet, "the browser is gone"
            octets += octet
        told: Told = json.loads(octets)
        if told.get("method") == "Network.requestWillBeSent":
            parameters = told["params"]
            assert isinstance(parameters, dict)
            self.requests.append(parameters["request"]["url"])
        return told

    def open(self, url: str) -> None:
        """Go to a page."""
        self.tell("Page.navigate", url=url)

    def run(self, expression: str) -> object:
        """Give what an expression of JavaScript comes to."""
        told = self.tell(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        result = told["result"]
        assert isinstance(result, dict)
        return result.get("value")

    def text(self, selector: str) -> str:
        """Give the text that a person sees of an element."""
        return str(self.run(f"document.querySelector({selector!r})?.innerText ?? ''"))

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + SOON
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"{expression} did not come true"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click on an element, once it is there, where it is."""
        self.wait(f"document.querySelector({selector!r})")
        box = self.run(
            f"(() => {{ const e = document.querySelector({selector!r});"
            " e.scrollIntoView({block: 'nearest'});"
            " const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        assert isinstance(box, list)
        for kind in ("mousePressed", "mouseReleased"):
            x, y = box
            self.tell(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="left",
                clickCount=1,
            )

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {}
        code = {"Enter": {"windowsVirtualKeyCode": 13, "text": "\r"}}.get(key, {})
        down: Told = {"type": "keyDown", "key": key, **text, **code}
        self.tell("Input.dispatchKeyEvent", **down)
        self.tell("Input.dispatchKeyEvent", type="keyUp", key=key)

    def look(
        self, *, width: int, height: int, dark: bool = False, phone: bool = False
    ) -> None:
        """Be a screen of that size, light or dark."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Write what is to be seen to a file."""
        told = self.tell("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(str(told["data"])))


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """Run a browser that has only this profile, and knows nobody."""
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    pid = _spawn(profile, theirs_in, theirs_out)
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        tab = Tab(ours_out, ours_in)
        try:
            yield tab
        finally:
            tab._events.close()
            os.close(ours_out)
    finally:
        _end(pid)


def _spawn(profile: Path, commands: int, events: int) -> int:
    # Beyond those numbers that they are to get.
    reading, writing = (fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (commands, events))
    try:
        return os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            {**os.environ, "HOME": str(profile)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 3),
                (os.POSIX_SPAWN_DUP2, writing, 4),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
    finally:
        os.close(reading)
        os.close(writing)


def _end(pid: int) -> None:
    """End the browser and all its processes, which are a group of their own."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _settle(lambda: _group_is_gone(pid))


def _group_is_gone(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _settle(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
