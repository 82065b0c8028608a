"""Cases, held one by one and counted."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

#: Seconds of virtual time in which every case must be over.
_AGES: Final = 1000.0


class Trial:
    """Holds every case, or one of so many; keeps what is wrong with them."""

    def __init__(self, stride: int = 1, skipped: int = 0) -> None:
        self._stride = stride
        self._skip = skipped
        self.cases = 0
        self.violations: list[str] = []

    async def __call__(
        self, name: object, case: Callable[[], Awaitable[object]]
    ) -> None:
        """Hold a case, if it is its turn."""
        if self._skip:
            self._skip -= 1
            return
        self._skip = self._stride - 1
        self.cases += 1
        try:
            with anyio.fail_after(_AGES):
                await case()
        except Exception:  # noqa: BLE001  # whatever it is, it is told
            self.violations.append(f"{name}\n{traceback.format_exc()}")
