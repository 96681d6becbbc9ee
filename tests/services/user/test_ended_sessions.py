"""Processes without user's role learn which sessions ended, and nothing else of user's."""

import asyncpg
import pytest

from tests import databases
from tests.services.user.house import House
from tradepost.kernel.migrate import READER, role_of, url_as
from tradepost.services.user.queries.session import ended_sessions, revoked_sessions


async def test_the_reader_of_logs_is_told_the_sessions_that_ended(house: House, emptied_url: str) -> None:
    await house.register()
    here, _there = (await house.log_in()).json, (await house.log_in()).json
    await house.holding(here["access_token"]).post("/user/logout")

    reader = await asyncpg.connect(url_as(emptied_url, READER, databases.SECRET))
    told = await ended_sessions(reader)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch('SELECT id FROM "user".session')
    await reader.close()

    assert told == {house.verifier.verify(here["access_token"]).session_id}
    assert told == await revoked_sessions(house.desk.db)


async def test_nobody_else_is_told(emptied_url: str) -> None:
    other = await asyncpg.connect(url_as(emptied_url, role_of("probe"), databases.SECRET))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ended_sessions(other)
    await other.close()


async def test_a_table_of_the_readers_own_is_not_taken_for_the_real_one(house: House, emptied_url: str) -> None:
    reader = await asyncpg.connect(url_as(emptied_url, READER, databases.SECRET))
    planted = "SELECT gen_random_uuid() AS id, now() AS revoked_at"
    await reader.execute(f"CREATE TEMPORARY TABLE session AS {planted}; SET search_path = pg_temp")
    told = await ended_sessions(reader)
    await reader.close()

    assert told == await revoked_sessions(house.desk.db) == set()
