"""Who is slow or away makes nobody else wait, and nothing pile up in a process: what waits is in the log."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.brokers.behaviour.part import Part
from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.things import recording
from tradepost.kernel.brokers.rabbitmq.topology import Limits
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.rest import ENOUGH, UNHURRIED_S

THINGS = [f"thing-{n}" for n in range(100)]
MEGABYTE = 1_048_576
BIG = 40  # events of a megabyte
HELD = 19 * MEGABYTE  # two pieces of 8 MiB, an event more than fits in one, and one of which the rest is to come

on_brokers = pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)


class Gate:
    """A handler that lets nobody through before it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def handle(self, tx: Tx, events: Sequence[Event[Any]]) -> None:
        self.reached.set()
        await self.open.wait()
        await recording("recorder")(tx, events)


async def test_the_publisher_commits_though_nobody_takes_in(shop: Shop) -> None:
    gate = Gate()
    async with shop.running(shop.group(handler=gate.handle)):
        for _ in range(20):
            await shop.move(*THINGS)
        await gate.reached.wait()
        assert (await shop.effects(), (await shop.versions())["thing-0"]) == ({}, 20)
        gate.open.set()
        await shop.took_all_once()


async def test_a_group_that_is_slow_makes_no_other_wait(shop: Shop) -> None:
    gate = Gate()
    async with shop.running(shop.group(handler=gate.handle), shop.group("quick")):
        await shop.move(*THINGS)
        await gate.reached.wait()
        await shop.took_all_once("quick")
        assert await shop.effects() == {}
        gate.open.set()
        await shop.took_all_once()


async def test_what_nobody_waits_for_is_taken_together(shop: Shop) -> None:
    batches = 0

    async def count(tx: Tx, events: Sequence[Event[Any]]) -> None:
        nonlocal batches
        batches += 1
        await recording("recorder")(tx, events)

    async with shop.running(shop.group(handler=count, unhurried=True), cuts=1):
        began = time.monotonic()
        for _ in range(30):
            await shop.move(*THINGS)
            await asyncio.sleep(0.01)
        await shop.took_all_once()
        assert batches <= (time.monotonic() - began) / UNHURRIED_S + 1 + 3_100 / ENOUGH


@on_brokers
async def test_who_takes_in_slowly_holds_a_bounded_part_of_what_waits(shop: Shop) -> None:
    gate = Gate()
    async with shop.running(shop.group(handler=gate.handle), relays=False) as slow:
        async with shop.running(shop.group(), serves=False) as relay:
            for _ in range(BIG):
                await shop.move("big", text="x" * MEGABYTE)
            await gate.reached.wait()
            await shop.relayed(relay)
        await _rests(slow)
        assert slow.net.passed["down"] - slow.net.unread() < HELD
        gate.open.set()
        await shop.took(BIG)
        assert slow.net.passed["down"] > BIG * MEGABYTE


async def _rests(part: Part) -> None:
    """Until nothing comes any more but answers that there is nothing."""
    seen: list[int] = []

    async def rests() -> bool:
        seen.append(part.net.passed["down"])
        return len(seen) > 50 and seen[-1] - seen[-50] < MEGABYTE / 10

    await until(rests, "it takes no more")


@on_brokers
async def test_while_the_broker_is_silent_the_relay_stands_still_and_then_goes_on(shop: Shop) -> None:
    async with shop.running(shop.group(), relays=False), shop.running(shop.group(), serves=False) as relay:
        await shop.move(*THINGS)
        await shop.took(100)
        await shop.relayed(relay)
        relay.net.hold()
        for _ in range(10):
            await shop.move(*THINGS)
        assert relay.net.passed["up"] < MEGABYTE
        assert (await shop.effects())[THINGS[0]] == [1]
        relay.net.heal()
        await shop.took_all_once()


@pytest.mark.parametrize("kind", ["rabbitmq"], indirect=True)
async def test_a_queue_that_is_full_makes_the_relay_wait_and_no_event_overtakes_another(shop: Shop) -> None:
    few = Limits(messages=5)
    async with shop.running(shop.group(), relays=False, limits=few):
        pass  # from now on messages are kept for the group
    async with shop.running(shop.group(), serves=False, limits=few):
        with capture_logs() as told:
            await shop.move(*["one"] * 40, *["two"] * 40, *THINGS)
            await until(lambda: _is_full(told), "the relay tells why it waits")
        async with shop.running(shop.group(), relays=False, limits=few):
            await shop.took_all_once()


async def _is_full(told: Sequence[Any]) -> bool:
    return any("a queue is full" in line.get("why", "") for line in told)
