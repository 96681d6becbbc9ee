"""The clock of the log: what a tick shows and what it names belong together."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.kernel.log.probing import RECORD, consuming, effects, move, reading, someone_waits, ticking, until
from tradepost.kernel.database import Database
from tradepost.kernel.log.ticks import Rebased

SLOW_SOURCE = """
CREATE SCHEMA slow;
CREATE TABLE slow.happened (epoch int DEFAULT 1, xid xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION slow.waits() RETURNS boolean LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1); RETURN true; END';
CREATE VIEW slow.event AS SELECT * FROM slow.happened WHERE slow.waits();
INSERT INTO log.source VALUES ('slow');
SELECT log.add_source('probe');
INSERT INTO slow.happened DEFAULT VALUES;
"""


async def test_an_event_that_commits_while_a_tick_looks_for_news_is_not_passed_over(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    await superuser.execute(SLOW_SOURCE)
    await superuser.execute("SELECT pg_advisory_lock(1)")
    async with reading(database_url) as pool:
        ticking_now = asyncio.create_task(pool.fetchval("SELECT log.tick()"))
        await until(lambda: someone_waits(superuser))  # it has looked at `probe` already
        await move(database, "in-between")
        await superuser.execute("SELECT pg_advisory_unlock(1)")
        tick = await ticking_now
        shown = await superuser.fetchval(
            "SELECT pg_visible_in_snapshot(event.xid, snapshot) FROM log.tick, probe.event WHERE tick.id = $1", tick
        )
        named = await superuser.fetchval("SELECT 'probe' = ANY (sources) FROM log.tick WHERE id = $1", tick)
    assert (tick, shown, named) == (2, False, False)

    async with consuming(database, database_url, RECORD):
        assert await effects(database, 1) == [("in-between", 1)]


async def test_only_a_tick_notifies(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    heard: list[str] = []
    await superuser.add_listener("tradepost_tick", lambda *args: heard.append(args[-1]))
    functions = await superuser.fetch(
        "SELECT proname FROM pg_proc WHERE prosrc ~* 'notify'"
        " AND pronamespace::regnamespace::text NOT IN ('pg_catalog', 'extension')"
    )
    await move(database, "a", "b")
    await superuser.execute("SELECT 1")
    assert heard == []

    async with reading(database_url) as pool:
        assert [await pool.fetchval("SELECT log.tick()") for _ in range(2)] == [2, None]
        await until(lambda: _eventually(superuser, heard))

    assert heard == ["2"]
    assert {row["proname"] for row in functions} == {"make_tick", "open_epoch"}


async def _eventually(superuser: "asyncpg.Connection[Any]", heard: list[str]) -> bool:
    await superuser.execute("SELECT 1")
    return bool(heard)


async def test_a_tick_refuses_a_snapshot_older_than_its_lock(superuser: "asyncpg.Connection[Any]") -> None:
    with pytest.raises(asyncpg.RaiseError, match="READ COMMITTED"):
        async with superuser.transaction(isolation="repeatable_read"):
            await superuser.fetchval("SELECT log.tick()")


async def test_a_tick_is_flushed_even_where_commits_are_not(
    database: Database, superuser: "asyncpg.Connection[Any]"
) -> None:
    await superuser.execute("SET synchronous_commit = off")
    async with superuser.transaction():
        await superuser.fetchval("SELECT log.tick()")
        assert await superuser.fetchval("SHOW synchronous_commit") == "on"


async def test_an_idle_database_makes_no_ticks_and_draws_no_transaction_ids(
    superuser: "asyncpg.Connection[Any]",
) -> None:
    async with superuser.transaction():
        assert await superuser.fetchval("SELECT log.tick()") is None
        assert await superuser.fetchval("SELECT pg_current_xact_id_if_assigned()") is None


async def test_a_log_that_is_exchanged_while_we_run_stops_its_readers(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    await move(database, "a")
    async with consuming(database, database_url, RECORD) as at:
        await effects(database, 1)
        await superuser.execute("UPDATE log.tick SET uuid = gen_random_uuid()")
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'tradepost_log'"
        )

        async def stopped() -> bool:
            return at.consumers[0].stopped is not None

        await until(stopped)
    with pytest.raises(Rebased, match="start again"):
        _ = at.ticks.newest


async def test_where_ticks_were_thinned_reading_goes_on_with_those_that_are_left(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    async with ticking(database_url) as ticks:
        first = await ticks.first()
        for n in range(3):
            await move(database, f"thing-{n}")
            await ticks.after(first.id + n)
        await superuser.execute("UPDATE log.tick SET id = id * 1000 WHERE id > 1")
    async with ticking(database_url) as ticks:
        second = await ticks.beyond(first, 100)
        assert [first.id, second.id, (await ticks.beyond(second, 100)).id] == [1, 2000, 3000]
    async with consuming(database, database_url, RECORD):
        assert await effects(database, 3) == [("thing-0", 1), ("thing-1", 1), ("thing-2", 1)]
