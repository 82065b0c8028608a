"""The session: one queue of commands on their way, and one table.

No octet is read or written here. A driver asks `may_continue`, hands commands
to `send` and writes what comes back, gives what it reads to `receive_data`, and
takes what it meant from `next_event`::

    session = Session()
    while (event := session.next_event()) is NEED_DATA:
        session.receive_data(read())          # the greeting
    write(session.send(Ehlo("client.example.org")))
"""

from __future__ import annotations

from collections import deque
from typing import Final, NoReturn

from esmtp_async.protocol import _replies as replies
from esmtp_async.protocol import _states as states
from esmtp_async.protocol import _verbs as verbs
from esmtp_async.protocol._commands import Command, Connect
from esmtp_async.protocol._events import (
    CLOSED,
    LOST,
    NEED_DATA,
    Owner,
    Replied,
    Sent,
    Signal,
    make_replied,
    make_sent,
)
from esmtp_async.protocol._exceptions import (
    LocalProtocolError,
    RemoteProtocolError,
    bare,
)
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._peer import Peer
from esmtp_async.protocol._reader import MAX_LINE, ReplyReader
from esmtp_async.protocol._redaction import Redaction
from esmtp_async.protocol._replies import SEVERITIES, Reply
from esmtp_async.protocol._states import (
    EXACT_CODES,
    EXACTING,
    GROUPABLE,
    PROJECTION,
    REPLY_LINES,
    SENDABLE,
    TRANSITIONS,
    State,
)
from esmtp_async.protocol._verbs import (
    END_OF_MAIL_DATA,
    INTRODUCING,
    Verb,
)

#: Commands that may be on their way at once. Their replies fit any socket's
#: buffer, so a client that only writes cannot block a server that only writes
#: (RFC 2920 §3.1).
WINDOW: Final = 100

#: Octets on their way from which on no further command follows: as much as may be
#: sent in vain, and, over a line of 30 ms, 280 Mbit/s.
WINDOW_OCTETS: Final = 1024 * 1024


class Session:
    """One SMTP or LMTP session, as its client sees it (RFC 5321, RFC 2033).

    It raises two errors only: `LocalProtocolError` when the caller may not do
    that now, and nothing has changed; `RemoteProtocolError` when the server
    did what no server may, and `state` is CLOSED from then on.

    `owner` gets the greeting: whatever has `replied`, as an `Exchange` has. `tls` tells
    that TLS protects the connection already. Without `pipelining` one command is on its
    way at a time, with it at most `window`. `lenient_reply_eol` takes lines that end in
    a lone LF.
    """

    def __init__(
        self,
        owner: Owner | None = None,
        *,
        lmtp: bool = False,
        tls: bool = False,
        pipelining: bool = True,
        window: int = WINDOW,
        lenient_reply_eol: bool = False,
    ) -> None:
        #: Whether LMTP is spoken, not SMTP (RFC 2033).
        self.lmtp: bool = lmtp
        #: Whether TLS protects it.
        self.tls: bool = tls
        #: What is known of the server: what it offers, whether it knows us.
        self.peer: Peer = Peer()
        self._allow_pipelining = pipelining
        #: Whether commands go in groups: it is offered, and allowed (RFC 2920).
        self.pipelining: bool = False
        self._window = window
        self._lenient_reply_eol = lenient_reply_eol
        self._redaction = Redaction()
        self._reader = self._new_reader()
        self._eof = False
        self._outstanding: deque[Sent] = deque([Sent(Connect(), owner)])
        self._octets = 0  # on their way
        self._state = states.CONNECTED
        self._projected = PROJECTION[states.CONNECTED, verbs.CONNECT]
        self._challenge: tuple[bytes, ...] = ()
        # A register beside the table: how many replies will LMTP give to the end of
        # the mail data?
        self._accepted = 0
        self._due = 1  # replies the head of the queue still waits for
        #: Whether mail data have begun and their end is not sent yet.
        self.unfinished: bool = False
        #: Whether any command at all may follow what is on its way.
        self.may_continue: bool = False

    @property
    def state(self) -> State:
        """Where the server is, by the replies so far."""
        return self._state

    @property
    def projected(self) -> State:
        """Where it will be once everything on its way is answered well."""
        return self._projected

    @property
    def outstanding(self) -> tuple[Sent, ...]:
        """What is on its way and not fully answered, oldest first."""
        return tuple(self._outstanding)

    @property
    def awaited(self) -> Sent | None:
        """The command whose reply comes next."""
        return self._outstanding[0] if self._outstanding else None

    @property
    def extensions(self) -> Extensions:
        """What the server offers at present."""
        return self.peer.extensions

    @property
    def challenge(self) -> tuple[bytes, ...]:
        """The lines of the latest challenge of SASL, to the octet.

        The `Reply` to show has `<redacted>` wherever it repeats a secret.
        """
        return self._challenge

    @property
    def accepted(self) -> int:
        """The forward-paths accepted in the transaction that is open."""
        return self._accepted

    @property
    def eof(self) -> bool:
        """Whether the server's stream has ended."""
        return self._eof

    @property
    def reusable(self) -> bool:
        """Whether another transaction may begin: all is answered, nothing is left."""
        return (
            not self._outstanding
            and not self._reader.holds_octets
            and not self._eof
            and self._state is not states.GREETED
            and (self._state, verbs.RSET) in SENDABLE
        )

    def may_send(self, command: Command) -> bool:
        """Tell whether `send` would take the command now."""
        if self.unfinished:
            return command.verb is verbs.CONTENT and self._state is not states.CLOSED
        return self.may_continue and (self._projected, command.verb) in SENDABLE

    def send(self, command: Command, owner: Owner | None = None) -> bytes:
        """Put a command on its way; give the octets to write.

        `owner` comes back with the reply. Raises `LocalProtocolError` where the
        command may not be sent, `RemoteProtocolError` where the server has
        answered it before it was asked.
        """
        verb = command.verb
        if not self.may_send(command):
            msg = (
                f"{verb.value} cannot be sent: the state is "
                f"{self._state.value}, {self._projected.value} once "
                f"{len(self._outstanding)} outstanding commands are answered"
            )
            raise LocalProtocolError(msg)
        if not self.unfinished:
            if not self._outstanding:
                if self._reader.holds_octets:
                    self._violate(f"octets came before {verb.value} was sent")
                self._due = self._replies_due(verb) if self.lmtp else 1
            self._outstanding.append(make_sent((command, owner)))
            self._octets += len(command.wire)
            if command.secrets:
                self._redaction.add(command.secrets)
            self._projected = PROJECTION[self._projected, verb]
        self.unfinished = more = command.more
        self.may_continue = more or self._group_may_grow
        if not self._due:
            # LMTP, and the lone dot for no recipient: no reply will come, and
            # there is no telling one that does (RFC 2033 §4.2).
            self._outstanding.clear()
            self._close()
        return command.wire

    @property
    def _group_may_grow(self) -> bool:
        """Whether a command may follow the last one before that is answered."""
        outstanding = self._outstanding
        return (
            self.pipelining
            and outstanding[-1].command.verb in GROUPABLE
            and len(outstanding) < self._window
            and self._octets < WINDOW_OCTETS
        )

    def in_doubt(self, owner: Owner) -> bool:
        """Tell whether an owner's message may have been taken without our knowing.

        So it is when the end of its mail data was sent and is not answered.
        """
        return any(
            sent.owner is owner and sent.command.verb in END_OF_MAIL_DATA
            for sent in self._outstanding
        ) and not (self.unfinished and self._outstanding[-1].owner is owner)

    def receive_data(self, data: bytes) -> None:
        """Take octets from the server; empty octets mean the end of its stream."""
        if data:
            self._reader.feed(data)
        else:
            self._eof = True

    def next_event(self) -> Replied | Signal:
        """Give the next reply with the state it leads to, or a signal.

        Raises `RemoteProtocolError` where the octets break the protocol.
        """
        if self._state is states.CLOSED:
            return LOST if self._outstanding else CLOSED
        reply = None
        try:
            head = self._outstanding[0] if self._outstanding else None
            longest = REPLY_LINES.get(head.command.verb, MAX_LINE) if head else MAX_LINE
            reply = self._reader.next_reply(longest)
            if reply is not None:
                return self._take(reply)
        except RemoteProtocolError as error:
            self._close()
            # What broke the protocol may repeat a secret; no traceback with
            # variables shall show it.
            del reply
            raise bare(error) from None
        if not self._eof:
            return NEED_DATA
        truncated = self._reader.holds_octets
        self._close()
        return LOST if self._outstanding or truncated else CLOSED

    def secured(self) -> None:
        """Note that the TLS handshake succeeded; forget all from before it.

        The session is where it was after the greeting (RFC 3207 §4.2). Raises
        `RemoteProtocolError` where octets came after the reply to STARTTLS.
        """
        if self._state is not states.TLS:
            msg = f"no TLS handshake is due: the state is {self._state.value}"
            raise LocalProtocolError(msg)
        if self._reader.holds_octets:
            self._violate("octets came in clear text before the TLS handshake")
        self._reader = self._new_reader()
        self.peer.forget()
        self.pipelining = False
        self._state = self._projected = states.GREETED
        self.tls = True
        self.may_continue = True

    def in_lockstep(self) -> None:
        """Send one command at a time from now on, whatever is offered."""
        self._allow_pipelining = self.pipelining = False
        if self._outstanding and not self.unfinished:
            self.may_continue = False

    def abort(self) -> None:
        """Note that nothing more will be said; what is on its way stays told."""
        self._close()

    def _take(self, reply: Reply) -> Replied:
        """Let the reply answer the head of the queue, and change the state."""
        challenge = reply.lines
        if self._redaction.is_needed:
            reply = Reply(reply.code, tuple(map(self._redaction, reply.lines)))
        severity = SEVERITIES[reply.code]
        outstanding = self._outstanding
        if not outstanding:
            if severity is replies.SHUTDOWN:
                self._close()
                return Replied(None, reply, None, self._state, final=True)
            self._violate(f"a reply came that no command asked for: '{reply}'")
        command, owner = outstanding[0]
        before, verb = self._state, command.verb
        after = TRANSITIONS.get((before, verb, severity))
        if after is None or (
            verb in EXACTING
            and reply.code != EXACT_CODES.get((verb, severity), reply.code)
        ):
            self._violate(f"{verb.value} cannot be answered '{reply}'")
        if self.unfinished and len(outstanding) == 1:
            if severity is replies.COMPLETION:
                self._violate(f"the mail data were taken before their end: '{reply}'")
            # Half of them are on the wire, and stay there; what LMTP would still
            # answer is an answer to what never came.
            after, self._due = states.CLOSED, 1
        self._due -= 1
        if self._due and severity is not replies.SHUTDOWN:
            return make_replied((command, reply, owner, before, False))
        outstanding.popleft()
        if after is states.AUTH:
            self._challenge = challenge
        self._enter(after, command, reply)
        return make_replied((command, reply, owner, self._state, True))

    def _enter(self, after: State, command: Command, reply: Reply) -> None:
        """Change to the state that the last reply to a command leads to."""
        before, self._state = self._state, after
        verb = command.verb
        if after is states.CLOSED:
            self._close()
            return
        if after is states.TLS and self._reader.holds_octets:
            # Read on under TLS they would pass for protected ones (RFC 3207 §6).
            self._violate("octets follow the reply to STARTTLS in clear text")
        if verb in INTRODUCING:
            self.peer.learn(command, reply, after)
            self.pipelining = self._allow_pipelining and "PIPELINING" in self.extensions
        if verb is verbs.RCPT and after is states.RCPT and not reply.refused:
            self._accepted += 1
        elif after is states.READY or (verb is verbs.MAIL and after is states.MAIL):
            self._accepted = 0
        self._octets -= len(command.wire)
        if not self._outstanding:
            self._octets = 0
            self._projected = after
            self.may_continue = True
            return
        if not self.may_continue:
            self.may_continue = self.unfinished or self._group_may_grow
        ahead = self._outstanding[0].command.verb
        self._due = self._replies_due(ahead) if self.lmtp else 1
        # RSET leads to READY from wherever it may be said: nothing behind it changes.
        if after is not PROJECTION[before, verb] and ahead is not verbs.RSET:
            self._project()

    def _project(self) -> None:
        """Project anew, after an answer that was not the good one."""
        state = self._state
        for sent in self._outstanding:
            state = PROJECTION[state, sent.command.verb]
        self._projected = state

    def _replies_due(self, verb: Verb) -> int:
        """Count LMTP's replies to a verb that has come to the head of the queue.

        It answers the end of the mail data once for each accepted recipient;
        one that was overtaken by a refusal it answers as any command.
        """
        each = verb in END_OF_MAIL_DATA and (self._state, verb) in SENDABLE
        return self._accepted if each else 1

    def _new_reader(self) -> ReplyReader:
        return ReplyReader(
            lenient_eol=self._lenient_reply_eol, redaction=self._redaction
        )

    def _close(self) -> None:
        self._state = self._projected = states.CLOSED
        self.may_continue = False

    def _violate(self, problem: str) -> NoReturn:
        self._close()
        raise RemoteProtocolError(problem)
