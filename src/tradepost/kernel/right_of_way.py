"""Who waits at the door goes first: while many requests wait to be written, the work behind them goes in small pieces,
one at a time, with rests between, until it is late. So a rush is taken in at once, and paid and shipped a little later.
Where more come than can be written, the work takes no less than ever once it is late: it would fall behind for good."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from time import monotonic
from typing import Final

from tradepost.kernel.clock import now
from tradepost.kernel.log.batch import PIECE_EVENTS

CROWD: Final = 4  # requests that wait at once
CROWD_S: Final = 0.2  # for so long a crowd is taken to come back
THRONG_S: Final = 1.0  # for so long after a full batch more come than can be written
ABREAST: Final = 2  # pieces beside a throng, and of late work; one behind a crowd
FEW: Final = 100  # events in a piece: who waits at the door waits for the interpreter no longer than these take
REST: Final = 6  # times as long as the piece took; less, the later the work is
LATE_S: Final = 10.0  # from here on it rests no more, and goes two abreast
TOO_LATE_S: Final = 60.0  # from here on a crowd counts as a throng
HEARD_S: Final = 10.0  # how long what a worker told is believed
LOOK_S: Final = 0.01


class RightOfWay:
    """One for a process: between `waiting` requests, which somebody waits for at the door, and the rest of its work."""

    def __init__(self) -> None:
        self.waiting = 0
        self._crowded_at = self._thronged_at = float("-inf")
        self._lane, self._single = asyncio.Semaphore(ABREAST), asyncio.Semaphore(1)
        self._late: dict[Hashable, tuple[float, float]] = {}

    def come(self) -> None:
        """One more waits."""
        self.waiting += 1
        if self.waiting >= CROWD:
            self._crowded_at = monotonic()

    def go(self) -> None:
        """One has his answer."""
        self.waiting -= 1

    def overflow(self) -> None:
        """More wait than can be written at once."""
        self._thronged_at = monotonic()

    @property
    def at_once(self) -> int:
        """How many events to take in one piece."""
        return FEW if self._is_crowded() and not (self._is_thronged() and self._late_s >= LATE_S) else PIECE_EVENTS

    @asynccontextmanager
    async def behind(self) -> AsyncIterator[None]:
        """For one piece of work that nobody waits for at the door, and that itself waits for nothing but PostgreSQL."""
        if not self._is_crowded():
            yield
            return
        async with AsyncExitStack() as lane:
            await lane.enter_async_context(self._lane)
            if not self._is_thronged() and self._late_s < LATE_S:
                await lane.enter_async_context(self._single)
            began = monotonic()
            yield
            ended = monotonic()
            until = ended + REST * (ended - began) * max(0.0, 1 - self._late_s / LATE_S)
            while self.waiting >= CROWD and (left := until - monotonic()) > 0:
                await asyncio.sleep(min(left, LOOK_S))

    def tell(self, worker: Hashable, oldest: datetime) -> None:
        """Of what this one has just done, the oldest happened then."""
        self._late[worker] = (now() - oldest).total_seconds(), monotonic()

    @property
    def _late_s(self) -> float:
        since = monotonic() - HEARD_S
        return max((late for late, told in self._late.values() if told > since), default=0.0)

    def _is_crowded(self) -> bool:
        return monotonic() - self._crowded_at < CROWD_S

    def _is_thronged(self) -> bool:
        return monotonic() - self._thronged_at < THRONG_S or self._late_s >= TOO_LATE_S
