"""Migrations: forward only, once each, safe from several processes, and refused when changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests import databases
from tests.patience import PATIENCE_S
from tests.shop import eventually
from tradepost.kernel import migrate as module
from tradepost.kernel.ids import new_id
from tradepost.kernel.migrate import Migration, MigrationError, migrate, password_of, url_as

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


def add(monkeypatch: pytest.MonkeyPatch, migration: Migration) -> None:
    """One more of `probe`."""
    found = module._migrations
    monkeypatch.setattr(
        module, "_migrations", lambda package: [*found(package), *([migration] if package == "tests.probe" else [])]
    )


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
    add(monkeypatch, Migration("tests.probe/0002_broken.sql", "CREATE TABLE half (); SELECT 1 / 0"))
    with pytest.raises(MigrationError, match=r"0002_broken\.sql failed, nothing of it was kept: division by zero"):
        await migrate(database_url, PROBE, databases.SECRET)
    assert await superuser.fetchval("SELECT to_regclass('probe.half') IS NULL")
    assert await superuser.fetchval("SELECT count(*) FROM probe.migration WHERE name LIKE '%0002_broken%'") == 0


async def test_who_holds_a_lock_is_told_and_lets_others_through_meanwhile(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, Migration("tests.probe/0002_wider.sql", "ALTER TABLE thing ADD COLUMN wide int"))
    monkeypatch.setattr(module, "LOCK_TIMEOUT", "200ms")
    holder: asyncpg.Connection[Any] = await asyncpg.connect(database_url, server_settings={"application_name": "psql"})
    async with holder.transaction():
        await holder.execute("LOCK probe.thing IN ACCESS SHARE MODE")
        with capture_logs() as logs:
            migrating = asyncio.create_task(migrate(database_url, PROBE, databases.SECRET))
            await eventually(lambda: _nothing(), lambda _: logs)
        assert await asyncio.wait_for(superuser.fetchval("SELECT count(*) FROM probe.thing"), PATIENCE_S) == 0
    await migrating
    waits, told = logs[0], logs[0]["holders"][0]
    assert (waits["event"], waits["log_level"]) == ("migration_waits", "warning")
    assert (told["pid"], told["program"], told["state"]) == (holder.get_server_pid(), "psql", "idle in transaction")
    assert await superuser.fetchval("SELECT count(*) FROM probe.migration WHERE name LIKE '%0002_wider%'") == 1
    await holder.close()


async def test_a_migration_waits_until_another_process_is_through_with_its_own(
    database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    await superuser.execute("SELECT pg_advisory_lock($1)", module.LOCK)
    with capture_logs() as logs:
        migrating = asyncio.create_task(migrate(database_url, PROBE, databases.SECRET))
        await eventually(lambda: _nothing(), lambda _: logs)
        assert not migrating.done()
        await superuser.execute("SELECT pg_advisory_unlock($1)", module.LOCK)
        await migrating
    assert [(line["event"], line["why"]) for line in logs] == [("migration_waits", "another process is at it")]


async def _nothing() -> None:
    """What `eventually` looks at where it is the log that changes."""


async def test_several_processes_may_migrate_at_once(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await state(superuser)
    add(monkeypatch, Migration("tests.probe/0002_new.sql", "CREATE TABLE new (); SELECT pg_sleep(0.05)"))
    await superuser.execute("DROP SCHEMA log CASCADE; DROP SCHEMA probe CASCADE")
    await asyncio.gather(*(migrate(database_url, PROBE, databases.SECRET) for _ in range(4)))
    names = {row["name"] for row in await superuser.fetch("SELECT name FROM probe.migration")}
    assert names >= {"tests.probe/0001_probe.sql", "tests.probe/0002_new.sql", "tradepost.kernel/0001_log.sql"}
    assert (await state(superuser))[1] == before[1]


async def test_a_schema_that_a_newer_version_changed_is_refused_before_anything_is_touched(
    database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    await superuser.execute("INSERT INTO probe.migration (name, digest) VALUES ('tests.probe/0009_later.sql', 'x')")
    await superuser.execute("DROP FUNCTION log.tick()")
    with pytest.raises(
        MigrationError, match=r"probe was changed by a newer Tradepost \(tests\.probe/0009_later\.sql\)"
    ):
        await migrate(database_url, PROBE, databases.SECRET)
    assert await superuser.fetchval("SELECT to_regprocedure('log.tick()') IS NULL")


@asynccontextmanager
async def role(superuser: "asyncpg.Connection[Any]") -> AsyncIterator[str]:
    """The name of one that no test else knows: roles belong to the cluster."""
    name = f"tradepost_{new_id().replace('-', '')}"
    yield name
    await superuser.execute(f'DROP ROLE IF EXISTS "{name}"')


async def gets_in(url: str, name: str, secret: str) -> bool:
    try:
        await (await asyncpg.connect(url_as(url, name, secret))).close()
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    return True


async def test_another_secret_is_taken_over_unless_somebody_works_with_the_old_one(
    database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    async with role(superuser) as name:

        async def known(secret: str) -> bool:
            return await module._gets_in(superuser, database_url, name, secret)

        assert not await known("old")
        await module._role(superuser, name, "old")
        assert await known("old")
        worker = await asyncpg.connect(url_as(database_url, name, "old"))
        with pytest.raises(MigrationError, match=rf"work as {name} with another TRADEPOST_SECRET"):
            await known("new")
        assert await known("old")
        await worker.close()

        async def alone() -> bool:
            with suppress(MigrationError):  # for a moment the session is still there
                return not await known("new")
            return False

        await eventually(alone, bool)
        await module._role(superuser, name, "new")
        assert await known("new")
        assert not await gets_in(database_url, name, "old")


async def test_a_refusal_comes_before_anything_is_changed(
    database_url: str, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader has nobody at work, and would be given another password, but for the other role."""
    changed: list[str] = []

    async def first_free_then_at_work(_connection: Any, _url: str, name: str, _secret: str) -> bool:
        if name == module.READER:
            return False
        raise MigrationError("at work")

    async def change(_connection: Any, name: str, _secret: str) -> None:
        changed.append(name)

    monkeypatch.setattr(module, "_gets_in", first_free_then_at_work)
    monkeypatch.setattr(module, "_role", change)
    await superuser.execute("DROP FUNCTION log.tick()")
    with pytest.raises(MigrationError, match="at work"):
        await migrate(database_url, PROBE, databases.SECRET)
    assert changed == []
    assert await superuser.fetchval("SELECT to_regprocedure('log.tick()') IS NULL")


async def test_postgresql_is_never_told_a_password(database_url: str, superuser: "asyncpg.Connection[Any]") -> None:
    said: list[str] = []
    async with role(superuser) as name:
        superuser.add_query_logger(lambda record: said.append(record.query))
        await module._role(superuser, name, "secret")
        await superuser.fetchval("SELECT 1")  # asyncpg tells a little later
        assert any("SCRAM-SHA-256$4096:" in query for query in said)
        assert password_of(name, "secret") not in " ".join(said)
