"""Migrations: forward only, once each, safe from several processes, and refused when changed."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests import databases
from tradepost.kernel import migrate as module
from tradepost.kernel.migrate import Migration, MigrationError, migrate

PROBE = [("probe", "tests.probe")]
STATE = """
SELECT array_agg(name || digest || at ORDER BY name) FROM probe.migration
UNION ALL SELECT array_agg(low::text || high ORDER BY low) FROM log.partitions('probe')
UNION ALL SELECT array_agg(name ORDER BY name) FROM log.source
UNION ALL SELECT array_agg(acl::text ORDER BY acl::text)
    FROM (SELECT unnest(relacl) AS acl FROM pg_class WHERE relnamespace = 'probe'::regnamespace) AS acls
"""


async def state(connection: Any) -> list[Any]:
    return [row[0] for row in await connection.fetch(STATE)]


async def test_a_second_time_changes_nothing(database_url: str, superuser: "asyncpg.Connection[Any]") -> None:
    before = await state(superuser)
    await migrate(database_url, PROBE, databases.SECRET)
    assert await state(superuser) == before


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    await superuser.execute("UPDATE probe.migration SET digest = 'other' WHERE name LIKE 'tests.probe/0001%'")
    with pytest.raises(MigrationError, match=r"probe: tests\.probe/0001_probe\.sql was changed .* add a new file"):
        await migrate(database_url, PROBE, databases.SECRET)


async def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    found = module._migrations
    broken = Migration("tests.probe/0002_broken.sql", "CREATE TABLE half (); SELECT 1 / 0")
    monkeypatch.setattr(
        module, "_migrations", lambda package: [*found(package), *([broken] if package == "tests.probe" else [])]
    )
    with pytest.raises(MigrationError, match=r"0002_broken\.sql failed, nothing of it was kept: division by zero"):
        await migrate(database_url, PROBE, databases.SECRET)
    assert await superuser.fetchval("SELECT to_regclass('probe.half') IS NULL")
    assert await superuser.fetchval("SELECT count(*) FROM probe.migration WHERE name LIKE '%0002_broken%'") == 0


async def test_several_processes_may_migrate_at_once(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await state(superuser)
    found = module._migrations
    new = Migration("tests.probe/0002_new.sql", "CREATE TABLE new (); SELECT pg_sleep(0.05)")
    monkeypatch.setattr(
        module, "_migrations", lambda package: [*found(package), *([new] if package == "tests.probe" else [])]
    )
    await superuser.execute("DROP SCHEMA log CASCADE; DROP SCHEMA probe CASCADE")
    await asyncio.gather(*(migrate(database_url, PROBE, databases.SECRET) for _ in range(4)))
    names = {row["name"] for row in await superuser.fetch("SELECT name FROM probe.migration")}
    assert names >= {"tests.probe/0001_probe.sql", "tests.probe/0002_new.sql", "tradepost.kernel/0001_log.sql"}
    assert (await state(superuser))[1] == before[1]
