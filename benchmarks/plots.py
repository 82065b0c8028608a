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
    for (peer, curve), colour in zip(latency.items(), _COLOURS, strict=False):
        ours = peer in OURS
        axes.plot(
            [length * 1000 for length, _ in curve],
            [seconds * 1000 for _, seconds in curve],
            label=plain(peer),
            color=colour,
            marker="o",
            markersize=3,
            linewidth=2.2 if ours else 1.2,
            linestyle="-" if ours else "--",
        )
    axes.legend(fontsize=8)


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
