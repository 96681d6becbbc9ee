"""PostgreSQL driven from C: pgbench with prepared statements, on a database beside the shop's on the same server."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import uvloop

from bench.processes import Usage, usage
from bench.shop import Shop
from tradepost.console.backup.programs import programs, split_password
from tradepost.kernel.migrate import migrate

DATABASE: Final = "pgbench"


# The rows of one order as `order` writes them when it is placed: the order with its two lines, the idempotency record
# and the event, of the same sizes, into the same tables with the same indexes. What is read for it (keys, offers) and
# what is computed is left out, in pgbench's favour. A colon before a letter or digit would name a variable.
def _lines(sku: str) -> str:
    line = f"""\
{{"product_id":"019fb0a5-7b6a-7d3e-9f0a-6f1d5b1e2c3d","variant_id":"019fb0a5-7b6a-7d3e-9f0a-6f1d5b1e2c3e","sku":"\
SKU-00' || {sku}::text || '","quantity": 2,"price":' || {sku}::text || ',"name":"Red Mug ' || {sku}::text || '"}}"""
    return f"[{line},{line}]"


def _fact(order_id: str, number: str, sku: str, lines: str) -> str:
    return f"""{{"order_id":"' || {order_id}::text || '","number":"' || {number}::text || '",\
"user_id":"01900000-0000-7000-8000-000000000001","guest": null,"total_amount":' || {sku}::text || ',"currency":"GBP",\
"items":{lines}}}"""


ORDER: Final = f"""
\\set user random(1, 200)
\\set sku random(1, 999)
BEGIN;
INSERT INTO "order".orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at)
VALUES (uuidv7(), ('01900000-0000-7000-8000-' || lpad(:user::text, 12, '0'))::uuid, 'pending', 1, 'GBP',
        :sku::bigint * 3, ('{_lines(":sku")}')::json, 'pm_card_visa', now())
RETURNING id, number \\gset
INSERT INTO "order".idempotency (scope, key, body_hash, status, headers, body)
VALUES ('01900000-0000-7000-8000-' || lpad(:user::text, 12, '0') || ' POST /order/orders', :id::text,
        sha256(:id::text::bytea), 201, '{{}}', :id::text::bytea);
INSERT INTO "order".event (event_id, type, key, slot, sequence, at, correlation_id, traceparent, bytes, data)
VALUES (uuidv7(), 'order.created', :id::text, :user::int % 16, 1, now(), gen_random_uuid()::text,
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 560,
        ('{_fact(":id", ":number", ":sku", _lines(":sku"))}')::json);
COMMIT;
"""
BATCH: Final = 64  # orders
# The same rows of so many orders in one statement.
ORDERS: Final = f"""
\\set user random(1, {201 - BATCH})
\\set sku random(1, {1000 - BATCH})
WITH placed AS (
    INSERT INTO "order".orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at)
    SELECT uuidv7(), ('01900000-0000-7000-8000-' || lpad((:user::int + n)::text, 12, '0'))::uuid, 'pending', 1, 'GBP',
           sku * 3, ('{_lines("sku")}')::json, 'pm_card_visa', now()
    FROM (SELECT n, :sku::bigint + n AS sku FROM generate_series(0, {BATCH - 1}) AS n) AS asked
    RETURNING id, number, user_id, total_amount / 3 AS sku, lines
), known AS (
    INSERT INTO "order".idempotency (scope, key, body_hash, status, headers, body)
    SELECT user_id::text || ' POST /order/orders', id::text, sha256(id::text::bytea), 201, '{{}}', id::text::bytea
    FROM placed
)
INSERT INTO "order".event (event_id, type, key, slot, sequence, at, correlation_id, traceparent, bytes, data)
SELECT uuidv7(), 'order.created', id::text, number % 16, 1, now(), gen_random_uuid()::text,
       '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 560,
       ('{_fact("id", "number", "sku", "' || lines::text || '")}')::json
FROM placed;
"""


@dataclass(frozen=True)
class Run:
    """Transactions a second, and the CPU seconds that PostgreSQL used for `transactions` of them."""

    per_s: float
    transactions: int
    postgres: Usage

    @property
    def postgres_us(self) -> float:
        """Microseconds of PostgreSQL's CPU per transaction."""
        return self.postgres.total_s / max(self.transactions, 1) * 1e6


def prepare(shop: Shop, services: Sequence[str]) -> str:
    """A database with the schemas of these services and nothing that runs on it; its URL. The secret is the shop's:
    it makes the passwords of roles, which all databases of a server share."""
    uvloop.run(_create(shop.database_url))
    head, _, query = shop.database_url.partition("?")
    url = f"{head.rpartition('/')[0]}/{DATABASE}?{query}"
    uvloop.run(migrate(url, [(name, f"tradepost.services.{name}") for name in services], shop.secret))
    return url


def run(shop: Shop, url: str, script: str, clients: int, seconds: float) -> Run:
    """Errors: SystemExit with what pgbench says."""
    path = shop.folder / "pgbench.sql"
    path.write_text(script)
    shown, password = split_password(url)
    command = [programs().program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={path}"]
    command += [f"--client={clients}", "--jobs=1", f"--time={max(round(seconds), 1)}", shown]
    before = usage([shop.postmaster])
    done = subprocess.run(
        command, env={**os.environ, "LC_ALL": "C", **password}, capture_output=True, text=True, check=False
    )
    used = usage([shop.postmaster]) - before
    rate = re.search(r"tps = ([\d.]+) ", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    failed = re.search(r"failed transactions: (\d+)", done.stdout)
    if done.returncode or not rate or not count or not failed or failed[1] != "0":
        raise SystemExit(f"pgbench failed: {done.stderr[-1000:] or done.stdout}")
    return Run(float(rate[1]), int(count[1]), used)


async def _create(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
