"""Making a shop of a backup: schemas, roles and grants, then a new epoch of each log, so that the shop goes on."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tradepost.console.backup import manifest, merge, relay
from tradepost.console.backup.extensions import add_extensions
from tradepost.console.backup.make import AT_ONCE
from tradepost.console.backup.manifest import BackupError, Database, Manifest
from tradepost.console.backup.place import Target, place, targets
from tradepost.console.backup.programs import all_of, programs, restoring, run
from tradepost.kernel.log.rebase import rebase
from tradepost.kernel.migrate import migrate
from tradepost.kernel.postgres.installation import Installation
from tradepost.main import SERVICES
from tradepost.settings import Settings

# A database may take over the services of a larger one: then the ticks are the same, and fewer logs belong to them.
_SOURCES: Final = "DELETE FROM log.source WHERE name <> ALL ($1::text[])"
_READERS: Final = "DELETE FROM log.reader WHERE source <> ALL ($1::text[])"

Echo = Callable[[str], None]


async def restore(settings: Settings, folder: Path, echo: Echo) -> None:
    """The shop that was backed up to `folder` goes into the empty data folder or databases of `settings`. All or
    nothing. Errors: BackupError, DatabaseError, MigrationError, PostgresError, ProgramError."""
    echo(f"restore: checking the files in {folder}")
    made = await asyncio.to_thread(manifest.read, folder)
    installation = programs()
    with place(settings, folder) as (urls, secret):
        async with targets(urls) as found:
            origins = {target.url: _origins(made, target) for target in found}
            for target in found:
                await _fill(target, origins[target.url], installation, folder, secret, echo)
            for target in found:
                if len(origins[target.url]) > 1:
                    await merge.join(target, origins[target.url], found)
            served = await relay.go_back(found, made.made_at)
            for target in found:
                await rebase(target.url, readers=[other.url for other in found if other is not target])
                await target.connection.execute("VACUUM ANALYZE")
    echo(f"restore: the shop is as it was at {made.made_at:%Y-%m-%d %H:%M:%S} UTC; start it and it goes on")
    for line in _advice(served):
        echo(line)


def _origins(made: Manifest, target: Target) -> Sequence[Database]:
    """The databases whose services the target takes over."""
    return [database for database in made.databases if set(database.services) & set(target.services)]


async def _fill(
    target: Target, origins: Sequence[Database], installation: Installation, folder: Path, secret: str, echo: Echo
) -> None:
    for number, origin in enumerate(origins):
        kept = [service for service in target.services if service in origin.services]
        await add_extensions(target.connection, origin.extensions)
        await _load(installation, target, [folder / origin.log])
        if len(origins) > 1:
            await merge.set_aside(target, number)
        else:
            await target.connection.execute(_SOURCES, kept)
            await target.connection.execute(_READERS, kept)
        await _load(installation, target, [folder / f"{service}.dump" for service in kept], echo)
        await _check(target, origin, kept)
        await relay.keep_taken(target.connection, kept)
    schemas = [(service.name, service.package) for service in SERVICES if service.name in target.services]
    await migrate(target.url, schemas, secret)


async def _load(
    installation: Installation, target: Target, files: Sequence[Path], echo: Echo = lambda _line: None
) -> None:
    turns, major = asyncio.Semaphore(AT_ONCE), target.connection.get_server_version().major

    async def one(file: Path) -> None:
        async with turns:
            await run(installation, target.url, restoring(target.url, major, str(file)))
        echo(f"  {file.name}")

    await all_of([one(file) for file in files])


async def _check(target: Target, origin: Database, services: Sequence[str]) -> None:
    for service in services:
        count = await target.connection.fetchval(f'SELECT count(*) FROM "{service}".event')
        if count != origin.events[service]:
            raise BackupError(f"{service}.dump has {count} events, and {origin.events[service]} were backed up")


def _advice(brokers: Sequence[str]) -> Sequence[str]:
    if not brokers:
        return ()
    return (
        f"restore: events were carried by {' and '.join(brokers)}: what was under way there is published again.",
        "         Let the shop meet an EMPTY broker: delete its queues or topics, or take a new one, first.",
    )
