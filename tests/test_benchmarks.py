"""The bench is alive: what it measures with arrives whole, and is counted right."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from benchmarks import content, idle
from benchmarks.content import FORMS
from benchmarks.costs import Cost
from benchmarks.goals import Goal, goals
from benchmarks.imports import BARE, BASE
from benchmarks.jobs import HOST, Job, Sample
from benchmarks.line import USUAL
from benchmarks.page import LATENCY, PARTS, WINDOW
from benchmarks.peers import AIOSMTPLIB, OURS, OURS_ELSEWHERE, SEND, Peer, measure
from benchmarks.results import QUICK, Results
from benchmarks.rounds import Rounds, cpu, run, wall
from benchmarks.sink import Session
from benchmarks.sinks import Lost, Sink, all_arrive, far_away, own_sink
from benchmarks.trips import FAR, NEAR, trips
from tests.docs.pages import DOCS

PAGE: Final = DOCS / "performance.md"
BODY: Final = b"Subject: x\r\n\r\n..\r\n.x\r\n.."
CONVERSATION: Final = (
    b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n" + BODY + b"\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n.\r\n"
    b"rset\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nBDAT 9\r\nQUIT\r\n.\r\n"
    b"BDAT 5 LAST\r\nDATA\n"
    b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nBDAT 3\r\n\r\n.BDAT 0 LAST\r\n"
    b"XYZ\r\nQUIT\r\n"
)
CODES: Final = (
    *("250", "250", "250", "250", "250", "250", "354", "250"),
    *("250", "250", "354", "250"),
    *("250", "250", "250", "250", "250"),
    *("250", "250", "250", "250", "250"),
    *("500", "221"),
)


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with own_sink() as sink:
        yield sink


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 1000])
def test_the_sink_counts_and_answers_wherever_the_octets_are_cut(pieces: int) -> None:
    session = Session()
    said = b"".join(
        session.replies(CONVERSATION[at : at + pieces])
        for at in range(0, len(CONVERSATION), pieces)
    )
    assert tuple(line[:3].decode() for line in said.splitlines()) == CODES
    assert (session.messages, session.octets) == (4, len(CONVERSATION))
    assert session.over


def test_a_message_is_as_large_as_asked() -> None:
    for size in (300, 2048, 3072, 1 << 20):
        message = Job(0, 0, size=size).message
        assert len(message) == size
        assert message.endswith(b"\r\n")
    job = Job(25, 3, recipients=2)
    assert Job.loads(job.dumps()) == job
    assert (len(job.forward_paths), job.sent) == (2, 13)


@pytest.mark.parametrize("peer", [*OURS, *OURS_ELSEWHERE], ids=str)
def test_every_message_of_each_of_ours_arrives(peer: Peer, sink: Sink) -> None:
    sample = measure(peer, sink, Job(sink.port, 4, warm=2, recipients=3))
    assert sample.cpu > 0
    assert sample.wall > 0


def test_many_tasks_send_what_one_would(sink: Sink) -> None:
    assert measure(OURS[0], sink, Job(sink.port, 20, warm=2, tasks=5)).wall > 0


@pytest.mark.parametrize("messages", [0, 2])
def test_a_message_too_few_or_too_many_is_a_failure(sink: Sink, messages: int) -> None:
    with (
        pytest.raises(Lost, match=rf"^nobody: 1 of {messages} messages arrived whole$"),
        all_arrive(sink, "nobody", messages, patience=0.1),
    ):
        content.by_hand(sink.port, Path(__file__))


def test_an_octet_too_few_is_a_failure(sink: Sink) -> None:
    with (
        pytest.raises(Lost, match="1 of 1"),
        all_arrive(sink, "nobody", 1, octets=1_000_000),
    ):
        content.by_hand(sink.port, Path(__file__))


def test_a_line_delays_what_passes_and_loses_nothing() -> None:
    octets = bytes(range(256)) * 4000
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        with (
            far_away(port, 0.2) as relay,
            socket.create_connection((HOST, relay)) as us,
        ):
            begun = time.monotonic()
            them, _ = listener.accept()
            with them:
                us.sendall(octets)
                us.shutdown(socket.SHUT_WR)
                came = b"".join(iter(lambda: them.recv(1 << 16), b""))
                them.sendall(b"back")
                assert us.recv(100) == b"back"
            assert time.monotonic() - begun > 0.15
    assert came == octets


def test_round_trips_are_the_difference_of_two_lines() -> None:
    assert trips(0.5 + 4 * NEAR, 0.5 + 4 * FAR) == pytest.approx(4)


def test_rounds_go_in_turn_and_are_judged_pair_by_pair() -> None:
    order: list[str] = []
    figures = {"a": iter((1.0, 20.0, 3.0)), "b": iter((2.0, 10.0, 6.0))}

    def measured(key: str) -> Sample:
        order.append(key)
        figure = next(figures[key])
        return Sample(figure, figure * 2)

    rounds = run(3, figures, measured)
    assert order == ["a", "b"] * 3
    assert list(rounds) == ["a", "b"]
    assert rounds.median("a", cpu) == 3
    assert rounds.least("b", wall) == 4
    assert rounds.ratio("a", "b", cpu) == 0.5
    assert "c" not in rounds
    assert isinstance(rounds, Rounds)


@pytest.mark.parametrize("form", FORMS)
def test_a_large_message_arrives_whole(form: str, sink: Sink, tmp_path: Path) -> None:
    file = tmp_path / "large"
    content.write(file, 3_000_000)
    assert file.stat().st_size == 3_000_000
    passage = content.send_file(sink, sink.port, "asyncio", form, file)
    assert min(passage.raw, passage.client, passage.blocked) > 0
    assert passage.memory >= 0


def test_large_passages_are_judged_pair_by_pair() -> None:
    one, other = content.Passage(1, 2, 3, 0.5), content.Passage(4, 5, 5, 0.25)
    assert content.Summary.of([one, other, other]) == (0.8, 5, 0.25)
    assert content.Summary.of([one, one, other]) == (0.5, 3, 0.25)


def test_idle_connections_are_all_held(sink: Sink) -> None:
    held = idle.hold(sink, 5, "trio")
    assert held.objects > 0
    assert json.loads(json.dumps(held)) == list(held)


def results() -> Results:
    """Give what a client would have come to that does what each figure says."""
    sample, half = Sample(1e-4, 2e-4), Sample(5e-5, 1e-4)
    went = {form: content.Summary(0.5, 4_049_000, 0.1) for form in FORMS}
    return Results(
        QUICK,
        trips={(SEND, 1): 2.04, (AIOSMTPLIB, 1): 4.0},
        cold={"by hand": [4.0, 8.04]},
        costs=Cost(Rounds({SEND: [half], AIOSMTPLIB: [sample]}), 3e-6),
        chunking=Cost(Rounds({AIOSMTPLIB: [sample]}), 0),
        latency={SEND: [(USUAL, 0.5)]},
        rates=[],
        content=went,
        far_content=went,
        tasks=Rounds({1: [sample], 200: [half]}),
        messages=Rounds({1000: [sample]}),
        idle=idle.Held(32 * 1024, 1024),
        imports=Rounds({BASE: [half], BARE: [sample]}),
    )


def test_the_page_has_every_part_and_the_pictures() -> None:
    page = PAGE.read_text("utf-8")
    assert re.findall("<!-- begin (.*) -->", page) == list(PARTS)
    assert re.findall("<!-- end (.*) -->", page) == list(PARTS)
    for picture in (LATENCY, WINDOW):
        assert PAGE.with_name(picture).is_file()


def test_tables_say_what_was_measured() -> None:
    told = results()
    made = {name: make(told) for name, make in PARTS.items() if name != "machine"}
    assert made["round trips"].splitlines()[2:] == [
        "| **esmtp_async** send | 2.04 |",
        "| aiosmtplib | 4.00 |",
    ]
    assert made["cpu"].splitlines()[2:] == [
        "| **esmtp_async** send | 0.50 | 50 |",
        "| aiosmtplib | 1.00 | 100 |",
        "| *the server itself* |  | 3 |",
    ]
    assert made["throughput"].splitlines()[2:] == [
        "| **esmtp_async** send | 2.00 | 10,000 | 2.0 |",
        "| aiosmtplib | 1.00 | 5,000 |  |",
    ]
    assert "| a `Path` | 0.50 | 0.50 | 4.0 | 100.0 |" in made["content"]
    assert "| by hand | 4.0 | 8.0 |" in made["cold"]
    assert "| tasks at once: 200 | 0.50 | 50 |" in made["scale"]
    assert "32.0 KiB |" in made["idle"]
    assert made["latency"].endswith(f"({LATENCY})")


def test_goals_are_met_up_to_what_is_shown() -> None:
    met = {goal.what: goal.met for goal in goals(results())}
    assert met["round trips of **esmtp_async** send, to 1"]
    assert not met["CPU of **esmtp_async** send, against aiosmtplib"]
    assert met["throughput from a `Path`, against a raw socket"]
    assert met["memory for a `Path`"]
    assert not met["loop kept by a `Path`"]
    assert met["CPU a message, 200 tasks against 1"]
    assert met["memory of an idle connection"]
    assert not met[f"CPU of `{BARE}`, against `{BASE}`"]
    assert not Goal("too little", 0.494, 0.5, most=False).met
