"""The ticks of one database: making them when there is something new, and knowing the newest."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import structlog

from tradepost.kernel.log.batch import TICK_COLUMNS, Tick

SOONEST_S: Final = 0.005
IDLE_S: Final = 0.1
KEPT: Final = 2_000
TRY_AGAIN_S: Final = 0.5
CHANNEL: Final = "tradepost_tick"

_SINCE: Final = f"SELECT {TICK_COLUMNS} FROM log.tick WHERE id > $1 ORDER BY id LIMIT 1000"
_NEWEST: Final = f"SELECT {TICK_COLUMNS} FROM log.tick ORDER BY id DESC LIMIT 1"
_ONE: Final = f"SELECT {TICK_COLUMNS} FROM log.tick WHERE id = $1"
_FIRST: Final = f"SELECT {TICK_COLUMNS} FROM log.tick ORDER BY id LIMIT 1"
logger = structlog.get_logger()


class Rebased(RuntimeError):
    """The database is not the one that the log was written in, or a position is unknown to it."""


class Ticks:
    """The clock of one database's logs. `pool` connects as the role that may read logs and tick, and nothing else."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool
        self._recent: dict[int, Tick] = {}
        self._newest: Tick | None = None
        self._poked = asyncio.Event()
        self._turned = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def newest(self) -> Tick:
        """The newest tick known."""
        if self._newest is None:
            raise RuntimeError("the ticks were not started")
        return self._newest

    async def start(self) -> None:
        """Errors: Rebased when the database was restored elsewhere and the log was not rebased."""
        if not await self.pool.fetchval("SELECT log.same_system()"):
            raise Rebased(
                "the database was restored into another cluster: run `tradepost log rebase` before anything else"
            )
        self._keep([Tick.of(await self.pool.fetchrow(_NEWEST))])
        self._tasks = [asyncio.create_task(self._for_ever(work)) for work in (self._tick, self._listen)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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

    async def get(self, tick: int) -> Tick | None:
        """A tick by its number."""
        if tick in self._recent:
            return self._recent[tick]
        row = await self.pool.fetchrow(_ONE, tick)
        return Tick.of(row) if row else None

    def silent_until(self, tick: int, source: str) -> Tick | None:
        """The newest tick up to which `source` certainly has nothing new since `tick`; None if there is none."""
        quiet = None
        while (following := self._recent.get(tick + 1)) and source not in following.sources:
            quiet, tick = following, tick + 1
        return quiet

    async def _tick(self) -> None:
        pause = SOONEST_S
        while True:
            made = await self.pool.fetchval("SELECT log.tick()")
            if made is not None:
                await self._catch_up()
            pause = SOONEST_S if made is not None else min(pause * 2, IDLE_S)
            await asyncio.sleep(SOONEST_S)
            if pause > SOONEST_S:
                await self._until_poked(pause)
            self._poked.clear()

    async def _until_poked(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._poked.wait()
        except TimeoutError:
            return

    async def _listen(self) -> None:
        told = asyncio.Event()
        async with self.pool.acquire() as connection:
            connection.add_termination_listener(lambda _connection: told.set())
            await connection.add_listener(CHANNEL, hear := lambda *_args: told.set())
            try:
                while not connection.is_closed():
                    await self._catch_up()
                    await told.wait()
                    told.clear()
            finally:
                await connection.remove_listener(CHANNEL, hear)
        raise ConnectionError("the connection that listens for ticks was lost")

    async def _catch_up(self) -> None:
        newest = self.newest.id
        while rows := await self.pool.fetch(_SINCE, newest):
            self._keep([Tick.of(row) for row in rows])
            newest = self.newest.id
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
            except Exception as error:
                logger.warning("ticks_interrupted", why=str(error) or type(error).__name__)
            await asyncio.sleep(TRY_AGAIN_S)
