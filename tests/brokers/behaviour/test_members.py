"""Processes share a group's work by keys: they join, leave, die and fall asleep, and each event takes effect once."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.brokers.behaviour.apart import apart
from tests.brokers.behaviour.part import Part
from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.test_duplicates import Stand
from tests.brokers.behaviour.test_order import THINGS, write
from tests.brokers.behaviour.things import recording
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group

LOSSES = 3
OWNED = """
SELECT EXISTS (SELECT FROM cursor WHERE owner IS NOT NULL AND until IS NULL)
    OR EXISTS (SELECT FROM kafka_offset WHERE owner IS NOT NULL)
"""
CLAIMED = """
SELECT EXISTS (SELECT FROM cursor WHERE owner = $1 AND until IS NULL)
    OR EXISTS (SELECT FROM kafka_offset WHERE owner = $1)
"""


def noting(shop: Shop, who: str) -> Group:
    return shop.group(handler=recording("recorder", who))


async def test_members_share_the_work_and_no_key_is_taken_in_by_two(shop: Shop) -> None:
    names = ("one", "two", "three")
    parts = [shop.part(noting(shop, name)) for name in names]
    await asyncio.gather(*(part.start() for part in parts))
    await shop.move(*THINGS)
    await until(lambda: _have_all(shop, set(names)), "each member takes some in")
    await shop.db.fetch("DELETE FROM effect")
    for _ in range(5):
        await shop.move(*THINGS)
    await shop.took(5 * len(THINGS))
    notes = await shop.notes()
    assert {len(who) for who in notes.values()} == {1}
    assert set.union(*notes.values()) == set(names)


async def _have_all(shop: Shop, names: set[str]) -> bool:
    await shop.took_all_once()
    return set().union(*(await shop.notes()).values()) == names


async def test_members_join_leave_and_die_while_events_pour_in(shop: Shop) -> None:
    lot = random.Random(7)
    members = [await _joined(shop), await _joined(shop)]
    for n in range(6):
        writing = asyncio.create_task(write(shop, 12))
        gone = members.pop(lot.randrange(len(members)))
        await (gone.kill() if n % 3 else gone.stop())
        members.append(await _joined(shop))
        await writing
    await shop.took_all_once()


async def _joined(shop: Shop) -> Part:
    part = shop.part(shop.group())
    await part.start()
    return part


@pytest.mark.parametrize("moment", ["read", "handling"], ids=["before it does anything", "in mid-batch"])
async def test_a_member_that_is_paused_and_wakes_up_late_changes_nothing(shop: Shop, moment: str) -> None:
    await _sleep_and_wake(shop, moment)


@pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)
async def test_a_member_that_is_paused_before_it_acknowledges_and_wakes_up_late_changes_nothing(shop: Shop) -> None:
    await _sleep_and_wake(shop, "took")


async def _sleep_and_wake(shop: Shop, moment: str) -> None:
    async with shop.running(shop.group(), serves=False), apart(shop, pauses=moment, relays=False) as paused:
        await shop.served("recorder")
        await shop.move(*THINGS, *THINGS)
        await paused.says("there")
        async with shop.running(shop.group(), relays=False):
            await shop.took_all_once()
            paused.wake()
            for _ in range(5):
                await shop.move(*THINGS)
            await shop.took_all_once()


@pytest.mark.parametrize("kind", ["log", "kafka"], indirect=True)  # RabbitMQ's queues are claimed by consuming them
async def test_a_member_that_is_moved_just_when_it_has_claimed_leaves_what_it_claimed(shop: Shop) -> None:
    claimed = shop.part(shop.group(), relays=False)
    await claimed.open()
    stand, commit = Stand(times=1), claimed.db.transaction

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Tx]:
        async with commit() as tx:
            yield tx
        if await shop.db.fetchval(CLAIMED, claimed.owner):
            await stand.still()

    claimed.db.transaction = transaction  # type: ignore[method-assign]
    await claimed.work()
    await stand.reached()
    async with shop.running(shop.group()):
        await shop.move(*THINGS)
        await shop.took_all_once()


@pytest.mark.parametrize("kind", ["log", "kafka"], indirect=True)  # RabbitMQ's queues are claimed by consuming them
async def test_a_member_whose_connection_is_lost_while_it_leaves_has_left_in_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, lost = Tx.execute, 0

    async def execute_once_lost(tx: Tx, sql: str, *args: object) -> str:
        nonlocal lost
        if "SET owner = NULL" in sql and lost < LOSSES:
            lost += 1
            tx._connection.terminate()
        return await execute(tx, sql, *args)

    async def is_lost_for_the_last_time() -> bool:
        return lost == LOSSES

    async with shop.running(shop.group(), relays=False):
        await until(lambda: _is_claimed(shop), "it works")
        monkeypatch.setattr(Tx, "execute", execute_once_lost)
        async with shop.running(shop.group()):
            await until(is_lost_for_the_last_time, "it leaves its place to the other")  # not when all is over
            await shop.move(*THINGS)
            await shop.took_all_once()


async def _is_claimed(shop: Shop) -> bool:
    return bool(await shop.db.fetchval(OWNED))


@pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)
async def test_a_member_that_is_moved_while_it_reads_the_log_leaves_it(shop: Shop) -> None:
    stand = Stand(times=1)

    async def handle(tx: Tx, events: Sequence[Event[Any]]) -> None:
        await stand.still()
        await recording("recorder")(tx, events)

    await shop.move(*THINGS)
    first = shop.part(shop.group(handler=handle), cuts=1)
    await first.start()
    await stand.reached()
    async with shop.running(shop.group(), cuts=1) as second:
        assert [len(part.teams[0].workers) for part in (first, second)] == [0, 1], "the second has the only unit"
        await shop.took_all_once()


async def test_processes_of_their_own_that_are_killed_lose_and_double_nothing(shop: Shop) -> None:
    async with apart(shop) as one, apart(shop) as other:
        await write(shop, 20)
        await shop.took(100)
        one.kill()
        await write(shop, 20)
        async with apart(shop):
            await write(shop, 20)
            other.kill()
            await shop.took_all_once()
