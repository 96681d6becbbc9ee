"""The story of one order, at rest: delivered, its stock low, and the last message to its buyer parked."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg

from tests import databases
from tests.shop import eventually, open_shop

HOUR_S: Final = 3_601.0
POISON: Final = "ALTER TABLE notification.delivery ADD CONSTRAINT poison CHECK (template <> 'order_completed')"
HEAL: Final = "ALTER TABLE notification.delivery DROP CONSTRAINT poison"
PARKED: Final = "SELECT event->>'id' AS id, key FROM notification.parked"
ASK_TO_STOP: Final = """
INSERT INTO "order".event (event_id, type, key, slot, sequence, at, correlation_id, causation_id, bytes, data)
SELECT gen_random_uuid(), 'order.cancel_requested', key, slot, sequence + 1, at + interval '1 second', 'c', event_id,
       2, json_build_object('order_id', key, 'reason', 'changed_mind')
FROM "order".event WHERE type = 'order.completed'
"""  # nobody is there to read it


@dataclass(frozen=True)
class Story:
    """`last` is the event that is parked. The constraint that does not let it in is still there."""

    url: str
    order_id: str
    number: str
    last: str


async def make(server: str) -> Story:
    """One order from its placing to its delivery, after which everything was stopped."""
    url = await databases.create(server)
    with tempfile.TemporaryDirectory() as data:
        async with open_shop(url, Path(data)) as shop:
            await shop.product("MUG-1", stock=6)
            await execute(url, "UPDATE inventory.stock SET threshold = 5")
            account = {"email": "ada@example.com", "name": "Ada", "password": "correct horse battery"}
            buyer = shop.client((await shop.public.post("/user/register", account)).json["user_id"])
            placed = await shop.buy(buyer, "MUG-1", 2)
            await eventually(shop.seen, lambda seen: seen["shipping.created"] == 1)
            await execute(url, POISON)
            for status in ("shipped", "completed"):
                await shop.turn_carrier(HOUR_S)
                await shop.order_becomes(placed.json["order_id"], status)
            await eventually(shop.seen, lambda seen: seen["notification.sent"] == 4)  # one of them to staff
            (parked,) = await eventually(lambda: fetch(url, PARKED), len)
    return Story(url, placed.json["order_id"], placed.json["number"], parked["id"])


async def copied(server: str, story: Story) -> Story:
    """The same in a database of its own."""
    name = f"test_{uuid4().hex}"
    await execute(server, f"CREATE DATABASE {name} TEMPLATE {story.url.partition('?')[0].rpartition('/')[2]}")
    head, _, query = story.url.partition("?")
    return Story(f"{head.rpartition('/')[0]}/{name}?{query}", story.order_id, story.number, story.last)


async def execute(url: str, sql: str) -> None:
    """As the superuser."""
    await _connected(url, lambda connection: connection.execute(sql))


async def fetch(url: str, sql: str) -> list[Any]:
    """As the superuser."""
    found: list[Any] = await _connected(url, lambda connection: connection.fetch(sql))
    return found


def done(url: str, sql: str) -> None:
    """`execute` where no loop runs."""
    asyncio.run(execute(url, sql))


async def _connected(url: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await work(connection)
    finally:
        await connection.close()
