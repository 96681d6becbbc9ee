"""A shop that ran on the log goes on with a broker where it stood; nobody goes back, or elsewhere, by accident."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.things import recording
from tradepost.kernel.brokers.port import WrongBroker
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event

THINGS = [f"thing-{n:04}" for n in range(1_500)]

pytestmark = pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)


async def only_the_first_piece(tx: Tx, events: Sequence[Event[Any]]) -> None:
    if await tx.fetchval("SELECT count(*) FROM effect"):
        raise asyncpg.AdminShutdownError("57P01")
    await recording("recorder")(tx, events)


async def test_a_log_that_is_read_halfway_is_taken_over_where_it_stood(shop: Shop) -> None:
    await shop.move(*THINGS)
    on_log = shop.part(shop.group(handler=only_the_first_piece), kind="log")
    await on_log.start()
    await shop.took(1_000)
    await on_log.stop()
    await shop.move(*THINGS[:10])
    async with shop.running(shop.group()):
        await shop.took_all_once()


async def test_a_process_that_still_runs_on_the_log_and_one_on_the_broker_do_nothing_twice(shop: Shop) -> None:
    async with shop.running(shop.group(), kind="log"):
        await shop.move(*THINGS[:50])
        await shop.took(50)
        async with shop.running(shop.group()):
            for _ in range(10):
                await shop.move(*THINGS[:20])
            await shop.took_all_once()


async def test_a_key_that_waits_goes_on_waiting_when_a_broker_takes_over(shop: Shop) -> None:
    async with shop.running(shop.group(), kind="log"):
        await shop.move("bad", poison=True)
        await shop.move("bad", "good")
        await until(lambda: _waits(shop, [1, 2]), "the key waits")
    async with shop.running(shop.group()):
        await shop.move("bad", "good")
        await until(lambda: _waits(shop, [1, 2, 3]), "its next event waits behind it")
        await shop.took_all_once(without=["bad"])


async def _waits(shop: Shop, sequences: Sequence[int]) -> bool:
    return (await shop.parked()).get("bad") == sequences


async def test_what_a_broker_carries_is_refused_to_all_others(shop: Shop) -> None:
    async with shop.running(shop.group()):
        await shop.move(*THINGS[:10])
        await shop.took(10)
    tables = ("cursor", "intake", "inbox", "kafka_offset", "effect")
    before = {table: await shop.db.fetch(f"SELECT * FROM {table}") for table in tables}

    with pytest.raises(WrongBroker, match=f"set TRADEPOST_BROKER={shop.kind}, or stop everything"):
        await shop.part(shop.group(), kind="log").start()

    assert {table: await shop.db.fetch(f"SELECT * FROM {table}") for table in tables} == before
