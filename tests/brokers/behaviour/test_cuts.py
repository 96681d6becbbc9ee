"""The network between a process and its broker is cut or silent at any byte: it is opened again, and nothing is lost,
doubled or reordered."""

import asyncio

import pytest

from tests.brokers.behaviour.part import Part
from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.proxy import Way

THINGS = [f"thing-{n}" for n in range(50)]
BYTES = (1, 10, 300, 4_000, 20_000)
TEMPTATION_S = 0.5  # in which a relay that waits for no confirmation would have moved on

pytestmark = pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)


@pytest.mark.parametrize("way", ["up", "down"], ids=["in mid-publish", "in mid-confirm"])
async def test_the_relays_connection_is_cut(shop: Shop, way: Way) -> None:
    async with shop.running(shop.group(), relays=False), shop.running(shop.group(), serves=False) as relay:
        await _cut_again_and_again(shop, relay, way)
        await shop.took_all_once()


@pytest.mark.parametrize("way", ["up", "down"], ids=["in mid-acknowledgement", "in mid-delivery"])
async def test_the_consumers_connection_is_cut(shop: Shop, way: Way) -> None:
    async with shop.running(shop.group(), relays=False) as taker, shop.running(shop.group(), serves=False):
        await _cut_again_and_again(shop, taker, way)
        await shop.took_all_once()


async def _cut_again_and_again(shop: Shop, part: Part, way: Way) -> None:
    await shop.move(*THINGS)
    await shop.took(len(THINGS))
    for n, count in enumerate(BYTES):
        part.net.cut_after(way, count)
        await until(lambda n=n: _cut(shop, part, n + 1), f"it is cut after {count} bytes")  # type: ignore[misc]


async def _cut(shop: Shop, part: Part, cuts: int) -> bool:
    await shop.move(*THINGS)
    await asyncio.sleep(0.05)
    return part.net.cuts >= cuts


async def test_a_relay_that_dies_before_the_broker_has_anything_leaves_it_to_the_next(shop: Shop) -> None:
    async with shop.running(shop.group(), relays=False):
        async with shop.running(shop.group(), serves=False) as dying:
            await shop.move(*THINGS)
            await shop.took(len(THINGS))
            await shop.relayed(dying)
            dying.net.hold()
            await shop.move(*THINGS)
            await asyncio.sleep(TEMPTATION_S)
            await dying.kill()
        async with shop.running(shop.group(), serves=False):
            await shop.took_all_once()


async def test_silence_that_ends_delays_and_a_cut_behind_it_is_mended(shop: Shop) -> None:
    async with shop.running(shop.group()) as part:
        await shop.move(*THINGS)
        await shop.took(len(THINGS))
        for ends in (part.net.heal, part.net.cut):
            part.net.hold()
            for _ in range(5):
                await shop.move(*THINGS)
            ends()
            part.net.heal()
        await shop.took_all_once()
