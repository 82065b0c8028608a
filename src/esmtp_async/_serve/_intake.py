"""What the server sees on its way to the directory, and to whoever watches.

Of a connection is kept only what was said since its last message, and no more of that
than fits on a screen or two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

from esmtp_async._serve._maildir import MailDirectory
from esmtp_async.protocol._replies import printable
from esmtp_async.testing import Said, StoredMessage

#: Lines of a conversation, and breaches, that are kept with a message.
_LINES: Final = 200
#: Octets of a line that are shown.
_SHOWN: Final = 500


class Conversation:
    """What is said on one connection."""

    def __init__(self, number: int, hear: Callable[[int, str], None]) -> None:
        self._number = number
        self._hear = hear
        #: Since the last message.
        self.lines: deque[str] = deque(maxlen=_LINES)
        self.breaches: deque[str] = deque(maxlen=_LINES)

    def append(self, said: Said, /) -> None:
        """Take what was said next."""
        for line in _lines(said):
            self.lines.append(line)
            self._hear(self._number, line)

    def begin_anew(self) -> None:
        """Forget what belonged to the last message."""
        self.lines.clear()
        self.breaches.clear()


def _lines(said: Said) -> list[str]:
    """Give what was said as lines; mail data are told by their length."""
    side, octets = said
    lines = octets.split(b"\r\n")
    if side == "C" and (len(lines) != 2 or lines[1]):
        return [f"C: <{len(octets)} octets of mail data>"]
    return [f"{side}: {printable(line[:_SHOWN])}" for line in lines if line]


class Intake:
    """A `Record` of the model server that stores in a directory."""

    def __init__(
        self,
        mail: MailDirectory,
        *,
        on_message: Callable[[StoredMessage], None],
        on_said: Callable[[int, str], None],
        on_remark: Callable[[str], None],
    ) -> None:
        """Store in `mail`.

        `on_message` is called with each message that is on the disk, once; `on_said`
        with the number of a connection and each line that is said there, or to be said
        about it; `on_remark` with what is wrong, in words.
        """
        self._mail = mail
        self._on_message = on_message
        self._on_said = on_said
        self._on_remark = on_remark
        # A connection that is over takes what is known of it along.
        self._open: WeakValueDictionary[int, Conversation] = WeakValueDictionary()

    def tape(self, connection: int) -> Conversation:
        """Give what takes a conversation."""
        conversation = Conversation(connection, self._on_said)
        self._open[connection] = conversation
        return conversation

    def next_queue_id(self) -> str:
        """Give the name of a message."""
        return self._mail.next_id()

    def store(self, message: StoredMessage) -> None:
        """Take a message, or one more recipient of one."""
        conversation = self._open[message.connection]
        try:
            is_new = self._mail.store(
                message,
                conversation=list(conversation.lines),
                breaches=list(conversation.breaches),
            )
        except OSError as error:
            self._on_remark(f"a message could not be stored: {error}")
            raise
        if is_new:
            conversation.begin_anew()
            self._on_message(message)

    def breach(self, connection: int, remark: str) -> None:
        """Take a breach, for the message that comes of it."""
        self._open[connection].breaches.append(remark)
        self._on_remark(remark)

    def note(self, connection: int, remark: str) -> None:
        """Take what is odd: nobody needs to know but who watches closely."""
        self._on_said(connection, f"~ {printable(remark.encode('utf-8', 'replace'))}")
