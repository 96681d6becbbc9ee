"""A shop with a past: completed orders, copied many times over with everything that belongs to them.

The orders that are there, with all their rows and events in every service, are the pattern. A copy is the text that
COPY gives of those rows, with each identifier, order number and tracking number replaced by one of its own, further in
the past by the copy's number; products, variants and users stay the same. So what is loaded is consistent for the same
reason as the pattern: the services wrote it. Events keep the transaction of their pattern, which all readers have
passed, so nobody takes them for news.

Nothing may run on the database meanwhile.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from tradepost.kernel.migrate import PARTITION_EVENTS, PARTITIONS_AHEAD
from tradepost.services.shipping.domain.tracking_number import ALPHABET, CHANCE_BITS, tracking_number

FIRST_NUMBER: Final = 800_000_001  # of the pattern's orders: so long that no other number looks like one
TOKEN: Final = re.compile(
    rb"(\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\bTP[0-9A-Z]{16}\b|\b8000\d{5}\b)"
)
CLOCK: Final = 1 << 48  # of a UUIDv7, in milliseconds
TRACKING_CLOCK: Final = 1 << 41
STEP_MS: Final = 60_000  # between one copy and the next; longer than it takes to place the pattern

# By schema: tables, what marks the rows to copy, and columns that the copy draws anew.
_OF_ORDERS: Final = """key IN (SELECT id::text FROM "order".orders)"""
_OF_DELIVERIES: Final = """key IN (SELECT id::text FROM notification.delivery WHERE order_id IS NOT NULL)"""
TABLES: Final = (
    ("order", "orders", "TRUE", ()),
    ("order", "event", _OF_ORDERS, ("id",)),
    ("inventory", "reservation", "TRUE", ()),
    ("inventory", "movement", "order_id IS NOT NULL", ()),
    ("inventory", "event", _OF_ORDERS, ("id",)),
    ("payment", "payment", "TRUE", ()),
    ("payment", "payment_transaction", "TRUE", ()),
    ("payment", "simulator_charge", "TRUE", ()),
    ("payment", "ledger_transaction", "TRUE", ()),
    ("payment", "ledger_posting", "TRUE", ()),
    ("payment", "event", _OF_ORDERS, ("id",)),
    ("shipping", "shipment", "TRUE", ()),
    ("shipping", "event", _OF_ORDERS, ("id",)),
    ("notification", "order_contact", "TRUE", ()),
    ("notification", "delivery", "order_id IS NOT NULL", ()),
    ("notification", "event", _OF_DELIVERIES, ("id",)),
)
SCHEMAS: Final = tuple(dict.fromkeys(schema for schema, *_ in TABLES))
_COLUMNS: Final = """
SELECT attname FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_LASTING: Final = """
SELECT id::text AS id FROM "user".account UNION ALL SELECT id::text FROM product.product
UNION ALL SELECT id::text FROM product.variant
"""
_KEYS: Final = """
INSERT INTO "order".idempotency (scope, key, body_hash, status, headers, body, at)
SELECT user_id || ' POST /order/orders', id::text, sha256(id::text::bytea), 201, '{}', id::text::bytea, created_at
FROM "order".orders WHERE number < $1 AND user_id IS NOT NULL ORDER BY orders.id
"""
_STOCK: Final = """
UPDATE inventory.stock SET on_hand = moved.units
FROM (SELECT sku, sum(quantity) AS units FROM inventory.movement GROUP BY sku) AS moved WHERE moved.sku = stock.sku
"""
_SHAPE: Final = """
SELECT count(*) AS orders, count(*) FILTER (WHERE status <> 'completed') AS unfinished, min(number) AS first
FROM "order".orders
"""


class WrongPattern(Exception):
    """These orders can't be copied; the message says why."""


@dataclass(frozen=True)
class _Table:
    """The pattern's rows of one table in pieces: every second one is a token, and stands in `tokens` at its place."""

    schema: str
    name: str
    columns: Sequence[str]
    pieces: Sequence[bytes]
    places: Sequence[int]

    def copy(self, tokens: Sequence[bytes]) -> bytes:
        """The rows with other tokens."""
        pieces = list(self.pieces)
        pieces[1::2] = [tokens[place] for place in self.places]
        return b"".join(pieces)


async def number_from_here(connection: Any) -> None:
    """Before the pattern is placed: its order numbers must be told from all other numbers."""
    await connection.execute(f'ALTER SEQUENCE "order".order_number RESTART {FIRST_NUMBER}')


async def multiply(url: str, copies: int, told: Callable[[int], None] = lambda _copies: None) -> int:
    """Copy all orders so many times, the owner's `url` given; how many orders there are then. `told` hears of every
    copy that is complete. Errors: WrongPattern."""
    async with _connected(url) as connection:
        shape = await connection.fetchrow(_SHAPE)
        if not shape["orders"] or shape["unfinished"] or shape["first"] < FIRST_NUMBER:
            raise WrongPattern(f"{shape['unfinished']} of {shape['orders']} orders are not completed, or not numbered")
        tokens, tables = await _pattern(connection)
    async with AsyncExitStack() as stack:
        loaders = {schema: await stack.enter_async_context(_connected(url)) for schema in SCHEMAS}
        for loader in loaders.values():
            await loader.execute("SET synchronous_commit = off")

        async def load(schema: str, made: Sequence[bytes]) -> None:
            for table in tables:
                if table.schema == schema:
                    await _copy_in(loaders[schema], table, made)

        for number in range(copies, 0, -1):  # the oldest first, so that indexes grow at their end
            made = [_replaced(token, number, shape["orders"]) for token in tokens]
            await asyncio.gather(*(load(schema, made) for schema in SCHEMAS))
            told(copies + 1 - number)

    async with _connected(url) as connection:
        await connection.execute(_KEYS.replace("$1", str(FIRST_NUMBER)))
        await connection.execute(_STOCK)
        await connection.execute("VACUUM (ANALYZE)")
        return int(await connection.fetchval('SELECT count(*) FROM "order".orders'))


async def _pattern(connection: Any) -> tuple[list[bytes], list[_Table]]:
    """All tokens that change, and the tables."""
    lasting = {row["id"].encode() for row in await connection.fetch(_LASTING)}
    places: dict[bytes, int] = {}
    tables = []
    for schema, name, marked, drawn in TABLES:
        columns = [row["attname"] for row in await connection.fetch(_COLUMNS, f'"{schema}"."{name}"')]
        columns = [column for column in columns if column not in drawn]
        listed = ", ".join(f'"{column}"' for column in columns)
        order = "ORDER BY id" if name == "event" else ""
        text = await _copy_out(connection, f'SELECT {listed} FROM "{schema}"."{name}" WHERE {marked} {order}')
        pieces = _merged(TOKEN.split(text), lasting)
        found = [places.setdefault(token, len(places)) for token in pieces[1::2]]
        tables.append(_Table(schema, name, columns, pieces, found))
    return list(places), tables


def _merged(pieces: Sequence[bytes], lasting: set[bytes]) -> list[bytes]:
    """Text and tokens in turn, of which those that last are text again."""
    merged = [pieces[0]]
    for token, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if token in lasting:
            merged[-1] += token + text
        else:
            merged += (token, text)
    return merged


def _replaced(token: bytes, number: int, orders: int) -> bytes:
    """What stands for `token` in the copy of this number, whose pattern has so many orders."""
    if token.startswith(b"TP"):
        value = 0
        for digit in token[2:-1].decode():
            value = value << 5 | ALPHABET.index(digit)
        moment = ((value >> CHANCE_BITS) - number * STEP_MS) % TRACKING_CLOCK
        return tracking_number(moment, value & (1 << CHANCE_BITS) - 1).encode()
    if len(token) == 36:
        moment = (int(token[:8] + token[9:13], 16) - number * STEP_MS) % CLOCK
        text = b"%012x" % moment
        return text[:8] + b"-" + text[8:] + token[13:]
    return b"%d" % (int(token) - number * orders)


async def _copy_out(connection: Any, select: str) -> bytes:
    chunks: list[bytes] = []

    async def take(chunk: bytes) -> None:
        chunks.append(chunk)

    await connection.copy_from_query(select, output=take)
    return b"".join(chunks)


async def _copy_in(connection: Any, table: _Table, tokens: Sequence[bytes]) -> None:
    if table.name == "event":
        await connection.execute("SELECT log.extend($1, $2, $3)", table.schema, PARTITION_EVENTS, PARTITIONS_AHEAD)

    async def rows() -> AsyncIterator[bytes]:
        yield table.copy(tokens)

    await connection.copy_to_table(table.name, schema_name=table.schema, columns=table.columns, source=rows())


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url, command_timeout=3600)
    try:
        yield connection
    finally:
        await connection.close()
