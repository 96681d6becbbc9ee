"""Who waits at the door goes first: while many requests wait to be written, the work behind them goes two pieces at a
time, with rests between until it is late. So a rush is taken in at once, and paid and shipped a little later."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from datetime import datetime
from time import monotonic
from typing import Final

from tradepost.kernel.clock import now

CROWD: Final = 4  # requests that wait at once
ABREAST: Final = 2
REST: Final = 6  # times as long as the piece took; less, the later the work is
LATE_S: Final = 10.0  # from here on it rests no more
HEARD_S: Final = 10.0  # how long what a worker told is believed
LOOK_S: Final = 0.01


class RightOfWay:
    """One for a process: between `waiting` requests, which somebody waits for at the door, and the rest of its work."""

    def __init__(self) -> None:
        self.waiting = 0
        self._lane = asyncio.Semaphore(ABREAST)
        self._late: dict[Hashable, tuple[float, float]] = {}

    @asynccontextmanager
    async def behind(self) -> AsyncIterator[None]:
        """For one piece of work that nobody waits for at the door, and that itself waits for nothing but PostgreSQL."""
        if not self._is_crowded():
            yield
            return
        async with self._lane:
            began = monotonic()
            yield
            ended = monotonic()
            until = ended + REST * (ended - began) * self._patience
            while self._is_crowded() and (left := until - monotonic()) > 0:
                await asyncio.sleep(min(left, LOOK_S))

    def tell(self, worker: Hashable, oldest: datetime) -> None:
        """Of what this one has just done, the oldest happened then."""
        self._late[worker] = (now() - oldest).total_seconds(), monotonic()

    @property
    def _patience(self) -> float:
        """From 1 for work that is not late to 0."""
        since = monotonic() - HEARD_S
        late = max((late for late, told in self._late.values() if told > since), default=0.0)
        return max(0.0, 1 - late / LATE_S)

    def _is_crowded(self) -> bool:
        return self.waiting >= CROWD
