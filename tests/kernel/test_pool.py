"""Connections are reused when they are as new, and end when they are not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests import databases
from tradepost.kernel import pool as module
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.pool import Pool
from tradepost.kernel.session import SESSION
from tradepost.kernel.wire import opener

PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_sleep(60)"
ASKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = $1"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = Pool(opener(url_as(database_url, role_of("probe"), databases.SECRET), SESSION), 2)
    yield made
    await made.close()


async def test_one_that_was_given_back_is_used_again(pool: Pool) -> None:
    assert await pool.fetchval(PID) == await pool.fetchval(PID)


async def test_one_whose_statement_failed_is_used_again(pool: Pool) -> None:
    first = await pool.fetchval(PID)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.execute("SELECT 1 / 0")
    with pytest.raises(asyncpg.DataError):
        await pool.fetchval("SELECT $1::int", "x")
    assert await pool.fetchval(PID) == first


async def test_there_are_never_more_than_its_size(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool.acquire() as first, pool.acquire():
        with monkeypatch.context() as hurried:
            hurried.setattr(module, "PATIENCE_S", 0.1)
            with pytest.raises(TimeoutError):
                await pool.fetchval(PID)
        pid = await first.fetchval(PID)
        asker = asyncio.create_task(pool.fetchval(PID))
        await asyncio.sleep(0)
    assert await asker in {pid, await pool.fetchval(PID)}


async def test_one_that_the_server_ended_is_not_used_again(pool: Pool, superuser: Any) -> None:
    first = await pool.fetchval(PID)
    await superuser.execute("SELECT pg_terminate_backend($1, 5000)", first)
    await asyncio.sleep(0.05)  # until we have heard of it
    assert await pool.fetchval(PID) != first


async def test_one_in_the_middle_of_something_ends(pool: Pool, superuser: Any) -> None:
    asking = asyncio.create_task(pool.fetchval(SLEEP))
    while not await superuser.fetchval(ASKED, SLEEP):
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not pool._free
    taken = await pool.take()
    await taken.execute("BEGIN")
    pool.give(taken)
    assert taken.is_closed()
    assert not pool._free


async def test_those_that_nobody_needs_are_closed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.2)
    async with pool.acquire() as one, pool.acquire():
        pass
    assert len(pool._free) == 2
    while pool._free:
        await asyncio.sleep(0.05)
    assert one.is_closed()
    assert pool._sweeping is None
    await pool.fetchval(PID)
    assert pool._sweeping is not None


async def test_its_end_waits_for_those_that_are_taken(pool: Pool) -> None:
    taken = await pool.take()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    assert await taken.fetchval("SELECT 1") == 1
    pool.give(taken)
    await closing
    assert taken.is_closed()
    with pytest.raises(asyncpg.InterfaceError):
        await pool.fetchval(PID)


async def test_its_end_does_not_need_a_server(pool: Pool) -> None:
    async with pool.acquire() as gone, pool.acquire() as other:
        pass
    for connection in (gone, other):
        connection._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)  # what nobody has told us yet
    await pool.close()
    assert gone.is_closed()
    assert other.is_closed()


async def test_the_end_of_all_does_not_wait(pool: Pool) -> None:
    async with pool.acquire():
        pass
    taken = await pool.take()
    pool.terminate()
    with pytest.raises(asyncpg.InterfaceError):
        await taken.fetchval("SELECT 1")
    pool.give(taken)
    with pytest.raises(asyncpg.InterfaceError):
        await pool.take()


async def test_a_slot_is_free_again_when_no_connection_could_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails() -> Any:
        raise OSError("down")

    pool = Pool(fails, 1)
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            await pool.take()
    await pool.close()
