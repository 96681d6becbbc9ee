"""The broker itself is stopped, killed, or gone for a while, in the middle of the traffic."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from brokers.node import Node
from tests.brokers import own, vhosts
from tests.brokers.behaviour.rig import Shop

THINGS = [f"thing-{n}" for n in range(10)]
GONE_S = 60.0
POUR_S = 0.2

pytestmark = pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)


@pytest.fixture
def node(kind: str, request: pytest.FixtureRequest) -> Node:
    """A broker of this worker's own."""
    found: Node = request.getfixturevalue(f"own_{kind}")
    return found


@pytest.fixture
def address(kind: str, node: Node) -> str:
    return vhosts.create(node.address) if kind == "rabbitmq" else node.address


@asynccontextmanager
async def pouring(shop: Shop) -> AsyncIterator[None]:
    """Events are published all the while, whatever the broker does."""
    end = asyncio.Event()

    async def pour() -> None:
        while not end.is_set():
            await shop.move(*THINGS)
            await asyncio.sleep(POUR_S)

    task = asyncio.create_task(pour())
    try:
        yield
    finally:
        end.set()
        await task


async def test_a_broker_that_is_restarted_in_order(shop: Shop, node: Node) -> None:
    async with shop.running(shop.group()), shop.running(shop.group()):
        async with pouring(shop):
            await shop.took(20)
            await asyncio.to_thread(node.stop)
            await asyncio.to_thread(node.start)
        await shop.took_all_once()


async def test_a_broker_that_is_killed_and_gone_for_a_minute(shop: Shop, node: Node) -> None:
    async with shop.running(shop.group()), shop.running(shop.group()):
        async with pouring(shop):
            await shop.took(20)
            await asyncio.sleep(own.DECLARED_S)
            await asyncio.to_thread(node.kill)
            await asyncio.sleep(GONE_S)
            await asyncio.to_thread(node.start)
        await shop.took_all_once()


async def test_processes_that_start_while_the_broker_is_away_begin_when_it_is_back(shop: Shop, node: Node) -> None:
    async with shop.running(shop.group()):
        await shop.move(*THINGS)
        await shop.took(10)
    await shop.move(*THINGS)
    node.pause()
    try:
        starting = asyncio.create_task(shop.part(shop.group()).start())
        _, pending = await asyncio.wait([starting], timeout=1.0)
        assert pending
    finally:
        node.resume()
    await starting
    await shop.took_all_once()
