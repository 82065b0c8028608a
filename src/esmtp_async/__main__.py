"""`python -m esmtp_async`, and `esmtp`: the command line as a process."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line in a process of its own; give the exit code."""
    try:
        # It takes a moment, in which somebody may change his mind.
        from esmtp_async import _cli  # noqa: PLC0415
        from esmtp_async._cli import _signals  # noqa: PLC0415

        _signals.heed_all()
        code = _cli.main()
    except KeyboardInterrupt:
        return 3  # nothing was sent
    _signals.end_with(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
