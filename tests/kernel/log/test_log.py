"""The log end to end: append, tick, read, effect."""

import asyncio

import asyncpg
import pytest

from tests.kernel.log.probing import RECORD, consuming, effects, move
from tradepost.kernel.database import Database


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
