"""What `esmtp probe` has found out, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from esmtp_async._cli._findings import Findings
from esmtp_async._cli._would import Would
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._replies import printable

_INDENT: Final = 14
_WIDTH: Final = 79


def as_text(findings: Findings, would: Would) -> Iterator[str]:
    """Tell it in lines for people."""
    yield from _row("server", findings.server)
    if findings.greeting is not None:
        yield from _row("greeting", *str(findings.greeting).splitlines())
    if findings.before_tls is not None:
        yield from _row("in clear", *_listed(findings.before_tls))
    if findings.tls is not None:
        how = "from the first octet" if findings.is_implicit else "by STARTTLS"
        yield from _row("TLS", f"{findings.tls.version}, {findings.tls.cipher}, {how}")
    yield from _certificate(findings)
    if findings.under_tls is not None:
        yield from _row("under TLS", *_listed(findings.under_tls))
    if findings.greeting is not None:
        yield from _row("AUTH", " ".join(findings.extensions.auth) or "not offered")
        yield from _row("limits", _limits(findings.extensions))
    if findings.round_trip is not None:
        count = len(findings.trips)
        took = f"{1000 * findings.round_trip:.1f} ms, the median of {count} NOOPs"
        yield from _row("round trip", took)
    if would.flights:
        yield ""
        yield "what this client would do"
        yield from _doings(findings, would)
    for warning in findings.warnings():
        yield f"! {warning}"


def _certificate(findings: Findings) -> Iterator[str]:
    certificate = findings.certificate
    if certificate is None:
        return
    lines = [
        certificate.subject or "(no subject)",
        f"issued by {certificate.issuer}",
        f"for {', '.join(certificate.names)}",
        f"until {certificate.not_after:%Y-%m-%d}, {findings.days_left} days",
    ]
    yield from _row("certificate", *(printable(line.encode()) for line in lines))


def _doings(findings: Findings, would: Would) -> Iterator[str]:
    if would.refusal:
        yield from _row("  at all", f"no: {would.refusal}")
    trips = len(would.flights)
    took = "" if findings.round_trip is None else _took(trips * findings.round_trip)
    yield from _row(
        "  a message",
        f"{would.shape}, by {would.by}, {trips} round trip{'s'[trips == 1 :]}{took}",
    )
    for number, flight in enumerate(would.flights, 1):
        yield from _row(f"  {number}", *flight)
    yield from _row("  AUTH", would.mechanism or f"none: {would.about_mechanism}")


def _took(seconds: float) -> str:
    return f", {1000 * seconds:.1f} ms on the way"


def _limits(extensions: Extensions) -> str:
    limits = [f"{name} {number:,}" for name, number in extensions.limits.items()]
    if extensions.size is not None:
        limits.insert(0, f"SIZE {extensions.size:,} octets")
    return ", ".join(limits) or "none told"


def _listed(extensions: Extensions) -> list[str]:
    """Give the keywords with their parameters, in lines of some width."""
    offers = [f"{name} {text}".rstrip() for name, text in extensions.items()]
    lines = [""]
    for offer in map(printable, map(str.encode, offers)):
        joined = f"{lines[-1]}, {offer}" if lines[-1] else offer
        if len(joined) > _WIDTH - _INDENT and lines[-1]:
            lines[-1] += ","
            lines.append(offer)
        else:
            lines[-1] = joined
    return lines if offers else ["no extensions"]


def _row(name: str, *lines: str) -> Iterator[str]:
    """Give a name, and lines beside it."""
    for line in lines:
        yield f"{name:<{_INDENT}}{line}"
        name = ""


def as_object(findings: Findings, would: Would) -> dict[str, object]:
    """Tell it as an object of JSON; what is not known is null."""
    greeting, tls, certificate = findings.greeting, findings.tls, findings.certificate
    trip = findings.round_trip
    return {
        "server": findings.server,
        "greeting": None if greeting is None else str(greeting),
        "in_clear": _offers(findings.before_tls),
        "tls": None
        if tls is None
        else {
            "version": tls.version,
            "cipher": tls.cipher,
            "implicit": findings.is_implicit,
        },
        "certificate": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "names": list(certificate.names),
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "days_left": findings.days_left,
        },
        "under_tls": _offers(findings.under_tls),
        "auth": list(findings.extensions.auth),
        "limits": _all_limits(findings.extensions),
        "round_trip_ms": None if trip is None else round(1000 * trip, 3),
        "would": {
            "send": findings.error is None and not would.refusal,
            "refusal": would.refusal or None,
            "shape": would.shape,
            "by": would.by,
            "flights": [list(flight) for flight in would.flights],
            "auth": would.mechanism,
        },
        "warnings": list(findings.warnings()),
        "error": None if findings.error is None else _error(findings.error),
    }


def _offers(extensions: Extensions | None) -> dict[str, str] | None:
    return None if extensions is None else dict(extensions)


def _all_limits(extensions: Extensions) -> dict[str, int]:
    size = {} if extensions.size is None else {"SIZE": extensions.size}
    return size | dict(extensions.limits)


def _error(error: Exception) -> Sequence[str]:
    return [type(error).__name__, str(error)]
