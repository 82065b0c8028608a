"""`esmtp bulk`: many messages, each of them once, and an account of all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest
from anyio.from_thread import BlockingPortal

from esmtp_async.testing import Rule, SMTPServer
from tests.cli.running import COMMAND, MESSAGE, esmtp, url
from tests.cli.test_mbox import mbox

COUNT = 12


def letter(number: int, *others: str) -> bytes:
    to = ", ".join([f"r{number}@example.test", *others])
    return (
        f"From: a@example.test\r\nTo: {to}\r\nMessage-ID: <{number}@example.test>\r\n"
        f"\r\nLetter {number}.\r\n"
    ).encode()


def letters(folder: Path, count: int = COUNT) -> Path:
    """Write letters into a new folder."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.eml").write_bytes(letter(number))
    return folder


def lines(octets: bytes | Path) -> list[dict[str, object]]:
    """Read a log, or what stands for one; without what it begins with."""
    text = octets.read_bytes() if isinstance(octets, Path) else octets
    every = [json.loads(line) for line in text.splitlines()]
    return [line for line in every if "log" not in line]


def recipients(line: dict[str, object]) -> list[dict[str, object]]:
    of_line = line["recipients"]
    assert isinstance(of_line, list)
    return of_line


def told(octets: bytes | Path) -> list[tuple[object, object]]:
    """Give each address with each outcome."""
    return [
        (recipient["address"], recipient["outcome"])
        for line in lines(octets)
        if line["event"] == "outcome"
        for recipient in recipients(line)
    ]


def outcomes(octets: bytes | Path) -> list[object]:
    return [line["outcome"] for line in lines(octets) if line.get("event") != "begun"]


def got(server: SMTPServer) -> Counter[str]:
    """Count what each recipient got."""
    return Counter(r.path for stored in server.messages for r in stored.recipients)


def once_each(count: int = COUNT) -> Counter[str]:
    return Counter(f"r{number}@example.test" for number in range(count))


# Where messages come from


@pytest.mark.parametrize("kind", ["files", "folder", "mbox", "maildir", "list"])
def test_messages_of_each_source_arrive_as_they_are(
    server: SMTPServer, tmp_path: Path, kind: str
) -> None:
    originals = [letter(number) for number in range(COUNT)]
    sources, stdin = [str(letters(tmp_path / "letters"))], b""
    paths = sorted(map(str, (tmp_path / "letters").iterdir()))
    if kind == "files":
        sources = paths
    elif kind == "list":
        sources, stdin = ["-"], "\n".join([*paths, ""]).encode()
    elif kind == "mbox":
        sources = [str(tmp_path / "box")]
        (tmp_path / "box").write_bytes(mbox(*originals))
    elif kind == "maildir":
        for folder in ("new", "cur", "tmp"):
            (tmp_path / "mail" / folder).mkdir(parents=True)
        for path in map(Path, paths):
            path.rename(tmp_path / "mail" / "new" / path.name)
        sources = [str(tmp_path / "mail")]
    run = esmtp("bulk", "--server", url(server), *sources, stdin=stdin)
    assert run.returncode == 0, run.stderr
    assert sorted(stored.content for stored in server.messages) == sorted(originals)
    assert got(server) == once_each()
    assert outcomes(run.stdout) == ["accepted"] * COUNT
    for line in lines(run.stdout):
        assert line["event"] == "outcome"
        assert line["queue_id"] in {stored.queue_id for stored in server.messages}
        assert str(line["reply"]).startswith("250 ")
        assert str(line["message_id"]).endswith("@example.test>")
        assert (line["offset"] is None) is (kind != "mbox")
    assert b"12 messages in " in run.stderr
    assert b": 12 accepted\n" in run.stderr
    assert server.violations == []


def test_an_envelope_of_their_own(server: SMTPServer, tmp_path: Path) -> None:
    folder = letters(tmp_path / "letters", 2)
    envelope = ("--sender", "", "--recipient", "x@example.test")
    run = esmtp("bulk", "--server", url(server), *envelope, str(folder))
    assert run.returncode == 0, run.stderr
    assert {stored.reverse_path for stored in server.messages} == {""}
    assert got(server) == Counter({"x@example.test": 2})


@pytest.mark.parametrize(
    "options",
    [
        ("--connections", "2", "--pipelining", "eager", "--window", "5"),
        ("--pipelining", "off", "--rate", "1000"),
    ],
)
def test_how_fast(server: SMTPServer, tmp_path: Path, options: tuple[str, ...]) -> None:
    folder = letters(tmp_path / "letters")
    run = esmtp("bulk", "--server", url(server), *options, str(folder))
    assert run.returncode == 0, run.stderr
    assert got(server) == once_each()
    assert server.peak_connections <= (2 if "--connections" in options else 10)
    flew = any(stored.via == "BDAT" for stored in server.messages)
    assert flew is ("eager" in options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), b"has no file *.eml, and is no Maildir"),
        (("--rate", "x"), b"--rate 'x' is not N/SECONDS"),
        (("--window", "0"), b"window is 0"),
        (("--connections", "0"), b"max_connections is 0"),
        (("--log", "."), b"Is a directory"),
        (("none.eml",), b"No such file"),
        (("--sender", "x"), b"sender: 'x' is not one mailbox"),
        (("--recipient", "x"), b"recipients[0]: 'x' is not one mailbox"),
    ],
)
def test_nonsense_is_exit_code_2(
    tmp_path: Path, options: tuple[str, ...], said: bytes
) -> None:
    folder = letters(tmp_path / "letters", 1) if options else tmp_path
    run = esmtp("bulk", *options, str(folder), cwd=tmp_path)
    assert run.returncode == 2
    assert said in run.stderr
    assert b"Traceback" not in run.stderr


# What became of them


@pytest.mark.parametrize(
    ("rules", "code", "outcome"),
    [
        ([], 0, "accepted"),
        ([Rule("RCPT", "r1@", reply="550 5.1.1 no")], 1, "refused"),
        ([Rule("RCPT", "r1@", silent=True, close=True)], 3, "not sent"),
        ([Rule("CONTENT", "r1@", silent=True, close=True)], 4, "unknown"),
    ],
)
def test_the_exit_code_is_that_of_the_worst(
    server: SMTPServer, tmp_path: Path, rules: Sequence[Rule], code: int, outcome: str
) -> None:
    server.rules.extend(rules)
    folder = letters(tmp_path / "letters", 3)
    run = esmtp(
        *("bulk", "--server", url(server), "--connections", "1"),
        *("--pipelining", "off", str(folder)),
    )
    assert run.returncode == code, run.stderr
    assert sorted(map(str, outcomes(run.stdout))) == sorted(
        ["accepted", "accepted", outcome]
    )
    if code:
        (line,) = [x for x in lines(run.stdout) if x["outcome"] != "accepted"]
        (recipient,) = recipients(line)
        assert recipient["address"] == "r1@example.test"
        assert recipient["outcome"] == outcome
        assert "error" in line


def test_a_message_that_makes_no_sense_disturbs_no_other(
    server: SMTPServer, tmp_path: Path
) -> None:
    folder = letters(tmp_path / "letters", 2)
    (folder / "000a.eml").write_bytes(b"Subject: to nobody\r\n\r\n")
    box = tmp_path / "box"
    box.write_bytes(mbox(letter(7)) + b"\nFrom here on it is open.\n" + mbox(letter(8)))
    log = tmp_path / "log"
    command = (
        "bulk",
        "--server",
        url(server),
        "--log",
        str(log),
        str(folder),
        str(box),
    )
    run = esmtp(*command)
    assert (run.returncode, run.stdout) == (2, b"")
    assert got(server) == Counter(
        ["r0@example.test", "r1@example.test", "r8@example.test"]
    )
    bad = [line for line in lines(log) if line.get("outcome") == "invalid"]
    assert [line["recipients"] for line in bad] == [[], []]
    assert "no address in Sender or From" in str(bad[0]["error"])
    assert "behind a blank line, and neither has a date" in str(bad[1]["error"])
    assert b"000a.eml: the message has no address" in run.stderr
    assert b": 3 accepted, 2 invalid\n" in run.stderr
    # Mended, it goes; the others stay where they are.
    (folder / "000a.eml").write_bytes(letter(5))
    assert esmtp(*command).returncode == 2
    assert got(server)["r5@example.test"] == 1
    assert len(server.messages) == 4


def test_nobody_answers(tmp_path: Path) -> None:
    folder = letters(tmp_path / "letters", 2)
    log = tmp_path / "log"
    run = esmtp("bulk", "--server", "127.0.0.1:9", "--log", str(log), str(folder))
    assert run.returncode == 3
    assert outcomes(log) == ["not sent"] * 2
    assert not any(line["event"] == "begun" for line in lines(log))
    assert b"the same command sends what is left" in run.stderr


@pytest.mark.parametrize("again", [False, True])
def test_where_no_connection_can_be_had_the_rest_is_left_alone(
    portal: BlockingPortal, tmp_path: Path, *, again: bool
) -> None:
    """A wrong password is no reason to be asked for it a thousand times."""
    model = SMTPServer(
        users={"alice": "sesame"}, auth_needs_tls=False, require_auth=True
    )
    count = 200
    folder = letters(tmp_path / "letters", count)
    log = tmp_path / "log"
    if again:
        model.rules.append(Rule("AUTH", reply="454 4.7.0 not now"))
    with portal.wrap_async_context_manager(model.listen()):
        command = (
            *("bulk", "--username", "alice", "--connections", "1"),
            *("--server", url(model) + "&allow_plaintext_auth=true"),
            *("--log", str(log), str(folder)),
        )
        run = esmtp(*command, ESMTP_PASSWORD="simsala")
        assert run.returncode == 3, run.stderr
        assert b"esmtp: nothing further was tried: AuthenticationFailed: " in run.stderr
        assert b"esmtp: the same command sends what is left\n" in run.stderr
        assert b"simsala" not in run.stderr + log.read_bytes()
        assert 0 < len(outcomes(log)) < count
        assert model.connections <= (4 if again else 1)
        model.rules.clear()
        assert esmtp(*command, ESMTP_PASSWORD="sesame").returncode == 0
    assert got(model) == once_each(count)


def test_a_dry_run_asks_no_server(server: SMTPServer, tmp_path: Path) -> None:
    folder = letters(tmp_path / "letters", 3)
    log = tmp_path / "log"
    (folder / "001.eml").write_bytes(b"Subject: to nobody\r\n\r\n")
    (folder / "002.eml").write_bytes(letter(2) + "\u00fc".encode())
    first = str(folder / "000.eml")
    esmtp("bulk", "--server", url(server), "--log", str(log), first)
    before = log.read_bytes()
    run = esmtp("bulk", "--dry-run", "--log", str(log), str(folder))
    assert run.returncode == 2
    bad, good = lines(run.stdout)
    assert bad["outcome"] == "invalid"
    assert good["sender"] == "a@example.test"
    assert good["recipients"] == ["r2@example.test"]
    assert good["size"] == len(letter(2)) + 4
    assert good["needs"] == ["8BITMIME"]
    assert b"1 message due, 1 not any more, 1 invalid" in run.stderr
    assert log.read_bytes() == before
    assert server.connections == 1


# The same command again


def test_the_same_command_again_sends_what_is_left(
    server: SMTPServer, tmp_path: Path
) -> None:
    """To whom it is left, and to nobody else."""
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "1.eml").write_bytes(
        letter(1, "later@example.test", "never@example.test")
    )
    (folder / "2.eml").write_bytes(letter(2))
    log = tmp_path / "log"
    server.rules.extend(
        [
            Rule("RCPT", "later@", reply="450 4.2.0 later", times=1),
            Rule("RCPT", "never@", reply="550 5.1.1 no", times=2),
        ]
    )
    command = ("bulk", "--server", url(server), "--log", str(log), str(folder))
    run = esmtp(*command)
    assert (run.returncode, run.stdout) == (1, b"")
    assert b"1.eml: later@example.test: refused: 450 4.2.0 later\n" in run.stderr
    assert b"esmtp: the same command sends what is left\n" in run.stderr
    assert got(server) == Counter(["r1@example.test", "r2@example.test"])
    run = esmtp(*command)
    assert run.returncode == 1  # for never@
    assert b"1 message in" in run.stderr
    assert b"as the log has it, left alone: 1 message\n" in run.stderr
    assert got(server)["later@example.test"] == 1
    assert len(server.messages) == 3
    asked = server.connections
    run = esmtp(*command)
    assert run.returncode == 1
    assert b"the same command" not in run.stderr
    assert server.connections == asked  # there is nothing to do
    run = esmtp(*command, "--retry-refused")
    assert run.returncode == 1
    assert len(server.messages) == 3
    run = esmtp(*command, "--retry-refused")
    assert run.returncode == 0, run.stderr
    assert got(server) == Counter(
        [
            *("r1@example.test", "r2@example.test"),
            *("later@example.test", "never@example.test"),
        ]
    )
    assert esmtp(*command).returncode == 0


def test_what_is_unknown_is_sent_again_only_if_somebody_says_so(
    server: SMTPServer, tmp_path: Path
) -> None:
    folder = letters(tmp_path / "letters", 1)
    log = tmp_path / "log"
    server.rules.append(Rule("CONTENT", silent=True, close=True, times=1))
    command = ("bulk", "--server", url(server), "--log", str(log), str(folder))
    run = esmtp(*command)
    assert run.returncode == 4
    assert b"may have the message" in run.stderr
    count = len(server.messages)
    assert esmtp(*command).returncode == 4
    assert len(server.messages) == count
    assert esmtp(*command, "--retry-unknown").returncode == 0
    assert len(server.messages) == count + 1
    assert esmtp(*command, "--retry-unknown").returncode == 0
    assert len(server.messages) == count + 1


@pytest.mark.parametrize("doubt", ["no reply", "killed"])
def test_what_is_unknown_stays_so_whatever_is_said_later(
    server: SMTPServer, tmp_path: Path, doubt: str
) -> None:
    """The attempt that nobody knows of may have come through."""
    folder = letters(tmp_path / "letters", 1)
    log = tmp_path / "log"
    command = ("bulk", "--log", str(log), str(folder), "--server")
    if doubt == "killed":
        esmtp(*command, url(server))
        text = log.read_bytes()
        log.write_bytes(text[: text.index(b'{"time"', text.index(b"begun"))])
        server.reset()
    else:
        server.rules.append(Rule("CONTENT", silent=True, close=True, times=1))
        assert esmtp(*command, url(server)).returncode == 4
    # Nobody is there.
    run = esmtp(*command, "127.0.0.1:9", "--retry-unknown")
    assert run.returncode == 4, run.stderr
    count = len(server.messages)
    assert esmtp(*command, url(server)).returncode == 4
    assert len(server.messages) == count
    # Somebody is, and says no.
    server.rules.append(Rule("RCPT", reply="550 5.1.1 no"))
    run = esmtp(*command, url(server), "--retry-unknown")
    assert run.returncode == 4
    assert (
        b"000.eml: r0@example.test: refused: 550 5.1.1 no; an earlier attempt may have "
        b"reached it all the same\n"
    ) in run.stderr
    assert b": 1 unknown\n" in run.stderr
    # That was for good, so it takes more than a word about the doubt.
    for again in ("--retry-unknown", "--retry-refused"):
        asked = server.connections
        assert esmtp(*command, url(server), again).returncode == 4
        assert server.connections == asked
    server.rules.clear()
    run = esmtp(*command, url(server), "--retry-unknown", "--retry-refused")
    assert run.returncode == 0
    assert len(server.messages) == count + 1


def test_there_is_nothing_to_try_again_without_a_log(tmp_path: Path) -> None:
    folder = letters(tmp_path / "letters", 1)
    for again in ("--retry-unknown", "--retry-refused"):
        run = esmtp("bulk", again, str(folder))
        assert run.returncode == 2
        assert b"--retry-unknown go by what --log has" in run.stderr


def test_a_message_is_known_wherever_it_lies(
    server: SMTPServer, tmp_path: Path
) -> None:
    folder = letters(tmp_path / "letters", 3)
    (folder / "twin.eml").write_bytes(letter(0))
    log = tmp_path / "log"
    arguments = ("bulk", "--server", url(server), "--log", str(log))
    assert esmtp(*arguments, str(folder)).returncode == 0
    assert got(server) == once_each(3) + Counter(["r0@example.test"])
    (folder / "000.eml").rename(tmp_path / "z.eml")
    box = tmp_path / "box"
    box.write_bytes(mbox(letter(1), letter(0), letter(2), letter(9)))
    assert esmtp(*arguments, str(box), str(tmp_path / "z.eml")).returncode == 0
    assert got(server) == once_each(3) + Counter(["r0@example.test", "r9@example.test"])


def test_a_large_message_goes_by_its_header_again(
    server: SMTPServer, tmp_path: Path
) -> None:
    large = letter(1, "later@example.test") + b"x" * 60 + b"\r\n"
    large += (b"y" * 60 + b"\r\n") * 20_000
    box = tmp_path / "box"
    path = tmp_path / "large.eml"
    log = tmp_path / "log"
    box.write_bytes(mbox(large))
    path.write_bytes(large)
    server.rules.append(Rule("RCPT", "later@", reply="450 4.2.0 later", times=2))
    command = ("bulk", "--server", url(server), "--log", str(log), str(box), str(path))
    assert esmtp(*command).returncode == 1
    assert esmtp(*command).returncode == 0
    assert got(server) == Counter({"r1@example.test": 2, "later@example.test": 2})
    assert {stored.content for stored in server.messages} == {large}


# Where it does not end by itself


def test_a_log_that_cannot_be_written_to_ends_it(
    server: SMTPServer, tmp_path: Path
) -> None:
    """Nothing goes out of which nothing could be told."""
    folder = letters(tmp_path / "letters", 40)
    log = tmp_path / "log"
    command = [
        *(*COMMAND, "bulk", "--server", url(server), "--connections", "1"),
        *("--log", str(log), str(folder)),
    ]
    run = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *command],
        capture_output=True,
        check=False,
        # A measurement of coverage would have a file of its own cut off.
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},
        timeout=50,
    )
    assert run.returncode in {3, 4}
    unknown = b"unknown\nesmtp: of those unknown somebody may have" in run.stderr
    assert unknown is (run.returncode == 4)
    assert b"the account cannot be kept, and nothing further was sent" in run.stderr
    assert b"Traceback" not in run.stderr
    assert 0 < len(server.messages) < 40
    finish(server, command[len(COMMAND) :], 40, doubts=3)


@pytest.mark.parametrize("to", ["a full disk", "nobody"])
def test_an_account_on_standard_output_ends_it_as_well(
    server: SMTPServer, tmp_path: Path, to: str
) -> None:
    folder = letters(tmp_path / "letters", 40)
    command = [*COMMAND, "bulk", "--server", url(server), "--connections", "1"]
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("wb") as full, os.fdopen(writer, "wb") as pipe:
        run = subprocess.run(
            [*command, str(folder)],
            stdout=full if to == "a full disk" else pipe,
            stderr=subprocess.PIPE,
            check=False,
            timeout=50,
        )
    assert run.returncode in {3, 4}
    why = b"No space left on device" if to == "a full disk" else b"Broken pipe"
    said = b"the account cannot be kept, and nothing further was sent: " + why + b"\n"
    assert said in run.stderr
    assert b"Traceback" not in run.stderr
    assert b"Exception" not in run.stderr
    assert 0 < len(server.messages) < 40


def finish(
    server: SMTPServer, command: Sequence[str], count: int, *, doubts: int
) -> None:
    """Send the rest: everybody has it once who was not in doubt, and no one twice.

    There are no more `doubts` than could be under way.
    """
    before = got(server)
    run = esmtp(*command)
    after = got(server)
    assert max(after.values()) == 1, "somebody has it twice"
    log = Path(command[list(command).index("--log") + 1])
    accepted = {address for address, outcome in told(log) if outcome == "accepted"}
    in_doubt = set(once_each(count)) - accepted
    assert accepted <= set(after)
    assert len(in_doubt) <= doubts
    assert run.returncode == (4 if in_doubt else 0), run.stderr
    run = esmtp(*command, "--retry-unknown")
    assert run.returncode == 0, run.stderr
    last = got(server)
    assert set(last) == set(once_each(count)), "somebody was left out"
    twice = {address for address, times in last.items() if times > 1}
    assert twice <= in_doubt
    assert set(before) <= set(after) <= set(last)


@pytest.mark.parametrize("pipelining", ["off", "conformant", "eager"])
def test_whoever_kills_it_nobody_gets_it_twice_and_nobody_is_left_out(
    server: SMTPServer, tmp_path: Path, pipelining: str
) -> None:
    count = 100
    folder = letters(tmp_path / "letters", count)
    log = tmp_path / "log"
    server.rules.extend(
        [
            Rule("CONTENT|LAST", delay=0.004),
            Rule("RCPT", delay=0.002),
        ]
    )
    command = [
        *("bulk", "--server", url(server), "--connections", "2"),
        *("--pipelining", pipelining, "--window", "4", "--log", str(log), str(folder)),
    ]
    random = Random(pipelining)  # noqa: S311  # the same each time
    for _ in range(3):
        written = log.stat().st_size if log.exists() else 0
        enough = written + random.randrange(1, 12_000)
        with subprocess.Popen(
            [*COMMAND, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_for(partial(has_grown, log, enough))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert max(got(server).values(), default=0) <= 1
    with log.open("ab") as file:
        file.write(b'{"event": "outcome", "key"')  # what was being written
    # On each connection, and one more whose outcome was known and not yet written.
    under_way = 2 * (1 + {"off": 1, "conformant": 2, "eager": 4}[pipelining])
    finish(server, command, count, doubts=3 * under_way)


def has_grown(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size > size


def wait_for(is_so: Callable[[], object], limit: float = 20.0) -> None:
    """Wait until something is so."""
    until = monotonic() + limit
    while not is_so():
        assert monotonic() < until
        sleep(0.002)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_finish_what_is_under_way(
    server: SMTPServer, tmp_path: Path, by: signal.Signals
) -> None:
    count = 100
    folder = letters(tmp_path / "letters", count)
    log = tmp_path / "log"
    server.rules.append(Rule("CONTENT", delay=0.05))
    command = [
        *("bulk", "--server", url(server), "--connections", "2"),
        *("--log", str(log), str(folder)),
    ]
    with subprocess.Popen([*COMMAND, *command], stderr=subprocess.PIPE) as process:
        wait_for(lambda: len(server.messages) > 5)
        process.send_signal(by)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"interrupted: what is under way has 8 s to finish" in said
    assert b"interrupted; the same command sends what is left" in said
    known = lines(log)
    begun = {line["key"] for line in known if line["event"] == "begun"}
    ended = {line["key"] for line in known if line["event"] == "outcome"}
    assert begun == ended
    assert set(outcomes(log)) == {"accepted"}
    assert len(server.messages) == len(ended) < count
    server.rules.clear()
    assert esmtp(*command).returncode == 0
    assert got(server) == once_each(count)


def test_a_second_interrupt_ends_it_at_once(server: SMTPServer, tmp_path: Path) -> None:
    """What is known then is written down: who may have it, and who has not."""
    folder = letters(tmp_path / "letters", 40)
    log = tmp_path / "log"
    server.rules.extend(
        [
            Rule("CONTENT", "r1@", delay=60),
            Rule("RCPT", "r2@", delay=60),
        ]
    )
    command = [
        *("bulk", "--server", url(server), "--connections", "2"),
        *("--log", str(log), "--pipelining", "off", str(folder)),
    ]
    with subprocess.Popen([*COMMAND, *command], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None

        def are_stuck() -> bool:
            said = [s.octets for t in list(server.transcript) for s in list(t)]
            return any(b"Letter 1." in o for o in said) and any(
                b"RCPT TO:<r2@" in o for o in said
            )

        wait_for(are_stuck)
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.fileno()
        wait_for(lambda: b"interrupted" in os.read(stderr, 65536))
        started = monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=5)
        assert monotonic() - started < 4
    assert process.returncode == 4
    known = dict(told(log))
    assert known["r1@example.test"] == "unknown"
    assert known["r2@example.test"] == "not sent"
    server.rules.clear()
    finish(server, command, 40, doubts=1)


def test_an_interrupt_while_nobody_answers(server: SMTPServer, tmp_path: Path) -> None:
    """Nothing was begun, so nothing is in doubt."""
    folder = letters(tmp_path / "letters")
    log = tmp_path / "log"
    server.rules.append(Rule("CONNECT", delay=60))
    command = [
        *(*COMMAND, "bulk", "--server", url(server)),
        *("--log", str(log), str(folder)),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_for(lambda: server.connections > 0)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            sleep(0.2)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 3, said
    assert lines(log) == []


def test_messages_are_no_secret_of_the_log(server: SMTPServer, tmp_path: Path) -> None:
    path = tmp_path / "x.eml"
    path.write_bytes(MESSAGE)
    log = tmp_path / "log"
    esmtp("bulk", "--server", url(server), "--log", str(log), str(path))
    assert b"Hello" not in log.read_bytes()
