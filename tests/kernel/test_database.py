"""One transaction, and the events that come true with it."""

import asyncio
from typing import Any, ClassVar

import asyncpg
import pytest

from tests import databases
from tests.patience import PATIENCE_S
from tradepost.kernel import database as module
from tradepost.kernel.database import CommitUnknown, Database, Tx, connect
from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.session import SESSION

CAUSE = Cause("test")


class ProbeSaid(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = "probe.said"
    key_field: ClassVar[str] = "word"
    word: str


def say(tx: Tx, word: str) -> None:
    tx.append(ProbeSaid(word=word), sequence=1, cause=CAUSE)


async def said(db: Database) -> list[str]:
    return [row["key"] for row in await db.fetch("SELECT key FROM event ORDER BY id")]


async def test_a_part_that_fails_takes_its_events_along_and_no_others(database: Database) -> None:
    async with database.transaction() as tx:
        say(tx, "before")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with tx.savepoint():
                say(tx, "lost")
                await tx.settle()  # `before` is inserted, too, and has to come back
                say(tx, "lost-too")
                raise ZeroDivisionError
        async with tx.savepoint():
            say(tx, "kept")
            await tx.settle()
        say(tx, "after")
    assert await said(database) == ["before", "kept", "after"]


async def test_settling_finds_what_would_fail_at_the_commit(
    database: Database, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await superuser.execute("ALTER TABLE probe.thing ADD CONSTRAINT one UNIQUE (version) DEFERRABLE INITIALLY DEFERRED")
    async with database.transaction() as tx:
        with pytest.raises(asyncpg.UniqueViolationError):  # noqa: PT012
            async with tx.savepoint():
                await tx.execute("INSERT INTO thing VALUES ('a', 1), ('b', 1)")
                await tx.settle()
        await tx.execute("INSERT INTO thing VALUES ('a', 1), ('b', 1)")
        await tx.execute("UPDATE thing SET version = 2 WHERE key = 'b'")  # deferred again
    assert [row["key"] for row in await database.fetch("SELECT key FROM thing ORDER BY key")] == ["a", "b"]


async def test_events_that_were_settled_early_still_wake_the_ticker(database: Database) -> None:
    poked: list[bool] = []
    database.on_events = lambda: poked.append(True)
    async with database.transaction() as tx:
        say(tx, "early")
        await tx.settle()
    assert poked == [True]


async def test_nothing_is_published_by_a_transaction_that_fails(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with database.transaction() as tx:
            say(tx, "lost")
            raise ZeroDivisionError
    assert await said(database) == []


async def test_a_connection_lost_at_the_commit_leaves_the_outcome_open(
    database: Database, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    with pytest.raises(CommitUnknown):  # noqa: PT012
        async with database.transaction() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            say(tx, "perhaps")
            await tx.flush()
            await superuser.execute("SELECT pg_terminate_backend($1)", pid)
    async with database.transaction() as tx:
        say(tx, "again")
    assert await said(database) == ["again"]


async def test_why_a_transaction_failed_is_not_hidden_by_its_lost_connection(
    database: Database, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with database.transaction() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            await superuser.execute("SELECT pg_terminate_backend($1, 2000)", pid)
            raise ZeroDivisionError


async def test_a_session_has_the_isolation_and_the_time_out_that_the_log_relies_on(database: Database) -> None:
    assert await database.fetchval("SHOW default_transaction_isolation") == "read committed"
    assert await database.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"
    assert await database.fetchval("SHOW statement_timeout") == "70s"
    assert await database.fetchval("SHOW transaction_timeout") == "5min"


async def test_a_process_that_is_paused_between_preparing_a_statement_and_executing_it_loses_its_locks(
    database_url: str, superuser: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"idle_in_transaction_session_timeout": "2s", "transaction_timeout": "5s"}
    monkeypatch.setattr(module, "SESSION", {**SESSION, **limits})
    async with connect(url_as(database_url, role_of("probe"), databases.SECRET), "probe") as paused:
        with pytest.raises((asyncpg.InterfaceError, asyncpg.InternalClientError)):  # noqa: PT012
            async with paused.transaction() as tx:
                await tx.execute("SELECT pg_advisory_xact_lock(1)")
                statement = await tx._connection.prepare("SELECT 1")
                async with asyncio.timeout(PATIENCE_S):
                    await superuser.execute("SELECT pg_advisory_xact_lock(1)")
                await statement.fetchval()


@pytest.mark.parametrize(
    "values",
    [["a", None, 'quote " \\ {}'], ("a", "b"), [["a", "b"], ["c", "d"]], []],
    ids=["list", "tuple", "two", "none"],
)
async def test_arrays_arrive_as_they_were_given(database: Database, values: Any) -> None:
    found = await database.fetchval("SELECT $1::text[]", values)
    assert found == [list(row) if isinstance(row, list) else row for row in values]
