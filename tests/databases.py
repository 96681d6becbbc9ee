"""A migrated template database, made once per run, and copies of it, one per test."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib import import_module
from importlib.resources import files
from typing import Any, Final
from uuid import uuid4

import asyncpg

from tradepost.kernel.migrate import migrate

SECRET: Final = sha256(b"of the tests").hexdigest()  # of the form that TRADEPOST_SECRET has
LOCK: Final = 518_300
_WAITERS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def _schemas() -> list[tuple[str, str]]:
    only = os.environ.get("TRADEPOST_TEST_ONLY")
    names = [only] if only else [service.name for service in import_module("tradepost.main").SERVICES]
    return [("probe", "tests.probe"), *((name, f"tradepost.services.{name}") for name in names)]


def _named(url: str, database: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{database}" + (f"?{query}" if query else "")


async def create(server: str, schemas: Sequence[tuple[str, str]] | None = None) -> str:
    """A copy of the template, with all `schemas` or with these (as in `migrate`) only; its URL."""
    chosen = _schemas() if schemas is None else schemas
    template = f"template_{_digest(chosen)}"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", template):
            await connection.execute(f"DROP DATABASE IF EXISTS making_{template}")
            await connection.execute(f"CREATE DATABASE making_{template}")
            await migrate(_named(server, f"making_{template}"), chosen, SECRET)
            await connection.execute(f"ALTER DATABASE making_{template} RENAME TO {template}")
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
        name = f"test_{uuid4().hex}"
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    finally:
        await connection.close()
    return _named(server, name)


async def waiters(connection: Any) -> int:
    """How many sessions of this database wait for a lock, a row's included, of those that the role may see. Not from
    within a transaction, which goes on seeing what it saw first."""
    return int(await connection.fetchval(_WAITERS))


async def drop(server: str, url: str) -> None:
    """Remove a copy, whoever is still connected."""
    name = url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


def _digest(schemas: Sequence[tuple[str, str]]) -> str:
    """Of all that the template is made of, and of today: inboxes have partitions by the day."""
    digest = sha256(f"{datetime.now(UTC):%Y%m%d}".encode())
    for name in ("schema", "functions"):
        digest.update(files("tradepost.kernel").joinpath(f"log/{name}.sql").read_bytes())
    for _, package in (("", "tradepost.kernel"), *schemas):
        for file in sorted(files(package).joinpath("migrations").iterdir(), key=lambda file: file.name):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
