"""What this client would do with a server that was probed."""

from __future__ import annotations

from typing import NamedTuple

from esmtp_async._cli._findings import Findings
from esmtp_async._endpoint import Security
from esmtp_async._settings import ClientOptions, Pipelining, Settings, resolve
from esmtp_async.protocol._authentication import usable
from esmtp_async.protocol._scram import Unavailable


class Would(NamedTuple):
    """How mail would go."""

    #: `lockstep`, `conformant` or `eager`.
    shape: str
    #: The command that the mail data of a small message go by: `DATA` or `BDAT`.
    by: str
    #: The commands that go out together, group by group.
    flights: tuple[tuple[str, ...], ...]
    #: The mechanism by which a user name and a password would be used; None: none.
    mechanism: str | None
    #: What there is to say of that.
    about_mechanism: str
    #: Why no mail would go, unless somebody says so; empty if it would.
    refusal: str


def would(findings: Findings, settings: Settings) -> Would:
    """Tell what a client would do; `settings` are those of one that was told nothing.

    But for its pipelining, which may be what somebody asks about.
    """
    flights = () if findings.plan is None else findings.plan.flights
    said = [command for flight in flights for command in flight]
    mechanism, about = _mechanism(findings, settings)
    refusal = ""
    if findings.tls is None and settings.security in {Security.STARTTLS, Security.TLS}:
        refusal = "TLS is required of any server but one on this machine"
    return Would(
        shape=_shape(findings, settings),
        by="BDAT" if any(command.startswith("BDAT") for command in said) else "DATA",
        flights=flights,
        mechanism=mechanism,
        about_mechanism=about,
        refusal=refusal,
    )


def _shape(findings: Findings, settings: Settings) -> str:
    pipelining = settings.pipelining
    if pipelining is Pipelining.OFF or "PIPELINING" not in findings.extensions:
        return "lockstep"
    if pipelining is Pipelining.EAGER and "CHUNKING" in findings.extensions:
        return "eager"
    return "conformant"


def _mechanism(findings: Findings, settings: Settings) -> tuple[str | None, str]:
    """Choose as the client does; give the mechanism, and what there is to say."""
    offered = findings.extensions.auth
    if not offered:
        return None, "AUTH is not offered"
    if findings.tls is None and settings.endpoint.path is None:
        return None, "not in clear text"
    somebody = ClientOptions(username="x", password="x")  # noqa: S106  # nobody's
    mechanisms = resolve("localhost", None, somebody).mechanisms
    for name, mechanism in usable(mechanisms, offered, bound=findings.tls is not None):
        if isinstance(mechanism, Unavailable):
            return None, f"{name} is offered, but {mechanism.problem}"
        return name, ""
    return None, "not by a user name and a password"
