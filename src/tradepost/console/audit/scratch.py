"""Several databases in one: a server of the moment, in which every schema lies as one cut shows it."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import asyncpg

from tradepost.console.backup.extensions import add_extensions, extensions_of
from tradepost.console.backup.programs import all_of, check, dumping, programs, restoring, start, stop
from tradepost.console.cut import Store
from tradepost.kernel import postgres
from tradepost.kernel.postgres.installation import Installation

AT_ONCE: Final = 2  # schemas
ROWS: Final = ("--section=pre-data", "--section=data", "--compress=none")  # no index, no constraint: it is read once
SETTINGS: Final = {"max_wal_size": "16GB", "autovacuum": "off"}
KERNEL: Final = "tradepost.kernel"


@asynccontextmanager
async def gathered(stores: Sequence[Store], session: Mapping[str, str], **options: Any) -> AsyncIterator[Any]:
    """A connection to a database that holds the schemas of all `stores`, whose readers are in transactions of a cut;
    it is gone afterwards. `session` and `options` are the connection's. Errors: PostgresError, ProgramError."""
    with tempfile.TemporaryDirectory(prefix="tradepost-audit-") as folder:
        server = postgres.start(Path(folder, "data"), fsync=False, settings=SETTINGS)
        try:
            await _fill(server.url, stores)
            connection = await asyncpg.connect(server.url, server_settings=dict(session), **options)
            try:
                yield connection
            finally:
                await connection.close()
        finally:
            server.stop()


async def _fill(url: str, stores: Sequence[Store]) -> None:
    installation, turns = programs(), asyncio.Semaphore(AT_ONCE)

    async def one(store: Store, schema: str, snapshot: str) -> None:
        async with turns:
            await _copy(installation, store, schema, snapshot, url)

    connection = await asyncpg.connect(url)
    try:
        for name in ("schema", "functions"):  # the ticks of different databases don't mix, and no check needs them
            await connection.execute(files(KERNEL).joinpath(f"log/{name}.sql").read_text())
        copies = []
        for store in stores:
            await add_extensions(connection, await extensions_of(store.reader))
            snapshot = await store.reader.fetchval("SELECT pg_export_snapshot()")
            copies += [one(store, schema, snapshot) for schema in store.services]
        await all_of(copies)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _copy(installation: Installation, store: Store, schema: str, snapshot: str, url: str) -> None:
    """One program writes into a pipe, the other reads from it."""
    read_end, write_end = os.pipe()
    try:
        arguments = dumping(store.url, schema, snapshot, *ROWS)
        dump = await start(installation, store.url, arguments, stdout=write_end)
        load = await start(installation, url, restoring(url, installation.major), stdin=read_end)
    finally:
        os.close(read_end)
        os.close(write_end)
    try:
        (_, left), (_, right) = await asyncio.gather(dump.communicate(), load.communicate())
    except BaseException:
        await stop(dump)
        await stop(load)
        raise
    if b"Broken pipe" not in left:  # then the reason is at the other end
        check(dump, "pg_dump", left)
    check(load, "pg_restore", right)
    check(dump, "pg_dump", left)
