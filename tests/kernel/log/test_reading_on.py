"""A long way between two ticks: each event is looked at once, not all that are left with every piece."""

import asyncio
import gc
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from tests.kernel.log.probing import (
    RECORD,
    ProbeMoved,
    consumer_of,
    effects,
    move,
    moved,
    record,
    running,
    ticking,
)
from tradepost.kernel import right_of_way
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Event
from tradepost.kernel.ids import new_id
from tradepost.kernel.log import batch, consumer, reading
from tradepost.kernel.log.ahead import Ahead
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import NOTHING, Piece, Tick, read_on, read_piece
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.cursor import Position
from tradepost.kernel.log.effects import Application
from tradepost.kernel.log.reading import ALL_SLOTS
from tradepost.kernel.log.slots import split
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.log.ticks import Ticks
from tradepost.kernel.right_of_way import RightOfWay

THINGS = [f"thing-{n:03}" for n in range(95)]
ROUNDS = 40


class GivenUp(Exception):
    """Ends a transaction that leaves gaps in the ids."""


async def interleaved(database: Database, ticks: Ticks) -> tuple[Tick, Tick]:
    """Two ticks, with events between them of transactions begun since and in flight at the first; among those, by
    their ids, others that the first shows already, that the second does not show, and that were given up."""
    async with database.transaction() as late:
        async with database.transaction() as early:
            await moved(early, "early")
            await early.flush()
            await move(database, "before")
            await ticks.pool.fetchval("SELECT log.tick()")
            prev = await ticks.last()
            for n in range(ROUNDS):
                await move(database, f"one-{n}", f"two-{n}")
                if n % 7 == 0:
                    await moved(late, f"late-{n}")
                    await late.flush()
                    await moved(early, f"early-{n}")
                    await early.flush()
                if n % 5 == 0:
                    await _give_up(database)
        await ticks.pool.fetchval("SELECT log.tick()")
        cur = await ticks.last()
    return prev, cur


async def _give_up(database: Database) -> None:
    with suppress(GivenUp):
        async with database.transaction() as tx:
            for n in range(10):
                await moved(tx, f"nothing-{n}")
            await tx.flush()
            raise GivenUp


async def pieces_of(
    ticks: Ticks, prev: Tick, cur: Tick, slots: tuple[int, int], types: Sequence[str] | None, *, on: bool
) -> list[list[int]]:
    """The ids of all events, by pieces: read `on`, or each as if nothing was known of the others."""
    wanted: dict[str, Any] = {"slots": slots, "types": types}
    piece = await read_piece(ticks.pool, "probe", prev, cur, after=0, **wanted)
    pieces: list[list[int]] = []
    while piece.events:
        pieces.append([event.position for event in piece.events])
        _, rest = piece.cut(len(piece.events))
        if not on:
            piece = await read_piece(ticks.pool, "probe", prev, cur, after=pieces[-1][-1], **wanted)
        elif piece.complete:
            break
        else:
            piece = await read_on(ticks.pool, "probe", prev, cur, rest, after=pieces[-1][-1], **wanted)
    return pieces


async def all_of(*which: Any, on: bool) -> list[int]:
    return [id_ for piece in await pieces_of(*which, on=on) for id_ in piece]


@pytest.mark.parametrize("most", [1, 3, 7, 50, 1_000])
async def test_reading_on_finds_what_lies_there_and_nothing_else(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(batch, "PIECE_EVENTS", most)
    async with ticking(database_url) as ticks:
        prev, cur = await interleaved(database, ticks)
        for slots, types in ((ALL_SLOTS, None), ((3, 8), None), (ALL_SLOTS, ["probe.moved"])):
            found = await all_of(ticks, prev, cur, slots, types, on=True)
            assert found == await all_of(ticks, prev, cur, slots, types, on=False)
            assert found == sorted(set(found))
            if slots == ALL_SLOTS:
                assert len(found) == 2 * ROUNDS + 1 + (ROUNDS + 6) // 7
        assert await all_of(ticks, prev, cur, ALL_SLOTS, ["probe.other"], on=True) == []


async def test_a_piece_read_on_keeps_to_its_size(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PIECE_BYTES", 1_000)
    monkeypatch.setattr(batch, "PIECE_EVENTS", 5)
    async with ticking(database_url) as ticks:
        prev = ticks.newest
        await move(database, "first", *(f"large-{n}" for n in range(3)), text="x" * 900)
        await move(database, "huge", text="x" * 2_000)
        await move(database, *(f"small-{n}" for n in range(3)))
        await ticks.pool.fetchval("SELECT log.tick()")
        cur = await ticks.last()
        sizes = [len(piece) for piece in await pieces_of(ticks, prev, cur, ALL_SLOTS, None, on=True)]
    assert sizes == [1, 1, 1, 1, 1, 3]


async def test_reading_on_looks_only_at_a_range_of_ids_whatever_the_statistics_say(
    database: Database, database_url: str, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Without any, an index on all of an epoch seems to be as good."""
    asked = "(1, '5:5:', '9:9:', 10, 1010, 0::smallint, 15::smallint, NULL, 1000, 1000000)"
    types = "int, text, text, bigint, bigint, smallint, smallint, text[], bigint, bigint"
    async with ticking(database_url) as ticks:
        await move(database, *(f"thing-{n}" for n in range(3_000)))
        for analyze in (None, "ANALYZE probe.event"):
            if analyze:
                await superuser.execute(analyze)
            async with ticks.pool.acquire() as reader:
                await reader.execute(f"PREPARE range ({types}) AS {batch._RANGE.format(schema='probe')}")
                plan = "\n".join(row[0] for row in await reader.fetch(f"EXPLAIN EXECUTE range {asked}"))
                await reader.execute("DEALLOCATE range")
            assert re.search(r"Index Cond: \(\(id > \S+\) AND \(id <= \S+\)\)", plan)
            assert "xid_idx" not in plan
            assert "Seq Scan" not in plan


class Reads:
    """Counts what is read, and of what is read on `fails` so often first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int = 0) -> None:
        self.counted, self.on, self._fails = 0, 0, fails
        monkeypatch.setattr(consumer, "read_piece", self._count)
        monkeypatch.setattr(reading, "read_piece", self._count)
        monkeypatch.setattr(consumer, "read_on", self._read_on)

    async def _count(self, *args: Any, **options: Any) -> Piece:
        self.counted += 1
        return await read_piece(*args, **options)

    async def _read_on(self, *args: Any, **options: Any) -> Piece:
        self.on += 1
        if self.on <= self._fails:
            raise ConnectionError("lost")
        return await read_on(*args, **options)


async def in_one_tick(database: Database, ticks: Ticks, things: Sequence[str]) -> None:
    """All of them moved, and nobody ticks before they have."""
    database.on_events = lambda: None
    async with database.transaction() as tx:
        for thing in things:
            await moved(tx, thing)
    database.on_events = ticks.poke
    ticks.poke()


async def test_who_has_many_pieces_between_two_ticks_counts_them_once(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PIECE_EVENTS", 10)
    reads = Reads(monkeypatch)
    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, RECORD)
        await in_one_tick(database, ticks, THINGS)
        async with running(consumer_of(database, ticks, RECORD, place, new_id())):
            assert [key for key, _ in await effects(database, len(THINGS))] == THINGS
    assert (reads.counted, reads.on) == (1, 9)


async def test_a_reading_on_that_fails_is_done_again_and_nothing_twice(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PIECE_EVENTS", 10)
    monkeypatch.setattr(consumer, "BACK_OFF_S", (0.01,))
    reads = Reads(monkeypatch, fails=2)
    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, RECORD)
        await in_one_tick(database, ticks, THINGS)
        async with running(consumer_of(database, ticks, RECORD, place, new_id())):
            assert await effects(database, len(THINGS)) == [(thing, 1) for thing in THINGS]
    assert reads.counted == 3, "once more after each failure"
    assert await database.fetchval("SELECT count(*) FROM effect") == len(THINGS)


async def test_behind_a_crowd_nothing_is_read_ahead_and_each_is_taken_once(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(right_of_way, "CROWD_S", float("inf"))
    monkeypatch.setattr(right_of_way, "REST", 0)
    monkeypatch.setattr(right_of_way, "FEW", 4)
    monkeypatch.setattr(batch, "PIECE_EVENTS", 10)
    sizes: list[int] = []
    tasks: list[Position] = []

    async def taken(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
        sizes.append(len(events))
        await record(tx, events)

    monkeypatch.setattr(Ahead, "read", lambda _self, position, _reading: tasks.append(position))
    way = RightOfWay()
    for _ in range(right_of_way.CROWD):
        way.come()
    group = Group("recorder", (on(ProbeMoved, taken),))
    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, group)
        await in_one_tick(database, ticks, THINGS)
        worker = Consumer(database, ticks, Application(database, group), place, new_id(), way=way)
        async with running(worker):
            assert await effects(database, len(THINGS)) == [(thing, 1) for thing in THINGS]
    assert sizes == [4, 4, 2] * 9 + [4, 1]
    assert tasks == []


async def test_what_was_read_ahead_is_forgotten_when_the_place_is_split(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PIECE_EVENTS", 10)
    monkeypatch.setattr(consumer, "STANDBY_S", 0.05)
    under_way, done = asyncio.Event(), asyncio.Event()
    pieces = 0

    async def taken(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            under_way.set()
            await done.wait()
        await record(tx, events)

    group = Group("recorder", (on(ProbeMoved, taken),))
    lower = [thing for thing in THINGS if slot_of(thing) < 7]
    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, group)
        await in_one_tick(database, ticks, THINGS)
        async with running(consumer_of(database, ticks, group, place, new_id())):
            await under_way.wait()
            await split(database, ticks, place, 7)
            done.set()
            first = THINGS[:20] + [thing for thing in THINGS[20:] if thing in lower]
            assert [key for key, _ in await effects(database, len(first))] == first
        (upper,) = [place for place in await register(database, ticks, group) if place.slots == (7, 15)]
        async with running(consumer_of(database, ticks, group, upper, new_id())):
            assert sorted(await effects(database, len(THINGS))) == [(thing, 1) for thing in THINGS]


async def test_what_was_read_ahead_is_for_its_position_alone() -> None:
    ahead, here, there = Ahead(), Position(1, "a", 2, 10), Position(1, "a", 2, 20)
    assert await ahead.at(here) is None
    ahead.keep(here, NOTHING)
    assert await ahead.at(there) is None
    assert await ahead.at(here) is NOTHING
    assert await ahead.at(here) is None
    ahead.keep(here, NOTHING)
    await ahead.drop()
    assert await ahead.at(here) is None


async def test_a_reading_ahead_that_fails_tells_whoever_comes_there() -> None:
    async def lost() -> Any:
        raise ConnectionError("lost")

    ahead, here = Ahead(), Position(1, "a", 2, 10)
    ahead.read(here, lost())
    with pytest.raises(ConnectionError, match="lost"):
        await ahead.at(here)


async def test_a_reading_ahead_that_failed_and_that_nobody_needs_is_not_complained_of() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))

    async def lost() -> Any:
        raise ConnectionError("lost")

    ahead = Ahead()
    ahead.read(Position(1, "a", 2, 10), lost())
    await asyncio.sleep(0)
    await ahead.drop()
    del ahead
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_reading_ahead_that_nobody_needs_ends() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    ahead = Ahead()
    ahead.read(Position(1, "a", 2, 10), endless())
    await begun.wait()
    await ahead.drop()
    assert ended.is_set()
