"""The log end to end: append, tick, read, effect."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import asyncpg
import pytest

from tests import databases
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Cause, Event, Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.log.ticks import Ticks
from tradepost.kernel.migrate import READER, url_as


class ProbeMoved(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = "probe.moved"
    key_field: ClassVar[str] = "thing"
    thing: str
    poison: bool = False


async def record(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
    if any(event.data.poison for event in events):
        raise ValueError("poison")
    for event in events:
        await tx.execute(
            "INSERT INTO effect (event_id, key, sequence) VALUES ($1, $2, $3)", event.id, event.key, event.sequence
        )


RECORD = Group("recorder", (on(ProbeMoved, record),))


@asynccontextmanager
async def consuming(db: Database, url: str, *groups: Group) -> AsyncIterator[list[Consumer]]:
    async with asyncpg.create_pool(url_as(url, READER, databases.SECRET), min_size=0) as pool:
        ticks = Ticks(pool)
        await ticks.start()
        db.on_events = ticks.poke
        consumers = [
            Consumer(db, ticks, group, place, new_id()) for group in groups for place in await register(db, ticks, group)
        ]
        tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
        try:
            yield consumers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await ticks.stop()


async def move(db: Database, thing: str, *, poison: bool = False) -> None:
    async with db.transaction() as tx:
        version = await tx.fetchval(
            "INSERT INTO thing (key, version) VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET version = thing.version + 1"
            " RETURNING version",
            thing,
        )
        tx.append(ProbeMoved(thing=thing, poison=poison), sequence=version, cause=Cause("test"))


async def effects(db: Database, count: int) -> Sequence[tuple[str, int]]:
    async with asyncio.timeout(10):
        while True:
            rows = await db.fetch("SELECT key, sequence FROM effect ORDER BY at")
            if len(rows) >= count:
                return [(row["key"], row["sequence"]) for row in rows]
            await asyncio.sleep(0.02)


async def test_an_event_takes_effect_once_and_in_order(database: Database, database_url: str) -> None:
    async with consuming(database, database_url, RECORD):
        await asyncio.gather(*(move(database, f"thing-{n % 5}") for n in range(50)))
        seen = await effects(database, 50)

    assert sorted(seen) == sorted((f"thing-{n}", s) for n in range(5) for s in range(1, 11))
    for n in range(5):
        assert [s for key, s in seen if key == f"thing-{n}"] == list(range(1, 11))


async def test_poison_parks_its_key_and_the_others_flow(database: Database, database_url: str) -> None:
    await move(database, "good")
    await move(database, "bad", poison=True)
    await move(database, "bad")
    await move(database, "good")
    async with consuming(database, database_url, RECORD):
        seen = await effects(database, 2)
        await move(database, "bad")
        await move(database, "good")
        seen = await effects(database, 3)

    assert seen == [("good", 1), ("good", 2), ("good", 3)]
    parked = await database.fetch("SELECT key, event->>'sequence' AS sequence FROM parked ORDER BY position")
    assert [(row["key"], row["sequence"]) for row in parked] == [("bad", "1"), ("bad", "2"), ("bad", "3")]
    assert await database.fetchval("SELECT parked FROM cursor") == 3


@pytest.mark.parametrize("statement", ["UPDATE event SET key = 'x'", "DELETE FROM event", "CREATE TABLE mine ()"])
async def test_a_service_can_not_rewrite_its_log(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.fetch(statement)
