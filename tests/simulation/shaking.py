"""TLS handshakes that fail at every octet that the server says in them."""

from __future__ import annotations

import ssl
from functools import cache, partial
from typing import Final

import anyio

from tests.client.certificates import only, special_context
from tests.client.played import ServerTLS
from tests.client.telling import LIMIT
from tests.playing import accounts
from tests.simulation.play import Play
from tests.simulation.striking import CAUSES, assert_recovered
from tests.simulation.taker import Taken
from tests.simulation.trial import Trial
from tests.simulation.verdicts import Oracle
from tests.simulation.wire import Fault, Wire
from tests.transcript import Transcript

#: What may become of a handshake from one of its octets on.
SHAKING: Final = ("eof", "reset", "stall", "flip")

#: In two ways to TLS; what is said under it makes no difference.
_SHAKEN: Final = {
    "rfc3207-5-starttls",
    "starttls-pipelined",
    "rfc5321-d1-typical over TLS",
    "lmtp-chunks over TLS",
}

#: What a broken handshake may look like: what is flipped may be a length.
_FAILURES: Final = {"TLSFailed", "StageTimeout", "ConnectionLost"}


class Shaken(Wire):
    """A connection whose handshake fails."""

    def __init__(
        self,
        transcript: Transcript,
        ledger: list[Taken],
        fault: Fault | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        super().__init__(transcript, ledger, fresh=fresh)
        self._shock = fault
        #: How many octets of the handshake were said, the tickets behind it too.
        self.shaken = 0
        #: Whether the fault has come.
        self.struck = False

    @property
    def is_done(self) -> bool:
        """Whether the client has done its part, which is the last."""
        return self._tls is not None and self._tls.is_up

    def _decrypted(self, octets: bytes) -> bytes:
        try:
            return super()._decrypted(octets)
        except AssertionError:
            # The two do not agree on what was said, and the server is first to see it.
            if not self.struck:
                raise
            self._armed = "eof"
            return b""

    def _say(self, max_bytes: int) -> bytes:
        flight, tls = self._flight, self._tls
        if flight is None or not flight.handshake or self.said or self._armed:
            return super()._say(max_bytes)
        if self.closed or tls is None or not tls.outgoing.pending:
            return super()._say(max_bytes)
        octets = tls.outgoing.read(max_bytes)
        before, self.shaken = self.shaken, self.shaken + len(octets)
        fault = self._shock
        if fault is None or not before <= fault.offset < self.shaken:
            return octets
        self.struck = True
        cut = fault.offset - before
        if fault.kind == "flip":
            flipped = octets[cut] ^ 1 << fault.offset % 8
            return octets[:cut] + bytes([flipped]) + octets[cut + 1 :]
        self._armed = fault.kind
        self._pieces.clear()
        return octets[:cut] or self._be_silent()


@cache
def _older() -> ssl.SSLContext:
    return only(special_context("127.0.0.1"), ssl.TLSVersion.TLSv1_2)


class ShakenInTheOldWay(Shaken):
    """The same with TLS 1.2."""

    def _secure(self) -> None:
        self._tls = ServerTLS(_older())

    @property
    def is_done(self) -> bool:
        """Whether the server has said its part to the end, which is the last."""
        return not self.struck


async def shaking(oracle: Oracle, trial: Trial) -> None:
    """Let something befall each octet of the server's handshake."""
    if oracle.transcript.name not in _SHAKEN:
        return
    for wire in (Shaken, ShakenInTheOldWay):
        play = Play(oracle.transcript, wire=wire)
        await play.send(0)
        play.wires[0].hand_over()
        await play.leave()
        [first] = play.wires
        assert isinstance(first, Shaken)
        for kind in SHAKING:
            for offset in range(first.shaken):
                fault = Fault(kind, offset=offset)
                await trial(
                    (oracle.transcript.name, wire.__name__, fault),
                    partial(shocked, oracle, fault, wire),
                )


async def shocked(oracle: Oracle, fault: Fault, wire: type[Shaken]) -> None:
    """Shake hands with a fault; see that nothing is sent, and nothing in the clear."""
    play = Play(oracle.transcript, fault, wire)
    began = anyio.current_time()
    told = await play.send(0)
    assert anyio.current_time() - began <= LIMIT + 0.001
    first = play.wires[0]
    assert isinstance(first, Shaken)
    undisturbed = oracle.undisturbed(0).lines
    if fault.kind == "flip" or not first.struck:
        # Not every octet of a record's head matters; nor is each one long enough.
        if told != undisturbed:
            assert first.struck
            assert told[0].split()[1] in _FAILURES
            assert {each.outcome for each in accounts(told)} == {"NOT_SENT"}
    elif not first.is_done:
        late = fault.kind == "stall"
        fates = oracle.unsecured("StageTimeout" if late else "TLSFailed")
        assert told == fates[0].lines
    else:  # tickets come behind the client's part
        assert told == oracle.foretell(first.point, CAUSES[fault.kind])[0].lines
    if told != undisturbed:
        assert not any(write.says for write in first.sends[:-1] if write.secure)
        await assert_recovered(play)
    else:
        first.hand_over()
        await play.leave()
