"""The ticks of one database: making them when there is something new, and knowing the newest."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import asyncpg
import structlog

from tradepost.kernel.log.batch import TICK_COLUMNS, Tick
from tradepost.kernel.log.reading import Reading
from tradepost.kernel.pool import Pool
from tradepost.kernel.tasks import end

SOONEST_S: Final = 0.005
LATEST_S: Final = 0.1
PAUSES: Final = 4  # as long as the tick took
IDLE_S: Final = 0.1
KEPT: Final = 2_000
CAUGHT_UP: Final = 1_000  # ticks asked for at once
TRY_AGAIN_S: Final = 0.5
CHANNEL: Final = "tradepost_tick"
SHOW_ALIVE: Final = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"  # held as long as the connection lives

_MAKE: Final = f"SELECT {TICK_COLUMNS} FROM log.make_tick()"
_SINCE: Final = f"SELECT {TICK_COLUMNS} FROM log.tick WHERE id > $1 ORDER BY id LIMIT $2"
_NEWEST: Final = f"SELECT {TICK_COLUMNS} FROM log.tick ORDER BY id DESC LIMIT 1"
_ONE: Final = f"SELECT {TICK_COLUMNS} FROM log.tick WHERE id = $1"
_UUID: Final = "SELECT uuid::text FROM log.tick WHERE id = $1"
_BEYOND: Final = f"""
SELECT {TICK_COLUMNS} FROM log.tick
WHERE id = COALESCE((SELECT max(id) FROM log.tick WHERE id > $1 AND id <= $1 + $3::bigint AND epoch = $2),
                    (SELECT min(id) FROM log.tick WHERE id > $1))
"""
_FIRST: Final = f"SELECT {TICK_COLUMNS} FROM log.tick ORDER BY id LIMIT 1"
logger = structlog.get_logger()


class Rebased(RuntimeError):
    """The database is not the one that the log was written in, or a position is unknown to it."""


class Ticks:
    """The clock of one database's logs. `pool` connects as the role that may read logs and tick, and nothing else.
    While `owner` is given and listens, others can see that it is alive (`kernel/log/roster.py`). `idle_s` is how often
    it looks for news that nobody poked it about."""

    def __init__(self, pool: Pool, *, owner: str | None = None, idle_s: float = IDLE_S) -> None:
        self.pool = pool
        self._owner, self._idle_s = owner, idle_s
        self._recent: dict[int, Tick] = {}
        self._newest: Tick | None = None
        self._poked = asyncio.Event()
        self._turned = asyncio.Condition()
        self._learning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._rebased: Rebased | None = None
        self._readings: dict[str, Reading] = {}

    @property
    def newest(self) -> Tick:
        """The newest tick known. Errors: Rebased when the log was exchanged under us."""
        if self._rebased is not None:
            raise self._rebased
        if self._newest is None:
            raise RuntimeError("the ticks were not started")
        return self._newest

    async def start(self) -> None:
        """Errors: Rebased when the database was restored elsewhere and the log was not rebased."""
        await self._recognise()
        self._keep([Tick.of(await self.pool.fetchrow(_NEWEST))])
        self._tasks = [asyncio.create_task(self._for_ever(work)) for work in (self._tick, self._listen)]

    async def stop(self) -> None:
        await end(self._tasks)
        for reading in self._readings.values():
            await reading.close()

    def reading(self, source: str) -> Reading:
        """The end of the log of `source`, which all readers of this process share."""
        return self._readings.setdefault(source, Reading(self, source))

    def poke(self) -> None:
        """There is something new: tick at once."""
        self._poked.set()

    async def after(self, tick: int) -> Tick:
        """Wait for a tick newer than `tick`; the newest."""
        async with self._turned:
            await self._turned.wait_for(lambda: self.newest.id > tick)
        return self.newest

    async def first(self) -> Tick:
        """The oldest tick that is kept."""
        return Tick.of(await self.pool.fetchrow(_FIRST))

    async def last(self) -> Tick:
        """The newest tick that is stored, seen here already or not."""
        return Tick.of(await self.pool.fetchrow(_NEWEST))

    async def report(self, source: str, group: str, first_slot: int, tick: int) -> None:
        """Tell the publisher how far a reader of its log is, so that retention keeps what it needs."""
        await self.pool.execute("SELECT log.report($1, $2, $3, $4)", source, group, first_slot, tick)

    async def forget(self, source: str, group: str, first_slot: int) -> None:
        """Tell the publisher that a reader is no more."""
        await self.pool.execute("SELECT log.forget($1, $2, $3)", source, group, first_slot)

    async def get(self, tick: int) -> Tick | None:
        """A tick by its number."""
        if tick in self._recent:
            return self._recent[tick]
        row = await self.pool.fetchrow(_ONE, tick)
        return Tick.of(row) if row else None

    async def beyond(self, prev: Tick, count: int) -> Tick:
        """The tick to read up to from `prev`: in its epoch and at most `count` on; where ticks were thinned out the
        next that is left, behind the last of an epoch the first of the next, and `prev` when there is nothing newer."""
        if self.newest.id <= prev.id:
            return prev
        if near := self.near(prev, count):
            return near
        row = await self.pool.fetchrow(_BEYOND, prev.id, prev.epoch, count)
        return Tick.of(row) if row else prev

    def near(self, prev: Tick, count: int) -> Tick | None:
        """The same, if it is in the epoch of `prev` and known here already."""
        newest = self.newest
        near = newest if newest.id <= prev.id + count else self._recent.get(prev.id + count)
        return near if near is not None and near.id > prev.id and near.epoch == prev.epoch else None

    def silent_until(self, tick: int, source: str) -> Tick | None:
        """The newest tick up to which `source` certainly has nothing new since `tick`; None if there is none."""
        quiet = None
        while (following := self._recent.get(tick + 1)) and source not in following.sources:
            quiet, tick = following, tick + 1
        return quiet

    async def _recognise(self) -> None:
        """Errors: Rebased when this is not the log that we know, or not the cluster that it was written in."""
        if not await self.pool.fetchval("SELECT log.same_system()"):
            raise Rebased(
                "the database was restored into another cluster: run `tradepost log rebase` before anything else"
            )
        newest = self._newest  # held on to: while we ask, a newer one may come
        if newest is not None and await self.pool.fetchval(_UUID, newest.id) != newest.uuid:
            raise Rebased("the database was exchanged for an older one while we ran: start again")

    async def _tick(self) -> None:
        """When we are poked, at once; again after a pause that grows with the time that a tick takes, since whatever
        each tick sets in motion has a price of its own, and is cheaper together when all are busy."""
        idle = SOONEST_S
        while True:
            began = monotonic()
            made = await self._make()
            idle = SOONEST_S if made else min(idle * 2, self._idle_s)
            await asyncio.sleep(min(max((monotonic() - began) * PAUSES, SOONEST_S), LATEST_S))
            if idle > SOONEST_S:
                await self._until_poked(idle)
            self._poked.clear()

    async def _make(self) -> bool:
        """Whether there was anything new. Who is told of it meanwhile waits for us to know it."""
        async with self._learning:
            row = await self.pool.fetchrow(_MAKE)
            if row is None:
                return False
            made = Tick.of(row)
            if made.id == self.newest.id + 1:
                await self._learn([made])
            else:
                await self._read_up_to(made.id)
        return True

    async def _until_poked(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._poked.wait()
        except TimeoutError:
            return

    async def _listen(self) -> None:
        told, newest = asyncio.Event(), 0
        await self._recognise()
        async with self.pool.acquire() as connection:

            def hear(_connection: object, _pid: int, _channel: str, tick: str) -> None:
                nonlocal newest
                newest = int(tick)
                told.set()

            connection.add_termination_listener(lambda _connection: told.set())
            await connection.add_listener(CHANNEL, hear)
            try:
                if self._owner is not None:
                    await connection.fetchval(SHOW_ALIVE, self._owner)
                async with self._learning:
                    await self._read_up_to(self.newest.id + 1)  # what came before we listened
                while not connection.is_closed():
                    await told.wait()
                    told.clear()
                    async with self._learning:
                        await self._read_up_to(newest)
            finally:
                with suppress(asyncpg.InterfaceError, asyncpg.PostgresError):  # it is gone, and all of its with it
                    await connection.remove_listener(CHANNEL, hear)
                    await connection.fetchval("SELECT pg_advisory_unlock_all()")
        raise ConnectionError("the connection that listens for ticks was lost")

    async def _read_up_to(self, tick: int) -> None:
        """Learn the ticks up to this one, and those after it that are there already."""
        more = tick > self.newest.id
        while more:
            rows = await self.pool.fetch(_SINCE, self.newest.id, CAUGHT_UP)
            await self._learn([Tick.of(row) for row in rows])
            more = len(rows) == CAUGHT_UP

    async def _learn(self, ticks: list[Tick]) -> None:
        self._keep(ticks)
        async with self._turned:
            self._turned.notify_all()

    def _keep(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            self._recent[tick.id] = tick
            if self._newest is None or tick.id > self._newest.id:
                self._newest = tick
        while len(self._recent) > KEPT:
            del self._recent[next(iter(self._recent))]

    async def _for_ever(self, work: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await work()
            except Rebased as error:
                logger.critical("log_exchanged", why=str(error))
                self._rebased = error
                async with self._turned:
                    self._turned.notify_all()
                return
            except Exception as error:
                logger.warning("ticks_interrupted", why=str(error) or type(error).__name__)
            await asyncio.sleep(TRY_AGAIN_S)
