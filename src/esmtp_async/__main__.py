"""`python -m esmtp_async`: the command line."""

from __future__ import annotations

import sys

from esmtp_async._cli import main

if __name__ == "__main__":
    sys.exit(main())
