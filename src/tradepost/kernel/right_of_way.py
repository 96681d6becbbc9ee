"""Who waits at the door goes first: while many requests wait to be written, the work behind them goes in small pieces,
one at a time, with rests between, until it is late. So a rush is taken in at once, and paid and shipped a little later.
Where more come than can be written, the work takes no less than ever once it is late: it would fall behind for good.
While work is late that somebody waits for, what nobody waits for gives way to it in turn: first all is paid, then it is
shipped and written about."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from time import monotonic
from typing import Final, NamedTuple

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
HURRY_S: Final = 1.0  # from here on what nobody waits for gives way, and for so long after it was told
GIVES_WAY_S: Final = 20.0  # what is later than this does not
ASIDE_S: Final = 5.0  # the longest rest of what gives way
LOOK_S: Final = 0.01


class _Told(NamedTuple):
    """How late a worker was, and when."""

    late_s: float
    at: float
    hurried: bool


class RightOfWay:
    """One for a process: between `waiting` requests, which somebody waits for at the door, and the rest of its work."""

    def __init__(self) -> None:
        self.waiting = 0
        self._crowded_at = self._thronged_at = float("-inf")
        self._lane, self._single = asyncio.Semaphore(ABREAST), asyncio.Semaphore(1)
        self._aside = asyncio.Semaphore(1)
        self._told: dict[Hashable, _Told] = {}

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
    async def behind(self, *, hurried: bool = True) -> AsyncIterator[None]:
        """For one piece of work that nobody waits for at the door, and that itself waits for nothing but PostgreSQL.
        `hurried` is what somebody waits for all the same."""
        is_aside = not hurried and self._gives_way()
        async with AsyncExitStack() as aside:
            if is_aside:
                await aside.enter_async_context(self._aside)
            async with AsyncExitStack() as lane:
                if is_crowded := self._is_crowded():
                    await lane.enter_async_context(self._lane)
                    if not self._is_thronged() and self._late_s < LATE_S:
                        await lane.enter_async_context(self._single)
                began = monotonic()
                yield
                took_s = monotonic() - began
                if is_crowded and not is_aside:
                    share = max(0.0, 1 - self._late_s / LATE_S)
                    await _rest(REST * took_s * share, lambda: self.waiting >= CROWD)
            if is_aside:
                await _rest(min(REST * took_s, ASIDE_S), self._gives_way)

    def tell(self, worker: Hashable, oldest: datetime, *, hurried: bool = True) -> None:
        """Of what this one has just done, the oldest happened then."""
        self._told[worker] = _Told((now() - oldest).total_seconds(), monotonic(), hurried)

    @property
    def _late_s(self) -> float:
        """Of all that does not give way."""
        hurried = self._latest(HEARD_S, hurried=True)
        return hurried if self._gives_way() else max(hurried, self._latest(HEARD_S, hurried=False))

    def _latest(self, heard_s: float, *, hurried: bool) -> float:
        """Of these workers, as was told within so long."""
        since = monotonic() - heard_s
        told = [told for told in self._told.values() if told.at > since and told.hurried is hurried]
        return max((late_s for late_s, *_ in told), default=0.0)

    def _gives_way(self) -> bool:
        """Whether what nobody waits for does, and is not too late itself."""
        return self._latest(HURRY_S, hurried=True) >= HURRY_S and self._latest(HEARD_S, hurried=False) < GIVES_WAY_S

    def _is_crowded(self) -> bool:
        return monotonic() - self._crowded_at < CROWD_S

    def _is_thronged(self) -> bool:
        return monotonic() - self._thronged_at < THRONG_S or self._late_s >= TOO_LATE_S


async def _rest(seconds: float, goes_on: Callable[[], bool]) -> None:
    """For so long, while that goes on which it is for."""
    until = monotonic() + seconds
    while goes_on() and (left := until - monotonic()) > 0:
        await asyncio.sleep(min(left, LOOK_S))
