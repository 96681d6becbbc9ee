"""A group that is new or emptied reads the log from its start and then what comes, and all of it once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.test_duplicates import Stand
from tests.brokers.behaviour.things import recording
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.replay import NotRebuildable, replay
from tradepost.kernel.log.subscription import Group

THINGS = [f"thing-{n}" for n in range(20)]


async def empty(tx: Tx) -> None:
    await tx.execute("DELETE FROM effect WHERE \"group\" = 'projection'")


def projection(shop: Shop, **more: Any) -> Group:
    return shop.group("projection", reset=empty, **more)


async def keep_writing(shop: Shop, transactions: int) -> None:
    for _ in range(transactions):
        await shop.move(*THINGS[:7])
        await asyncio.sleep(0.005)


async def test_a_group_that_is_added_later_reads_everything_and_then_what_comes(shop: Shop) -> None:
    before = shop.part(shop.group())
    await before.start()
    for _ in range(5):
        await shop.move(*THINGS)
    await shop.took(100)
    writing = asyncio.create_task(keep_writing(shop, 60))
    after = shop.part(shop.group(), projection(shop))
    await after.start()
    await before.stop()
    await writing
    await shop.took_all_once("projection")
    await shop.took_all_once()


async def test_a_replay_builds_anew_while_events_pour_in(shop: Shop) -> None:
    async with shop.running(shop.group(), projection(shop)) as part, shop.running(shop.group(), projection(shop)):
        for _ in range(5):
            await shop.move(*THINGS)
        await shop.took(100, "projection")
        writing = asyncio.create_task(keep_writing(shop, 60))
        await shop.took(150, "projection")
        await replay(part.db, part.clocks, projection(shop))
        await writing
        await shop.took_all_once("projection")
        await shop.took_all_once()


async def test_a_replay_of_a_group_that_does_not_run_is_done_when_it_runs(shop: Shop) -> None:
    async with shop.running(projection(shop)) as part:
        await shop.move(*THINGS, *THINGS)
        await shop.took(40, "projection")
    async with shop.running(shop.group(), declares=[shop.group(), projection(shop)]) as part:
        await shop.move(*THINGS)
        await replay(part.db, part.clocks, projection(shop))
        assert await shop.effects("projection") == {}
    async with shop.running(projection(shop)):
        await shop.took_all_once("projection")


async def test_a_replay_applies_again_what_was_parked_behind_poison(shop: Shop) -> None:
    async with shop.running(projection(shop)) as part:
        await shop.move("bad", poison=True)
        await shop.move("bad", *THINGS)
        await until(lambda: _waits(shop, [1, 2]), "the key waits")
        await replay(part.db, part.clocks, projection(shop))
        await until(lambda: _waits(shop, [1, 2]), "the key waits again")
        await shop.took_all_once("projection", without=["bad"])
    assert "bad" not in await shop.effects("projection")


async def _waits(shop: Shop, sequences: Sequence[int]) -> bool:
    return (await shop.parked("projection")).get("bad") == sequences


async def test_a_member_that_dies_while_it_catches_up_leaves_the_rest_to_another(shop: Shop) -> None:
    stand = Stand(passes=1)

    async def handle(tx: Tx, events: Sequence[Event[Any]]) -> None:
        await stand.still()
        await recording("projection")(tx, events)

    await shop.move(*(f"thing-{n:04}" for n in range(2_500)))  # three pieces
    dying = shop.part(projection(shop, handler=handle))
    await dying.start()
    await stand.reached()
    await dying.kill()
    assert len(await shop.effects("projection")) == 1_000
    async with shop.running(projection(shop)), shop.running(projection(shop)):
        await shop.took_all_once("projection")


async def test_a_group_whose_effects_reach_the_world_never_reads_again(shop: Shop) -> None:
    async with shop.running(shop.group()) as part:
        await shop.move(*THINGS)
        await shop.took(20)
        with pytest.raises(NotRebuildable, match="can't be taken back"):
            await replay(part.db, part.clocks, shop.group())
        await shop.took_all_once()
