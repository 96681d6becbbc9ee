"""Every event takes effect once, and those of one key in the order in which they came true."""

import asyncio
import random
from typing import Any

import asyncpg

from tests.brokers.behaviour.rig import Shop
from tradepost.kernel.log.dispatch import is_retryable

THINGS = [f"thing-{n}" for n in range(40)]
KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def write(shop: Shop, transactions: int) -> None:
    """Move things at random, some of them several times in one transaction."""
    for _ in range(transactions):
        await shop.move(*random.choices(THINGS, k=random.randint(1, 30)))


async def test_events_take_effect_once_and_in_order_per_key(shop: Shop) -> None:
    async with shop.running(shop.group()):
        for _ in range(10):
            await shop.move(*THINGS, *THINGS[:10])
        await shop.took_all_once()


async def test_several_writers_and_several_members_keep_the_order_of_each_key(shop: Shop) -> None:
    async with shop.running(shop.group()), shop.running(shop.group()), shop.running(shop.group()):
        await asyncio.gather(*(write(shop, 15) for _ in range(4)))
        await shop.took_all_once()


async def test_a_slow_writers_event_comes_late_and_is_not_lost(shop: Shop) -> None:
    async with shop.running(shop.group()):
        async with shop.db.transaction() as slow:
            await shop.moved(slow, ["slow"])
            await slow.flush()
            await shop.move("quick")
            await shop.took(1)
        await shop.took_all_once()


async def test_effects_happen_once_though_connections_to_the_database_are_killed(shop: Shop) -> None:
    superuser: asyncpg.Connection[Any] = await asyncpg.connect(shop.url)
    async with shop.running(shop.group()), shop.running(shop.group()):
        for n in range(30):
            try:
                await shop.move(*THINGS[n % 3 :: 3])
            except Exception as error:
                assert is_retryable(error), error  # noqa: PT017 - whether it was committed, the versions tell
            if n % 6 == 0:
                await superuser.execute(KILL)
        await shop.took_all_once()
    assert await shop.parked() == {}
    await superuser.close()
