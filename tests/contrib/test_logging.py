"""Log records by mail: what a mail holds, how often one goes, and who never waits."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import math
import os
import queue
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path

import pytest
import trustme

from esmtp_async import ConnectionOpened, Event, InvalidInput, Security
from esmtp_async.contrib import _mailer
from esmtp_async.contrib._mailer import MailThread
from esmtp_async.contrib.logging import LONGEST, SMTPHandler
from esmtp_async.testing import Rule, SMTPServer
from tests.serving import address, heard, held, served, wait_until
from tests.tracebacks import given_away

PASSWORD = "hunter2-Grüße"
Make = Callable[..., logging.Logger]


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with served() as running:
        yield running
    assert running.violations == []


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mailer, "GATHERING", 0.05)


def made(
    kind: Callable[..., SMTPHandler], *arguments: object, **options: object
) -> SMTPHandler:
    """Make what looks itself at the types of its arguments."""
    return kind(*arguments, **options)


@pytest.fixture
def log(server: SMTPServer) -> Iterator[Make]:
    """Give what makes a logger whose records go by mail, as its options have it."""
    logger = logging.Logger("app")  # noqa: LOG001  # no other test's concern

    def make(**options: object) -> logging.Logger:
        to = (["ops@example.test"], "It failed")
        handler = made(SMTPHandler, address(server), "app@example.test", *to, **options)
        logger.addHandler(handler)
        return logger

    yield make
    for handler in logger.handlers:
        handler.close()
    wait_until(lambda: not mail_threads(), "a thread stays")


def mail_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if isinstance(each, MailThread)]


def body(server: SMTPServer, index: int = 0) -> str:
    content = server.messages[index].message.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def mailed(server: SMTPServer, number: int) -> None:
    wait_until(lambda: len(server.messages) >= number, f"no mail {number}")


# What a mail holds


def test_a_record(server: SMTPServer, log: Make) -> None:
    log().error("no %s left", "dough")
    mailed(server, 1)
    (stored,) = server.messages
    assert stored.reverse_path == "app@example.test"
    assert [each.path for each in stored.recipients] == ["ops@example.test"]
    assert stored.message["From"] == "app@example.test"
    assert stored.message["To"] == "ops@example.test"
    assert stored.message["Subject"] == "It failed"
    assert stored.message["Auto-Submitted"] == "auto-generated"
    assert stored.message["Date"] is not None
    assert body(server) == "no dough left\n"


def test_a_burst_is_one_mail(server: SMTPServer, log: Make) -> None:
    logger = log()
    for number in range(50):
        logger.error("record %d", number)
    mailed(server, 1)
    assert server.messages[0].message["Subject"] == "It failed (and 49 more)"
    texts = body(server).split("\n\n")
    assert [text.strip() for text in texts] == [f"record {n}" for n in range(50)]


def test_a_traceback_is_of_the_time_when_it_was_logged(
    server: SMTPServer, log: Make
) -> None:
    shelf = ["flour"]
    try:
        shelf.index("dough")
    except ValueError:
        log().exception("on the shelf: %s", shelf)
    shelf.clear()
    mailed(server, 1)
    assert body(server).startswith("on the shelf: ['flour']\nTraceback")
    assert "shelf.index" in body(server)


def test_any_text_can_be_mailed(server: SMTPServer, log: Make) -> None:
    log().error("ü \0 \r \x1b[2J \ud83d \x85 tab\tline\n.\nend")
    mailed(server, 1)
    assert body(server) == ("ü \\x00 \\r \\x1b[2J \\ud83d \\x85 tab\tline\n.\nend\n")


def test_a_long_record_loses_its_middle(server: SMTPServer, log: Make) -> None:
    log().error("begin" + "x" * LONGEST + "end")
    mailed(server, 1)
    assert len(body(server)) < LONGEST + 100
    assert body(server).startswith("begin")
    assert body(server).endswith("end\n")
    assert "[8 characters are left out]" in body(server)


def test_a_subject_may_be_the_record_s(server: SMTPServer) -> None:
    class Handler(SMTPHandler):
        def getSubject(self, record: logging.LogRecord) -> str:
            return f"{record.levelname}: {record.getMessage()}"

    handler = Handler(address(server), "app@x.test", "ops@x.test", "")
    handler.handle(
        logging.makeLogRecord({"levelname": "ERROR", "msg": "a\r\nBcc: e@x.test\0"})
    )
    handler.close()
    assert server.messages[0].message["Subject"] == "ERROR: a Bcc: e@x.test\\x00"
    assert [each.path for each in server.messages[0].recipients] == ["ops@x.test"]


# How often one goes


def test_there_is_one_mail_in_an_interval(server: SMTPServer, log: Make) -> None:
    logger = log(interval=0.5)
    logger.error("first")
    mailed(server, 1)
    sent = time.monotonic()
    for word in ("second", "third"):
        logger.error(word)
    time.sleep(0.2)
    assert len(server.messages) == 1
    mailed(server, 2)
    assert time.monotonic() - sent > 0.3
    assert body(server, 1) == "second\n\nthird\n"


def test_what_is_too_much_is_counted(server: SMTPServer, log: Make) -> None:
    logger = log(capacity=3)
    for number in range(10):
        logger.error("record %d", number)
    logger.handlers[0].flush()
    assert body(server).split("\n\n") == [
        "Not here are 7 records that came before.",
        *("record 0", "record 1", "record 2\n"),
    ]
    logger.error("later")
    logger.handlers[0].flush()
    assert body(server, 1) == "later\n"


def test_to_flush_waits_for_no_interval(server: SMTPServer, log: Make) -> None:
    logger = log(interval=1000)
    for number in range(3):
        logger.error("record %d", number)
        logger.handlers[0].flush()
        assert body(server, number) == f"record {number}\n"
    logger.handlers[0].flush()
    assert len(server.messages) == 3


def test_to_flush_is_a_mail_whatever_comes_meanwhile(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = log(interval=1000)
    (handler,) = logger.handlers
    assert isinstance(handler, SMTPHandler)
    over = threading.Event()

    def flood() -> None:
        while not over.wait(0.0001):
            logger.error("no end")

    with ThreadPoolExecutor() as others:
        flooding = others.submit(flood)
        try:
            for number in (1, 2):
                wait_until(lambda: handler._mailer._entries, "no flood")
                handler.flush()
                assert len(server.messages) == number
            handler.close()
        finally:
            over.set()
        flooding.result()
    assert len(server.messages) <= 3
    assert "not mailed within" not in capsys.readouterr().err


def test_to_flush_waits_no_longer_than_told(server: SMTPServer, log: Make) -> None:
    server.rules.append(Rule("EHLO", delay=math.inf))
    logger = log(flush_timeout=0.3, timeout=1)
    logger.error("unheard")
    begun = time.monotonic()
    logger.handlers[0].flush()
    assert 0.25 < time.monotonic() - begun < 0.9


# What goes wrong with a mail


def test_what_may_go_later_goes_later(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    server.rules.append(Rule("MAIL", reply="451 4.3.0 busy", times=1))
    logger = log(interval=0.3)
    logger.error("first")
    wait_until(lambda: "MAIL" in heard(server), "it was not tried")
    logger.error("second")
    mailed(server, 1)
    assert body(server) == "first\n\nsecond\n"
    assert "1 log records wait for the next mail" in capsys.readouterr().err


def test_what_may_not_is_counted(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    server.rules.append(Rule("MAIL", reply="550 5.7.1 go away", times=1))
    logger = log(interval=0.1)
    logger.error("first")
    wait_until(lambda: "MAIL" in heard(server), "it was not tried")
    time.sleep(0.2)
    logger.error("second")
    mailed(server, 1)
    assert body(server) == "Not here are 1 records that came before.\n\nsecond\n"
    told = capsys.readouterr().err
    assert "1 log records were not mailed: SenderRefused" in told
    assert "go away" in told


def test_what_may_have_been_mailed_is_not_mailed_again(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    server.rules.append(Rule("CONTENT", silent=True, drop=True, times=1))
    logger = log(interval=0.1)
    logger.error("first")
    mailed(server, 1)
    logger.error("second")
    mailed(server, 2)
    assert [body(server, index) for index in (0, 1)] == ["first\n", "second\n"]
    assert "may have been mailed, or not: OutcomeUnknown" in capsys.readouterr().err


def test_what_is_kept_is_no_more_than_there_is_room_for(
    server: SMTPServer, log: Make
) -> None:
    server.rules.append(Rule("MAIL", reply="451 4.3.0 busy", times=2))
    logger = log(interval=0.2, capacity=3)
    for number in range(3):
        logger.error("record %d", number)
    wait_until(lambda: "MAIL" in heard(server), "it was not tried")
    for number in range(3, 6):
        logger.error("record %d", number)
    mailed(server, 1)
    assert body(server).split("\n\n") == [
        "Not here are 3 records that came before.",
        *("record 0", "record 1", "record 2\n"),
    ]


def test_to_close_gives_up_in_time_and_says_so(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    server.rules.append(Rule("EHLO", delay=math.inf))
    logger = log(flush_timeout=0.2, timeout=0.6)
    logger.error("under way")
    wait_until(lambda: "EHLO" in heard(server), "it was not tried")
    logger.error("behind it")
    logger.handlers[0].close()
    assert "1 log records were not mailed within 0.2 s" in capsys.readouterr().err
    logger.error("too late")
    assert capsys.readouterr().err == "too late\n"
    wait_until(lambda: not mail_threads(), "the thread stays")


def test_to_close_waits_for_no_thread_that_stays(
    log: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def stay(_: object, loop: asyncio.AbstractEventLoop) -> None:
        over.wait()
        loop.close()

    monkeypatch.setattr(_mailer.Mailer, "_run", stay)
    handler = log(flush_timeout=0.1).handlers[0]
    begun = time.monotonic()
    handler.close()
    assert 0.1 <= time.monotonic() - begun < 5
    over.set()
    wait_until(lambda: not mail_threads(), "the thread stays")


def test_what_cannot_be_formatted_is_told_as_logging_tells_it(
    log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    log().error("%d", "x")
    assert "--- Logging error ---" in capsys.readouterr().err


def test_what_is_logged_while_mailing_is_not_mailed(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    def complain(event: Event) -> None:
        if isinstance(event, ConnectionOpened):
            logger.error("mailing again?")
            logger.info("nothing to see")

    logger = log(on_event=complain, interval=0.1)
    logger.error("first")
    mailed(server, 1)
    time.sleep(0.3)
    assert [body(server, n) for n in range(len(server.messages))] == ["first\n"]
    assert capsys.readouterr().err == "mailing again?\n"


# Who never waits


def test_nobody_waits_for_the_server(server: SMTPServer, log: Make) -> None:
    server.rules.append(Rule("CONNECT", delay=math.inf))
    logger = log(flush_timeout=0.1, timeout=1, capacity=100_000)

    async def main() -> None:
        for number in range(1000):
            logger.error("record %d", number)

    begun = time.monotonic()
    asyncio.run(main())
    with ThreadPoolExecutor(8) as others:
        list(others.map(partial(logger.error, "record %d"), range(1000)))
    assert time.monotonic() - begun < 2
    wait_until(lambda: server.connections, "it was not tried")


def test_records_of_many_threads_all_arrive(server: SMTPServer, log: Make) -> None:
    logger = log(interval=0.05, capacity=10_000)
    with ThreadPoolExecutor(8) as others:
        list(others.map(partial(logger.error, "record %d"), range(500)))
    logger.handlers[0].flush()
    texts = [
        text.strip()
        for index in range(len(server.messages))
        for text in body(server, index).split("\n\n")
    ]
    assert sorted(texts) == sorted(f"record {n}" for n in range(500))


def test_a_lock_that_a_shutdown_holds_stops_no_mail(
    server: SMTPServer, log: Make
) -> None:
    def talk(event: Event) -> None:
        if isinstance(event, ConnectionOpened):
            logger.error("while the lock is held")

    logger = log(on_event=talk)
    logger.error("first")
    handler = logger.handlers[0]
    handler.acquire()  # as logging.shutdown does
    try:
        handler.flush()
    finally:
        handler.release()
    assert body(server) == "first\n"


def test_nor_what_comes_of_that_by_a_queue(
    server: SMTPServer, log: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    def complain(event: Event) -> None:
        if isinstance(event, ConnectionOpened):
            queued.error("mailing again?")

    handler = log(on_event=complain, interval=0.1).handlers[0]
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    listener = QueueListener(records, handler)
    queued = logging.Logger("queued")  # noqa: LOG001  # as above
    queued.addHandler(QueueHandler(records))
    listener.start()
    queued.error("first")
    mailed(server, 1)
    time.sleep(0.3)
    listener.stop()
    assert [body(server, n) for n in range(len(server.messages))] == ["first\n"]
    assert capsys.readouterr().err == "mailing again?\n"


# The end of a process, and the beginning of another


def run(program: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must come in time."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *more]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=20
    )


PROGRAM = """
    import logging, sys
    from esmtp_async.contrib.logging import SMTPHandler
    logger = logging.getLogger("app")
    logger.propagate = False
    logger.addHandler(
        SMTPHandler(
            ("localhost", int(sys.argv[1])), "app@x.test", "ops@x.test", "It failed",
            flush_timeout=2,
        )
    )
"""


def test_the_last_word_of_a_process_is_mailed(server: SMTPServer) -> None:
    done = run(PROGRAM + '    logger.error("last words")\n', str(server.port))
    assert (done.returncode, done.stderr) == (0, "")
    assert body(server) == "last words\n"
    assert heard(server)[-1] == "QUIT"


def test_to_wait_is_nothing_to_note_in_debug_mode(
    server: SMTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    waiting = "    import time\n    time.sleep(0.3)\n    logger.error('awake')\n"
    done = run(PROGRAM + waiting, str(server.port))
    assert (done.returncode, done.stderr) == (0, "")
    assert body(server) == "awake\n"


def test_so_it_is_under_tls_and_with_a_password(tmp_path: Path) -> None:
    server = SMTPServer(starttls=True, users={"alice": PASSWORD}, require_auth=True)
    pem = tmp_path / "authority.pem"
    pem.write_bytes(server.authority.certificate)
    program = PROGRAM.replace("flush_timeout=2", "**options").replace(
        "    logger = logging.getLogger",
        """    import ssl
    options = {
        "credentials": ("alice", sys.argv[3]),
        "secure": (),
        "ssl_context": ssl.create_default_context(cafile=sys.argv[2]),
    }
    logger = logging.getLogger""",
        1,
    )
    with served(server):
        program += '    logger.error("last words")\n'
        done = run(program, str(server.port), str(pem), PASSWORD)
        assert (done.returncode, done.stderr) == (0, "")
    assert server.messages[0].username == "alice"
    assert server.messages[0].tls


def test_a_server_that_says_nothing_holds_up_no_end(server: SMTPServer) -> None:
    server.rules.append(Rule("CONNECT", delay=math.inf))
    begun = time.monotonic()
    done = run(PROGRAM + '    logger.error("last words")\n', str(server.port))
    assert done.returncode == 0
    assert 2 < time.monotonic() - begun < 4.5  # to start takes a second


def test_a_word_behind_the_last_one_is_not_lost() -> None:
    program = PROGRAM + (
        "    import atexit\n"
        "    logging.shutdown()\n"
        '    logger.error("behind the end")\n'
    )
    assert run(program, "25").stderr == "behind the end\n"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_tells_what_is_its_own(server: SMTPServer, log: Make) -> None:
    logger = log(interval=1000)
    mailer = logger.handlers[0]
    assert isinstance(mailer, SMTPHandler)
    logger.error("of the parent")
    with held(mailer._mailer._changed):
        child = os.fork()
    if not child:
        try:
            logger.error("of the child")
            mailer.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    mailer.flush()
    mailed(server, 2)
    assert sorted(body(server, index) for index in (0, 1)) == [
        *("of the child\n", "of the parent\n"),
    ]
    assert len(server.messages) == 2


# How it is set up


def test_it_is_set_up_by_a_dictionary(server: SMTPServer) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"brief": {"format": "%(levelname)s %(message)s"}},
            "handlers": {
                "mail": {
                    "class": "esmtp_async.contrib.logging.SMTPHandler",
                    "level": "ERROR",
                    "formatter": "brief",
                    "mailhost": ["127.0.0.1", server.port],
                    "fromaddr": "app@example.test",
                    "toaddrs": ["a@example.test", "b@example.test"],
                    "subject": "It failed",
                    "security": "plaintext",
                }
            },
            "loggers": {"configured": {"handlers": ["mail"], "propagate": False}},
        }
    )
    logger = logging.getLogger("configured")
    try:
        logger.warning("so what")
        logger.error("that is it")
    finally:
        for handler in logger.handlers[:]:
            handler.close()
            logger.removeHandler(handler)
    assert body(server) == "ERROR that is it\n"
    paths = [each.path for each in server.messages[0].recipients]
    assert paths == ["a@example.test", "b@example.test"]


def test_to_set_it_up_once_more_waits_for_nothing_but_the_mail(
    server: SMTPServer,
) -> None:
    """Meanwhile the lock of all loggers is held, which the thread must not need."""
    program = """
        import logging.config, sys, time
        mail = {
            "class": "esmtp_async.contrib.logging.SMTPHandler",
            "mailhost": sys.argv[1],
            "fromaddr": "app@x.test",
            "toaddrs": "ops@x.test",
            "subject": "It failed",
            "flush_timeout": 10,
        }
        root = {"handlers": ["mail"], "level": "INFO"}
        config = {"version": 1, "handlers": {"mail": mail}, "root": root}
        begun = time.monotonic()
        for word in ("first", "second"):
            logging.config.dictConfig(config)
            logging.error(word)
        assert time.monotonic() - begun < 8
    """
    done = run(program, address(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert [body(server, index) for index in (0, 1)] == ["first\n", "second\n"]


def test_a_certificate_of_its_own(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("app.example.test")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    secure = (str(key), str(certificate))
    to = ("a@x.test", "b@x.test", "s")
    handler = SMTPHandler("h.test:25", *to, secure=secure)
    settings = handler._mailer._make()._settings
    assert settings.ssl_context is not None
    assert settings.security is Security.STARTTLS
    handler.close()


def test_where_no_thread_can_be_started_the_record_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = SMTPHandler("h.test:25", "a@x.test", "b@x.test", "s")
    handler.close()

    def fail(_self: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    handler._mailer.begin_anew()
    monkeypatch.setattr(MailThread, "start", fail)
    handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "the end"}))
    assert capsys.readouterr().err == "the end\n"
    handler.close()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mailhost": ("h", 25, 3)}, "mailhost is not a host"),
        ({"mailhost": 25}, "mailhost is not a host"),
        ({"mailhost": "smtp://h/x"}, "the smtp URL has a path"),
        ({"fromaddr": "nobody"}, "From 'nobody' cannot be read"),
        ({"fromaddr": "a@x.test\nBcc: b@x.test"}, "fromaddr or toaddrs"),
        ({"toaddrs": []}, "recipient"),
        ({"toaddrs": ["nobody at home"]}, "To .* cannot be read"),
        ({"credentials": ("alice",)}, r"credentials are not \(username, password\)"),
        ({"credentials": "alice"}, r"credentials are not \(username, password\)"),
        ({"secure": ("k", "c", "x")}, "secure is not"),
        ({"secure": ("/none.pem",)}, "secure .* cannot be used"),
        ({"interval": 0}, "interval is 0"),
        ({"capacity": 0}, "capacity is 0"),
        ({"timeout": "1"}, "timeout is '1'"),
        ({"flush_timeout": -1}, "flush_timeout is -1"),
        ({"subject": None}, "subject is of type NoneType"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"security": "none"}, "security is 'none'"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(
    wrong: dict[str, object], told: str
) -> None:
    given = {
        "mailhost": "h.test",
        "fromaddr": "a@x.test",
        "toaddrs": "b@x.test",
        "subject": "s",
        "credentials": ("alice", PASSWORD),
        **wrong,
    }
    with pytest.raises(InvalidInput, match=told) as info:
        made(SMTPHandler, **given)
    assert PASSWORD not in given_away(info.value)


def test_nothing_shows_the_password() -> None:
    handler = SMTPHandler(
        f"smtps://alice:{PASSWORD}@h.test", "a@x.test", "b@x.test", "s"
    )
    other = SMTPHandler("h.test", "a@x.test", "b@x.test", "s", ("alice", PASSWORD), ())
    for each in (handler, other):
        assert PASSWORD not in f"{each!r} {vars(each)} {vars(each._mailer)}"
        each.close()
