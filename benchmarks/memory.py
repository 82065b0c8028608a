"""What this process holds, as Linux tells."""

from __future__ import annotations

from pathlib import Path


def resident() -> int:
    """Give the octets that are resident."""
    return _status("VmRSS")


def peak() -> int:
    """Give the octets that were resident at most, since `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak be what is resident now (``man 5 proc``, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(field: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024
