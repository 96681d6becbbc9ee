"""What is delivered or published twice takes effect once, whoever died in between and whoever wakes up late."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.brokers.behaviour.apart import apart
from tests.brokers.behaviour.part import Hooks
from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.things import recording
from tests.patience import PATIENCE_S
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event

THINGS = [f"thing-{n}" for n in range(10)]

on_brokers = pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)


class Stand:
    """A place in the code where whoever comes to it stands still for ever: all but the first `passes` who come, or so
    many `times`."""

    def __init__(self, passes: int = 0, times: int = 1_000) -> None:
        self._passes, self._times = passes, times
        self._reached = asyncio.Event()

    async def still(self) -> None:
        if self._passes:
            self._passes -= 1
            return
        if not self._times:
            return
        self._times -= 1
        self._reached.set()
        await asyncio.Event().wait()

    async def reached(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._reached.wait()


@on_brokers
async def test_what_took_effect_and_was_not_acknowledged_is_delivered_again_and_does_nothing(shop: Shop) -> None:
    stand = Stand()
    async with shop.running(shop.group(), hooks=Hooks(took=stand.still)) as dying:
        await shop.move(*THINGS, *THINGS)
        await stand.reached()
        assert await shop.effects() != {}
        await dying.kill()
    async with shop.running(shop.group()):
        await shop.took_all_once()


async def test_a_consumer_that_is_killed_in_mid_batch_has_done_nothing_and_another_does_it(shop: Shop) -> None:
    stand = Stand(passes=1)

    async def handle(tx: Tx, events: Sequence[Event[Any]]) -> None:
        await recording("recorder")(tx, events)
        await stand.still()

    async with shop.running(shop.group(handler=handle)) as dying:
        await shop.move("first")
        await shop.took(1)
        await shop.move(*THINGS, *THINGS)
        await stand.reached()
        assert await shop.effects() == {"first": [1]}
        await dying.kill()
    async with shop.running(shop.group()):
        await shop.took_all_once()


@on_brokers
@pytest.mark.parametrize("passes", [0, 2], ids=["at the first part of a piece", "in the middle of a piece"])
async def test_a_relay_that_is_killed_between_confirm_and_cursor_leaves_duplicates_that_do_nothing(
    shop: Shop, passes: int
) -> None:
    stand = Stand(passes)
    async with shop.running(shop.group(), relays=False):
        dying = shop.part(shop.group(), serves=False, hooks=Hooks(published=stand.still))
        await shop.move(*THINGS, *THINGS, *THINGS, *THINGS)
        await dying.start()
        await stand.reached()
        await dying.kill()
        await shop.took(len(THINGS) * (passes + 1))
        assert await _relayed(shop) == 0
        async with shop.running(shop.group(), serves=False):
            await shop.took_all_once()


@on_brokers
async def test_duplicates_that_are_delivered_together_take_effect_once(shop: Shop) -> None:
    stand = Stand()
    async with shop.running(shop.group(), relays=False):
        pass  # from now on messages are kept for the group
    dying = shop.part(shop.group(), serves=False, hooks=Hooks(published=stand.still))
    await shop.move(*THINGS)
    await dying.start()
    await stand.reached()
    await dying.kill()
    async with shop.running(shop.group(), serves=False) as relay:
        await shop.relayed(relay)
        async with shop.running(shop.group(), relays=False):
            await shop.took_all_once()


@on_brokers
async def test_two_relays_share_one_log_and_what_they_publish_stays_in_order(shop: Shop) -> None:
    async with (
        shop.running(shop.group(), relays=False),
        shop.running(shop.group(), serves=False) as one,
        shop.running(shop.group(), serves=False) as other,
    ):

        async def share() -> bool:
            return [len(part.workers) for part in (one, other)] == [1, 1]

        await until(share, "each has its part of the log")
        for _ in range(10):
            await shop.move(*THINGS, *THINGS)
        await shop.took_all_once()
        assert await share()


@on_brokers
@pytest.mark.parametrize("moment", ["published"])
async def test_a_paused_relay_that_wakes_up_late_publishes_nothing_that_takes_effect(shop: Shop, moment: str) -> None:
    async with shop.running(shop.group(), relays=False), apart(shop, pauses=moment, serves=False) as paused:
        await shop.move(*THINGS, *THINGS)
        await paused.says("there")
        async with shop.running(shop.group(), serves=False):
            await shop.took_all_once()
            paused.wake()
            for _ in range(5):
                await shop.move(*THINGS)
            await shop.took_all_once()


async def _relayed(shop: Shop) -> int:
    """Up to which event the relay's place has moved."""
    return int(await shop.db.fetchval("SELECT last_id FROM cursor WHERE \"group\" = 'relay' AND tick = 1"))
