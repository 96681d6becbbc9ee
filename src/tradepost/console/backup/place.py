"""Where a shop is restored to: an empty data folder, or empty databases of the operator's own."""

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from tradepost.console.backup import disk
from tradepost.console.backup.manifest import FOLDERS, SECRET, SECRETS, BackupError
from tradepost.console.cut import identity
from tradepost.console.instance import NAMES
from tradepost.kernel import postgres
from tradepost.kernel.postgres import InstanceLock, PostgresError, read_secret
from tradepost.process import RESTORING, RESTORING_SCHEMA, check_database
from tradepost.settings import Settings

PGDATA: Final = "postgres"
SCHEMAS: Final = ("log", *NAMES)

_PRESENT: Final = "SELECT nspname FROM pg_namespace WHERE nspname = ANY ($1::text[]) ORDER BY nspname"
_DATABASE: Final = "SELECT current_database()"


@dataclass(frozen=True)
class Target:
    """A database to fill with the schemas of `services`; `connection` is its owner's."""

    url: str
    services: tuple[str, ...]
    connection: Any


@contextmanager
def place(settings: Settings, backup: Path) -> Iterator[tuple[Mapping[str, str], str]]:
    """The database of each service and the secret for their roles; at the end the data folder is the shop's. After a
    failure nothing of it is left. Errors: BackupError, PostgresError."""
    data = settings.data
    with InstanceLock(data):
        _refuse_occupied(data)
        fresh = data / RESTORING
        _remove_remains(fresh)
        try:
            disk.copy_secrets(backup / SECRETS, fresh, settings.secret)
            with _databases(settings, fresh) as urls:
                yield urls, settings.secret or read_secret(fresh)
            _move_in(fresh, data)
        finally:
            disk.remove(fresh)


@asynccontextmanager
async def targets(urls: Mapping[str, str]) -> AsyncIterator[tuple[Target, ...]]:
    """The distinct databases among `urls`, all of them empty; emptied again after a failure. Errors: BackupError,
    DatabaseError."""
    async with AsyncExitStack() as stack:
        homes: dict[tuple[str, ...], list[str]] = {}
        for service, url in urls.items():
            await check_database(url, restoring=True)
            homes.setdefault(await identity(url, service), []).append(service)
        found = []
        for services in homes.values():
            connection = await asyncpg.connect(urls[services[0]])
            stack.push_async_callback(connection.close)
            found.append(Target(urls[services[0]], tuple(services), connection))
        for target in found:
            await _prepare(target)
        try:
            yield tuple(found)
        except BaseException:
            for target in found:
                await _empty(target.connection)
            raise
        for target in found:
            await target.connection.execute(f"DROP SCHEMA {RESTORING_SCHEMA} CASCADE")


@contextmanager
def _databases(settings: Settings, fresh: Path) -> Iterator[Mapping[str, str]]:
    if settings.database_url is not None or set(settings.databases) >= set(NAMES):
        yield {name: settings.databases.get(name) or str(settings.database_url) for name in NAMES}
        return
    fresh.mkdir(mode=0o711, exist_ok=True)
    fresh.chmod(0o711)  # the server's account goes through it
    server = postgres.start(fresh)
    try:
        yield {name: settings.databases.get(name) or server.url for name in NAMES}
    finally:
        server.stop()


def _refuse_occupied(data: Path) -> None:
    for name in (PGDATA, SECRET, *FOLDERS):
        if not disk.is_vacant(data / name):
            raise BackupError(f"{data} holds a shop ({name}): move it away, or set TRADEPOST_DATA to an empty folder")


def _remove_remains(fresh: Path) -> None:
    """What a restore that was killed has left behind, its server included."""
    if (fresh / PGDATA).exists():
        try:
            postgres.start(fresh).stop()
        except PostgresError as error:
            raise BackupError(
                f"a restore was cut off and its remains are in the way ({error}): delete {fresh}"
            ) from None
    disk.remove(fresh)
    fresh.mkdir(mode=0o711)


def _move_in(fresh: Path, data: Path) -> None:
    """The database first and the secret last: a folder without its secret is refused, and never taken for a shop."""
    for name in (PGDATA, *FOLDERS, SECRET):
        if (fresh / name).exists():
            shutil.rmtree(data / name, ignore_errors=True)  # an empty folder
            (fresh / name).rename(data / name)
    disk.sync(data)


async def _prepare(target: Target) -> None:
    present = {row["nspname"] for row in await target.connection.fetch(_PRESENT, [RESTORING_SCHEMA, *SCHEMAS])}
    if RESTORING_SCHEMA in present:
        await _empty(target.connection)
    elif present:
        name = await target.connection.fetchval(_DATABASE)
        raise BackupError(f"the database {name} holds a shop already ({', '.join(sorted(present))}): name an empty one")
    await target.connection.execute(f"CREATE SCHEMA {RESTORING_SCHEMA}")


async def _empty(connection: Any) -> None:
    """One schema at a time, since each table takes a lock."""
    for schema in (*SCHEMAS, RESTORING_SCHEMA):
        await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
