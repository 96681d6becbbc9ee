"""What pgbench writes for `bench/placing.py` and `bench/least.py` are the same rows."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from bench import pgbench
from bench.shop import Shop

TABLES: Final = ("orders", "idempotency", "event")
# What is an order's own: ids, moments, bytes, numbers.
OWN: Final = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.+]+|x[0-9a-f]{64,}|\d+"
)


async def written(url: str, folder: Path, script: str, orders: int) -> Mapping[str, tuple[float, set[str]]]:
    """Of each table how many rows for each of so many orders to a transaction, and how they look."""
    shop = Shop(folder, url, postmaster=0, environment={})
    done = await asyncio.to_thread(pgbench.run, shop, url, script, clients=1, seconds=1)
    connection = await asyncpg.connect(url)
    found = {}
    for name in TABLES:
        rows = await connection.fetch(f'SELECT one::text AS row FROM "order".{name} AS one')
        found[name] = len(rows) / orders / done.transactions, {OWN.sub("#", row["row"]) for row in rows}
        await connection.execute(f'TRUNCATE "order".{name} CASCADE')
    await connection.close()
    return found


async def test_many_orders_in_a_statement_are_the_rows_of_as_many_alone(database_url: str, tmp_path: Path) -> None:
    alone = await written(database_url, tmp_path, pgbench.ORDER, 1)
    together = await written(database_url, tmp_path, pgbench.ORDERS, pgbench.BATCH)

    assert {name: (rows, len(looks)) for name, (rows, looks) in alone.items()} == dict.fromkeys(TABLES, (1, 1))
    assert together == alone
