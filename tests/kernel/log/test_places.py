"""Places are cut and joined, and groups read again, without losing or doubling an effect."""

import pytest

from tests.kernel.log.probing import (
    REBUILT,
    RECORD,
    caught_up,
    consuming,
    effects,
    move,
    parked,
    record,
    ticking,
    with_handler,
)
from tradepost.kernel.database import Database
from tradepost.kernel.log import consumer as module
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.cursor import Place
from tradepost.kernel.log.replay import NotRebuildable, replay
from tradepost.kernel.log.slots import SlotsError, merge, split

THINGS = [f"thing-{n}" for n in range(40)]
WHOLE = Place("probe", "recorder")
LOWER, UPPER = Place("probe", "recorder", (0, 6)), Place("probe", "recorder", (7, 15))
ROWS = "SELECT first_slot, last_slot, fence, parked FROM cursor ORDER BY first_slot"


async def test_a_split_place_is_worked_on_side_by_side_and_merged_again(database: Database, database_url: str) -> None:
    assert {slot_of(thing) < 7 for thing in THINGS} == {True, False}
    await move(database, *THINGS)
    await caught_up(database, database_url)
    async with ticking(database_url) as ticks:
        assert await split(database, ticks, WHOLE, 7) == (LOWER, UPPER)
    async with consuming(database, database_url, RECORD) as at:
        assert [consumer.place for consumer in at.consumers] == [LOWER, UPPER]
        await move(database, *THINGS)
        await effects(database, 80)
    await caught_up_both(database, database_url)
    async with ticking(database_url) as ticks:
        assert await merge(database, ticks, LOWER, UPPER) == WHOLE
        readers = await ticks.pool.fetch("SELECT first_slot FROM log.reader")
    assert [row["first_slot"] for row in readers] == [0]
    await move(database, *THINGS)
    async with consuming(database, database_url, RECORD):
        seen = await effects(database, 120)
    for thing in THINGS:
        assert [sequence for key, sequence in seen if key == thing] == [1, 2, 3]


async def caught_up_both(database: Database, url: str) -> None:
    """Both halves stand at the newest tick, as they do a few seconds after the last event."""
    async with ticking(url) as ticks:
        newest = ticks.newest
        await database.fetch(
            "UPDATE cursor SET tick = $1, tick_uuid = $2, toward = NULL, last_id = 0", newest.id, newest.uuid
        )


async def test_a_running_consumer_keeps_to_its_half_after_a_split(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STANDBY_S", 0.05)
    async with consuming(database, database_url, RECORD) as at:
        await move(database, *THINGS)
        await effects(database, 40)
        await split(database, at.ticks, WHOLE, 7)
        await move(database, *THINGS)
        mine = [thing for thing in THINGS if slot_of(thing) < 7]
        seen = await effects(database, 40 + len(mine))
        assert at.consumers[0].place == LOWER
    assert sorted(seen[40:]) == sorted((thing, 2) for thing in mine)
    async with consuming(database, database_url, RECORD):
        assert sorted(await effects(database, 80)) == sorted((thing, n) for thing in THINGS for n in (1, 2))


async def test_parked_events_are_counted_where_their_slots_went(database: Database, database_url: str) -> None:
    low, high = (next(t for t in THINGS if (slot_of(t) < 7) is below) for below in (True, False))
    await move(database, low, high, poison=True)
    await move(database, high)
    await caught_up(database, database_url)
    async with ticking(database_url) as ticks:
        await split(database, ticks, WHOLE, 7)
        assert [(r["first_slot"], r["last_slot"], r["parked"]) for r in await database.fetch(ROWS)] == [
            (0, 6, 1),
            (7, 15, 2),
        ]
        await merge(database, ticks, LOWER, UPPER)
    assert [(r["first_slot"], r["last_slot"], r["parked"]) for r in await database.fetch(ROWS)] == [(0, 15, 3)]


async def test_a_split_that_makes_no_sense_is_refused(database: Database, database_url: str) -> None:
    await caught_up(database, database_url)
    async with ticking(database_url) as ticks:
        for place, at in ((WHOLE, 0), (WHOLE, 16), (LOWER, 3)):
            with pytest.raises(SlotsError):
                await split(database, ticks, place, at)
    assert [(r["first_slot"], r["last_slot"]) for r in await database.fetch(ROWS)] == [(0, 15)]


async def test_places_at_different_positions_are_not_merged(database: Database, database_url: str) -> None:
    await caught_up(database, database_url)
    async with ticking(database_url) as ticks:
        await split(database, ticks, WHOLE, 7)
        await database.fetch("UPDATE cursor SET toward = 5, last_id = 3 WHERE first_slot = 7")
        with pytest.raises(SlotsError, match="not at one position"):
            await merge(database, ticks, LOWER, UPPER)
        with pytest.raises(SlotsError, match="no two neighbouring"):
            await merge(database, ticks, LOWER, Place("probe", "recorder", (8, 15)))
    assert len(await database.fetch(ROWS)) == 2


async def test_a_replay_empties_and_builds_anew(database: Database, database_url: str) -> None:
    await move(database, "bad", poison=True)
    await move(database, *THINGS[:3], "bad")
    await caught_up(database, database_url)
    async with ticking(database_url) as ticks:
        await replay(database, {"probe": ticks}, REBUILT)
    assert await database.fetchval("SELECT count(*) FROM effect") == 0
    assert (await parked(database), await database.fetchval("SELECT (tick, parked) = (1, 0) FROM cursor")) == ([], True)

    async with consuming(database, database_url, REBUILT):
        assert await effects(database, 3) == [(thing, 1) for thing in THINGS[:3]]
    assert await parked(database) == [("bad", 1), ("bad", 2)]


async def test_a_running_consumer_goes_along_with_a_replay(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STANDBY_S", 0.05)
    async with consuming(database, database_url, REBUILT) as at:
        await move(database, *THINGS)
        await effects(database, 40)
        await replay(database, {"probe": at.ticks}, REBUILT)
        await move(database, *THINGS)
        seen = await effects(database, 80)
    assert sorted(seen) == sorted((thing, n) for thing in THINGS for n in (1, 2))


async def test_a_group_whose_effects_reach_the_world_never_reads_again(database: Database, database_url: str) -> None:
    await move(database, "a")
    group = with_handler(record)
    await caught_up(database, database_url, group)
    async with ticking(database_url) as ticks:
        with pytest.raises(NotRebuildable, match="can't be taken back"):
            await replay(database, {"probe": ticks}, group)
    assert await database.fetchval("SELECT tick > 1 FROM cursor")
    assert await database.fetchval("SELECT count(*) FROM effect") == 1
