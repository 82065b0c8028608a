"""The loggers of the library; whoever runs it decides what becomes of what they tell.

`esmtp_async` tells what somebody should look at. `esmtp_async.wire` tells at DEBUG
what is said over each connection, and nothing else.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

LOG: Final = logging.getLogger("esmtp_async")
WIRE: Final = logging.getLogger("esmtp_async.wire")

# Without it Python itself would print warnings where nobody asked for any.
LOG.addHandler(logging.NullHandler())


def warn(text: str, *arguments: object) -> None:
    """Tell of what somebody should look at.

    Handlers and filters are somebody's who runs us: if one raises, the mail goes on.
    """
    with suppress(Exception):
        LOG.warning(text, *arguments, stacklevel=2)


def blame(error: Exception, text: str, *arguments: object) -> None:
    """Tell of an error that is somebody else's; raises none, as `warn`."""
    with suppress(Exception):
        LOG.error(text, *arguments, exc_info=error, stacklevel=2)
