"""One at a time per key: so that many guesses at once can't slip past the delay that the first one earned."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tradepost.kernel.errors import Unavailable

WAITING: Final = 256  # for one key
RETRY_AFTER_S: Final = 1


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Turns:
    """A lock per key that somebody holds or waits for, in this process."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Enter alone. Errors: Unavailable when too many wait for this key."""
        line = self._lines.setdefault(key, _Line())
        if line.length >= WAITING:
            raise Unavailable("Too many requests for one account.", code="overloaded", retry_after_s=RETRY_AFTER_S)
        line.length += 1
        try:
            async with line.lock:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[key]
