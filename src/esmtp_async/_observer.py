"""Passes events on to those who listen."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import iscoroutinefunction
from logging import DEBUG

from esmtp_async._events import (
    CommandSent,
    Event,
    Listener,
    MessageFinished,
    ReplyReceived,
)
from esmtp_async._logs import WIRE, blame
from esmtp_async._wire_log import WireLog
from esmtp_async.protocol._exceptions import InvalidInput


def checked(given: object) -> tuple[Listener, ...]:
    """Give one listener, or several, as a tuple; raises `InvalidInput`."""
    if given is None:
        return ()
    if isinstance(given, Sequence) and given and not callable(given):
        named = {f"on_event[{index}]": each for index, each in enumerate(given)}
    else:
        named = {"on_event": given}
    return tuple(_listener(name, each) for name, each in named.items())


def _listener(name: str, given: object) -> Listener:
    if not callable(given):
        msg = f"{name} is of type {type(given).__name__}, not callable"
        raise InvalidInput(msg)
    if iscoroutinefunction(given) or iscoroutinefunction(type(given).__call__):
        msg = (
            f"{name} is a coroutine function, which nobody would await: a listener is "
            "a plain function, and may start a task"
        )
        raise InvalidInput(msg)
    return given


class Observer:
    """Passes a client's events on; what a listener raises is logged, never obeyed.

    The wire log is a listener as long as its logger is enabled for DEBUG.
    """

    def __init__(
        self,
        listeners: tuple[Listener, ...] = (),
        *,
        server: str = "",
        protocol: str = "smtp",
    ) -> None:
        #: Where the client sends to, as events tell it.
        self.server = server
        #: `smtp` or `lmtp`.
        self.protocol = protocol
        self._given = listeners
        self._wire_log = WireLog(server)
        #: Whether the wire log was on when it was looked at last.
        self.is_logged: bool = WIRE.isEnabledFor(DEBUG)
        self._listeners: tuple[Listener, ...]
        self._line_listeners: tuple[Listener, ...]
        #: Whether anybody listens: events are not even made otherwise.
        self.active: bool
        #: Whether anybody wants to know of commands and replies.
        self.wants_lines: bool
        self.turn_log(on=self.is_logged)

    def turn_log(self, *, on: bool) -> None:
        """Write the wire log from now on, or no more."""
        self.is_logged = on
        log = (self._wire_log,) if on else ()
        wanting = (x for x in self._given if getattr(x, "wants_lines", True))
        self._listeners = (*log, *self._given)
        self._line_listeners = (*log, *wanting)
        self.active = bool(self._listeners)
        self.wants_lines = bool(self._line_listeners)

    def __call__(self, event: Event) -> None:
        """Tell an event."""
        for listener in self._listeners:
            _tell(listener, event)

    def end(self, event: MessageFinished) -> None:
        """Tell of a message's end: first whoever was told last of its beginning.

        So what a listener sets in the caller's context is taken out in turn.
        """
        for listener in reversed(self._listeners):
            _tell(listener, event)

    def line(self, event: CommandSent | ReplyReceived) -> None:
        """Tell a command or a reply."""
        for listener in self._line_listeners:
            _tell(listener, event)


def _tell(listener: Listener, event: Event) -> None:
    try:
        listener(event)
    except Exception as error:  # noqa: BLE001  # whatever it is, the mail goes on
        blame(error, "on_event failed on %s", type(event).__name__)
