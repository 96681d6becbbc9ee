"""What is fetched once for all groups of a process: who falls behind reads by himself, and is not waited for."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.brokers.kafka_probing import Shop, begin, intake, receiving, serving
from tests.kernel.log.probing import effects, until
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.kafka import connection, feed, reception
from tradepost.kernel.brokers.port import BrokerError
from tradepost.kernel.database import Database

KEYS = ("a", "b", "c")


@dataclass
class Opened:
    """Connections that read, by who opened them."""

    by: list[str] = field(default_factory=list)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    made = Opened()
    for module in (feed, reception):

        def counted(cluster: Any, who: str = module.__name__.rpartition(".")[2]) -> Any:
            made.by.append(who)
            return connection.reading(cluster)

        monkeypatch.setattr(module, "reading", counted)
    return made


def groups_of(shop: Shop, *names: str) -> Iterator[Shop]:
    """The same shop, seen by other groups of one process."""
    for name in names:
        yield replace(shop, group=replace(shop.group, name=name))


async def test_groups_of_a_process_share_one_connection(shop: Shop, database: Database, opened: Opened) -> None:
    async with AsyncExitStack() as stack:
        for group in groups_of(shop, "one", "two", "three"):
            units = await begin(group, database)
            await stack.enter_async_context(serving(group, database, units))
        await until(lambda: _follow(shop, 3))
        await shop.publish(*KEYS, *KEYS)
        got = await effects(database, 18)

    assert opened.by == ["feed"]
    for key in KEYS:
        assert sorted(sequence for k, sequence in got if k == key) == [1, 1, 1, 2, 2, 2]


async def test_who_falls_behind_reads_by_himself_and_comes_back(
    shop: Shop, database: Database, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT_RECORDS", 4)
    quick, slow = groups_of(shop, "quick", "slow")
    gate = asyncio.Event()
    quick_units, slow_units = await begin(quick, database), await begin(slow, database)
    async with (
        receiving(quick, quick_units, intake(quick, database, "one")),
        receiving(slow, slow_units, intake(slow, database, "one", gate=gate)),
    ):
        await until(lambda: _follow(shop, 2))
        for _ in range(10):
            await shop.publish(*KEYS)
        assert len(await effects(database, 30)) == 30, "nobody waits for the slow one"
        assert opened.by == ["feed"]

        gate.set()
        got = await effects(database, 60)
        assert opened.by == ["feed", "reception"]
        for key in KEYS:
            assert sorted(sequence for k, sequence in got if k == key) == sorted([*range(1, 11)] * 2)

        await shop.publish(*KEYS)
        await effects(database, 66)
        assert opened.by == ["feed", "reception"], "it has joined the others"


async def test_what_nobody_takes_is_not_fetched_without_end(
    shop: Shop, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT_RECORDS", 4)
    gate = asyncio.Event()
    units = await begin(shop, database)
    async with receiving(shop, units, intake(shop, database, "one", gate=gate)):
        await until(lambda: _follow(shop, 1))
        for _ in range(10):
            await shop.publish("a", "a")
        windows = list(shop.kafka._feed._windows.values())
        await until(lambda: _is(any(window.is_full() for window in windows)))
        await asyncio.sleep(0.5)
        held = max(len(window.records) for window in windows)
        assert held < 20

        gate.set()
        got = await effects(database, 20)
    assert got == [("a", sequence) for sequence in range(1, 21)]


async def test_what_was_published_before_is_read_by_oneself(shop: Shop, database: Database, opened: Opened) -> None:
    units = await begin(shop, database)
    await shop.publish(*KEYS)
    async with receiving(shop, units, intake(shop, database, "one")):
        assert len(await effects(database, 3)) == 3
        assert opened.by == ["feed", "reception"], "what came before is behind the others"
        await shop.publish(*KEYS)
        assert len(await effects(database, 6)) == 6


async def test_when_the_fetching_ends_all_hear_of_it_and_who_comes_next_begins_anew(
    shop: Shop, database: Database, opened: Opened
) -> None:
    units = await begin(shop, database)
    async with receiving(shop, units, intake(shop, database, "one")) as reception:
        await until(lambda: _follow(shop, 1))
        assert shop.kafka._feed._task is not None
        shop.kafka._feed._task.cancel()
        with pytest.raises(BrokerError, match="the connection ended"):
            await asyncio.wait_for(reception, PATIENCE_S)

    async with receiving(shop, units, intake(shop, database, "one")):
        await until(lambda: _follow(shop, 1))
        await shop.publish(*KEYS)
        assert len(await effects(database, 3)) == 3
    assert opened.by == ["feed", "feed"]
    assert shop.kafka._feed._task is None


async def test_who_begins_to_follow_when_the_fetching_has_failed_already_hears_of_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_cluster: Any) -> Any:
        raise BrokerError("gone")

    monkeypatch.setattr(feed, "reading", gone)
    async with asyncio.timeout(PATIENCE_S), shop.kafka._feed.follower(shop.group) as follower:
        await until(lambda: _is(follower.failure is not None))
        with pytest.raises(BrokerError, match="gone"):
            await follower.follow({})


async def _follow(shop: Shop, count: int) -> bool:
    return [follower.heard.is_set() for follower in shop.kafka._feed._followers] == [True] * count


async def _is(so: bool) -> bool:
    return so
