"""A cut through several databases: no effect without its cause, whatever is under way."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.patience import PATIENCE_S
from tests.shop import Shop, eventually, open_shop
from tradepost.console import cut as cutting
from tradepost.console.cut import CutError, Store, cut, open_stores
from tradepost.console.instance import NAMES
from tradepost.kernel.database import Database, connect
from tradepost.kernel.ids import new_id
from tradepost.kernel.migrate import role_of, url_as

CUTS = 12
PUBLISH = """
INSERT INTO event (event_id, type, key, slot, sequence, at, correlation_id, bytes, data)
VALUES ($1, 'x', 'x', 0, 1, now(), 'x', 2, '{}')
"""


@pytest.fixture
async def apart(server: str) -> AsyncIterator[Mapping[str, str]]:
    """Three databases: order's, payment's, and one for the others."""
    order, payment, others = made = [await databases.create(server) for _ in range(3)]
    yield dict.fromkeys(NAMES, others) | {"order": order, "payment": payment}
    for url in made:
        await databases.drop(server, url)


@asynccontextmanager
async def at_work(urls: Mapping[str, str], *services: str) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(connect(url_as(urls[name], role_of(name), databases.SECRET), name))
            for name in services
        ]


async def publish(db: Database, event_id: str) -> None:
    """An event with an id of our choice, in a transaction of its own."""
    await db.fetch(PUBLISH, event_id)


async def heard(db: Database, event_id: str) -> None:
    """The effect of an event elsewhere: a row, and nothing published."""
    await db.fetch(
        "INSERT INTO idempotency (scope, key, body_hash, status, headers) VALUES ('x', $1, '', 1, '')", event_id
    )


async def effects_without_cause(stores: tuple[Store, ...]) -> set[str]:
    reader = {service: store.reader for store in stores for service in store.services}
    causes = {str(row["event_id"]) for row in await reader["order"].fetch('SELECT event_id FROM "order".event')}
    rows = await reader["payment"].fetch("SELECT key FROM payment.idempotency")
    return {row["key"] for row in rows} - causes


async def test_snapshots_taken_one_after_the_other_can_show_an_effect_without_its_cause(
    apart: Mapping[str, str],
) -> None:
    async with at_work(apart, "order", "payment") as (order, payment), open_stores(apart) as stores:
        first = next(store for store in stores if "order" in store.services)
        async with AsyncExitStack() as stack:
            await cutting._freeze(stack, first)
            await publish(order, cause := new_id())
            await heard(payment, cause)
            for store in stores:
                if store is not first:
                    await cutting._freeze(stack, store)
            assert await effects_without_cause(stores) == {cause}


async def test_no_cut_shows_an_effect_without_its_cause(apart: Mapping[str, str]) -> None:
    async def work(order: Database, payment: Database) -> None:
        while True:
            await publish(order, cause := new_id())
            await heard(payment, cause)

    async with at_work(apart, "order", "payment") as (order, payment), open_stores(apart) as stores:
        workers = [asyncio.create_task(work(order, payment)) for _ in range(4)]
        seen = []
        for _ in range(CUTS):
            await asyncio.sleep(0.02)
            async with cut(stores):
                assert await effects_without_cause(stores) == set()
                seen.append(await stores[0].reader.fetchval("SELECT 1"))
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        assert await payment.fetchval("SELECT count(*) > 0 FROM idempotency")
    assert len(seen) == CUTS


async def test_a_cut_waits_for_the_writer_in_flight_and_holds_up_the_next_only_until_it_is_taken(
    apart: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "_LOCKING", dict.fromkeys(cutting._LOCKING, "30s"))
    async with at_work(apart, "order") as (order,), open_stores(apart) as stores:
        reader = next(store.reader for store in stores if "order" in store.services)

        async def waiting(count: int) -> None:
            await eventually(lambda: databases.waiters(reader), lambda found: found == count)

        async with order.transaction() as early:
            await early.fetch(PUBLISH, flying := new_id())
            taking = asyncio.create_task(_order_events(stores))
            await waiting(1)
            late = asyncio.create_task(publish(order, new_id()))
            await waiting(2)
            assert not taking.done()
            assert not late.done()
        assert await taking == [flying]
        await late


async def _order_events(stores: tuple[Store, ...]) -> list[str]:
    async with cut(stores):
        reader = next(store.reader for store in stores if "order" in store.services)
        return [str(row["event_id"]) for row in await reader.fetch('SELECT event_id FROM "order".event ORDER BY id')]


async def test_a_writer_that_does_not_end_is_given_up_on_and_the_others_go_on(
    apart: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "PAUSES_S", (0.01,))
    async with (
        at_work(apart, "order", "payment") as (order, payment),
        open_stores(apart) as stores,
        order.transaction() as stuck,
    ):
        await stuck.fetch(PUBLISH, new_id())
        with pytest.raises(CutError, match="a transaction that writes events does not end"):
            await _order_events(stores)
        await publish(payment, new_id())
        await publish(order, new_id())


async def test_urls_of_one_database_are_one_store_and_nobody_waits_for_its_cut(database_url: str) -> None:
    urls = dict.fromkeys(NAMES, database_url) | {"order": database_url + "&application_name=another"}
    async with at_work(urls, "order") as (order,), open_stores(urls) as stores:
        assert [set(store.services) for store in stores] == [set(NAMES)]
        async with order.transaction() as open_one:
            await open_one.fetch(PUBLISH, new_id())
            async with cut(stores) as held_up_s:
                assert held_up_s == 0


async def test_every_cut_through_a_selling_shop_has_the_cause_of_each_event_and_the_tick_of_each_reader(
    apart: Mapping[str, str], tmp_path: Path
) -> None:
    async with open_shop(apart["user"], tmp_path, apart=apart) as shop, open_stores(apart) as stores:
        await shop.product("MUG-1", stock=500)
        selling = asyncio.create_task(_sell(shop))
        cuts, orders = 0, set[int]()
        async with asyncio.timeout(PATIENCE_S):
            while cuts < CUTS or len(orders) <= 3:  # so that it has sold meanwhile
                await asyncio.sleep(0.1)
                async with cut(stores):
                    assert await _causes_missing(stores) == set()
                    assert await _ticks_missing(stores) == []
                    reader = next(store.reader for store in stores if "order" in store.services)
                    orders.add(await reader.fetchval('SELECT count(*) FROM "order".orders'))
                cuts += 1
        selling.cancel()
        await asyncio.wait([selling])


async def _sell(shop: Shop) -> None:
    buyer = shop.client(new_id())
    while True:
        bought = await asyncio.gather(*(shop.buy(buyer, "MUG-1") for _ in range(3)))
        assert {answer.json["status"] for answer in bought} <= {"paid", "shipped", "completed", "cancelled"}


async def _causes_missing(stores: tuple[Store, ...]) -> set[str]:
    rows = [
        row
        for store in stores
        for service in store.services
        for row in await store.reader.fetch(f'SELECT event_id, causation_id FROM "{service}".event')
    ]
    return {row["causation_id"] for row in rows if row["causation_id"]} - {row["event_id"] for row in rows}


async def _ticks_missing(stores: tuple[Store, ...]) -> list[Any]:
    reader = {service: store.reader for store in stores for service in store.services}
    return [
        place
        for service in NAMES
        for place in await reader[service].fetch(f'SELECT source, tick, tick_uuid, toward FROM "{service}".cursor')
        if not await reader[place["source"]].fetchval(
            "SELECT EXISTS (SELECT FROM log.tick WHERE id = $1 AND uuid = $2)"
            " AND ($3::bigint IS NULL OR EXISTS (SELECT FROM log.tick WHERE id = $3))",
            place["tick"],
            place["tick_uuid"],
            place["toward"],
        )
    ]
