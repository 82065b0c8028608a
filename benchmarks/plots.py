"""The pictures of docs/performance.md, to be read on white and on black."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.line import USUAL, Curve
from benchmarks.page import LATENCY, WINDOW
from benchmarks.peers import AIOSMTPLIB, OURS, SEND, SEND_MANY, SEND_MANY_EAGER, Peer
from benchmarks.results import Results

_GREY: Final = "#808890"
#: Legible on either ground.
_COLOURS: Final = (
    *("#2f81f7", "#d1701f", "#2da44e", "#a371f7", "#db61a2", "#b08800", "#1b9aaa"),
    *("#e5534b", "#6e9a44", "#808890"),
)

#: How much higher a line may end that cannot be told from another.
_SAME: Final = 1.06

#: How many names, one below the other, are as high as the picture.
_LINES: Final = 22


def _style() -> AbstractContextManager[None]:
    return rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "esmtp_async",
            "text.color": _GREY,
            "axes.edgecolor": _GREY,
            "axes.labelcolor": _GREY,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": _GREY,
            "ytick.color": _GREY,
            "grid.color": _GREY,
            "grid.alpha": 0.3,
            "axes.grid": True,
            "legend.frameon": False,
        }
    )


def draw(results: Results, folder: Path) -> None:
    """Draw what was measured, one file a picture."""
    with _picture(folder / LATENCY) as axes:
        axes.set_xlabel("round-trip time, ms")
        axes.set_ylabel("ms a message, to three recipients")
        _lines(axes, results.latency)
    with _picture(folder / WINDOW) as axes:
        axes.set_xlabel("messages on their way at once (window)")
        axes.set_ylabel(f"messages a second, {USUAL * 1000:.0f} ms away")
        _window(axes, results)


def _lines(axes: Axes, latency: Mapping[Peer, Curve]) -> None:
    """Draw the lines, those that lie on each other alike; name them at their ends."""
    together: list[list[Peer]] = []  # from below
    for peer in sorted(latency, key=lambda peer: _end(latency[peer])):
        if together and _end(latency[peer]) <= _SAME * _end(latency[together[-1][0]]):
            together[-1].append(peer)
        else:
            together.append([peer])
    highest = max(_end(curve) for curve in latency.values()) * 1.08
    axes.set_ylim(0, highest)
    free = 0.0  # above the names below
    for peers, colour in zip(together, _COLOURS, strict=False):
        for peer in peers:
            ours = peer in OURS
            lengths, taken = zip(*latency[peer], strict=True)
            axes.plot(
                [length * 1000 for length in lengths],
                [seconds * 1000 for seconds in taken],
                color=colour,
                marker="o",
                markersize=3,
                linewidth=2.2 if ours else 1.2,
                linestyle="-" if ours else "--",
            )
        end = latency[peers[0]][-1][0] * 1000, _end(latency[peers[0]])
        height = len(peers) * highest / _LINES
        middle = max(end[1], free + height / 2)
        free = middle + height / 2
        axes.annotate(
            "\n".join(plain(peer) for peer in reversed(peers)),
            end,
            (end[0] * 1.05, middle),
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6},
        )


def _end(curve: Curve) -> float:
    """Give where it ends, in milliseconds."""
    return curve[-1][1] * 1000


def _window(axes: Axes, results: Results) -> None:
    """Draw the stream with a window, and how fast the others are without."""
    windows, rates = zip(*results.rates, strict=True)
    colour, *others = _COLOURS
    label = plain(SEND_MANY_EAGER)
    axes.plot(windows, rates, label=label, color=colour, marker="o", linewidth=2.2)
    for peer, colour in zip((SEND_MANY, SEND, AIOSMTPLIB), others, strict=False):
        if peer in results.latency:
            rate = 1 / dict(results.latency[peer])[USUAL]
            axes.axhline(rate, label=plain(peer), color=colour, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(windows, [str(window) for window in windows])
    axes.minorticks_off()
    axes.legend(fontsize=8)


def plain(peer: Peer) -> str:
    """Give a peer's name without Markdown."""
    return peer.name.replace("*", "")


@contextmanager
def _picture(file: Path) -> Iterator[Axes]:
    """Give the axes of a new picture, and write it."""
    with _style():
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        yield axes
        axes.set_ylim(bottom=None if axes.get_yscale() == "log" else 0)
        figure.savefig(file, transparent=True, metadata={"Date": None})
