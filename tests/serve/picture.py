"""Makes the picture of the page in docs/: `python -m tests.serve.picture`."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.docs.pages import DOCS
from tests.serve.browser import Tab, chromium
from tests.serve.served import letter, newsletter, serving

PICTURE: Final = DOCS / "serve.png"

_SUBJECTS: Final = (
    ("Welcome aboard", "ada@example.org"),
    ("Reset your password", "grace@example.org"),
    ("Weekly report: 12 new users", "team@example.com"),
    ("Invoice 2026-118", "accounts@example.net"),
)


def show(tab: Tab, url: str, count: int) -> None:
    """Open the page, and the newest message."""
    tab.open(url)
    tab.wait(f"document.querySelectorAll('#entries li').length == {count}")
    tab.click("#entries a")
    tab.wait("document.querySelector('iframe')")
    time.sleep(1)  # the frame draws itself


def main() -> None:
    """Make the picture."""
    with (
        serving() as server,
        TemporaryDirectory() as profile,
        chromium(Path(profile)) as tab,
    ):
        for subject, to in _SUBJECTS:
            message = letter(subject)
            message.replace_header("To", to)
            message.replace_header("From", "Mill & Daughters <orders@mill.example>")
            server.send(message, to)
        server.send(newsletter("Invoice 1207.pdf", "beans.csv"), "zoe@books.example")
        tab.look(width=1100, height=640)
        show(tab, server.where["page"], len(_SUBJECTS) + 1)
        tab.picture(PICTURE)


if __name__ == "__main__":
    main()
