"""Schemas, roles and plain SQL migrations: forward only, each in a transaction with the record that it was applied."""

import asyncio
import hmac
import secrets
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import structlog

LOCK: Final = 7238113969
PARTITION_EVENTS: Final = 5_000_000
PARTITIONS_AHEAD: Final = 1
INBOX_DAYS: Final = 9  # longer than a topic keeps a record
INBOX_DAYS_AHEAD: Final = 3
READER: Final = "tradepost_log"
KERNEL: Final = "tradepost.kernel"
ROUNDS: Final = 4096  # of PBKDF2, as PostgreSQL itself
CONNECT_S: Final = 10.0
SAYS_HOW: Final = 16  # the first major version that tells how a session was let in
LOCK_TIMEOUT: Final = "3s"
PAUSE_S: Final = 2.0  # in which those who waited behind us get on

OWN_SETTINGS: Final = {"application_name": "tradepost migrate", "lock_timeout": "0", "statement_timeout": "0"}
GIVEN_UP: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

# Since when, PostgreSQL tells only who may see it: whose that is comes first.
_HOLDERS: Final = """
SELECT pid, usename AS role, application_name AS program, state, xact_start::text AS since
FROM pg_stat_activity JOIN (
    SELECT DISTINCT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND granted AND relation >= 16384) AS holder USING (pid)
WHERE pid <> pg_backend_pid() ORDER BY xact_start NULLS FIRST LIMIT 5
"""

logger = structlog.get_logger()


class MigrationError(RuntimeError):
    """The database can't be brought to what this version needs; the message says why."""


@dataclass(frozen=True)
class Migration:
    """A file of SQL; `name` is unique in its schema."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def role_of(schema: str) -> str:
    """The role that may touch `schema` and nothing else."""
    return f"tradepost_{schema}"


def password_of(role: str, secret: str) -> str:
    """The role's password, made from the installation's secret."""
    return hmac.new(secret.encode(), role.encode(), sha256).hexdigest()


def url_as(url: str, role: str, secret: str) -> str:
    """`url` with another role in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{password_of(role, secret)}@{host}"))


async def migrate(url: str, schemas: Sequence[tuple[str, str]], secret: str) -> None:
    """Bring the database at `url`, whose role may create roles and schemas, to this version. `schemas` are pairs of
    (schema, package with a folder `migrations`). Safe to run at once from several processes, and while others sell:
    whoever waits for a lock keeps all behind him waiting, so it is given up after a while, told, and tried again."""
    connection = await asyncpg.connect(url, server_settings=OWN_SETTINGS)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            logger.info("migration_waits", why="another process is at it")
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute("SELECT set_config('lock_timeout', $1, false)", LOCK_TIMEOUT)
        while True:
            try:
                return await _migrate(connection, url, schemas, secret)
            except GIVEN_UP as error:
                holders = [dict(row) for row in await connection.fetch(_HOLDERS)]
                logger.warning("migration_waits", why=str(error), holders=holders)
                await asyncio.sleep(PAUSE_S)
    finally:
        await connection.close()


async def _migrate(connection: Any, url: str, schemas: Sequence[tuple[str, str]], secret: str) -> None:
    """Each step is whole or not there, and done again it changes nothing."""
    for schema, package in schemas:
        await _refuse_newer(connection, schema, package)
    roles = [READER, *(role_of(schema) for schema, _ in schemas)]
    strangers = [role for role in roles if not await _gets_in(connection, url, role, secret)]
    if await connection.fetchval("SELECT to_regclass('log.tick') IS NULL"):
        async with connection.transaction():
            await connection.execute(files(KERNEL).joinpath("log/schema.sql").read_text())
    async with connection.transaction():
        await connection.execute(files(KERNEL).joinpath("log/functions.sql").read_text())
    for role in strangers:
        await _role(connection, role, secret)
    for schema, package in schemas:
        await _schema(connection, schema, package)
    await _grant_reader(connection)


async def _refuse_newer(connection: Any, schema: str, package: str) -> None:
    """Errors: MigrationError, before anything is touched: what a newer version made, this one would not understand."""
    if await connection.fetchval("SELECT to_regclass(format('%I.migration', $1::text)) IS NULL", schema):
        return
    known = {migration.name for name in (KERNEL, package) for migration in _migrations(name)}
    rows = await connection.fetch(f'SELECT name FROM "{schema}".migration ORDER BY name')
    if newer := [row["name"] for row in rows if row["name"] not in known]:
        raise MigrationError(
            f"{schema} was changed by a newer Tradepost ({', '.join(newer)}): run that one, "
            "or restore the backup from before"
        )


async def _schema(connection: Any, schema: str, package: str) -> None:
    role = role_of(schema)
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    await connection.execute(f'SET search_path = "{schema}", extension')
    await connection.execute(_RECORD)
    applied = dict(await connection.fetch("SELECT name, digest FROM migration"))
    for migration in (*_migrations(KERNEL), *_migrations(package)):
        if migration.name not in applied:
            await _apply(connection, schema, migration)
        elif applied[migration.name] != migration.digest:
            raise MigrationError(f"{schema}: {migration.name} was changed after it was applied; add a new file instead")
    await connection.execute("SELECT log.add_source($1)", schema)
    await connection.execute("SELECT log.extend($1, $2, $3)", schema, PARTITION_EVENTS, PARTITIONS_AHEAD)
    await connection.execute("SELECT log.keep_inbox($1, $2, $3)", schema, INBOX_DAYS, INBOX_DAYS_AHEAD)
    async with connection.transaction():  # a partition is writable for a moment, so nobody may see that moment
        await connection.execute(_GRANTS.format(schema=schema, role=role))
        for row in await connection.fetch(_PARTITIONS, schema):
            await connection.execute(f'REVOKE ALL ON {row["name"]} FROM "{role}"')


async def _apply(connection: Any, schema: str, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO migration (name, digest) VALUES ($1, $2)", migration.name, migration.digest
            )
    except GIVEN_UP:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{schema}: {migration.name} failed, nothing of it was kept: {error}") from error


async def _gets_in(connection: Any, url: str, role: str, secret: str) -> bool:
    """Whether the role is there and has the password that belongs to the secret. Errors: MigrationError when it has
    another while processes are at work under it, which would not get in any more; or when that can't be found out."""
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        return False
    try:
        own = await asyncpg.connect(url_as(url, role, secret), timeout=CONNECT_S)
    except asyncpg.InvalidAuthorizationSpecificationError:
        if await connection.fetchval("SELECT true FROM pg_stat_activity WHERE usename = $1 LIMIT 1", role):
            raise MigrationError(
                f"other processes work as {role} with another TRADEPOST_SECRET: set theirs here, "
                "or stop them all to change it"
            ) from None
        return False
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise MigrationError(f"{role} can't be tried: {str(error) or type(error).__name__}") from error
    try:  # a server that asks this address for no password says nothing about it; before 16 it does not tell us so
        told = connection.get_server_version().major < SAYS_HOW or await own.fetchval("SELECT system_user IS NOT NULL")
        return bool(told)
    finally:
        await own.close()


async def _role(connection: Any, role: str, secret: str) -> None:
    """Create the role, or give it the password that belongs to the secret."""
    verb = "ALTER" if await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role) else "CREATE"
    try:
        await connection.execute(f"{verb} ROLE \"{role}\" LOGIN PASSWORD '{_verifier(password_of(role, secret))}'")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        pass  # roles belong to the cluster: the migration of another database came first
    except asyncpg.InternalServerError as error:
        if "concurrently updated" not in str(error):
            raise


def _verifier(password: str) -> str:
    """What PostgreSQL keeps of a password, so that the password itself gets into no log of its. Source: RFC 5803."""
    salt = secrets.token_bytes(16)
    salted = pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    stored = sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_, stored_, server_ = (b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ROUNDS}:{salt_}${stored_}:{server_}"


async def _grant_reader(connection: Any) -> None:
    for row in await connection.fetch("SELECT name FROM log.source"):
        schema = row["name"]
        await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO {READER}')
        await connection.execute(f'GRANT SELECT ON "{schema}".event TO {READER}')
    await connection.execute(_READER_GRANTS)


def _migrations(package: str) -> Iterator[Migration]:
    folder = files(package).joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield Migration(f"{package}/{file.name}", file.read_text())


_PARTITIONS: Final = """
SELECT inhrelid::regclass::text AS name FROM pg_inherits
WHERE inhparent IN (format('%I.event', $1::text)::regclass, format('%I.inbox', $1::text)::regclass)
  AND EXISTS (SELECT FROM pg_class WHERE oid = inhrelid AND relkind = 'r')
"""
_RECORD: Final = """
CREATE TABLE IF NOT EXISTS migration (
    name text PRIMARY KEY, digest text NOT NULL, at timestamptz NOT NULL DEFAULT now()
)
"""
_GRANTS: Final = """
GRANT USAGE ON SCHEMA "{schema}", extension TO "{role}";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO "{role}";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}";
REVOKE UPDATE, DELETE ON "{schema}".event FROM "{role}";
REVOKE INSERT, UPDATE, DELETE ON "{schema}".migration FROM "{role}";
"""
_READER_GRANTS: Final = f"""
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA log FROM PUBLIC;
GRANT USAGE ON SCHEMA log TO {READER};
GRANT SELECT ON log.tick, log.epoch, log.reader TO {READER};
GRANT EXECUTE ON FUNCTION log.make_tick(), log.tick(), log.report(text, text, smallint, bigint),
    log.forget(text, text, smallint), log.same_system(), log.hand_over(text), log.newest_id(text),
    log.partitions(text) TO {READER};
"""
