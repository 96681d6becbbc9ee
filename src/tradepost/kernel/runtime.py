"""Services at work: their desks, consumers, watches and jobs, from start to drain."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from tradepost.kernel.brokers.enrolment import check
from tradepost.kernel.brokers.port import Broker
from tradepost.kernel.brokers.receiver import Receiver
from tradepost.kernel.database import Database, connect
from tradepost.kernel.http import idempotency
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.consumer import Consumer
from tradepost.kernel.log.hearing import Hearing
from tradepost.kernel.log.retention import keep_for_ever
from tradepost.kernel.log.team import Team
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.right_of_way import RightOfWay
from tradepost.kernel.service import Job, Room, Service
from tradepost.kernel.staff import consumers_of, receivers_of, relays_of
from tradepost.kernel.tasks import end
from tradepost.kernel.telemetry import JOB_FAILURES

TRY_AGAIN_S: Final = 1.0
PURGE_S: Final = 600.0  # between two looks for answers that no Idempotency-Key asks for any more
DECLARE_S: Final = 5.0  # after which we start without: orders are taken, and their events wait in the log

logger = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where things are: the database of each publisher, as its owner; the installation's secret; the data folder."""

    databases: Mapping[str, str]
    secret: str
    data: Path
    settings: Mapping[str, Any] = field(default_factory=dict)  # each service's own, by its name


@dataclass
class Running:
    """The services of this process while they run. `clocks` tick for the logs that it reads, by publisher."""

    clocks: Clocks
    broker: Broker | None
    databases: dict[str, Database] = field(default_factory=dict)
    desks: dict[str, Any] = field(default_factory=dict)
    teams: dict[str, list[Team[Any]]] = field(default_factory=dict)  # by service; relays under `relay`
    wakes: dict[str, asyncio.Event] = field(default_factory=dict)
    way: RightOfWay = field(default_factory=RightOfWay)

    @property
    def consumers(self) -> list[Consumer]:
        """Those that read logs, relays included."""
        return [worker for worker in self._workers() if isinstance(worker, Consumer)]

    @property
    def receivers(self) -> list[Receiver]:
        """Those that hear from a broker."""
        return [worker for worker in self._workers() if isinstance(worker, Receiver)]

    def _workers(self) -> list[Any]:
        return [worker for teams in self.teams.values() for team in teams for worker in team.workers]

    def wake(self, names: Collection[str]) -> None:
        """Start the jobs of these names at once."""
        for name in names:
            if name in self.wakes:
                self.wakes[name].set()


@asynccontextmanager
async def run(
    services: Sequence[Service], site: Site, *, broker: Broker | None = None, relays: Collection[str] = ()
) -> AsyncIterator[Running]:
    """All `services` on their migrated databases, and the relays of these publishers; `broker` carries the events,
    or without one the log itself. At the end what is under way is finished first. Errors: WrongBroker."""
    own = frozenset({*(service.name for service in services), *relays})
    async with AsyncExitStack() as stack:
        running = Running(Clocks(site.databases, site.secret, new_id(), own), broker)
        stack.push_async_callback(running.clocks.close)
        tasks: list[asyncio.Task[None]] = []
        for name in sorted(own):
            await running.clocks.of(name)
        for service in services:
            await _open(service, running, stack, tasks, site)
        for name in sorted(own - running.databases.keys()):
            running.databases[name] = await stack.enter_async_context(_connected(site, name))
        stack.push_async_callback(end, tasks)  # first of all: the desks then finish what waits, on open databases
        tasks += [asyncio.create_task(keep_for_ever(url)) for url in sorted({site.databases[name] for name in own})]
        if broker is not None:
            tasks.append(declared := asyncio.create_task(_declare(broker)))
            await asyncio.wait({declared}, timeout=DECLARE_S)
        for service in services:
            for group in service.groups:
                await check(running.databases[service.name], group, broker)
            tasks += _start(service, running)
        running.teams["relay"] = [relays_of(name, running.databases[name], running.clocks, broker) for name in relays]
        tasks += [asyncio.create_task(team.run()) for teams in running.teams.values() for team in teams]
        yield running


def _connected(site: Site, name: str) -> Any:
    return connect(url_as(site.databases[name], role_of(name), site.secret), name)


async def _open(
    service: Service, running: Running, stack: AsyncExitStack, tasks: list[asyncio.Task[None]], site: Site
) -> None:
    db = await stack.enter_async_context(_connected(site, service.name))
    ticks = running.clocks[service.name]
    db.on_events = ticks.poke
    db.on_wake = running.wake
    watch = Watch(ticks, service.name)
    tasks.append(asyncio.create_task(watch.run()))
    running.databases[service.name] = db
    hearing = Hearing(service.name, service.groups, db, running.clocks)
    room = Room(db, watch, site.settings.get(service.name), site.data, running.way, hearing.unheard)
    running.desks[service.name] = await stack.enter_async_context(service.open(room))


def _start(service: Service, running: Running) -> list[asyncio.Task[None]]:
    db, desk = running.databases[service.name], running.desks[service.name]
    if running.broker is None:
        team: Team[Any] = consumers_of(service.name, service.groups, db, running.clocks, running.way)
    else:
        team = receivers_of(service.name, service.groups, db, running.clocks, running.broker, running.way)
    running.teams[service.name] = [team]
    purge = Job(f"{service.name}.purge_keys", idempotency.purge, every_s=PURGE_S)
    return [
        asyncio.create_task(_repeat(purge, db, asyncio.Event())),
        *(
            asyncio.create_task(_repeat(job, desk, running.wakes.setdefault(job.name, asyncio.Event())))
            for job in service.jobs
        ),
    ]


async def _declare(broker: Broker) -> None:
    """Make what is missing at the broker, as soon as it answers."""
    while True:
        try:
            return await broker.declare()
        except Exception as error:
            logger.warning("waits_for_broker", broker=broker.kind, why=str(error) or type(error).__name__)
        await asyncio.sleep(TRY_AGAIN_S)


async def _repeat(job: Job, desk: object, woken: asyncio.Event) -> None:
    """Round after round while there is work; then at the next wake or when the time has come."""
    failures = JOB_FAILURES.labels(job.name)  # shown as 0 until one fails, so that the first counts
    await asyncio.sleep(job.after_s)
    while True:
        woken.clear()
        try:
            if await job.run(desk):
                continue
            await asyncio.sleep(job.rest_s)
        except Exception as error:
            failures.inc()
            logger.warning("job_failed", job=job.name, why=str(error) or type(error).__name__)
            await asyncio.sleep(TRY_AGAIN_S)
        try:
            async with asyncio.timeout(job.every_s):
                await woken.wait()
        except TimeoutError:
            continue
