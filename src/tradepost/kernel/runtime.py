"""Services at work: their desks, consumers, watches and jobs, from start to drain."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from tradepost.kernel.database import SESSION, Database, connect
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.retention import keep_for_ever
from tradepost.kernel.log.ticks import Ticks
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.migrate import READER, role_of, url_as
from tradepost.kernel.service import Job, Room, Service
from tradepost.kernel.tasks import end

READER_POOL: Final = 6
TRY_AGAIN_S: Final = 1.0

logger = structlog.get_logger()


@dataclass
class Running:
    """The services of this process while they run."""

    ticks: Ticks
    databases: dict[str, Database] = field(default_factory=dict)
    desks: dict[str, Any] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)
    wakes: dict[str, asyncio.Event] = field(default_factory=dict)

    def wake(self, names: Collection[str]) -> None:
        """Start the jobs of these names at once."""
        for name in names:
            if name in self.wakes:
                self.wakes[name].set()


@asynccontextmanager
async def run(
    services: Sequence[Service], url: str, secret: str, settings: Mapping[str, Any], data: Path
) -> AsyncIterator[Running]:
    """All `services` on the migrated database at `url`; at the end what is under way is finished first."""
    async with AsyncExitStack() as stack:
        running = Running(Ticks(await stack.enter_async_context(_reader(url, secret))))
        await running.ticks.start()
        stack.push_async_callback(running.ticks.stop)
        tasks: list[asyncio.Task[None]] = []
        for service in services:
            await _open(service, running, stack, tasks, url, secret, settings.get(service.name), data)
        stack.push_async_callback(end, tasks)  # first of all: the desks then finish what waits, on open databases
        tasks.append(asyncio.create_task(keep_for_ever(url)))
        for service in services:
            tasks += await _start(service, running)
        yield running


async def _open(
    service: Service,
    running: Running,
    stack: AsyncExitStack,
    tasks: list[asyncio.Task[None]],
    url: str,
    secret: str,
    settings: object,
    data: Path,
) -> None:
    db = await stack.enter_async_context(connect(url_as(url, role_of(service.name), secret), service.name))
    db.on_events = running.ticks.poke
    db.on_wake = running.wake
    watch = Watch(running.ticks, service.name)
    tasks.append(asyncio.create_task(watch.run()))
    running.databases[service.name] = db
    running.desks[service.name] = await stack.enter_async_context(service.open(Room(db, watch, settings, data)))


async def _start(service: Service, running: Running) -> list[asyncio.Task[None]]:
    db, desk, owner = running.databases[service.name], running.desks[service.name], new_id()
    work: list[Coroutine[Any, Any, None]] = []
    for group in service.groups:
        for place in await register(db, running.ticks, group):
            consumer = Consumer(db, running.ticks, group, place, owner)
            running.consumers.append(consumer)
            work.append(consumer.run())
    for job in service.jobs:
        woken = running.wakes.setdefault(job.name, asyncio.Event())
        work.append(_repeat(job, desk, woken))
    return [asyncio.create_task(coroutine) for coroutine in work]


async def _repeat(job: Job, desk: object, woken: asyncio.Event) -> None:
    """Round after round while there is work; then at the next wake or when the time has come."""
    while True:
        woken.clear()
        try:
            if await job.run(desk):
                continue
        except Exception as error:
            logger.warning("job_failed", job=job.name, why=str(error) or type(error).__name__)
            await asyncio.sleep(TRY_AGAIN_S)
        try:
            async with asyncio.timeout(job.every_s):
                await woken.wait()
        except TimeoutError:
            continue


@asynccontextmanager
async def _reader(url: str, secret: str) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    pool = await asyncpg.create_pool(
        url_as(url, READER, secret),
        min_size=0,
        max_size=READER_POOL,
        command_timeout=60,
        server_settings={**SESSION, "application_name": "tradepost log"},
        reset=_nothing,
    )
    try:
        yield pool
    finally:
        await pool.close()


async def _nothing(_connection: object) -> None:
    """A reader leaves nothing behind in its session."""
