"""A service's role can touch nothing but its own schema, and the reader of logs nothing but logs."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests import databases
from tradepost.kernel.migrate import READER, role_of, url_as

Connection = Any


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url_as(database_url, role_of("probe"), databases.SECRET))
    yield connection
    await connection.close()


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url_as(database_url, READER, databases.SECRET))
    yield connection
    await connection.close()


TABLES = """
SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1
"""
MAY = """
SELECT array_agg(privilege)
FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
WHERE has_table_privilege($1, $2, privilege) OR privilege IN ('SELECT', 'INSERT', 'UPDATE')
  AND has_any_column_privilege($1, $2, privilege)
"""


async def privileges(superuser: Connection, role: str) -> dict[str, list[str]]:
    names = [row["name"] for row in await superuser.fetch(TABLES)]
    found = {name: await superuser.fetchval(MAY, role, name) for name in names}
    return {name: may for name, may in found.items() if may}


async def test_a_service_may_touch_its_own_tables_only_and_not_rewrite_its_log(superuser: Connection) -> None:
    every = ["SELECT", "INSERT", "UPDATE", "DELETE"]
    assert await privileges(superuser, role_of("probe")) == {
        "probe.cursor": every,
        "probe.effect": every,
        "probe.event": ["SELECT", "INSERT"],
        "probe.idempotency": every,
        "probe.inbox": every,
        "probe.intake": every,
        "probe.kafka_offset": every,
        "probe.member": every,
        "probe.migration": ["SELECT"],
        "probe.parked": every,
        "probe.thing": every,
    }


async def test_the_reader_may_read_logs_and_nothing_else(superuser: Connection) -> None:
    found = await privileges(superuser, READER)
    assert set(found) > {"probe.event", "log.tick", "log.epoch", "log.reader"}
    assert {name: may for name, may in found.items() if may != ["SELECT"]} == {}
    assert [name for name in found if not name.startswith("log.") and not name.endswith(".event")] == []


OF_A_SERVICE = (
    "SELECT FROM inventory.event",
    "INSERT INTO inventory.parked DEFAULT VALUES",
    "SELECT FROM log.tick",
    "SELECT log.tick()",
    "SELECT log.make_tick()",
    "SELECT log.open_epoch()",
    "SELECT log.extend('probe', 1, 100)",
    "UPDATE probe.event SET key = 'x'",
    "UPDATE probe.event_0 SET key = 'x'",
    "DELETE FROM probe.event_0",
    "TRUNCATE probe.event",
    "SELECT setval('probe.event_id_seq', 1)",
    "ALTER TABLE probe.event ALTER epoch SET DEFAULT 9",
    "DROP TABLE probe.event_0",
    "UPDATE probe.migration SET digest = ''",
    "CREATE TABLE probe.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "SET ROLE tradepost_inventory",
    "COPY (SELECT 1) TO PROGRAM 'true'",
)


async def test_a_service_is_refused_what_is_not_its_own(service: Connection) -> None:
    for statement in OF_A_SERVICE:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)


OF_A_READER = (
    "SELECT FROM probe.thing",
    "SELECT FROM probe.cursor",
    "SELECT FROM probe.event_0",
    "INSERT INTO probe.event DEFAULT VALUES",
    "DELETE FROM log.tick",
    "INSERT INTO log.epoch VALUES (9, 9)",
    "UPDATE log.reader SET tick = 1",
    "SELECT log.open_epoch()",
    "SELECT log.add_source('x')",
    "CREATE TABLE public.mine ()",
)


async def test_the_reader_is_refused_what_is_no_log(reader: Connection) -> None:
    for statement in OF_A_READER:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)


async def test_the_reader_does_its_work(reader: Connection) -> None:
    assert await reader.fetchval("SELECT log.tick()") is None
    assert await reader.fetchval("SELECT log.same_system()")
    await reader.execute("SELECT log.report('probe', 'g', 0::smallint, 1)")
    assert await reader.fetchval("SELECT count(*) FROM log.reader WHERE \"group\" = 'g'") == 1
    await reader.execute("SELECT log.forget('probe', 'g', 0::smallint)")
    assert await reader.fetchval("SELECT count(*) FROM log.reader WHERE \"group\" = 'g'") == 0
    assert await reader.fetch("SELECT FROM probe.event") == []
