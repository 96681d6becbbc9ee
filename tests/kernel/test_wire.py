"""BEGIN and COMMIT travel with statements, and nobody can tell but by the number of packets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests import databases
from tests.kernel.log.probing import someone_waits, until
from tests.kernel.test_database import said, say
from tests.kernel.test_writes import keep, kept
from tradepost.kernel.database import CommitUnknown, Database, connect
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.wire import BIND, SYNC, Wire

LOCK = "SELECT pg_advisory_xact_lock($1)"
WAIT = "INSERT INTO thing (key, version) SELECT $1, 1 WHERE pg_advisory_xact_lock(7) IS NOT NULL"
OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'tradepost_probe' AND state LIKE 'idle in transaction%'
"""


@pytest.fixture
async def one(database_url: str) -> AsyncIterator[Database]:
    """A database with one connection, so that each transaction inherits what the one before it has left."""
    async with connect(url_as(database_url, role_of("probe"), databases.SECRET), "probe", transactions=1) as db:
        yield db


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Those that the server has to answer."""
    sent: list[bytes] = []
    write = Wire.write

    def noted(wire: Wire, data: Any) -> None:
        if data[0] == ord("Q") or bytes(data[-len(SYNC) :]) == SYNC:
            sent.append(bytes(data))
        write(wire, data)

    monkeypatch.setattr(Wire, "write", noted)
    return sent


async def work(db: Database, *words: str) -> None:
    """Lock something, then write and publish something."""
    async with db.transaction() as tx:
        await tx.fetchval(LOCK, 1)
        keep(tx, *words)
        say(tx, words[0])


async def test_what_locks_and_then_writes_takes_two_round_trips(one: Database, packets: list[bytes]) -> None:
    await work(one, "a")
    packets.clear()
    await work(one, "b")
    assert [packet[0] for packet in packets] == [BIND, BIND]
    assert (await kept(one), await said(one)) == (["a", "b"], ["a", "b"])


async def test_what_was_locked_is_locked_until_all_is_written(one: Database, superuser: Any) -> None:
    async with one.transaction() as tx:
        await tx.fetchval(LOCK, 7)
        keep(tx, "a")
        assert not await superuser.fetchval("SELECT pg_try_advisory_xact_lock(7)")
    assert await superuser.fetchval("SELECT pg_try_advisory_xact_lock(7)")


@pytest.mark.parametrize("events", [0, 1, 40])
async def test_a_last_write_that_fails_leaves_nothing_and_a_connection_that_is_as_new(
    one: Database, superuser: Any, events: int
) -> None:
    for _ in range(2):  # prepared and not
        with pytest.raises(asyncpg.NotNullViolationError):  # noqa: PT012
            async with one.transaction() as tx:
                await tx.execute("INSERT INTO thing (key, version) VALUES ($1, 1)", "lost")
                tx.later("INSERT INTO thing (key, version) VALUES ($1, NULL)", "wrong")
                for _ in range(events):
                    say(tx, "lost")
    assert await superuser.fetchval(OPEN) == 0
    await work(one, "kept")
    assert (await kept(one), await said(one)) == (["kept"], ["kept"])
    assert await one.fetchval("SELECT count(*) FROM thing") == 0


async def test_what_only_the_commit_finds_leaves_nothing_either(one: Database, superuser: Any) -> None:
    await superuser.execute("ALTER TABLE probe.thing ADD CONSTRAINT one UNIQUE (version) DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(asyncpg.UniqueViolationError):  # noqa: PT012
        async with one.transaction() as tx:
            await tx.execute("INSERT INTO thing (key, version) VALUES ($1, 1)", "a")
            tx.later("INSERT INTO thing (key, version) VALUES ($1, 1)", "b")
    await work(one, "kept")
    assert (await one.fetchval("SELECT count(*) FROM thing"), await kept(one)) == (0, ["kept"])


async def test_a_type_that_has_to_be_asked_for_does_not_end_it_early(one: Database, superuser: Any) -> None:
    await superuser.execute("CREATE TYPE probe.mood AS ENUM ('fine'); CREATE TABLE probe.felt (mood probe.mood UNIQUE)")
    await superuser.execute("GRANT ALL ON probe.felt TO tradepost_probe; INSERT INTO probe.felt VALUES ('fine')")
    with pytest.raises(asyncpg.UniqueViolationError):  # noqa: PT012
        async with one.transaction() as tx:
            await tx.execute("INSERT INTO thing (key, version) VALUES ($1, 1)", "lost")
            tx.later("INSERT INTO felt SELECT * FROM unnest($1::mood[])", ["fine"])
    assert await one.fetchval("SELECT count(*) FROM thing") == 0


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_an_argument_that_cannot_be_sent_is_the_statements_fault(one: Database, first: bool) -> None:
    with pytest.raises(asyncpg.DataError):  # noqa: PT012
        async with one.transaction() as tx:
            if first:
                await tx.fetchval(LOCK, "not a number")
            await tx.fetchval(LOCK, 1)
            keep(tx, "lost")
            tx.later("INSERT INTO thing (key, version) VALUES ($1, $2)", "x", "not a number")
    await work(one, "kept")
    assert await kept(one) == ["kept"]


async def test_a_statement_that_could_not_be_sent_has_begun_nothing(one: Database, superuser: Any) -> None:
    async with one.transaction() as tx:
        with pytest.raises(asyncpg.DataError):
            await tx.fetchval(LOCK, "not a number")
        keep(tx, "a")
        for n in range(40):
            say(tx, f"word-{n}")
    assert await superuser.fetchval(OPEN) == 0
    assert (await kept(one), len(await said(one))) == (["a"], 40)


@pytest.mark.parametrize("last", [True, False], ids=["last", "first"])
async def test_whoever_gives_up_leaves_nothing_open(one: Database, superuser: Any, last: bool) -> None:
    async def begin() -> None:
        async with one.transaction() as tx:
            if last:
                await tx.execute("INSERT INTO thing (key, version) VALUES ($1, 1)", "lost")
                tx.later(WAIT, "lost, too")
            else:
                await tx.execute(WAIT, "lost")

    async with superuser.transaction():
        await superuser.execute("SELECT pg_advisory_xact_lock(7)")
        task = asyncio.create_task(begin())
        await until(lambda: someone_waits(superuser))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await work(one, "kept")
    assert await superuser.fetchval(OPEN) == 0
    assert (await one.fetchval("SELECT count(*) FROM thing"), await kept(one)) == (0, ["kept"])


async def test_a_connection_lost_while_it_writes_and_commits_leaves_the_outcome_open(
    one: Database, superuser: Any
) -> None:
    pid = 0

    async def begin() -> None:
        nonlocal pid
        async with one.transaction() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid() + $1", 0)
            tx.later(WAIT, "perhaps")

    async with superuser.transaction():
        await superuser.execute("SELECT pg_advisory_xact_lock(7)")
        task = asyncio.create_task(begin())
        await until(lambda: someone_waits(superuser))
        await superuser.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(CommitUnknown):
            await task
    await work(one, "kept")
    assert await kept(one) == ["kept"]
