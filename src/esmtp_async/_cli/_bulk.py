"""`esmtp bulk`: many messages, with an account of each."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from esmtp_async._cli import _journal
from esmtp_async._cli._commands import Commands
from esmtp_async._cli._exits import code
from esmtp_async._cli._journal import Journal, Line, as_json
from esmtp_async._cli._letters import Letters
from esmtp_async._cli._mailing import Mailing
from esmtp_async._cli._output import Output, complain, reason, tell
from esmtp_async._cli._progress import shown
from esmtp_async._cli._rehearsal import DUE, rehearse
from esmtp_async._cli._server import Service, add_server, service
from esmtp_async._cli._signals import run
from esmtp_async._cli._sources import File, place, read, survey
from esmtp_async._cli._standing import Standings
from esmtp_async._cli._tally import Tally, counted
from esmtp_async._client import SMTPClient
from esmtp_async._pace import RateLimit
from esmtp_async._settings import Pipelining
from esmtp_async.protocol._envelope import Envelope
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._outcomes import Outcome
from esmtp_async.protocol._replies import printable

_DESCRIPTION: Final = (
    "Send many messages. A SOURCE is a file with a message, an mbox, a directory with "
    "files *.eml, a Maildir, or '-': a list of paths, one a line, on standard input. "
    "With --log every outcome is kept in a file, and the same command, given again, "
    "goes on where it ended: nobody gets a message twice, and nobody is left out. "
    "Without, each outcome is a line of JSON on standard output, unless that is a "
    "terminal."
)
_GO_ON: Final = "the same command sends what is left"
_NO_LOG: Final = "with --log the same command could send what is left"
_LOOK: Final = "of those unknown somebody may have the message: look"
_AGAIN: Final = ", before --retry-unknown sends it again"
_EXITS: Final = (
    "Exit codes, the worst first: 4 of some messages it is unknown whether they were "
    "taken, 1 somebody was refused, 2 the command line or a message makes no sense, 3 "
    "somebody was not sent to, 0 everybody was accepted. What the log has counts, too."
)
_EXAMPLES: Final = (
    "esmtp bulk --server smtp.example.com --username alice --log news.jsonl news/",
    "esmtp bulk --profile work --rate 100/60 --log sent.jsonl archive.mbox",
    "find queue -name '*.eml' | esmtp bulk --dry-run -",
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "bulk",
        "send many messages, with an account of each",
        _DESCRIPTION,
        arguments="SOURCE ...",
        examples=_EXAMPLES,
        exits=_EXITS,
    )
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("source", nargs="+", metavar="SOURCE", help="where messages are, or '-'")
    add("--sender", help="the reverse-path of all; '' for none (from each header)")
    add(
        "--recipient",
        action="append",
        help="a forward-path of all; may be repeated (each header's)",
    )
    add("--dry-run", action="store_true", help="show what would be sent, and end")
    group = parser.add_argument_group("the account")
    group.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="keep each outcome here, and go by what stands there already",
    )
    group.add_argument(
        "--retry-refused",
        action="store_true",
        help="try those again that were refused for good",
    )
    group.add_argument(
        "--retry-unknown",
        action="store_true",
        help="try those again that may have the message already",
    )
    group = parser.add_argument_group("how fast")
    group.add_argument("--connections", type=int, metavar="N", help="at once")
    group.add_argument(
        "--rate", metavar="N/SECONDS", help="so many messages in so much time"
    )
    group.add_argument(
        "--pipelining",
        choices=[each.value for each in Pipelining],
        help="what is sent before replies are read (conformant)",
    )
    group.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="messages under way on a connection, with --pipelining eager (20)",
    )
    add_server(parser)


def _run(options: argparse.Namespace) -> int:
    again = _again(options)
    if again and options.log is None:
        msg = "--retry-refused and --retry-unknown go by what --log has"
        raise InvalidInput(msg)
    # What is for all is looked at once, before the first of them.
    Envelope.of(options.sender or "", options.recipient or "x@example.com")
    files = survey(_sources(options.source))
    standings = Standings(again=again)
    if options.dry_run:
        return _rehearse(options, files, standings)
    with ExitStack() as stack:
        journal = None
        if options.log is not None:
            journal = stack.enter_context(_journal.opened(options.log, standings))
        where = _hurried(service(options), options)
        return _send(options, files, standings, where, journal)


def _sources(names: list[str]) -> list[Path]:
    """Give the paths; '-' stands for those on standard input."""
    paths: list[Path] = []
    for name in names:
        if name != "-":
            paths.append(Path(name))
        elif sys.stdin is None:
            msg = "standard input is closed"
            raise InvalidInput(msg)
        else:
            lines = sys.stdin.buffer.read().splitlines()
            paths += [Path(os.fsdecode(line)) for line in lines if line]
    return paths


def _again(options: argparse.Namespace) -> list[Outcome]:
    again = {
        Outcome.REFUSED: options.retry_refused,
        Outcome.UNKNOWN: options.retry_unknown,
    }
    return [outcome for outcome, wanted in again.items() if wanted]


def _hurried(where: Service, options: argparse.Namespace) -> Service:
    """Put in what is asked for of the speed."""
    made_with = where.options
    if options.connections is not None:
        made_with["max_connections"] = options.connections
    if options.pipelining is not None:
        made_with["pipelining"] = options.pipelining
    if options.rate is not None:
        try:
            made_with["rate_limit"] = RateLimit.parse(options.rate)
        except ValueError:
            msg = f"--rate {options.rate!r} is not N/SECONDS, such as 100/60"
            raise InvalidInput(msg) from None
    return where


def _send(
    options: argparse.Namespace,
    files: list[File],
    standings: Standings,
    where: Service,
    journal: Journal | None,
) -> int:
    tally = Tally()
    letters = Letters(read(files), standings, tally, recipients=options.recipient)
    say, elsewhere = _account(options)
    failure: OSError | None = None
    with shown(sum(file.size for file in files)) as progress:
        mailing = Mailing(
            letters,
            standings,
            tally,
            progress,
            journal=journal,
            say=say,
            elsewhere=elsewhere,
            sender=options.sender,
        )
        try:
            run(_mail, mailing, where, options)
        except OSError as error:
            failure = error
        except KeyboardInterrupt:
            pass  # at its beginning, or its end: the account is as it is
    if failure is not None:
        why = reason(failure)
        complain(f"the account cannot be kept, and nothing further was sent: {why}")
    if mailing.hopeless is not None:
        why = f"{type(mailing.hopeless).__name__}: {mailing.hopeless}"
        complain(f"nothing further was tried: {why}")
    interrupted = not mailing.complete and (mailing.hopeless or failure) is None
    _sum_up(tally, interrupted=interrupted, kept=journal is not None)
    outcomes = {outcome for outcome, count in tally.outcomes.items() if count}
    if not mailing.complete:
        outcomes.add(Outcome.NOT_SENT)
    return code(outcomes, invalid=bool(tally.invalid))


def _account(options: argparse.Namespace) -> tuple[Callable[[Line], object], str]:
    """Give what is to be said of each message, and where all of it stands."""
    if options.log is not None:
        return _say_nothing, f"{printable(os.fsencode(options.log))} has the rest"
    if _is_seen():
        return _say_nothing, "with --log a file would have the rest"
    return _put_down, "standard output has the rest"


async def _mail(mailing: Mailing, where: Service, options: argparse.Namespace) -> None:
    where.options["on_event"] = mailing.hear
    async with SMTPClient(where.server, where.port, **where.options) as client:
        await mailing.run(
            client, window=options.window, connections=options.connections
        )


def _sum_up(tally: Tally, *, interrupted: bool, kept: bool) -> None:
    complain(
        f"{counted(tally.messages)} in {tally.seconds:,.1f} s "
        f"({tally.rate:,.1f}/s): {tally}"
    )
    if tally.skipped:
        complain(f"as the log has it, left alone: {counted(tally.skipped)}")
    if interrupted or tally.left:
        start = "interrupted; " if interrupted else ""
        complain(start + (_GO_ON if kept else _NO_LOG))
    if tally.outcomes[Outcome.UNKNOWN]:
        complain(_LOOK + (_AGAIN if kept else ""))


def _rehearse(
    options: argparse.Namespace, files: list[File], standings: Standings
) -> int:
    if options.log is not None and options.log.exists():
        _journal.read(options.log, standings)
    tally = Tally()
    letters = Letters(read(files), standings, tally, recipients=options.recipient)
    say = _say_for_people if _is_seen() else _say_json
    run(rehearse, letters, tally, say, options.sender)
    due = tally.messages - tally.invalid
    complain(
        f"{counted(due)} due, {tally.skipped:,} not any more, {tally.invalid:,} invalid"
    )
    return code([], invalid=bool(tally.invalid))


def _is_seen() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _say_json(line: Line) -> None:
    tell(as_json(line))


def _put_down(line: Line) -> None:
    """Say it where it is the only account; raises `OSError`."""
    Output(sys.stdout).put(f"{as_json(line)}\n")


def _say_nothing(_line: Line) -> None:
    pass


def _say_for_people(line: Line) -> None:
    where = place(str(line["path"]), line["offset"])
    if line["outcome"] != DUE:
        tell(f"{where}: {line['error']}")
        return
    recipients = line["recipients"]
    names = ", ".join(map(str, recipients)) if isinstance(recipients, list) else ""
    tell(f"{where}: {line['sender'] or '<>'} -> {names} ({line['size']:,} octets)")
