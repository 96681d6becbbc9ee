"""A parked key waits until someone applies its events after all, or gives them up."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.kernel.log.probing import (
    RECORD,
    ProbeMoved,
    caught_up,
    consuming,
    effects,
    move,
    parked,
    record,
    someone_waits,
    until,
    with_handler,
)
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.parked import drop, list_parked, retry

LOCK = "SELECT pg_advisory_xact_lock($1)"
POSITION = "SELECT parked FROM cursor WHERE \"group\" = 'recorder'"


async def forgiving(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
    await record(tx, [msgspec.structs.replace(event, data=ProbeMoved(thing=event.key)) for event in events])


@pytest.fixture
async def waiting(database: Database, database_url: str) -> Database:
    """Three events of `bad` and one of `worse` are parked; `good` has flowed."""
    await move(database, "bad", poison=True)
    await move(database, "bad", "good", "bad")
    await move(database, "worse", poison=True)
    await caught_up(database, database_url)
    return database


async def test_the_list_tells_what_waits_and_why(waiting: Database) -> None:
    listed = await list_parked(waiting, "recorder")

    assert [(p.source, p.group, p.key, p.events, p.type, p.error) for p in listed] == [
        ("probe", "recorder", "bad", 3, "probe.moved", "ValueError: poison"),
        ("probe", "recorder", "worse", 1, "probe.moved", "ValueError: poison"),
    ]
    assert await list_parked(waiting, "another") == []
    assert await list_parked(waiting) == listed


async def test_a_retry_applies_the_keys_events_in_order_and_later_ones_flow_again(
    waiting: Database, database_url: str
) -> None:
    assert await retry(waiting, with_handler(forgiving), "bad") == 3

    assert await parked(waiting) == [("worse", 1)]
    assert await waiting.fetchval(POSITION) == 1
    async with consuming(waiting, database_url, RECORD):
        await move(waiting, "bad", "worse")
        seen = await effects(waiting, 5)
    assert seen == [("good", 1), ("bad", 1), ("bad", 2), ("bad", 3), ("bad", 4)]


async def test_a_retry_that_fails_again_changes_nothing(waiting: Database) -> None:
    before = await parked(waiting)

    with pytest.raises(ValueError, match="poison"):
        await retry(waiting, RECORD, "bad")

    assert await parked(waiting) == before
    assert (await waiting.fetchval(POSITION), await waiting.fetchval("SELECT count(*) FROM effect")) == (4, 1)


async def test_a_retry_that_meets_a_consumer_at_work_is_done_again(waiting: Database) -> None:
    async def locking(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
        await tx.fetchval(LOCK, 5)
        await forgiving(tx, events)

    async with waiting.transaction() as tx:
        await tx.fetchval(LOCK, 5)
        retrying = asyncio.create_task(retry(waiting, with_handler(locking), "bad"))
        await until(lambda: someone_waits(waiting))
        await tx.execute("UPDATE cursor SET seen_at = now() WHERE source = $1", "probe")  # as one that moves last does
    assert await retrying == 3
    assert await parked(waiting) == [("worse", 1)]


async def test_a_dropped_key_never_takes_effect_and_later_events_flow(waiting: Database, database_url: str) -> None:
    assert await drop(waiting, "recorder", "bad") == 3
    assert await drop(waiting, "recorder", "bad") == 0

    assert await waiting.fetchval(POSITION) == 1
    async with consuming(waiting, database_url, RECORD):
        await move(waiting, "bad")
        assert await effects(waiting, 2) == [("good", 1), ("bad", 4)]


async def test_a_retry_and_a_running_consumer_do_not_overtake_one_another(waiting: Database, database_url: str) -> None:
    async with consuming(waiting, database_url, with_handler(forgiving)):
        for _ in range(10):
            await move(waiting, "bad")
        assert await retry(waiting, with_handler(forgiving), "bad") >= 3
        await move(waiting, "bad")
        seen = [sequence for key, sequence in await effects(waiting, 15) if key == "bad"]
    assert seen == list(range(1, 15))
    assert await waiting.fetchval(POSITION) == 1
