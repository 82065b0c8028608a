"""The server as a session knows it: what it offers now, and to whom."""

from __future__ import annotations

from esmtp_async.protocol import _states as states
from esmtp_async.protocol import _verbs as verbs
from esmtp_async.protocol._commands import Command, Connect, Helo
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._replies import Reply
from esmtp_async.protocol._states import AUTHENTICATED, State
from esmtp_async.protocol._verbs import AUTHENTICATING


class Peer:
    """What the server has told of itself, and what it knows of us.

    It learns by the replies to commands that introduce: the greeting, EHLO and the
    like, AUTH.
    """

    def __init__(self) -> None:
        #: What it offers at present.
        self.extensions: Extensions = Extensions()
        #: Whether it knows who we are (RFC 4954 §4).
        self.authenticated: bool = False
        #: What it was last told of us, and whether it may offer more by now: some
        #: servers do to those they know, in answer to the same once more.
        self.hello: Command = Connect()
        self.may_offer_more: bool = False

    def learn(self, command: Command, reply: Reply, state: State) -> None:
        """Take the reply to such a command, and the state that it led to."""
        if command.verb in AUTHENTICATING:
            if reply.code == AUTHENTICATED:
                self.authenticated = self.may_offer_more = True
            return
        self.may_offer_more = False
        if state is states.GREETED:
            self.forget()
        elif command.verb is verbs.HELLO and not reply.refused:
            self.hello = command
            extended = not isinstance(command, Helo)
            self.extensions = Extensions.from_reply(reply) if extended else Extensions()

    def forget(self) -> None:
        """Forget all that was offered, and to whom (RFC 3207 §4.2)."""
        self.extensions = Extensions()
        self.authenticated = False
