"""What shipping answers to the order: a parcel for each paid order, and none for a cancelled one."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.services.shipping.conftest import ADDRESS, Shop, asked, cancelled, opened, paid
from tradepost.kernel.ids import new_id
from tradepost.services.shipping import commands, consumers, jobs
from tradepost.services.shipping.domain.tracking_number import read_tracking_number


async def test_a_paid_order_gets_one_shipment_with_a_tracking_number(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    await shop.pay(order)

    assert await shop.published(order) == [("shipping.created", 1)]
    created = msgspec.json.decode(await shop.data(order, "shipping.created"))
    assert created["shipment_id"] == await shop.shipment_id(order)
    assert created["carrier"] == "local"
    assert read_tracking_number(created["tracking_number"]) == created["tracking_number"]
    assert shop.woken == []


async def test_many_orders_are_shipped_with_two_statements(shop: Shop) -> None:
    orders = [new_id() for _ in range(300)]
    before = shop.db.statements
    await shop.pay(*orders)

    assert shop.db.statements - before == 2
    assert await shop.db.fetchval("SELECT count(DISTINCT tracking_number) FROM shipment") == 300


async def test_the_carrier_picks_up_and_delivers_when_it_is_time(shop: Shop) -> None:
    order = new_id()
    await shop.pay(order)
    await shop.carry()
    assert await shop.status(order) == "pending"

    async with shop.db.transaction() as tx:
        await commands.advance(tx, 301)
    assert shop.woken == ["shipping.carrier"]
    await shop.carry()
    assert await shop.published(order) == [("shipping.created", 1), ("shipping.dispatched", 2)]
    dispatched = msgspec.json.decode(await shop.data(order, "shipping.dispatched"))
    assert dispatched["shipping_address"] == msgspec.to_builtins(ADDRESS)
    assert dispatched["tracking_number"].startswith("TP")

    await shop.carry()
    assert await shop.status(order) == "picked_up"
    async with shop.db.transaction() as tx:
        await commands.advance(tx, 600)
    await shop.carry()
    assert (await shop.published(order))[2:] == [("shipping.delivered", 3)]
    assert await shop.db.fetchval("SELECT count(*) FROM due") == 0
    assert await shop.db.fetchval("SELECT DISTINCT correlation_id FROM event") == f"story of {order}"


async def test_at_pace_zero_a_round_does_it_all(fast: Shop) -> None:
    orders = [new_id() for _ in range(7)]
    await fast.pay(*orders)
    assert fast.woken == ["shipping.carrier"]

    assert await fast.carry() is False
    for order in orders:
        assert [kind for kind, _ in await fast.published(order)] == [
            "shipping.created",
            "shipping.dispatched",
            "shipping.delivered",
        ]


async def test_rounds_are_bounded_and_two_carriers_never_move_one_parcel_twice(
    fast: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PARCELS_A_ROUND", 20)
    orders = [new_id() for _ in range(100)]
    await fast.pay(*orders)
    assert await fast.carry()
    assert await fast.db.fetchval("SELECT count(*) FROM shipment WHERE status = 'delivered'") == 20

    async def work() -> int:
        rounds = 0
        while await fast.carry():
            rounds += 1
        return rounds

    rounds = await asyncio.gather(*(work() for _ in range(4)))

    assert sum(rounds) <= 4  # the last parcels may be shared
    counted = await fast.db.fetch("SELECT type, count(*) AS n FROM event GROUP BY type ORDER BY type")
    assert [row["n"] for row in counted] == [100, 100, 100]


async def test_a_cancellation_that_is_asked_for_in_time_is_answered_exactly_once(fast: Shop) -> None:
    order = new_id()
    await fast.pay(order)
    await fast.hear(consumers.keep, asked(order))
    await fast.hear(consumers.keep, asked(order), cancelled(order))
    await fast.carry()

    assert await fast.published(order) == [("shipping.created", 1), ("shipping.cancelled", 2)]
    assert await fast.status(order) == "cancelled"
    history = msgspec.json.decode(await fast.db.fetchval("SELECT history FROM shipment"))
    assert [one["status"] for one in history] == ["pending", "cancelled"]


async def test_a_cancellation_that_comes_too_late_is_not_answered(fast: Shop) -> None:
    order = new_id()
    await fast.pay(order)
    await fast.carry()
    await fast.hear(consumers.keep, asked(order), cancelled(order))

    assert await fast.status(order) == "delivered"
    assert [kind for kind, _ in await fast.published(order)] == [
        "shipping.created",
        "shipping.dispatched",
        "shipping.delivered",
    ]


async def test_a_parcel_whose_order_was_cancelled_never_leaves(fast: Shop) -> None:
    order = new_id()
    await fast.pay(order)
    await fast.hear(consumers.keep, cancelled(order))
    await fast.carry()

    assert await fast.published(order) == [("shipping.created", 1), ("shipping.cancelled", 2)]


async def test_an_order_cancelled_before_it_was_paid_is_no_concern_of_shipping(shop: Shop) -> None:
    order = new_id()
    await shop.hear(consumers.keep, cancelled(order, was_paid=False))

    assert await shop.published(order) == []
    assert await remembered(shop) == 0


OVERTAKING = {
    "asked": [asked],
    "cancelled": [cancelled],
    "asked and cancelled": [asked, cancelled],
    "asked twice": [asked, asked],
}


@pytest.mark.parametrize("facts", OVERTAKING.values(), ids=list(OVERTAKING))
async def test_a_parcel_that_was_to_be_cancelled_before_its_order_was_heard_of_never_leaves(
    fast: Shop, facts: list[Any]
) -> None:
    order, other = new_id(), new_id()
    await fast.hear(consumers.keep, *(fact(order) for fact in facts))
    assert (await fast.published(order), await remembered(fast)) == ([], 1)

    await fast.pay(other, order, order)
    await fast.hear(consumers.keep, asked(order))
    await fast.pay(order)
    await fast.carry()

    assert await fast.published(order) == [("shipping.created", 1), ("shipping.cancelled", 2)]
    assert (await fast.status(order), await fast.status(other)) == ("cancelled", "delivered")
    assert await remembered(fast) == 0


async def test_a_hundred_parcels_that_are_not_to_leave_take_as_many_statements_as_one(shop: Shop) -> None:
    async def statements(count: int) -> tuple[int, int]:
        orders, before = [new_id() for _ in range(count)], shop.db.statements
        await shop.hear(consumers.keep, *map(asked, orders))
        between = shop.db.statements
        await shop.pay(*orders)
        return between - before, shop.db.statements - between

    one, hundred = await statements(1), await statements(100)
    assert (hundred[0], hundred[1] - 1) == one  # many events go apart
    assert await shop.db.fetchval("SELECT count(*) FROM shipment WHERE status = 'cancelled'") == 101


async def remembered(shop: Shop) -> int:
    return int(await shop.db.fetchval("SELECT count(*) FROM overtaken_order"))


async def test_a_cancellation_and_a_pick_up_at_once_agree(fast: Shop) -> None:
    orders = [new_id() for _ in range(30)]
    await fast.pay(*orders)
    await asyncio.gather(fast.carry(), *(fast.hear(consumers.keep, asked(order)) for order in orders))

    for order in orders:
        kinds = [kind for kind, _ in await fast.published(order)][1:]
        assert kinds in (["shipping.cancelled"], ["shipping.dispatched", "shipping.delivered"])


async def test_pace_and_advanced_time_outlive_the_process(database_url: str, tmp_path: Path) -> None:
    early, late = new_id(), new_id()
    async with opened(database_url, tmp_path, 5, 30) as shop:
        async with shop.db.transaction() as tx:
            await commands.advance(tx, 3600)
        await shop.pay(early)
    async with opened(database_url, tmp_path, 0, 60) as shop:
        await shop.pay(late)
        await shop.carry()
        assert (await shop.status(early), await shop.status(late)) == ("pending", "picked_up")
        ahead = await shop.db.fetchval("SELECT pick_up_at - now() FROM shipment WHERE order_id = $1", late)
        assert 3500 < ahead.total_seconds() <= 3600


async def test_a_guest_without_an_address_gets_a_shipment_too(shop: Shop) -> None:
    order = new_id()
    await shop.hear(consumers.ship, paid(order, address=None))

    assert await shop.status(order) == "pending"
