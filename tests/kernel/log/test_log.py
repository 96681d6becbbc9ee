"""The log end to end: append, tick, read, effect."""

import asyncio

import asyncpg
import pytest

from tests.kernel.log.probing import RECORD, consuming, effects, move, ticking
from tradepost.kernel.database import Database
from tradepost.kernel.log import batch


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


async def test_reading_the_end_of_a_long_log_never_goes_by_the_ids(
    database: Database, database_url: str, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Statistics of a log with many events in few transactions make the ids look like the better way."""
    async with ticking(database_url) as ticks:
        for _ in range(2):
            await move(database, *(f"thing-{n}" for n in range(2_000)))
        await superuser.execute("ANALYZE probe.event")
        await ticks.pool.fetchval("SELECT log.tick()")
        cur = await ticks.last()
        asked = f"({cur.epoch}, '{cur.xmax}', '{cur.xmax}', '{{}}', '{cur.snapshot}', 0, 0, 15, NULL, 1000, 1000000)"
        async with ticks.pool.acquire() as reader:
            types = "int, text, text, text[], text, bigint, int, int, text[], bigint, bigint"
            await reader.execute(f"PREPARE piece ({types}) AS {batch._PIECE.format(schema='probe')}")
            plan = "\n".join(row[0] for row in await reader.fetch(f"EXPLAIN EXECUTE piece {asked}"))
    assert "Index Cond: (id = piece.id)" in plan
    assert "(id >" not in plan.replace("((id + 0) >", "")
    assert "Seq Scan" not in plan
