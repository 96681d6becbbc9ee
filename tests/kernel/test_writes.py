"""Writes that wait for one another go as one, all or none, and nobody can tell but by the number of statements."""

from typing import Any

import asyncpg
import pytest

from tests.kernel.test_database import said, say
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.wire import Wire

INSERT = 'INSERT INTO inbox (event_id, "group") SELECT gen_random_uuid(), word FROM unnest($1::text[]) AS new (word)'
MANY = """
INSERT INTO parked (source, "group", position, key, slot, event, error, tries)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""


def keep(tx: Tx, *words: str, **how: Any) -> None:
    tx.later(INSERT, list(words), **how)


def park(tx: Tx, position: int, **how: Any) -> None:
    tx.later(MANY, "probe", "g", position, "k", 1, "{}", "e", 1, **how)


async def kept(db: Database | Tx) -> list[str]:
    return sorted(row["group"] for row in await db.fetch('SELECT "group" FROM inbox'))


async def parked(db: Database) -> list[int]:
    return [row["position"] for row in await db.fetch("SELECT position FROM parked ORDER BY 1")]


async def test_they_are_one_statement_with_the_events(database: Database) -> None:
    before = database.statements
    async with database.transaction() as tx:
        park(tx, 1)
        keep(tx, "a", "b")
        park(tx, 2, rows=1)
        say(tx, "word")
    assert database.statements == before + 1
    assert (await kept(database), await parked(database), await said(database)) == (["a", "b"], [1, 2], ["word"])


async def test_what_comes_after_them_sees_them(database: Database) -> None:
    async with database.transaction() as tx:
        keep(tx, "a")
        assert await kept(tx) == ["a"]
        keep(tx, "b")
        assert [row["n"] for row in await tx.look("SELECT count(*) AS n FROM inbox")] == [2]


@pytest.mark.parametrize("events", [0, 1, 40])
@pytest.mark.parametrize("begun", [False, True])
async def test_one_that_writes_too_little_takes_all_others_along(database: Database, begun: bool, events: int) -> None:
    async with database.transaction() as tx:
        park(tx, 1)
    with pytest.raises(ZeroDivisionError, match="there already"):  # noqa: PT012
        async with database.transaction() as tx:
            if begun:
                await tx.execute("SELECT 1")
            keep(tx, "a")
            park(tx, 1, rows=1, otherwise=ZeroDivisionError("there already"))
            for at in range(events):
                say(tx, f"word-{at}")
    assert (await kept(database), await parked(database), await said(database)) == ([], [1], [])


async def test_one_that_fails_takes_all_others_along(database: Database) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):  # noqa: PT012
        async with database.transaction() as tx:
            keep(tx, "a")
            tx.later(MANY, "probe", None, 1, "k", 1, "{}", "e", 1)
    assert await kept(database) == []


async def test_those_of_a_part_that_failed_are_gone(database: Database) -> None:
    async with database.transaction() as tx:
        keep(tx, "before")
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with tx.savepoint():
                keep(tx, "lost")
                raise ZeroDivisionError
        with pytest.raises(asyncpg.NotNullViolationError):
            async with tx.savepoint():
                tx.later(INSERT, ["lost", None])
        async with tx.savepoint():
            keep(tx, "within")
        keep(tx, "after")
    assert await kept(database) == ["after", "before", "within"]


async def test_a_transaction_without_statements_sends_none(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with database.transaction() as tx:
        await tx.fetchval("SELECT 1")  # a connection is open
    before, sent = database.statements, list[Any]()
    monkeypatch.setattr(Wire, "write", lambda _wire, data: sent.append(data))
    async with database.transaction():
        pass
    monkeypatch.undo()
    assert (sent, database.statements) == ([], before)


async def test_a_look_does_not_begin_a_transaction(database: Database) -> None:
    async with database.transaction() as tx:
        (row,) = await tx.look("SELECT pg_current_xact_id_if_assigned() IS NULL AS none, 1 AS one")
        assert (row["none"], tx.begun) == (True, False)
        await tx.execute("SELECT 1")
        assert tx.begun
        await tx.look("SELECT 1")
