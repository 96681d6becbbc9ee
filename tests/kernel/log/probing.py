"""A publisher called `probe`, a group that records what it was handed, and what runs them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from tests import databases
from tests.patience import PATIENCE_S
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Cause, Event, Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.clocks import reader_pool
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.cursor import Place
from tradepost.kernel.log.effects import Application
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.log.ticks import Ticks
from tradepost.kernel.pool import Pool
from tradepost.kernel.tasks import end

_WAITERS = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND NOT granted
"""


class ProbeMoved(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = "probe.moved"
    key_field: ClassVar[str] = "thing"
    thing: str
    poison: bool = False
    text: str = ""


async def record(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
    if any(event.data.poison for event in events):
        raise ValueError("poison")
    await tx.execute(
        "INSERT INTO effect (event_id, key, sequence) SELECT id, key, sequence"
        " FROM unnest($1::uuid[], $2::text[], $3::bigint[]) WITH ORDINALITY AS e (id, key, sequence, n) ORDER BY n",
        [event.id for event in events],
        [event.key for event in events],
        [event.sequence for event in events],
    )


async def empty(tx: Tx) -> None:
    await tx.execute("DELETE FROM effect")


RECORD = Group("recorder", (on(ProbeMoved, record),))
REBUILT = Group("recorder", (on(ProbeMoved, record),), reset=empty)


@dataclass
class At:
    """Consumers at work."""

    ticks: Ticks
    consumers: list[Consumer]


def consumer_of(db: Database, ticks: Ticks, group: Group, place: Place, owner: str) -> Consumer:
    """One who takes the place over from whoever has it."""
    return Consumer(db, ticks, Application(db, group), place, owner)


@asynccontextmanager
async def ticking(url: str) -> AsyncIterator[Ticks]:
    async with reading(url) as pool:
        ticks = Ticks(pool)
        await ticks.start()
        try:
            yield ticks
        finally:
            await ticks.stop()


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Pool]:
    """A pool as the role that reads logs."""
    pool = reader_pool(url, databases.SECRET)
    yield pool
    await pool.close()


@asynccontextmanager
async def consuming(db: Database, url: str, *groups: Group) -> AsyncIterator[At]:
    async with ticking(url) as ticks:
        db.on_events = ticks.poke
        consumers = [
            consumer_of(db, ticks, group, place, new_id())
            for group in groups
            for place in await register(db, ticks, group)
        ]
        async with running(*consumers):
            yield At(ticks, consumers)


@asynccontextmanager
async def running(*consumers: Consumer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    try:
        yield
    finally:
        async with asyncio.timeout(PATIENCE_S):
            await end(tasks)


async def move(db: Database, *things: str, poison: bool = False, text: str = "") -> None:
    """Move each of the things, all in one transaction."""
    async with db.transaction() as tx:
        for thing in things:
            await moved(tx, thing, poison=poison, text=text)


async def moved(tx: Tx, thing: str, *, poison: bool = False, text: str = "") -> None:
    version = await tx.fetchval(
        "INSERT INTO thing (key, version) VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET version = thing.version + 1"
        " RETURNING version",
        thing,
    )
    tx.append(ProbeMoved(thing=thing, poison=poison, text=text), sequence=version, cause=Cause("test"))


async def effects(db: Database, count: int) -> Sequence[tuple[str, int]]:
    """All effects in their order, as soon as there are `count`."""
    await until(lambda: _at_least(db, count))
    return [(row["key"], row["sequence"]) for row in await db.fetch("SELECT key, sequence FROM effect ORDER BY at")]


async def _at_least(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) >= $1 FROM effect", count))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.02)


async def someone_waits(connection: Any) -> bool:
    """Whether a lock of this database is waited for."""
    return bool(await connection.fetchval(_WAITERS))


async def caught_up(db: Database, url: str, *groups: Group) -> None:
    """Until the groups have read all there is, as the newest tick shows it, and have stored that."""
    async with consuming(db, url, *(groups or (RECORD,))) as at:
        await at.ticks.pool.fetchval("SELECT log.tick()")

        async def done() -> bool:
            newest = await at.ticks.pool.fetchval("SELECT max(id) FROM log.tick")
            return all(c.position is not None and c.position.tick == newest for c in at.consumers)

        await until(done)
        for consumer in at.consumers:
            position = consumer.position
            assert position is not None
            fence = await db.fetchval('SELECT fence FROM cursor WHERE "group" = $1', consumer.place.group)
            await consumer._save(position, fence)


async def parked(db: Database) -> Sequence[tuple[str, int]]:
    rows = await db.fetch("SELECT key, (event->>'sequence')::int AS sequence FROM parked ORDER BY position")
    return [(row["key"], row["sequence"]) for row in rows]


def with_handler(handler: Any, name: str = "recorder") -> Group:
    return Group(name, (on(ProbeMoved, handler),))
