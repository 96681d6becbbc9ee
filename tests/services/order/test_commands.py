"""Placing, expiring and offering on a real database."""

import asyncio
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec
import pytest

from tradepost.contracts.inventory import InventoryAdjusted, InventoryReserved
from tradepost.contracts.order import Guest
from tradepost.contracts.payment import PaymentCaptured, PaymentRequiresAction
from tradepost.contracts.product import ProductArchived, ProductCreated, Variant
from tradepost.contracts.shipping import ShippingCancelled
from tradepost.kernel.batcher import Batcher, Known
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.kernel.errors import Conflict, Invalid, Refusal
from tradepost.kernel.events import Cause, Event, Fact
from tradepost.kernel.ids import LOWEST_ID, first_id, new_id
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.order import commands, consumers, jobs, offers
from tradepost.services.order.commands import Placed
from tradepost.services.order.domain.placement import Item, Placement
from tradepost.services.order.repository import Priced

NOW: Final = datetime(2026, 11, 23, 8, tzinfo=UTC)
LATE: Final = ("cancelled", "payment_timed_out")
PARK: Final = """
INSERT INTO parked (source, "group", position, key, slot, event, error, tries)
VALUES ('payment', 'order', 1, $1, 0, '{}', 'x', 1)
"""


def an_event(fact: Fact, position: int = 1) -> Event[Any]:
    return Event(
        position=position, id=new_id(), type=fact.type, key=fact.key, sequence=1, time=NOW, correlation_id="c",
        causation_id=None, traceparent=None, data=fact,
    )  # fmt: skip


def a_product(sku: str, price: int = 500, status: str = "active") -> ProductCreated:
    variant = Variant(variant_id=new_id(), sku=sku, price=price)
    return ProductCreated(product_id=new_id(), name=sku, status=status, currency="USD", variants=(variant,))


def counted(sku: str) -> InventoryAdjusted:
    return InventoryAdjusted(
        sku=sku, delta=0, on_hand=0, reserved=0, available=0, version=1, reason="announced"
    )  # fmt: skip


def a_placement(sku: str, key: str = "", quantity: int = 1, now: datetime = NOW) -> Placement:
    return Placement(
        order_id=new_id(), scope="s", key=key or new_id(), body_hash=b"h", user_id=None,
        guest=Guest(email="a@example.com", name="A"), items=(Item(quantity=quantity, sku=sku),), currency=None,
        shipping_address=None, payment_method="pm_card_visa", cause=Cause("c"), now=now,
    )  # fmt: skip


async def offer(db: Database, *skus: str) -> None:
    async with db.transaction() as tx:
        await offers.learn_products(tx, [an_event(a_product(sku)) for sku in skus])
        await offers.learn_stock(tx, [an_event(counted(sku)) for sku in skus])


def overdue_s() -> float:
    """As `/metrics` has it."""
    return FIGURES.get_sample_value("tradepost_orders_overdue_seconds") or 0.0


async def types(db: Database) -> list[str]:
    return [row["type"] for row in await db.fetch("SELECT type FROM event ORDER BY id")]


@pytest.mark.parametrize("product_first", [True, False])
async def test_an_offer_opens_once_when_price_and_stock_are_known(db: Database, product_first: bool) -> None:
    product, stock = an_event(a_product("MUG-1")), an_event(counted("MUG-1"))
    for is_product in (product_first, not product_first, True, False):
        async with db.transaction() as tx:
            if is_product:
                await offers.learn_products(tx, [product])
            else:
                await offers.learn_stock(tx, [stock])

    assert await types(db) == ["order.offer_opened"]


async def test_what_is_known_only_in_part_is_not_yet_available(db: Database) -> None:
    async with db.transaction() as tx:
        await offers.learn_products(tx, [an_event(a_product("MUG-1"))])
        (verdict,) = await commands.place(tx, [a_placement("MUG-1")])

    assert isinstance(verdict, Conflict)
    assert (verdict.error, verdict.retry_after_s) == ("not_yet_available", 1)


@pytest.mark.parametrize("by_variant", [True, False])
@pytest.mark.parametrize(("seconds", "error"), [(2, "not_yet_available"), (61, "unknown_product")])
async def test_what_was_made_just_now_may_not_have_been_heard_of_yet(
    db: Database, by_variant: bool, seconds: int, error: str
) -> None:
    made = f"{int((NOW.timestamp() - seconds) * 1000):012x}"
    name = f"{made[:8]}-{made[8:]}-7000-8000-000000000000"
    item = Item(quantity=1, variant_id=name) if by_variant else Item(quantity=1, product_id=name)
    async with db.transaction() as tx:
        (verdict,) = await commands.place(tx, [msgspec.structs.replace(a_placement("-"), items=(item,))])

    assert isinstance(verdict, Refusal)
    assert verdict.error == error


async def test_drafts_and_archived_products_are_not_for_sale(db: Database) -> None:
    draft, gone = a_product("DRAFT-1", status="draft"), a_product("GONE-1")
    async with db.transaction() as tx:
        await offers.learn_products(tx, [an_event(draft), an_event(gone)])
        await offers.learn_stock(tx, [an_event(counted("DRAFT-1")), an_event(counted("GONE-1"))])
        await offers.learn_products(tx, [an_event(ProductArchived(product_id=gone.product_id))])
        verdicts = await commands.place(tx, [a_placement("DRAFT-1"), a_placement("GONE-1"), a_placement("NOPE")])

    assert [isinstance(v, Invalid) and v.error for v in verdicts] == ["unknown_product"] * 3


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize(("count", "statements"), [(1, 2), (50, 3)])  # offers and numbers, rows; many events apart
async def test_a_batch_takes_as_many_statements_whatever_its_size(
    db: Database, count: int, statements: int, looks: bool
) -> None:
    await offer(db, "MUG-1", "CUP-2")
    before = db.statements
    async with db.transaction() as tx:
        verdicts = await commands.place(tx, [a_placement(("MUG-1", "CUP-2")[n % 2]) for n in range(count)], looks)

    assert db.statements - before == statements + looks
    assert all(isinstance(verdict, Priced) for verdict in verdicts)
    assert await db.fetchval("SELECT count(*) FROM orders WHERE status = 'pending' AND total_amount = 500") == count


async def test_a_bad_placement_spares_the_others(db: Database) -> None:
    await offer(db, "MUG-1")
    async with db.transaction() as tx:
        good, bad = await commands.place(tx, [a_placement("MUG-1"), a_placement("NOPE")])

    assert isinstance(good, Priced)
    assert isinstance(bad, Invalid)
    assert await db.fetchval("SELECT count(*) FROM orders") == 1


async def test_a_key_that_was_used_finds_its_order(db: Database) -> None:
    await offer(db, "MUG-1")
    first = a_placement("MUG-1", key="k")
    for placement in (first, a_placement("MUG-1", key="k")):
        async with db.transaction() as tx:
            (verdict,) = await commands.place(tx, [placement])

    assert verdict == first.order_id
    assert await db.fetchval("SELECT count(*) FROM orders") == 1


async def test_a_key_that_was_used_and_not_looked_for_undoes_the_batch(db: Database) -> None:
    await offer(db, "MUG-1")
    first, again, other = a_placement("MUG-1", key="k"), a_placement("MUG-1", key="k"), a_placement("MUG-1")
    async with db.transaction() as tx:
        await commands.place(tx, [first], looks=False)
    with pytest.raises(Known):
        async with db.transaction() as tx:
            await commands.place(tx, [again, other], looks=False)

    assert await db.fetchval("SELECT count(*) FROM orders") == 1
    assert await types(db) == ["order.offer_opened", "order.created"]


async def test_a_key_that_was_used_finds_its_order_though_it_could_not_be_placed_now(db: Database) -> None:
    mug = a_product("MUG-1")
    first, again = a_placement("MUG-1", key="k"), a_placement("MUG-1", key="k")
    async with db.transaction() as tx:
        await offers.learn_products(tx, [an_event(mug)])
        await offers.learn_stock(tx, [an_event(counted("MUG-1"))])
        await commands.place(tx, [first], looks=False)
    async with db.transaction() as tx:
        await offers.learn_products(tx, [an_event(ProductArchived(product_id=mug.product_id))])
        found, refused = await commands.place(tx, [again, a_placement("MUG-1")], looks=False)

    assert found == first.order_id
    assert isinstance(refused, Invalid)


async def test_who_asks_with_a_key_that_another_process_is_placing_under_gets_its_order(db: Database) -> None:
    await offer(db, "MUG-1")
    first, again = a_placement("MUG-1", key="k"), a_placement("MUG-1", key="k")
    batcher: Batcher[Placement, Placed] = Batcher(db, commands.place)
    async with db.transaction() as tx:
        await commands.place(tx, [first], looks=False)
        await tx.flush()
        asked = asyncio.create_task(batcher.submit(again, caller="me", key="k"))
        await asyncio.sleep(0.2)
        assert not asked.done()

    assert await asked == first.order_id
    assert await db.fetchval("SELECT count(*) FROM orders") == 1
    await batcher.close()


async def test_a_number_that_was_drawn_for_a_bad_placement_is_the_next_orders(db: Database) -> None:
    await offer(db, "MUG-1")
    spare: list[int] = []
    for sku in ("NOPE", "MUG-1", "MUG-1"):
        async with db.transaction() as tx:
            await commands.place(tx, [a_placement("NOPE"), a_placement(sku)], looks=False, spare=spare)

    numbers = [row["number"] for row in await db.fetch("SELECT number FROM orders ORDER BY number")]
    assert (numbers[1] - numbers[0], len(spare)) == (1, 1)


async def test_buyers_have_half_an_hour_to_confirm_and_what_waits_for_us_has_a_day(db: Database) -> None:
    ages = {"yesterday": timedelta(hours=25), "today": timedelta(minutes=31), "now": timedelta(minutes=29)}
    placed = {age: await _placed(db, *[now() - ages[age]] * 4) for age in ages}
    for _, reserved, asked, paid in placed.values():
        await _hear(db, *_to_confirm(asked), _reserved(reserved), _reserved(paid), _captured(paid))

    assert await jobs.expire(_desk(db)) is False

    fates = await _fates(db)
    assert {age: [fates[order_id] for order_id in ids] for age, ids in placed.items()} == {
        "yesterday": [LATE, LATE, LATE, ("paid", None)],
        "today": [("pending", None), ("reserved", None), LATE, ("paid", None)],
        "now": [("pending", None), ("reserved", None), ("reserved", None), ("paid", None)],
    }
    assert await jobs.expire(_desk(db)) is False
    assert (await types(db)).count("order.cancelled") == 4


async def test_no_order_ends_of_which_something_is_on_its_way_or_set_aside(db: Database) -> None:
    unheard, parked, unpaid = await _placed(db, *[now() - timedelta(hours=25)] * 3)
    await db.fetch(PARK, parked)

    assert await jobs.expire(_desk(db, unheard=[unheard])) is False
    assert await _fates(db) == {unheard: ("pending", None), parked: ("pending", None), unpaid: LATE}


async def test_no_order_ends_while_that_can_not_be_known(db: Database) -> None:
    (order_id,) = await _placed(db, now() - timedelta(hours=25))
    with pytest.raises(ConnectionError):
        await jobs.expire(_desk(db, unheard=None))
    assert await _fates(db) == {order_id: ("pending", None)}


async def test_many_end_in_rounds_and_those_that_wait_are_in_nobodys_way(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ROUND", 2)
    orders = sorted(await _placed(db, *[now() - timedelta(hours=25)] * 9))

    assert await jobs.expire(_desk(db, unheard=orders[:3])) is False

    fates = await _fates(db)
    assert [fates[order_id] for order_id in orders] == [("pending", None)] * 3 + [LATE] * 6


async def test_what_is_set_aside_while_it_is_looked_for_is_not_overlooked(db: Database) -> None:
    (order_id,) = await _placed(db, now() - timedelta(hours=25))

    async def sets_aside(_keys: Sequence[str], *_facts: type[Fact]) -> set[str]:
        await db.fetch(PARK, order_id)
        return set()

    await jobs.expire(cast(Any, SimpleNamespace(db=db, unheard=sets_aside)))
    assert await _fates(db) == {order_id: ("pending", None)}


async def _placed(db: Database, *times: datetime) -> list[str]:
    await offer(db, "MUG-1")
    placements = [made_then(a_placement("MUG-1", now=time)) for time in times]
    async with db.transaction() as tx:
        await commands.place(tx, placements)
    return [placement.order_id for placement in placements]


async def _hear(db: Database, *facts: Fact) -> None:
    async with db.transaction() as tx:
        await consumers.follow(tx, [an_event(fact, position) for position, fact in enumerate(facts, 1)])


def _reserved(order_id: str) -> Fact:
    return InventoryReserved(order_id=order_id, items=())


def _to_confirm(order_id: str) -> tuple[Fact, Fact]:
    asked = PaymentRequiresAction(
        order_id=order_id, payment_id=new_id(), amount=500, currency="USD", action_url="https://bank.example"
    )
    return _reserved(order_id), asked


def _captured(order_id: str) -> Fact:
    return PaymentCaptured(
        order_id=order_id, payment_id=new_id(), amount=500, currency="USD", payment_method="m", transaction_id="t"
    )


async def _fates(db: Database) -> dict[str, tuple[str, str | None]]:
    rows = await db.fetch("SELECT id::text AS id, status, cancel_reason FROM orders")
    return {row["id"]: (row["status"], row["cancel_reason"]) for row in rows}


async def test_a_cancellation_that_nobody_answers_is_seen_to_wait(db: Database) -> None:
    asked_at = now() - timedelta(minutes=20)
    (order_id,) = await _placed(db, asked_at)
    await _hear(db, _reserved(order_id), _captured(order_id))
    await jobs.look_for_overdue(_desk(db))
    assert overdue_s() == 0.0

    async with db.transaction() as tx:
        await commands.cancel(tx, order_id, None, "late", Cause("c"), asked_at)
    await jobs.look_for_overdue(_desk(db))
    assert overdue_s() >= 1_200.0

    await _hear(db, ShippingCancelled(shipment_id=new_id(), order_id=order_id))
    await jobs.look_for_overdue(_desk(db))
    assert overdue_s() == 0.0


async def test_orders_that_ended_are_not_looked_at(db: Database) -> None:
    old = now() - timedelta(hours=25)
    done = await _placed(db, *[old] * 50)
    await db.fetch("UPDATE orders SET status = 'completed', completed_at = now() WHERE id = ANY ($1::uuid[])", done)
    await _placed(db, old, *[now()] * 50)
    await db.fetch("ANALYZE orders")
    limit = first_id(now() - timedelta(hours=1))
    rows = await db.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {jobs._DUE}", LOWEST_ID, limit, limit, 500)
    told = rows[0]["QUERY PLAN"]
    assert msgspec.json.decode(told)[0]["Plan"]["Actual Rows"] == 1
    assert not re.search(r'"Rows Removed by Filter": [1-9]', told)


def made_then(placement: Placement) -> Placement:
    """With an id of that time, not of ours."""
    return msgspec.structs.replace(placement, order_id=first_id(placement.now)[:13] + placement.order_id[13:])


def _desk(db: Database, unheard: Collection[str] | None = ()) -> Any:
    async def told(keys: Sequence[str], *_facts: type[Fact]) -> set[str]:
        if unheard is None:
            raise ConnectionError
        return {key for key in keys if key in unheard}

    return SimpleNamespace(db=db, unheard=told)
