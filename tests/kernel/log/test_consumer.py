"""A place has one owner, its effects are exactly once, and nobody waits for a slow writer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from tests import databases
from tests.kernel.log.probing import (
    RECORD,
    ProbeMoved,
    caught_up,
    consumer_of,
    consuming,
    effects,
    move,
    moved,
    parked,
    record,
    running,
    ticking,
    until,
    with_handler,
)
from tests.patience import PATIENCE_S
from tradepost.kernel import right_of_way
from tradepost.kernel.database import Database, Tx, connect
from tradepost.kernel.events import Event
from tradepost.kernel.log import consumer as module
from tradepost.kernel.log import cursor
from tradepost.kernel.log.batch import PIECE_BYTES, PIECE_EVENTS
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.cursor import Fenced
from tradepost.kernel.log.dispatch import is_retryable
from tradepost.kernel.log.effects import Application
from tradepost.kernel.log.parked import retry
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.right_of_way import CROWD, FEW, RightOfWay

MOVED = Sequence[Event[ProbeMoved]]
KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_a_paused_owner_that_wakes_up_late_changes_nothing(database: Database, database_url: str) -> None:
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def paused_first(db: Consumer, prev: Any, cur: Any, after: int) -> Any:
        piece = await Consumer._read(db, prev, cur, after)
        paused.set()
        await go_on.wait()
        return piece

    async with ticking(database_url) as ticks:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, RECORD)
        old = consumer_of(database, ticks, RECORD, place, "old")
        new = consumer_of(database, ticks, RECORD, place, "new")
        await move(database, "a", "b")
        old._read = lambda *args: paused_first(old, *args)  # type: ignore[method-assign]
        old_task = asyncio.create_task(old.finish())
        await paused.wait()
        async with running(new):
            assert await effects(database, 2) == [("a", 1), ("b", 1)]
            before = await database.fetchrow("SELECT tick, last_id, fence, owner FROM cursor")
            go_on.set()
            with pytest.raises(Fenced):
                await asyncio.wait_for(old_task, PATIENCE_S)
            after = await database.fetchrow("SELECT tick, last_id, fence, owner FROM cursor")
            await move(database, "a")
            assert await effects(database, 3) == [("a", 1), ("b", 1), ("a", 2)]
    assert before == after


async def test_an_owner_that_was_fenced_takes_over_only_when_the_other_is_gone(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STANDBY_S", 0.05)
    async with ticking(database_url) as ticks:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, RECORD)
        old, new = (consumer_of(database, ticks, RECORD, place, owner) for owner in ("old", "new"))
        async with running(old):
            await move(database, "a")
            await effects(database, 1)
            async with running(new):
                await until(lambda: _owned_by(database, "new"))
                old._failures = 0
                for n in range(5):
                    await move(database, "a")
                    await effects(database, 2 + n)
                    assert await _owned_by(database, "new")
            await database.fetch("UPDATE cursor SET seen_at = now() - interval '1 minute'")
            await until(lambda: _owned_by(database, "old"))
            await move(database, "a")
            assert await effects(database, 7) == [("a", n) for n in range(1, 8)]


async def _owned_by(db: Database, owner: str) -> bool:
    return bool(await db.fetchval("SELECT owner = $1 FROM cursor", owner))


async def test_effects_are_exactly_once_though_connections_are_killed_meanwhile(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))

    async def slow(tx: Tx, events: MOVED) -> None:
        await record(tx, events)
        await tx.execute("SELECT pg_sleep(0.005)")

    async with (
        connect(url_as(database_url, role_of("probe"), databases.SECRET), "probe") as writer,
        consuming(database, database_url, with_handler(slow)),
    ):
        for n in range(60):
            try:
                await move(writer, f"thing-{n % 3}")
            except Exception as error:
                assert is_retryable(error), error  # noqa: PT017 - which of them, nobody knows
            finally:
                if n % 6 == 0:
                    await superuser.execute(KILL)
        committed = await superuser.fetchval("SELECT count(*) FROM probe.event")
        seen = await effects(database, committed)
        await asyncio.sleep(0.1)

    assert 30 < committed <= 60
    assert len(seen) == await superuser.fetchval("SELECT count(*) FROM probe.effect") == committed
    for key in ("thing-0", "thing-1", "thing-2"):
        mine = [sequence for thing, sequence in seen if thing == key]
        assert mine == list(range(1, len(mine) + 1))
    assert await superuser.fetchval("SELECT count(*) FROM probe.parked") == 0


async def test_a_piece_holds_at_most_a_thousand_events_and_eight_mebibytes(
    database: Database, database_url: str
) -> None:
    pieces: list[tuple[int, int]] = []

    async def measured(tx: Tx, events: MOVED) -> None:
        pieces.append((len(events), sum(len(event.data.text) for event in events)))
        await tx.execute("INSERT INTO effect SELECT id, 'x', 1 FROM unnest($1::uuid[]) AS id", [e.id for e in events])

    async with database.transaction() as tx:
        await moved(tx, "many")
        for event in list(tx._pending) * (2 * PIECE_EVENTS):
            tx._pending.append(event)
    await move(database, *(["big"] * 5), text="x" * (2 * 1024 * 1024))
    await move(database, "huge", text="x" * (PIECE_BYTES + 1))
    await move(database, "small")
    async with consuming(database, database_url, with_handler(measured)):
        await effects(database, 2 * PIECE_EVENTS + 1 + 7)

    assert [count for count, _ in pieces] == [1000, 1000, 4, 2, 1, 1]
    assert all(size <= PIECE_BYTES for count, size in pieces if count > 1)


@pytest.mark.parametrize("fails", [False, True])
async def test_behind_a_crowd_what_was_read_is_taken_in_small_pieces_each_once(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(right_of_way, "CROWD_S", float("inf"))
    monkeypatch.setattr(right_of_way, "REST", 0)
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))
    failures = [asyncpg.AdminShutdownError("57P01")] if fails else []
    sizes: list[int] = []
    reads: list[int] = []

    async def taken(tx: Tx, events: MOVED) -> None:
        if failures and sizes:
            raise failures.pop()
        sizes.append(len(events))
        await record(tx, events)

    async def counted(prev: Any, cur: Any, after: int) -> Any:
        reads.append(after)
        return await Consumer._read(consumer, prev, cur, after)

    way = RightOfWay()
    for _ in range(CROWD):
        way.come()
    things = [f"thing-{n:04}" for n in range(2 * FEW + 50)]
    async with ticking(database_url) as ticks:
        database.on_events = ticks.poke
        group = with_handler(taken)
        (place,) = await register(database, ticks, group)
        consumer = Consumer(database, ticks, Application(database, group), place, "owner", way=way)
        consumer._read = counted  # type: ignore[method-assign]
        await move(database, *things)
        async with running(consumer):
            assert await effects(database, len(things)) == [(thing, 1) for thing in things]
    assert sizes == [FEW, FEW, 50]
    assert len(reads) == (2 if fails else 1), "read again only after a failure"


async def test_a_place_goes_on_in_the_middle_of_a_tick_after_a_restart(database: Database, database_url: str) -> None:
    async def first_piece(tx: Tx, events: MOVED) -> None:
        if await tx.fetchval("SELECT count(*) FROM effect"):
            raise asyncpg.AdminShutdownError("57P01")
        await record(tx, events)

    await move(database, *(f"thing-{n:04}" for n in range(1_500)))
    async with consuming(database, database_url, with_handler(first_piece)):
        await effects(database, 1_000)
    assert await database.fetchval("SELECT (tick, toward) = (1, 2) AND last_id > 0 FROM cursor")

    async with consuming(database, database_url, RECORD):
        assert await effects(database, 1_500) == [(f"thing-{n:04}", 1) for n in range(1_500)]


async def test_a_slow_writer_delays_only_its_own_events(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    async with consuming(database, database_url, RECORD):
        async with database.transaction() as slow:
            await moved(slow, "slow")
            await slow.flush()
            for n in range(3):
                await move(database, f"quick-{n}")
                await effects(database, n + 1)
        seen = await effects(database, 4)
    assert seen == [("quick-0", 1), ("quick-1", 1), ("quick-2", 1), ("slow", 1)]


async def test_a_busy_place_reports_how_far_it_is_too(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_S", 0.2)
    reported = "SELECT tick FROM log.reader WHERE source = 'probe' AND \"group\" = 'recorder'"
    async with ticking(database_url) as ticks:
        await register(database, ticks, RECORD)
        assert await superuser.fetchval(reported) == 1
    async with consuming(database, database_url, RECORD) as at:

        async def waits_not(_position: Any, _fence: int) -> None:
            raise AssertionError("the test keeps it busy")

        for n in range(40):
            await move(database, "a")
            await effects(database, n + 1)
        assert await superuser.fetchval(reported) > 1
        assert at.consumers[0].stopped is None


async def test_a_cursor_at_an_unknown_tick_stops_its_group_with_a_clear_message(
    database: Database, database_url: str
) -> None:
    await move(database, "a")
    await caught_up(database, database_url)
    await database.fetch("UPDATE cursor SET tick_uuid = gen_random_uuid()")
    await move(database, "a")
    async with consuming(database, database_url, RECORD) as at:

        async def stopped() -> bool:
            return at.consumers[0].stopped is not None

        await until(stopped)
    assert at.consumers[0].stopped == (
        "recorder stands at a tick that the log of probe does not have: it was restored from a backup; "
        "run `tradepost log rebase`"
    )
    assert await database.fetchval("SELECT count(*) FROM effect") == 1


async def test_an_owner_whose_place_is_taken_while_it_works_changes_nothing(
    database: Database, database_url: str
) -> None:
    pieces = 0

    async def usurped(tx: Tx, events: MOVED) -> None:
        nonlocal pieces
        pieces += 1
        await record(tx, events)
        if pieces == 2:  # when it knows that nothing is parked, and moves its place last
            await database.fetch("UPDATE cursor SET fence = fence + 1")

    group = with_handler(usurped)
    async with ticking(database_url) as ticks:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, group)
        working = asyncio.create_task(consumer_of(database, ticks, group, place, "old").finish())
        await move(database, "a")
        await effects(database, 1)
        await move(database, "b")
        with pytest.raises(Fenced):
            await working
        assert await effects(database, 1) == [("a", 1)]
        async with running(consumer_of(database, ticks, RECORD, place, "new")):
            assert await effects(database, 2) == [("a", 1), ("b", 1)]


async def test_what_is_parked_meanwhile_is_looked_for_from_then_on(database: Database, database_url: str) -> None:
    async with consuming(database, database_url, RECORD):
        await move(database, "good")
        await effects(database, 1)
        await move(database, "bad", poison=True)
        await until(lambda: _are_parked(database, 1))
        await move(database, "bad", "good")
        assert await effects(database, 2) == [("good", 1), ("good", 2)]
        assert await parked(database) == [("bad", 1), ("bad", 2)]
        assert await retry(database, with_handler(forgiving), "bad") == 2
        await move(database, "bad")
        await effects(database, 5)


async def _are_parked(db: Database, count: int) -> bool:
    return len(await parked(db)) == count


async def forgiving(tx: Tx, events: MOVED) -> None:
    await record(tx, [msgspec.structs.replace(event, data=ProbeMoved(thing=event.key)) for event in events])


async def test_a_consumer_that_is_cancelled_on_a_dead_connection_ends(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    entered = asyncio.Event()

    async def hang(tx: Tx, events: MOVED) -> None:
        entered.set()
        await asyncio.sleep(60)

    await move(database, "a")
    async with consuming(database, database_url, with_handler(hang)):
        await entered.wait()
        await superuser.execute(KILL)
    assert await superuser.fetchval("SELECT count(*) FROM probe.effect") == 0


async def test_a_claim_answers_the_slots_that_the_place_has_now(database: Database, database_url: str) -> None:
    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, RECORD)
    await database.fetch("UPDATE cursor SET last_slot = 7")
    async with database.transaction() as tx:
        claimed = await cursor.claim(tx, place, "me", by_force=True)
    assert claimed is not None
    assert claimed.slots == (0, 7)
