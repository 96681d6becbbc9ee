"""Whoever nobody waits for takes what came during a rest together; whoever somebody waits for does not rest."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.kernel.log.probing import RECORD, ProbeMoved, effects, move, record, running, ticking
from tests.patience import PATIENCE_S
from tradepost.contracts.order import OrderCreated, OrderPaid
from tradepost.contracts.payment import PaymentCaptured
from tradepost.kernel import right_of_way
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Event
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.consumer import Consumer, register
from tradepost.kernel.log.effects import Application
from tradepost.kernel.log.rest import ENOUGH, UNHURRIED_S, Rest
from tradepost.kernel.log.subscription import Group, later, on
from tradepost.kernel.right_of_way import CROWD, RightOfWay

NOT_TODAY_S = 86_400.0
REST_S = 5.0  # longer than it takes to publish three events
AT_ONCE_S = 5.0


async def ignore(_tx: Tx, _events: Sequence[Event[Any]]) -> None:
    raise AssertionError


async def is_over_at_once(rest: Rest) -> bool:
    try:
        await asyncio.wait_for(rest.over(), AT_ONCE_S)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("events", [ENOUGH, ENOUGH + 1])
async def test_after_a_large_batch_there_is_no_rest(events: int) -> None:
    rest = Rest(NOT_TODAY_S)
    rest.begin(1)
    rest.begin(events)
    assert await is_over_at_once(rest)


async def test_there_is_none_before_the_first_batch_and_after_one_where_somebody_waits() -> None:
    assert await is_over_at_once(Rest(NOT_TODAY_S))
    urgent = Rest(0.0)
    urgent.begin(1)
    assert await is_over_at_once(urgent)


async def test_after_a_small_batch_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    rest = Rest(NOT_TODAY_S)
    rest.begin(ENOUGH - 1)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await rest.over()
    (seconds,) = slept
    assert NOT_TODAY_S - 60 < seconds <= NOT_TODAY_S


def test_the_most_urgent_fact_of_a_publisher_decides() -> None:
    group = Group("mixed", (later(OrderCreated, ignore), on(OrderPaid, ignore), later(PaymentCaptured, ignore)))
    assert group.rest_s(["order"]) == 0.0
    assert group.rest_s(["payment"]) == UNHURRIED_S
    assert group.rest_s(["order", "payment"]) == 0.0
    assert group.rest_s([]) == 0.0


async def test_what_comes_during_a_rest_is_taken_together(database: Database, database_url: str) -> None:
    sizes: list[int] = []

    async def count(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
        sizes.append(len(events))
        await record(tx, events)

    group = Group("recorder", (on(ProbeMoved, count),))
    async with ticking(database_url) as ticks:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, group)
        consumer = Consumer(database, ticks, Application(database, group), place, new_id(), rest_s=REST_S)
        async with running(consumer):
            await move(database, "first")
            await effects(database, 1)
            for thing in "abc":
                await move(database, thing)
            assert len(await effects(database, 4)) == 4
    assert sizes == [1, 3]


async def test_a_consumer_stays_behind_a_crowd(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are before it, and it takes nothing until they are through; then it tells how late it is."""
    monkeypatch.setattr(right_of_way, "CROWD_S", float("inf"))
    way = RightOfWay()
    for _ in range(CROWD):
        way.come()
    async with ticking(database_url) as ticks, AsyncExitStack() as others:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, RECORD)
        await others.enter_async_context(way.behind())
        consumer = Consumer(database, ticks, Application(database, RECORD), place, new_id(), way=way)
        async with running(consumer):
            await move(database, "first")
            await asyncio.sleep(REST_S)
            assert await database.fetchval("SELECT count(*) FROM effect") == 0
            for _ in range(CROWD):
                way.go()
            await others.aclose()
            assert len(await effects(database, 1)) == 1
            async with asyncio.timeout(PATIENCE_S):
                while not way._late_s:
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize(("rest_s", "hurried"), [(0.0, True), (0.01, False)])
async def test_a_consumer_says_whether_somebody_waits(
    database: Database, database_url: str, rest_s: float, hurried: bool
) -> None:
    way = RightOfWay()
    async with ticking(database_url) as ticks:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, RECORD)
        consumer = Consumer(database, ticks, Application(database, RECORD), place, new_id(), way=way, rest_s=rest_s)
        async with running(consumer):
            await move(database, "first")
            async with asyncio.timeout(PATIENCE_S):
                while not way._told:
                    await asyncio.sleep(0.01)
    assert way._told[place].hurried is hurried


@pytest.mark.parametrize("rest_s", [0.0, 0.01])
async def test_a_consumer_that_nobody_waits_for_gives_way_to_late_ones(
    database: Database, database_url: str, rest_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another that nobody waits for is at it, so it takes nothing until that one is through. Who is waited for does."""
    monkeypatch.setattr(RightOfWay, "_gives_way", lambda _way: True)
    way = RightOfWay()
    async with ticking(database_url) as ticks, AsyncExitStack() as others:
        database.on_events = ticks.poke
        (place,) = await register(database, ticks, RECORD)
        await others.enter_async_context(way._aside)
        consumer = Consumer(database, ticks, Application(database, RECORD), place, new_id(), way=way, rest_s=rest_s)
        async with running(consumer):
            await move(database, "first")
            if rest_s:
                await asyncio.sleep(REST_S)
                assert await database.fetchval("SELECT count(*) FROM effect") == 0
                await others.aclose()
            assert len(await effects(database, 1)) == 1
