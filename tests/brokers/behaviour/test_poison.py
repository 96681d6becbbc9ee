"""An event that can't be digested waits with its key, and all others flow; it is applied after all, or given up."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.brokers.behaviour.part import SHARDS
from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.things import note
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.dispatch import STOP_AFTER_KEYS
from tradepost.kernel.log.parked import drop, retry

GOOD = [f"good-{n}" for n in range(8)]


async def forgiving(tx: Tx, events: Sequence[Event[Any]]) -> None:
    await note(tx, "recorder", events, ["forgiven" for _ in events])


async def wait_behind_poison(shop: Shop) -> None:
    """Three events of `bad` are parked, the first of which is poison."""
    await shop.move("bad", poison=True)
    await shop.move("bad", *GOOD)
    await shop.move("bad", *GOOD)
    await until(lambda: _has_parked(shop, 3), "three events of the key are parked")


async def _has_parked(shop: Shop, count: int) -> bool:
    return sum(len(events) for events in (await shop.parked()).values()) == count


async def test_poison_parks_its_key_and_later_events_of_it_wait_while_others_flow(shop: Shop) -> None:
    async with shop.running(shop.group()):
        await wait_behind_poison(shop)
        await shop.took_all_once(without=["bad"])
    assert await shop.parked() == {"bad": [1, 2, 3]}
    assert "bad" not in await shop.effects()


async def test_a_retry_applies_what_waits_in_order_and_later_events_follow(shop: Shop) -> None:
    async with shop.running(shop.group()) as part:
        await wait_behind_poison(shop)
        assert await retry(part.db, shop.group(handler=forgiving), "bad") == 3
        await shop.took_all_once()
    assert await shop.parked() == {}


async def test_a_dropped_key_never_takes_effect_and_later_events_of_it_flow(shop: Shop) -> None:
    async with shop.running(shop.group()) as part:
        await wait_behind_poison(shop)
        assert await drop(part.db, "recorder", "bad") == 3
        await shop.took_all_once(without=["bad"])
        await shop.move("bad")
        await until(lambda: _has_effects(shop, "bad", [4]), "a later event of the key flows")
    assert await shop.parked() == {}


async def _has_effects(shop: Shop, key: str, sequences: list[int]) -> bool:
    return (await shop.effects()).get(key) == sequences


async def test_a_retry_while_events_of_the_key_pour_in_keeps_their_order(shop: Shop) -> None:
    async with shop.running(shop.group()) as one, shop.running(shop.group()):
        await wait_behind_poison(shop)
        pouring = asyncio.create_task(_pour(shop, 60))
        await until(lambda: _waits_at_least(shop, 10), "some more wait")
        await retry(one.db, shop.group(handler=forgiving), "bad")
        await pouring
        await shop.took_all_once()
    assert await shop.parked() == {}


async def _pour(shop: Shop, count: int) -> None:
    for _ in range(count):
        await shop.move("bad", *GOOD[:2])
        await asyncio.sleep(0)


async def _waits_at_least(shop: Shop, count: int) -> bool:
    return len((await shop.parked()).get("bad", ())) >= count


async def test_poison_in_the_middle_of_a_batch_leaves_what_came_before_it_of_its_key(shop: Shop) -> None:
    async with shop.db.transaction() as tx:
        await shop.moved(tx, ["bad", *GOOD])
        await shop.moved(tx, ["bad"], poison=True)
        await shop.moved(tx, ["bad", *GOOD])
    async with shop.running(shop.group()):
        await until(lambda: _has_parked(shop, 2), "the poison and what is behind it")
        await shop.took_all_once(without=["bad"])
    assert (await shop.parked(), (await shop.effects())["bad"]) == ({"bad": [2, 3]}, [1])


async def test_too_many_keys_parked_in_a_minute_stop_the_group_and_a_mended_one_goes_on(shop: Shop) -> None:
    things = [f"thing-{n}" for n in range(SHARDS * STOP_AFTER_KEYS + 1)]  # for one shard there are enough
    async with shop.running(shop.group()) as part:
        await shop.move(*things, poison=True)
        await until(lambda: _has_stopped(part), "the group stops")
        assert [
            worker.stopped for worker in part.workers if "bad deployment" in (getattr(worker, "stopped", None) or "")
        ]
        assert await shop.effects() == {}
    async with shop.running(shop.group(handler=forgiving)) as part:
        for key in await shop.parked():
            await retry(part.db, shop.group(handler=forgiving), key)
        await shop.took_all_once()


async def _has_stopped(part: Any) -> bool:
    return any(getattr(worker, "stopped", None) for worker in part.workers)
