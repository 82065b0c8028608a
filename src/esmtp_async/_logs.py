"""The loggers of the library; whoever runs it decides what becomes of what they tell.

`esmtp_async` tells what somebody should look at. `esmtp_async.wire` tells at DEBUG
what is said over each connection, and nothing else.
"""

from __future__ import annotations

import logging
from typing import Final

LOG: Final = logging.getLogger("esmtp_async")
WIRE: Final = logging.getLogger("esmtp_async.wire")

# Without it Python itself would print warnings where nobody asked for any.
LOG.addHandler(logging.NullHandler())
