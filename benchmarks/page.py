"""docs/performance.md: the tables, made of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks.cold import DOORS
from benchmarks.costs import Cost
from benchmarks.goals import goals
from benchmarks.imports import BASE
from benchmarks.line import USUAL
from benchmarks.machine import described
from benchmarks.peers import (
    AIOSMTPLIB,
    AIOSMTPLIB_ON_UVLOOP,
    OTHERS,
    OURS,
    OURS_ELSEWHERE,
    SMTP_SOURCE,
)
from benchmarks.results import Results
from benchmarks.rounds import cpu, wall

#: The pictures, beside the page.
LATENCY: Final = "performance-latency.svg"
WINDOW: Final = "performance-window.svg"

_MILLION: Final = 1_000_000


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Set a table; the first column holds words, the others figures."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _machine(_results: Results) -> str:
    left_out = [
        f"{peer} ({why})"
        for peer in (*OURS, *OURS_ELSEWHERE, *OTHERS, AIOSMTPLIB_ON_UVLOOP)
        if (why := peer.missing())
    ]
    return f"{described()}\n* left out: {', '.join(left_out) or 'nobody'}"


def _goals(results: Results) -> str:
    return table(
        ("figure", "measured", "goal", "met"),
        [
            (
                goal.what,
                f"{goal.measured:.{goal.digits}f} {goal.unit}".strip(),
                f"{'≤' if goal.most else '≥'} {goal.bound:g} {goal.unit}".strip(),
                "yes" if goal.met else "**no**",
            )
            for goal in goals(results)
        ],
    )


def _round_trips(results: Results) -> str:
    numbers = results.plan.recipients
    peers = dict.fromkeys(peer for peer, _ in results.trips)
    return table(
        ("client", *(f"{n} recipient{'s' * (n > 1)}" for n in numbers)),
        [
            (peer.name, *(f"{results.trips[peer, number]:.2f}" for number in numbers))
            for peer in peers
        ],
    )


def _cold(results: Results) -> str:
    return table(
        ("client", *DOORS),
        [
            (way, *(f"{figure:.1f}" for figure in figures))
            for way, figures in results.cold.items()
        ],
    )


def _latency(_results: Results) -> str:
    return f"![What a message takes over lines of several lengths]({LATENCY})"


def _window(_results: Results) -> str:
    return f"![Messages a second, for several windows]({WINDOW})"


def _cpu(results: Results) -> str:
    return _costs(results.costs)


def _chunking(results: Results) -> str:
    return _costs(results.chunking)


def _costs(cost: Cost) -> str:
    """Set what clients cost, the cheapest first, and the server below them."""
    rounds = cost.rounds
    order = sorted(rounds, key=lambda peer: rounds.ratio(peer, AIOSMTPLIB, cpu))
    rows = [
        (
            peer.name,
            f"{rounds.ratio(peer, AIOSMTPLIB, cpu):.2f}",
            f"{rounds.median(peer, cpu) * _MILLION:.0f}",
        )
        for peer in order
    ]
    rows.append(("*the server itself*", "", f"{cost.sink * _MILLION:.0f}"))
    return table(("client", "CPU, aiosmtplib = 1", "µs a message"), rows)


def _throughput(results: Results) -> str:
    near = results.costs.rounds
    far = {peer: dict(curve)[USUAL] for peer, curve in results.latency.items()}
    base = SMTP_SOURCE if SMTP_SOURCE in near else AIOSMTPLIB
    return table(
        (
            "client",
            f"loopback, {base} = 1",
            "messages a second",
            f"{USUAL * 1000:.0f} ms away: messages a second",
        ),
        [
            (
                peer.name,
                f"{near.ratio(base, peer, wall):.2f}" if peer in near else "",
                f"{1 / near.median(peer, wall):,.0f}" if peer in near else "",
                f"{1 / far[peer]:.1f}" if peer in far else "",
            )
            for peer in dict.fromkeys((*OURS, *near, *far))
            if peer in near or peer in far
        ],
    )


def _content(results: Results) -> str:
    far = f"{USUAL * 1000:.0f} ms away"
    return table(
        ("from", "throughput, raw socket = 1", far, "MB of memory", "loop kept, ms"),
        [
            (
                form,
                f"{results.content[form].ratio:.2f}",
                f"{results.far_content[form].ratio:.2f}",
                f"{results.content[form].memory / _MILLION:.1f}",
                f"{results.content[form].blocked * 1000:.1f}",
            )
            for form in results.content
        ],
    )


def _scale(results: Results) -> str:
    """Set the cost of a message by how many tasks send, and how many messages."""
    rows = [
        (
            f"{what}: {number:,}",
            f"{rounds.ratio(number, next(iter(rounds)), cpu):.2f}",
            f"{rounds.median(number, cpu) * _MILLION:.0f}",
        )
        for what, rounds in (
            ("tasks at once", results.tasks),
            ("messages on end", results.messages),
        )
        for number in rounds
    ]
    return table(("sent by `send`", "CPU a message", "µs a message"), rows)


def _idle(results: Results) -> str:
    return table(
        ("what", "measured"),
        [
            (
                f"resident memory of an idle connection, of {results.plan.idle}",
                f"{results.idle.resident / 1024:.1f} KiB",
            ),
            ("Python's objects in it", f"{results.idle.objects / 1024:.1f} KiB"),
            *(
                (
                    f"CPU of `{statement}`, `{BASE}` = 1",
                    f"{results.imports.ratio(statement, BASE, cpu):.2f}",
                )
                for statement in results.imports
            ),
        ],
    )


#: What makes each part of the page.
PARTS: Final[dict[str, Callable[[Results], str]]] = {
    "machine": _machine,
    "round trips": _round_trips,
    "cold": _cold,
    "latency": _latency,
    "cpu": _cpu,
    "chunking": _chunking,
    "throughput": _throughput,
    "window": _window,
    "content": _content,
    "scale": _scale,
    "idle": _idle,
    "goals": _goals,
}
