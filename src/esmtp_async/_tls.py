"""TLS as a client does it, from the first octet or behind STARTTLS.

One `ClientTLS` serves all connections of a client: one context, one name that a
certificate must hold, one account of what goes wrong, and the sessions that
later connections resume (RFC 5077, RFC 8446 §2.2).
"""

from __future__ import annotations

import math
import ssl
import sys
from collections import deque
from time import time
from typing import Final, NamedTuple, Self

import anyio
from anyio import to_thread
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from esmtp_async._transport import STREAM_ERRORS, tls_records
from esmtp_async.protocol._exceptions import TLSFailed
from esmtp_async.protocol._outcomes import Stage


def resumes(version: tuple[int, ...]) -> bool:
    """Tell whether this Python can look at a session and let it go again.

    Before 3.12.8 and 3.13.1 each look costs some 6 KiB that never come back
    (python/cpython#116810), which is more than a handshake is worth.
    """
    return version >= (3, 13, 1) or (3, 12, 8) <= version < (3, 13)


_RESUMES: Final = resumes(sys.version_info[:3])

#: Sessions kept to be resumed.
_KEPT: Final = 16

_NO_VERSION: Final = "there is no version of TLS that both sides allow"
_NO_TLS: Final = "WRONG_VERSION_NUMBER"

# OpenSSL's reasons, for people.
_MEANINGS: Final = {
    _NO_TLS: "what the server says is not TLS",
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "the server wants a client certificate: ssl_context.load_cert_chain()"
    ),
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not know who issued our certificate",
}

_OWN: Final = (
    "; if it is a server of yours, trust who issued it: "
    "ssl_context=ssl.create_default_context(cafile=...)"
)
_OTHER_NAME: Final = "; if it should hold another name: server_hostname="

# What to do about a certificate, by OpenSSL's codes (X509_V_ERR_...).
_REMEDIES: Final = {18: _OWN, 19: _OWN, 20: _OWN, 21: _OWN} | {
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


def default_context() -> ssl.SSLContext:
    """Make the context of a client that was given none; that takes a while.

    It trusts what the system trusts, and takes TLS 1.2 at least, whatever the
    system's own configuration would let pass (RFC 8314 §4.1). The common name
    in a certificate names nobody (RFC 9525 §2).
    """
    context = ssl.create_default_context()
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.hostname_checks_common_name = False
    return context


class _Kept(NamedTuple):
    """A session, and how its server was verified: resuming does not do it again."""

    session: ssl.SSLSession
    verified: tuple[object, ...]
    #: When the server's certificate ends, in seconds since the epoch.
    until: float


class ResumingContext(ssl.SSLContext):
    """Hands a session to the next handshake; the context behind it does the rest.

    A context is what makes TLS objects for anyio, which knows of no sessions.
    Each session is resumed once, as RFC 8446 (appendix C.4) has it, only as long
    as the context behind still verifies in the way it did then, and never beyond
    the server's certificate: else one session after the other would outlive it
    (§4.6.1). A session that the server refuses becomes a full handshake, within
    TLS.
    """

    def __new__(cls, _context: ssl.SSLContext) -> Self:
        """Make the outside; what is in it never matters."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, context: ssl.SSLContext) -> None:
        #: What decides everything else.
        self.behind = context
        self._sessions: deque[_Kept] = deque(maxlen=_KEPT)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # as ssl has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Make the TLS object of a connection; called in a thread of its own."""
        return self.behind.wrap_bio(
            incoming,
            outgoing,
            server_side,
            server_hostname,
            session or self._take(),
        )

    def keep(self, records: ssl.SSLObject, verified: tuple[object, ...]) -> None:
        """Keep the session of a connection that came about, for another one.

        `verified` is the `verification` of its handshake.
        """
        if _RESUMES and (session := records.session) is not None:
            self._sessions.append(_Kept(session, verified, _end(records)))

    def forget(self) -> None:
        """Resume none of the sessions kept so far."""
        self._sessions.clear()

    def _take(self) -> ssl.SSLSession | None:
        while True:
            try:
                kept = self._sessions.pop()
            except IndexError:  # other threads take some, too
                return None
            if kept.verified == self.verification and time() < kept.until:
                return kept.session

    @property
    def verification(self) -> tuple[object, ...]:
        """How a server is verified at present."""
        context = self.behind
        return (context.verify_mode, context.check_hostname, context.verify_flags)


def _end(records: ssl.SSLObject) -> float:
    """Tell when the server's certificate ends; never, if it was not verified."""
    certificate = records.getpeercert()
    end = certificate and certificate.get("notAfter")
    return ssl.cert_time_to_seconds(end) if isinstance(end, str) else math.inf


class ClientTLS:
    """What the TLS of one client's connections has in common."""

    def __init__(self, context: ssl.SSLContext | None, server_hostname: str) -> None:
        #: What the server is asked for (SNI), and what its certificate must hold.
        self.server_hostname = server_hostname
        self._given = context
        self._context: ResumingContext | None = None
        self._making = anyio.Lock(fast_acquire=True)

    async def context(self) -> ResumingContext:
        """Give the context; made once, off the event loop, when it is needed."""
        async with self._making:
            if self._context is None:
                self._context = await to_thread.run_sync(self._make)
            return self._context

    def _make(self) -> ResumingContext:
        return ResumingContext(self._given or default_context())

    def failure(self, error: Exception, advice: str = "") -> TLSFailed:
        """Tell why there is no TLS; `advice` is for a server that speaks none."""
        name = self.server_hostname
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
            remedy = _REMEDIES.get(error.verify_code, "")
            words = why.removesuffix(".")
            msg = f"the certificate of {name} does not verify: {words}{remedy}"
            return TLSFailed(msg, stage=Stage.TLS, certificate_error=why)
        if isinstance(error, ssl.SSLError):
            reason = error.reason or str(error)
            why = _MEANINGS.get(reason, reason) + advice * (reason == _NO_TLS)
            msg = f"the TLS handshake with {name} failed: {why}"
            return TLSFailed(msg, stage=Stage.TLS)
        msg = f"the connection to {name} ended within the TLS handshake{advice}"
        return TLSFailed(msg, stage=Stage.TLS, temporary=True)


class Handshake:
    """The TLS handshake of one connection.

    `advice` is told where the server seems to speak no TLS.
    """

    def __init__(self, tls: ClientTLS, advice: str = "") -> None:
        self._tls = tls
        self._advice = advice
        self._context: ResumingContext | None = None
        self._stream: TLSStream | None = None
        self._verified: tuple[object, ...] = ()

    async def start(self, stream: ByteStream) -> ByteStream:
        """Shake hands; raises `TLSFailed` and leaves the stream unusable.

        End of stream without close_notify is end of stream: replies and the end
        of the mail data are delimited by themselves.
        """
        self._context = context = await self._tls.context()
        self._verified = context.verification
        try:
            self._stream = await TLSStream.wrap(
                stream,
                server_side=False,
                hostname=self._tls.server_hostname,
                ssl_context=context,
                standard_compatible=False,
            )
        except STREAM_ERRORS as error:
            context.forget()  # in case the server chokes on them
            raise self._tls.failure(error, self._advice) from error
        return self._stream

    def keep_session(self) -> None:
        """Let another connection resume this one's session.

        Under TLS 1.3 it comes behind the handshake (RFC 8446 §4.6.1): something
        the server said must have been read before.
        """
        records = None if self._stream is None else tls_records(self._stream)
        if self._context is not None and records is not None:
            self._context.keep(records, self._verified)
