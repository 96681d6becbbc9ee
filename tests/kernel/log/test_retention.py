"""Old events and ticks go, but never what a reader needs; and there is always room for new ones."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.kernel.log.probing import RECORD, caught_up, consuming, effects, move, record, ticking, until, with_handler
from tradepost.kernel.database import Database
from tradepost.kernel.log import retention
from tradepost.kernel.log.consumer import register
from tradepost.kernel.log.retention import IDS_AHEAD, KEPT_AT, Kept, keep
from tradepost.kernel.tasks import end

LATER = timedelta(days=31)
SIZE = 10
PARTITIONS = "SELECT name FROM log.partitions('probe')"


@pytest.fixture
async def small(superuser: "asyncpg.Connection[Any]") -> "asyncpg.Connection[Any]":
    """The log of `probe` in partitions of ten ids."""
    for row in await superuser.fetch(PARTITIONS):
        await superuser.execute(f"DROP TABLE probe.{row['name']}")
    await superuser.execute("DELETE FROM log.source WHERE name <> 'probe'; SELECT log.add_source('probe')")
    await superuser.fetchval("SELECT log.extend('probe', $1, 1)", SIZE)
    return superuser


async def names(connection: "asyncpg.Connection[Any]") -> list[str]:
    return [row["name"] for row in await connection.fetch(PARTITIONS)]


async def fill(db: Database, url: str, events: int) -> None:
    for n in range(events):
        await move(db, f"thing-{n}")
        if n % 5 == 4:
            await keep(url, datetime.now(UTC), size=SIZE)


async def test_partitions_are_made_ahead_of_the_ids_that_were_drawn(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    assert await names(small) == ["event_0", "event_10"]
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with database.transaction() as tx:
            for _ in range(2):
                await tx.execute("SELECT nextval('event_id_seq') FROM generate_series(1, 8)")
            raise ZeroDivisionError  # rolled back, and yet the ids are gone
    await keep(database_url, datetime.now(UTC), size=SIZE)

    assert await names(small) == ["event_0", "event_10", "event_20"]
    assert IDS_AHEAD.labels("probe")._value.get() == 29 - 16
    await move(database, *"abcdefghijklm")


async def test_a_log_without_a_partition_ahead_raises_an_alarm(
    database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    await small.execute("SELECT setval('probe.event_id_seq', 15); CREATE TABLE probe.event_20 ()")  # in the way
    with capture_logs() as logs:
        await keep(database_url, datetime.now(UTC), size=SIZE)
    (alarm,) = [line for line in logs if line["event"] == "no_partition_ahead"]
    assert (alarm["log_level"], alarm["source"], alarm["ids_ahead"]) == ("error", "probe", 4)
    assert IDS_AHEAD.labels("probe")._value.get() == 4


async def test_partitions_are_made_while_a_writer_stays_open(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO event (event_id, type, key, slot, sequence, at, correlation_id, bytes, data)"
            " VALUES (gen_random_uuid(), 'x', 'x', 0, 1, now(), 'x', 2, '{}')"
        )
        await small.execute("SET lock_timeout = '1s'; SELECT setval('probe.event_id_seq', 15)")
        assert await small.fetchval("SELECT log.extend('probe', $1, 1)", SIZE) == 1


async def test_old_partitions_that_everyone_has_read_are_dropped(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    await fill(database, database_url, 25)
    await caught_up(database, database_url)
    assert (await keep(database_url, datetime.now(UTC), size=SIZE)).dropped == ()

    kept = await keep(database_url, datetime.now(UTC) + LATER, size=SIZE)

    assert kept.dropped == ("probe.event_0", "probe.event_10")
    assert await names(small) == ["event_20", "event_30"]
    assert await small.fetchval("SELECT to_regclass('probe.event_0') IS NULL")
    async with consuming(database, database_url, RECORD):
        await move(database, *"abc")
        assert len(await effects(database, 28)) == 28


async def test_nothing_is_dropped_that_a_reader_has_not_read(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    await fill(database, database_url, 12)
    await caught_up(database, database_url)
    await fill(database, database_url, 13)
    with capture_logs() as logs:
        kept = await keep(database_url, datetime.now(UTC) + LATER, size=SIZE)
    assert kept.dropped == ("probe.event_0",)  # in the second stands what the reader has not seen
    assert [(line["source"], line["group"]) for line in logs if line["event"] == "reader_silent"] == [
        ("probe", "recorder")
    ]
    async with consuming(database, database_url, RECORD):
        assert len(await effects(database, 25)) == 25


async def test_a_round_that_was_cut_off_is_finished_by_the_next(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    await fill(database, database_url, 15)
    await small.execute("ALTER TABLE probe.event DETACH PARTITION probe.event_0")
    await keep(database_url, datetime.now(UTC), size=SIZE)
    assert await small.fetchval("SELECT to_regclass('probe.event_0') IS NULL")


async def test_old_ticks_are_thinned_and_a_new_group_still_reads_everything(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    async with ticking(database_url) as ticks:
        await register(database, ticks, RECORD)
        for n in range(8):
            await move(database, f"thing-{n}")
            await ticks.pool.fetchval("SELECT log.tick()")
    now = datetime.now(UTC) + timedelta(hours=2)
    await small.execute("UPDATE log.tick SET id = id * 50 WHERE id > 1")
    assert (await keep(database_url, now, size=SIZE)).ticks == 0  # a reader stands at the first
    await caught_up(database, database_url)
    assert (await keep(database_url, datetime.now(UTC), size=SIZE)).ticks == 0  # all are younger than an hour

    assert (await keep(database_url, now, size=SIZE)).ticks == 3

    assert await ticks_left(small) == [1, 100, 200, 300, 400, 450]
    async with consuming(database, database_url, with_handler(record, "another")):
        assert [key for key, _ in (await effects(database, 16))[8:]] == [f"thing-{n}" for n in range(8)]


async def test_ticks_from_before_the_oldest_event_go_but_for_the_first(
    database: Database, database_url: str, small: "asyncpg.Connection[Any]"
) -> None:
    await fill(database, database_url, 3)
    await caught_up(database, database_url)
    await small.execute("UPDATE log.tick SET id = id * 100, at = at - interval '30 days' WHERE id > 1")
    await move(database, "a")
    await small.execute("UPDATE probe.cursor SET tick = tick * 100")
    await caught_up(database, database_url)

    await keep(database_url, datetime.now(UTC), size=SIZE)

    left = await ticks_left(small)
    assert (left[0], len(left)) == (1, 2)
    async with consuming(database, database_url, with_handler(record, "another")):
        assert len(await effects(database, 8)) == 8


async def test_when_the_logs_were_last_seen_to_is_told(
    database_url: str, small: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.01)
    kept_at = KEPT_AT.labels(_label(database_url))._value
    rounds = asyncio.create_task(retention.keep_for_ever(database_url))
    try:
        await asyncio.sleep(0)
        started = kept_at.get()
        await until(lambda: later(kept_at, started))
        await small.execute("DROP TABLE log.reader CASCADE")
        with capture_logs() as logs:
            await until(lambda: failed(logs))
            before = kept_at.get()
            logs.clear()
            await until(lambda: failed(logs))
        assert kept_at.get() == before
    finally:
        await end([rounds])


async def test_who_leaves_the_logs_to_another_process_does_not_tell_that_they_were_seen_to(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.01)
    rounds = 0

    async def kept(url: str, now: datetime) -> Kept:
        nonlocal rounds
        rounds += 1
        return await keep(url, now)

    monkeypatch.setattr(retention, "keep", kept)
    await superuser.execute("SELECT pg_advisory_lock($1)", retention.LOCK)
    keeping = asyncio.create_task(retention.keep_for_ever(database_url))
    try:
        await asyncio.sleep(0)
        started = KEPT_AT.labels(_label(database_url))._value.get()

        async def twice() -> bool:
            return rounds > 2

        await until(twice)
        assert KEPT_AT.labels(_label(database_url))._value.get() == started
    finally:
        await end([keeping])


def _label(database_url: str) -> str:
    parts = urlsplit(database_url)
    return f"{parts.netloc.rpartition('@')[2] or 'local'}{parts.path}"


async def later(kept_at: Any, than: float) -> bool:
    return bool(kept_at.get() > than)


async def failed(logs: Sequence[Any]) -> bool:
    return any(line["event"] == "retention_failed" for line in logs)


async def ticks_left(connection: "asyncpg.Connection[Any]") -> list[int]:
    return [row["id"] for row in await connection.fetch("SELECT id FROM log.tick ORDER BY id")]
