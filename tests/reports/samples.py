"""The sample reports, and small ones made of a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from esmtp_async import DeliveryReport, ReportedRecipient

SAMPLES: Final = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).parent / "samples").glob("*.eml"))
}

ABOUT: Final = "Reporting-MTA: dns; mx.example.org"
BOB: Final = "Final-Recipient: rfc822; bob@example.org"


def wrapped(
    status: str | bytes,
    *,
    header: str = "",
    back: str | bytes = b"",
    kind: str = "message/delivery-status",
) -> bytes:
    """Make a report around a delivery-status part, and a part that comes back."""
    status = status.encode() if isinstance(status, str) else status
    back = back.encode() if isinstance(back, str) else back
    return b"".join(
        (
            b"Content-Type: multipart/report; report-type=delivery-status;\r\n",
            b" boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n--b\r\n",
            f"Content-Type: {kind}\r\n{header}\r\n".encode(),
            status,
            b"\r\n--b\r\n%b\r\n--b--\r\n" % back if back else b"\r\n--b--\r\n",
        )
    )


def report(*groups: str, about: str = ABOUT) -> DeliveryReport:
    """Parse a report with these groups of fields."""
    return DeliveryReport.parse(wrapped("\n\n".join((about, *groups))))


def recipient(*lines: str) -> ReportedRecipient:
    """Parse a report about one recipient, with these fields beside its name."""
    (found,) = report("\n".join((BOB, *lines))).recipients
    return found
