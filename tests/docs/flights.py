"""The picture of the flights: what real conversations look like over a line.

``python -m tests.docs.flights`` draws it. Time runs to the right, a round trip takes as
much room wherever it is, and what is said in a flight is told by its commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import anyio

from esmtp_async import Pipelining
from esmtp_async.testing import SMTPServer
from esmtp_async.testing._store import Said

from .pages import DOCS

PICTURE: Final = DOCS / "explanation" / "flights.svg"

MESSAGE: Final = b"From: a@example.org\r\nSubject: x\r\n\r\nHello\r\n"
RECIPIENTS: Final = ("b@example.org", "c@example.org", "d@example.org")

# Lengths in the picture.
TRIP, LEFT, TOP, BAND, GAP, LINE = 112, 58, 26, 136, 46, 13

STYLE: Final = """
.paper { fill: #fff; stroke: #d8dee4; }
text { font: 11px ui-monospace, "DejaVu Sans Mono", Menlo, monospace; fill: #24292f; }
.title { font: bold 13px system-ui, "DejaVu Sans", sans-serif; }
.side { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: #6e7781; }
.reply { fill: #1a7f37; }
.axis { stroke: #afb8c1; stroke-width: 1.5; }
.out { stroke: #0969da; stroke-width: 1.6; }
.back { stroke: #1a7f37; stroke-width: 1.6; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #161b22; stroke: #30363d; }
  text { fill: #e6edf3; }
  .side { fill: #9198a1; }
  .reply { fill: #56d364; }
  .axis { stroke: #59636e; }
  .out { stroke: #58a6ff; }
  .back { stroke: #56d364; }
}
"""


HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    'width="{width}" height="{height}" role="img">'
)

TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
    'markerHeight="6" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#8c959f"/>'
    "</marker></defs>"
)


class Trip(NamedTuple):
    """One flight, and the replies to it."""

    #: The commands, as they are shown: a line for each message that they speak of.
    commands: Sequence[str]
    #: The codes of the replies.
    replies: str


class Shape(NamedTuple):
    """A way to send messages."""

    title: str
    pipelining: Pipelining
    messages: int


SHAPES: Final = (
    Shape("in lockstep: pipelining='off', or not offered", Pipelining.OFF, 1),
    Shape("pipelining='conformant', the default", Pipelining.CONFORMANT, 1),
    Shape("pipelining='eager'", Pipelining.EAGER, 1),
    Shape("send_many, 'conformant': three messages", Pipelining.CONFORMANT, 3),
    Shape("send_many, 'eager': two messages more", Pipelining.EAGER, 2),
)


def trips(shape: Shape) -> list[Trip]:
    """Send as the shape says, to a model server; give what was said."""
    return anyio.run(partial(_said, shape))


async def _said(shape: Shape) -> list[Trip]:
    server = SMTPServer(eager=True)
    messages = [(MESSAGE, "a@example.org", RECIPIENTS)] * shape.messages
    async with (
        server,
        server.client(pipelining=shape.pipelining, max_connections=1) as client,
    ):
        # The server answers an eager flight once before several are under way.
        warmed = shape.messages > 1 and shape.pipelining is Pipelining.EAGER
        for message, sender, recipients in messages[: 1 if warmed else 0]:
            await client.send(message, sender=sender, recipients=recipients)
        await client.noop()
        begin = len(server.transcript[0])
        if shape.messages == 1:
            await client.send(MESSAGE, sender=messages[0][1], recipients=RECIPIENTS)
        else:
            async with client.send_many(messages) as results:
                async for result in results:
                    result.unwrap()
        said = server.transcript[0][begin:]
    return list(_trips(each for each in said if each.octets != b"QUIT\r\n"))


def _trips(said: Iterable[Said]) -> Iterator[Trip]:
    commands: Sequence[str] = ()
    for side, several in groupby(said, key=lambda each: each.side):
        octets = [each.octets for each in several]
        if side == "C":
            commands = _lines(list(map(_word, octets)))
        else:
            codes = [line[:3].decode() for line in b"".join(octets).splitlines()]
            yield Trip(commands, " ".join(_counted(codes)))


def _word(octets: bytes) -> str:
    """Give the verb of a command; mail data have none."""
    word = octets.split(maxsplit=1)[0].decode()
    return "message" if word == "From:" else word


def _counted(words: Sequence[str]) -> Iterator[str]:
    for word, same in groupby(words):
        number = len(list(same))
        yield word if number == 1 else f"{word}\N{MULTIPLICATION SIGN}{number}"


def _lines(words: Sequence[str]) -> list[str]:
    """Begin a line with each message."""
    lines: list[list[str]] = [[]]
    for word in words:
        begins = word == "RSET" or (word == "MAIL" and lines[-1] != ["RSET"])
        if begins and lines[-1]:
            lines.append([])
        if not (word == "message" and lines[-1][-1:] == ["BDAT"]):
            lines[-1].append(word)
    return [" ".join(_counted(line)) for line in lines]


def picture() -> str:
    """Draw all shapes, one below the other."""
    bands = [(shape, trips(shape)) for shape in SHAPES]
    width = LEFT + TRIP * max(len(said) for _, said in bands) + 24
    height = TOP + BAND * len(bands)
    parts = [
        HEAD.format(width=width, height=height),
        "<title>The flights of a message to three recipients</title>",
        f"<style>{STYLE}</style>",
        TIP,
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
    ]
    for number, (shape, said) in enumerate(bands):
        parts += _band(TOP + BAND * number, shape, said)
    return "\n".join([*parts, "</svg>", ""])


def _band(top: int, shape: Shape, said: Sequence[Trip]) -> Iterator[str]:
    number = "one round trip" if len(said) == 1 else f"{len(said)} round trips"
    client = top + 46
    server = client + GAP
    end = LEFT + TRIP * len(said) + 10
    yield _text(14, top, f"{shape.title}: {number}", "title")
    for y, side in ((client, "client"), (server, "server")):
        yield _text(14, y + 4, side, "side")
        yield f'<line class="axis" x1="{LEFT}" y1="{y}" x2="{end}" y2="{y}"/>'
    for index, trip in enumerate(said):
        x = LEFT + TRIP * index
        for line, text in enumerate(reversed(trip.commands)):
            yield _text(x, client - 6 - LINE * line, text)
        yield _arrow("out", x, client, x + TRIP // 2, server)
        yield _arrow("back", x + TRIP // 2, server, x + TRIP, client)
        yield _text(x + TRIP // 2 - 14, server + 14, trip.replies, "reply")


def _arrow(kind: str, x: int, y: int, to_x: int, to_y: int) -> str:
    ends = f'x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"'
    return f'<line class="{kind}" {ends} marker-end="url(#tip)"/>'


def _text(x: int, y: int, text: str, kind: str = "command") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
