"""A dump restored into another cluster, whose transaction ids start low again."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests import databases
from tests.kernel.log.probing import (
    RECORD,
    caught_up,
    consuming,
    effects,
    move,
    moved,
    reading,
    record,
    until,
    with_handler,
)
from tradepost.kernel import postgres
from tradepost.kernel.database import Database, connect
from tradepost.kernel.log.rebase import Moved, Rebasing, rebase
from tradepost.kernel.log.ticks import Rebased, Ticks
from tradepost.kernel.migrate import migrate, role_of, url_as
from tradepost.kernel.postgres.account import account_for
from tradepost.kernel.postgres.installation import find_installation

BURN = "DO $$ BEGIN FOR n IN 1..6000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty cluster's database."""
    server = postgres.start(tmp_path / "data", fsync=False)
    yield server.url
    server.stop()


def copy(source: str, target: str, folder: Path) -> None:
    programs = find_installation(account_for(folder / "data" / "postgres"))
    dump = str(folder / "dump")
    subprocess.run([programs.program("pg_dump"), "-Fc", "-f", dump, "-d", source], check=True)
    restore = [programs.program("pg_restore"), "--no-owner", "--no-privileges", "--exit-on-error", "-d", target, dump]
    subprocess.run(restore, check=True)


async def test_after_a_restore_elsewhere_nothing_is_lost_or_twice_or_out_of_order(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]", elsewhere: str, tmp_path: Path
) -> None:
    await superuser.execute(BURN)
    await move(database, "a", "b", "c")
    async with database.transaction() as late:
        await moved(late, "late")
        await late.flush()
        await caught_up(database, database_url)  # its tick shows `late` as in flight
    await move(database, "a", "b")
    await superuser.fetchval("SELECT log.tick()")
    await move(database, "a", "c")  # in no tick
    copy(database_url, elsewhere, tmp_path)
    await migrate(elsewhere, [("probe", "tests.probe")], databases.SECRET)

    async with reading(elsewhere) as pool:
        with pytest.raises(Rebased, match="run `tradepost log rebase` before anything else"):
            await Ticks(pool).start()
    await hides_new_events(elsewhere)

    assert await rebase(elsewhere) == Rebasing(2, ())
    assert await rebase(elsewhere) == Rebasing(None, ())

    again = with_handler(record, "another")
    async with (
        connect(url_as(elsewhere, role_of("probe"), databases.SECRET), "probe") as restored,
        consuming(restored, elsewhere, RECORD),
    ):
        await move(restored, "a", "b", "c", "late")
        seen = await effects(restored, 12)
        assert sorted(seen) == sorted(
            [(key, n) for key in "abc" for n in range(1, {"a": 5, "b": 4, "c": 4}[key])] + [("late", 1), ("late", 2)]
        )
        assert_in_order(seen)
        epochs = await restored.fetch("SELECT epoch, count(*) FROM event GROUP BY epoch ORDER BY epoch")
        assert [tuple(row.values()) for row in epochs] == [(1, 8), (2, 4)]
        async with consuming(restored, elsewhere, again):
            anew = (await effects(restored, 24))[12:]
        assert sorted(anew) == sorted(seen)
        assert_in_order(anew)


async def hides_new_events(url: str) -> None:
    """Without a rebase: the id of the new transaction is one that the last tick has behind it."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO probe.event (event_id, type, key, slot, sequence, at, correlation_id, bytes,"
        " data) VALUES (gen_random_uuid(), 'x', 'x', 0, 1, now(), 'x', 2, '{}')"
    )
    assert await connection.fetchval("SELECT max(xid) > pg_current_xact_id() FROM probe.event")
    assert await connection.fetchval(
        "SELECT pg_current_xact_id() < pg_snapshot_xmin(snapshot) FROM log.tick ORDER BY id DESC LIMIT 1"
    )
    await transaction.rollback()
    await connection.close()


def assert_in_order(seen: Any) -> None:
    for thing in {key for key, _ in seen}:
        mine = [sequence for key, sequence in seen if key == thing]
        assert mine == list(range(1, len(mine) + 1))


async def test_a_cursor_beyond_the_restored_log_goes_on_with_what_is_new(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    await move(database, "a", "b")
    await caught_up(database, database_url)
    await database.fetch("UPDATE cursor SET tick = 57, tick_uuid = gen_random_uuid()")
    async with database.transaction() as early:  # has its id from before, and publishes after
        await early.execute("INSERT INTO thing VALUES ('other', 1)")
        assert await rebase(database_url) == Rebasing(2, (Moved("probe", "recorder", 0, 57),))
        await moved(early, "a")
    async with consuming(database, database_url, RECORD):
        await move(database, "a", "b")
        seen = await effects(database, 5)
    assert_in_order(seen)
    assert sorted(seen) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert await superuser.fetchval("SELECT min(tick) FROM log.reader") > 1


async def test_cursors_in_other_databases_are_moved_along(database: Database, database_url: str, server: str) -> None:
    other = await databases.create(server)
    try:
        connection = await asyncpg.connect(other)
        await connection.execute(
            'INSERT INTO probe.cursor (source, "group", tick, tick_uuid)'
            " VALUES ('probe', 'away', 90, gen_random_uuid()), ('nobody', 'away', 9, gen_random_uuid())"
        )
        outcome = await rebase(database_url, readers=[other])
        rows = await connection.fetch("SELECT source, tick, fence FROM probe.cursor ORDER BY source")
        await connection.close()
    finally:
        await databases.drop(server, other)
    assert outcome == Rebasing(2, (Moved("probe", "away", 0, 90),))
    assert [tuple(row.values()) for row in rows] == [("nobody", 9, 0), ("probe", 2, 1)]


async def test_a_cursor_on_its_way_to_a_lost_tick_is_led_to_the_closing_one(
    database: Database, database_url: str
) -> None:
    await move(database, "a", "b", "c")
    async with consuming(database, database_url, RECORD):
        await effects(database, 3)
    await database.fetch("DELETE FROM effect WHERE key <> 'a'")
    first = await database.fetchval("SELECT min(id) FROM event")
    async with reading(database_url) as pool:
        genesis = await pool.fetchval("SELECT uuid FROM log.tick WHERE id = 1")
    await database.fetch("UPDATE cursor SET tick = 1, tick_uuid = $1, toward = 70, last_id = $2", genesis, first)

    assert await rebase(database_url) == Rebasing(2, ())

    async with consuming(database, database_url, RECORD):
        await move(database, "a")
        assert await effects(database, 4) == [("a", 1), ("b", 1), ("c", 1), ("a", 2)]


async def test_a_source_that_is_added_later_belongs_to_the_present_epoch(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    await superuser.execute("DELETE FROM log.source WHERE name = 'probe'")
    await superuser.fetch("SELECT log.open_epoch()")
    await superuser.fetch("SELECT log.add_source('probe')")
    async with consuming(database, database_url, RECORD):
        await move(database, "a")
        assert await effects(database, 1) == [("a", 1)]
    assert await database.fetchval("SELECT epoch FROM event") == 2


async def test_an_epoch_that_ends_while_consumers_run_costs_them_nothing(
    database: Database, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    async with consuming(database, database_url, RECORD) as at:
        for n in range(6):
            await move(database, "a", "b")
            if n % 2:
                await superuser.fetch("SELECT log.open_epoch()")
        seen = await effects(database, 12)

        async def quiet() -> bool:
            return at.consumers[0].position is not None and at.consumers[0].position.tick == at.ticks.newest.id

        await until(quiet)
    assert_in_order(seen)
    assert len(await database.fetch("SELECT FROM effect")) == 12
