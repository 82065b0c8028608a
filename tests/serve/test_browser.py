"""The page in a browser: what a person sees, clicks and presses."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serve.browser import Tab, chromium
from tests.serve.served import Serving, letter, newsletter, serving

pytestmark = pytest.mark.browser

WIDE = (1180, 760)
OWNED = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving("--directory", str(tmp_path / "mail")) as running:
        yield running


@pytest.fixture
def tab(browser: Tab, server: Serving) -> Tab:
    browser.look(width=WIDE[0], height=WIDE[1])
    browser.open(server.where["page"])
    browser.requests.clear()
    browser.wait("document.querySelector('#live')?.textContent == 'live'")
    return browser


def has(tab: Tab, count: int) -> None:
    """Wait until the list has so many messages."""
    tab.wait(f"document.querySelectorAll('#entries li').length == {count}")


def listed(tab: Tab) -> object:
    return tab.run(
        "[...document.querySelectorAll('#entries .subject')].map(e => e.innerText)"
    )


def opened(tab: Tab) -> str:
    return tab.text("article h1")


def test_a_message_appears_by_itself(tab: Tab, server: Serving) -> None:
    tab.wait("document.querySelector('#none').innerText.startsWith('No messages yet')")
    server.send(letter("first"))
    has(tab, 1)
    server.send(letter("second"))
    has(tab, 2)
    assert listed(tab) == ["second", "first"]
    assert tab.run("document.title") == "(2) esmtp serve"
    assert tab.text("#count[role=status]") == "2 messages"
    assert tab.run("document.querySelector('#none').hidden") is True


def test_a_message_is_shown_in_every_way(tab: Tab, server: Serving) -> None:
    server.send(newsletter())
    tab.click("#entries a")
    tab.wait("document.querySelector('iframe')")
    assert opened(tab) == "Your order no. 1207 is on its way ☕"
    assert "Mill & Daughters <orders@mill.example>" in tab.text(".facts")
    files = tab.run(
        "[...document.querySelectorAll('.attachments .name')].map(e => e.innerText)"
    )
    assert files == ["logo.png", "Rechnung Größe 7.pdf", "passwd.csv"]
    for name, words in (
        ("Text", "Your coffee is on its way."),
        ("Headers", "MIME-Version"),
        ("Envelope", "S: 354 go ahead"),
        ("Source", "Content-Disposition: attachment"),
    ):
        tab.click(f"#tab-{name}")
        tab.wait(f"document.querySelector('#panel').innerText.includes({words!r})")
        assert tab.run(f"document.querySelector('#tab-{name}').ariaSelected") == "true"


def test_what_a_message_says_is_text(tab: Tab, server: Serving) -> None:
    message = letter(OWNED, OWNED)
    message.replace_header(
        "From", f'"{OWNED[:20]}" <a@example.test>'.replace('="', "=")
    )
    message["X-Any"] = OWNED
    message.add_attachment(b"x", "text", "html", filename=f"{OWNED[:30]}.html")
    server.send(message)
    tab.click("#entries a")
    tab.wait("document.querySelector('article h1')")
    assert opened(tab) == OWNED
    for name in ("Headers", "Envelope", "Source", "Text"):
        tab.click(f"#tab-{name}")
        time.sleep(0.1)
        assert (
            tab.run("document.querySelectorAll('article img, article script').length")
            == 0
        )
    assert tab.run("document.title") == "(1) esmtp serve"


class Elsewhere:
    """A site that nobody should visit."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    @property
    def visits(self) -> list[bytes]:
        """What was asked for, by each that came."""
        found: list[bytes] = []
        with suppress(BlockingIOError):
            while True:
                visitor, _ = self._listener.accept()
                with visitor, suppress(TimeoutError):
                    found.append(b"")  # to come is enough
                    visitor.settimeout(1)
                    found[-1] = visitor.recv(4096).partition(b"\r\n")[0]
        return found


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003
        yield Elsewhere(listener)


def test_html_runs_nothing_and_loads_nothing(
    tab: Tab, server: Serving, elsewhere: Elsewhere
) -> None:
    message = letter()
    there = elsewhere.url
    message.set_content(
        "<script>parent.document.title = 'owned'; top.location = '/owned'</script>"
        f"<img src='{there}/img' onerror='top.location = \"/owned\"'>"
        f"<link rel=stylesheet href='{there}/css'><link rel=icon href='/owned'>"
        f"<style>@import '{there}/import'; p {{ background: url({there}/bg) }}"
        f"</style><meta http-equiv=refresh content='0; url={there}/refresh'>"
        f"<iframe src='{there}/frame'></iframe><object data='{there}/o'></object>"
        f"<video src='{there}/video' autoplay></video><base href='{there}/'>"
        f"<link rel=preconnect href='{there}'><link rel=prefetch href='{there}/p'>"
        "<form action=/api/messages method=post><button autofocus>x</button></form>"
        "<p id=there>Here I am.</p>",
        subtype="html",
    )
    server.send(message)
    tab.click("#entries a")
    tab.wait("document.querySelector('iframe')")
    time.sleep(1)
    assert elsewhere.visits == []
    base = server.where["page"]
    assert [url for url in tab.requests if not url.startswith(base)] == []
    assert [url for url in tab.requests if "owned" in url] == []
    assert tab.run("document.title") == "(1) esmtp serve"
    assert tab.run("location.pathname") == "/"
    # It is nobody: not even the page gets at it.
    assert tab.run("document.querySelector('iframe').contentDocument") is None


def ids(server: Serving) -> list[str]:
    messages = server.get("/api/messages").told["messages"]
    assert isinstance(messages, list)
    return [message["id"] for message in messages]


def test_delete_one(tab: Tab, server: Serving) -> None:
    for subject in ("one", "two", "three"):
        server.send(letter(subject))
    has(tab, 3)
    tab.click("#entries li:nth-child(2) a")
    tab.wait("document.querySelector('article .danger')")
    tab.click("article button.danger")
    has(tab, 2)
    tab.wait("document.querySelector('article h1')?.innerText == 'one'")
    assert listed(tab) == ["three", "one"]
    assert len(ids(server)) == 2


def test_delete_all_asks_first(tab: Tab, server: Serving) -> None:
    server.send(letter())
    has(tab, 1)
    tab.click("#clear")
    tab.wait("document.querySelector('dialog').open")
    tab.press("Enter")  # keeps them
    tab.wait("!document.querySelector('dialog').open")
    assert len(ids(server)) == 1
    tab.click("#clear")
    tab.click("dialog .danger")
    has(tab, 0)
    assert ids(server) == []
    assert tab.run("document.querySelector('#clear').disabled") is True


def test_a_message_that_goes_elsewhere_goes_here(tab: Tab, server: Serving) -> None:
    server.send(letter())
    has(tab, 1)
    server.delete("/api/messages")
    has(tab, 0)


def test_the_keyboard_is_enough(tab: Tab, server: Serving) -> None:
    for subject in ("one", "two", "three"):
        server.send(letter(subject))
    has(tab, 3)
    tab.press("j")
    tab.wait("document.querySelector('article h1')?.innerText == 'three'")
    tab.press("j")
    tab.wait("document.querySelector('article h1')?.innerText == 'two'")
    tab.press("k")
    tab.wait("document.querySelector('article h1')?.innerText == 'three'")
    assert tab.run("document.activeElement.closest('#entries li') != null") is True
    server.send(letter("four"))
    has(tab, 4)
    assert tab.run("document.activeElement.innerText.includes('three')") is True
    tab.run("document.querySelector('[role=tab]').focus()")
    tab.press("ArrowRight")
    assert tab.run("document.activeElement.innerText") == "Headers"
    assert "X-" in tab.text("#panel") or "Subject" in tab.text("#panel")
    tab.press("Escape")
    tab.wait("document.querySelector('article').innerText == 'Choose a message.'")


def test_search(tab: Tab, server: Serving) -> None:
    for subject in ("Reset your password", "Welcome"):
        server.send(letter(subject))
    has(tab, 2)
    tab.press("/")
    for key in "pass":
        tab.press(key)
    has(tab, 1)
    assert listed(tab) == ["Reset your password"]
    tab.press("x")
    tab.wait(
        "document.querySelector('#none').innerText == 'No message has these words.'"
    )


def test_older_ones_are_a_click_away(tab: Tab, server: Serving) -> None:
    for number in range(53):
        server.send(letter(str(number)))
    has(tab, 50)
    tab.click("#more")
    has(tab, 53)
    assert tab.run("document.querySelector('#more').hidden") is True


def test_a_phone_shows_one_thing_at_a_time(tab: Tab, server: Serving) -> None:
    tab.look(width=390, height=780, phone=True)
    server.send(newsletter())
    tab.click("#entries a")
    tab.wait("document.querySelector('iframe')")
    assert tab.run("document.querySelector('nav').offsetHeight") == 0
    assert tab.run("document.documentElement.scrollWidth") == 390
    tab.click(".back")
    tab.wait("document.querySelector('nav').offsetHeight > 0")
    assert tab.run("document.querySelector('article').offsetHeight") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_in_any_light(tab: Tab, server: Serving, *, dark: bool) -> None:
    tab.look(width=WIDE[0], height=WIDE[1], dark=dark)
    server.send(newsletter())
    tab.click("#entries a")
    tab.click("#tab-Envelope")
    for selector in (
        "#entries .to",
        "h1",
        "dt",
        "dd",
        ".tag",
        ".said .client",
        "#live",
    ):
        contrast = tab.run(f"({CONTRAST})(document.querySelector({selector!r}))")
        assert isinstance(contrast, float | int)
        assert contrast >= 4.5, selector  # WCAG 2.2, 1.4.3


#: Of an element's text and the ground that it stands on.
CONTRAST = """(element) => {
  const light = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).map(Number).map((each) => each / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = "rgba(0, 0, 0, 0)";
  let ground = element;
  const bare = (each) => getComputedStyle(each).backgroundColor === clear;
  while (bare(ground)) ground = ground.parentElement;
  const [less, more] = [getComputedStyle(element).color,
    getComputedStyle(ground).backgroundColor].map(light).sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}"""


def test_an_end_of_the_server_is_told(tab: Tab, server: Serving) -> None:
    server.end()
    tab.wait("document.querySelector('#live').innerText == 'not reached'")
