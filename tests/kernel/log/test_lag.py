"""How far a group is behind: exactly as many events as it has yet to take in, whatever carries them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from tests.kernel.log.probing import RECORD, caught_up, consuming, effects, move, moved, reading, ticking, until
from tradepost.kernel.database import Database
from tradepost.kernel.log import lag
from tradepost.kernel.log.cursor import Place
from tradepost.kernel.log.lag import Behind, behind, waiting
from tradepost.kernel.log.slots import split

TYPES = ["probe.moved"]
IDS = "SELECT array_agg(id ORDER BY id) FROM event"
STORE = """
INSERT INTO probe.event (event_id, type, key, slot, sequence, at, correlation_id, bytes, data)
SELECT gen_random_uuid(), 'probe.else', n::text, n % 16, 1, now(), 'c', 2, '{}' FROM generate_series(1, $1) AS n
"""
TAKE_IN = "INSERT INTO inbox SELECT event_id, 'recorder' FROM event WHERE id = ANY ($1::bigint[])"


@pytest.fixture
async def log(database_url: str) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    """The publisher's database, as the role that reads logs."""
    async with reading(database_url) as pool:
        yield pool


async def look(log: Any, db: Database, types: Sequence[str] | None = TYPES, **how: Any) -> Behind:
    return await behind(log, db, "probe", "probe", "recorder", types, **how)


async def served_by_a_broker(db: Database) -> list[int]:
    """Six events of which the broker is to bring the last five; their ids."""
    await move(db, *"abcdef")
    ids: list[int] = await db.fetchval(IDS)
    await db.fetch("INSERT INTO intake VALUES ('probe', 'recorder', 'rabbitmq', $1)", ids[0])
    return ids


async def test_a_group_is_behind_by_what_it_has_not_read(database: Database, database_url: str, log: Any) -> None:
    await move(database, "a")
    await caught_up(database, database_url)
    assert await look(log, database) == Behind(0, 0.0)

    await move(database, "a", "b")
    await move(database, "c")

    seen = await look(log, database)
    assert (seen.events, seen.how, seen.stands) == (3, "log", True)
    assert 0 < seen.seconds < 30
    assert await look(log, database, ["probe.else"]) == Behind(0, 0.0)
    assert (await look(log, database, None)).events == 3
    assert (await look(log, database, at_most=2)).events == 2


async def test_the_position_of_an_idle_reader_that_was_not_saved_does_no_harm(
    database: Database, database_url: str, log: Any
) -> None:
    async with consuming(database, database_url, RECORD) as at:
        await move(database, "a")
        await effects(database, 1)
        await until(lambda: is_done(log, database))
        assert (await look(log, database)).seconds == 0.0
        assert at.consumers[0].stopped is None


async def is_done(log: Any, db: Database) -> bool:
    return (await look(log, db)).events == 0


async def test_an_event_whose_transaction_commits_late_is_counted_once_it_is_there(
    database: Database, database_url: str, log: Any
) -> None:
    async with database.transaction() as slow:
        await moved(slow, "slow")
        await slow.flush()
        await move(database, "quick")
        await caught_up(database, database_url)
        assert (await look(log, database)).events == 0
    assert (await look(log, database)).events == 1
    await caught_up(database, database_url)
    assert (await look(log, database)).events == 0


async def test_half_a_piece_and_half_the_slots_count_for_what_they_are(
    database: Database, database_url: str, log: Any
) -> None:
    await caught_up(database, database_url)
    await move(database, *(f"thing-{n}" for n in range(10)))
    ids = await database.fetchval(IDS)
    toward = await log.fetchval("SELECT log.tick()")
    await database.fetch("UPDATE cursor SET toward = $1, last_id = $2", toward, ids[6])
    assert (await look(log, database)).events == 3

    async with ticking(database_url) as ticks:
        await split(database, ticks, Place("probe", "recorder"), 7)
    assert (await look(log, database)).events == 3


async def test_who_stands_nowhere_has_all_before_it(database: Database, database_url: str, log: Any) -> None:
    assert await look(log, database) == Behind(0, 0.0, stands=False)
    await move(database, "a", "b")
    assert ((await look(log, database)).events, (await look(log, database)).stands) == (2, False)

    await caught_up(database, database_url)
    await database.fetch("UPDATE cursor SET tick_uuid = gen_random_uuid()")
    assert ((await look(log, database)).events, (await look(log, database)).stands) == (2, False)


async def test_a_new_epoch_lies_beyond_every_position_of_the_old(
    database: Database, database_url: str, log: Any, superuser: Any
) -> None:
    await move(database, "old")
    await caught_up(database, database_url)
    await superuser.execute("SELECT log.open_epoch()")
    assert (await look(log, database)).events == 0
    await move(database, "new", "newer")
    assert (await look(log, database)).events == 2


@pytest.mark.parametrize("chunk", [5_000, 2])
async def test_a_group_on_a_broker_is_behind_by_what_its_inbox_lacks(
    database: Database, log: Any, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(lag, "CHUNK_EVENTS", chunk)
    ids = await served_by_a_broker(database)
    seen = await look(log, database)
    assert (seen.events, seen.how, seen.stands) == (5, "rabbitmq", True)
    assert 0 < seen.seconds < 30

    await database.fetch(TAKE_IN, ids[1:5])
    assert (await look(log, database)).events == 1
    await database.fetch(TAKE_IN, ids[5:])
    assert await look(log, database) == Behind(0, 0.0, "rabbitmq")


async def test_a_gap_far_back_is_found_by_a_thorough_look(
    database: Database, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "CHUNK_EVENTS", 2)
    ids = await served_by_a_broker(database)
    await database.fetch(TAKE_IN, ids[2:])

    assert (await look(log, database)).events == 0
    assert (await look(log, database, thorough=True)).events == 1


async def test_what_an_inbox_may_have_forgotten_is_not_missed(
    database: Database, database_url: str, log: Any, superuser: Any
) -> None:
    await caught_up(database, database_url)
    ids = await served_by_a_broker(database)
    await superuser.execute("UPDATE probe.event SET at = at - interval '7 days' WHERE id <= $1", ids[3])
    await database.fetch("UPDATE intake SET since_id = 0")
    assert (await look(log, database, thorough=True)).events == 2 + 4, "the log is to bring the old ones"

    await caught_up(database, database_url)
    assert (await look(log, database, thorough=True)).events == 2
    assert await waiting(log, database, "probe", "probe", "recorder", ids) == set(ids[4:])


async def test_while_it_catches_up_it_is_also_behind_with_what_the_log_is_to_bring(
    database: Database, database_url: str, log: Any
) -> None:
    await caught_up(database, database_url)
    ids = await served_by_a_broker(database)
    tick = await log.fetchval("SELECT log.tick()")
    await database.fetch("UPDATE cursor SET until = $1", tick)
    await database.fetch(TAKE_IN, ids[1:])
    assert (await look(log, database)).events == 1

    uuid = await log.fetchval("SELECT uuid FROM log.tick WHERE id = $1", tick)
    await database.fetch("UPDATE cursor SET tick = $1, tick_uuid = $2", tick, uuid)
    assert (await look(log, database)).events == 0


async def test_two_connections_or_one_in_a_transaction_tell_the_same(
    database: Database, database_url: str, log: Any, superuser: Any
) -> None:
    await caught_up(database, database_url)
    await move(database, "a", "b")
    async with superuser.transaction(isolation="repeatable_read", readonly=True):
        await superuser.execute("SET LOCAL enable_nestloop = off; SET LOCAL search_path = pg_catalog")
        one = await look(superuser, superuser)
        await move(database, "c")
        assert (one.events, (await look(superuser, superuser)).events) == (2, 2)
    assert (await look(log, database)).events == 3


async def test_of_given_events_those_are_told_that_wait(database: Database, database_url: str, log: Any) -> None:
    await move(database, "a")
    await caught_up(database, database_url)
    await move(database, "b", "c")
    first, second, third = await database.fetchval(IDS)
    assert await waiting(log, database, "probe", "probe", "recorder", [first, third]) == {third}
    assert await waiting(log, database, "probe", "probe", "nobody", [first, third]) == {first, third}

    await database.fetch("INSERT INTO intake VALUES ('probe', 'recorder', 'kafka', $1)", first)
    await database.fetch('DELETE FROM cursor WHERE "group" = $1', "recorder")
    await database.fetch(TAKE_IN, [second])
    assert await waiting(log, database, "probe", "probe", "recorder", [first, second, third]) == {third}


@pytest.mark.parametrize("told", [False, True])
async def test_nothing_to_read_is_found_without_reading_the_log(
    database: Database, database_url: str, superuser: Any, told: bool
) -> None:
    await superuser.execute(STORE, 50_000)
    await caught_up(database, database_url)
    if told:
        await superuser.execute("ANALYZE probe.event")
    (place,) = await lag._reaches(superuser, superuser, "probe", "probe", "recorder")

    for _ in range(7):  # so often that PostgreSQL would think of a plan for any arguments
        await look(superuser, superuser)
    explained = await superuser.fetchval(
        "EXPLAIN (ANALYZE, FORMAT JSON) " + lag._count("probe", place), *place.args(TYPES, 2**62), 2**62
    )

    (plan,) = msgspec.json.decode(explained)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 20
