"""What orders do to stock: hold, sell, give back, take back; each once, never more than there is."""

import random
from collections import Counter

import asyncpg
import pytest

from tests.services.inventory.warehouse import Warehouse, cancelled, created, paid, returned
from tradepost.kernel.ids import new_id
from tradepost.services.inventory import repository


async def test_an_order_holds_its_units_and_says_what_is_left(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5, CUP=3)
    order = new_id()

    await warehouse.hear(created(order, ("MUG", 2), ("CUP", 3)))

    assert (await warehouse.stock("MUG"), await warehouse.stock("CUP")) == ((5, 2), (3, 3))
    assert await warehouse.status(order) == "reserved"
    items = [
        {"sku": "MUG", "quantity": 2, "available": 3, "version": 2},
        {"sku": "CUP", "quantity": 3, "available": 0, "version": 2},
    ]
    assert await warehouse.published("inventory.reserved") == [
        ("inventory.reserved", order, 1, {"order_id": order, "items": items})
    ]
    await warehouse.check_the_books()


async def test_two_lines_of_one_sku_are_summed(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=3)
    order = new_id()

    await warehouse.hear(created(order, ("MUG", 2), ("MUG", 2)))

    assert await warehouse.stock("MUG") == (3, 0)
    missing = [{"sku": "MUG", "requested": 4, "available": 3}]
    assert await warehouse.published("inventory.rejected") == [
        ("inventory.rejected", order, 1, {"order_id": order, "reason": "insufficient_stock", "missing": missing})
    ]
    assert await warehouse.status(order) == "rejected"


async def test_an_order_for_a_sku_that_nobody_told_of_is_rejected(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=3)
    order = new_id()

    await warehouse.hear(created(order, ("MUG", 1), ("GHOST", 1)))

    (rejected,) = await warehouse.published("inventory.rejected")
    assert rejected[3]["reason"] == "unknown_sku"
    assert rejected[3]["missing"] == [{"sku": "GHOST", "requested": 1, "available": 0}]
    assert await warehouse.stock("MUG") == (3, 0)


async def test_the_last_unit_goes_to_exactly_one_of_five_hundred_orders(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=1)
    orders = [new_id() for _ in range(500)]
    waiting = [created(order, ("MUG", 1)) for order in orders]
    sizes = random.Random(7)

    while waiting:
        size = sizes.randint(1, 90)
        await warehouse.hear(*waiting[:size])
        del waiting[:size]

    outcomes = await warehouse.published("inventory.reserved", "inventory.rejected")
    assert Counter(kind for kind, *_ in outcomes) == {"inventory.reserved": 1, "inventory.rejected": 499}
    assert [key for _, key, *_ in outcomes] == orders
    assert outcomes[0][0] == "inventory.reserved"
    assert await warehouse.stock("MUG") == (1, 1)
    await warehouse.check_the_books()


async def test_grants_of_one_batch_count_down_what_is_available(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5)

    await warehouse.hear(*(created(new_id(), ("MUG", 2)) for _ in range(3)))

    lines = [data["items"][0] for *_, data in await warehouse.published("inventory.reserved")]
    assert [(line["available"], line["version"]) for line in lines] == [(3, 2), (1, 3)]
    assert await warehouse.column("MUG", "version") == 3


async def test_a_paid_order_takes_its_units_out_and_leaves_available_alone(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5, CUP=1)
    order = new_id()
    await warehouse.hear(created(order, ("MUG", 2), ("CUP", 1)))
    before = len(await warehouse.published())

    await warehouse.hear(paid(order))
    await warehouse.hear(paid(order))

    assert (await warehouse.stock("MUG"), await warehouse.stock("CUP")) == ((3, 0), (0, 0))
    assert await warehouse.movements("MUG") == [(5, "opening", 5), (-2, "sold", 3)]
    assert len(await warehouse.published()) == before
    await warehouse.check_the_books()


async def test_an_order_cancelled_before_payment_gives_its_units_back_once(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5)
    order = new_id()
    await warehouse.hear(created(order, ("MUG", 2)))

    await warehouse.hear(cancelled(order))
    await warehouse.hear(cancelled(order), paid(order))

    assert await warehouse.stock("MUG") == (5, 0)
    items = [{"sku": "MUG", "quantity": 2, "available": 5, "version": 3}]
    assert await warehouse.published("inventory.released") == [
        ("inventory.released", order, 2, {"order_id": order, "items": items, "restocked": False})
    ]
    assert await warehouse.status(order) == "released"
    await warehouse.check_the_books()


async def test_a_paid_order_that_is_cancelled_is_restocked_once(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5)
    order = new_id()
    await warehouse.hear(created(order, ("MUG", 2)))
    await warehouse.hear(paid(order))

    await warehouse.hear(cancelled(order, was_paid=True))
    await warehouse.hear(cancelled(order, was_paid=True))

    assert await warehouse.stock("MUG") == (5, 0)
    assert await warehouse.movements("MUG") == [(5, "opening", 5), (-2, "sold", 3), (2, "cancelled", 5)]
    (released,) = await warehouse.published("inventory.released")
    assert (released[2], released[3]["restocked"]) == (2, True)
    assert await warehouse.status(order) == "restocked"
    await warehouse.check_the_books()


async def test_a_rejected_order_has_nothing_to_give_back_when_it_is_cancelled(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=1)
    order = new_id()
    await warehouse.hear(created(order, ("MUG", 2)))
    before = await warehouse.published()

    await warehouse.hear(cancelled(order), paid(order))

    assert await warehouse.published() == before
    assert await warehouse.stock("MUG") == (1, 0)
    assert await warehouse.status(order) == "rejected"


async def test_facts_of_an_order_that_was_never_heard_of_tell_nothing_and_move_nothing(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=1)
    before = await warehouse.published()

    await warehouse.hear(cancelled(new_id()), paid(new_id()), returned(new_id(), new_id(), ("GHOST", 1, True)))

    assert await warehouse.published() == before
    assert await warehouse.stock("MUG") == (1, 0)


@pytest.mark.parametrize("apart", [False, True])
async def test_an_order_whose_cancellation_overtook_it_is_rejected_once_and_holds_nothing(
    warehouse: Warehouse, apart: bool
) -> None:
    await warehouse.stock_up(MUG=5)
    order, other = new_id(), new_id()
    facts = [cancelled(order), created(other, ("MUG", 1)), created(order, ("MUG", 2)), created(order, ("MUG", 2))]
    for some in [[fact] for fact in facts] if apart else [facts]:
        await warehouse.hear(*some)
    await warehouse.hear(cancelled(order), paid(order))

    assert await warehouse.published("inventory.rejected", "inventory.released") == [
        ("inventory.rejected", order, 1, {"order_id": order, "reason": "order_cancelled", "missing": []})
    ]
    row = await warehouse.db.fetchrow("SELECT skus, quantities FROM reservation WHERE order_id = $1", order)
    assert row is not None
    assert (row["skus"], row["quantities"]) == (["MUG"], [2])
    assert [await warehouse.status(one) for one in (order, other)] == ["rejected", "reserved"]
    assert await warehouse.stock("MUG") == (5, 1)
    await warehouse.check_the_books()


async def test_a_paid_order_whose_cancellation_overtook_the_payment_is_sold_and_restocked(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5)
    order = new_id()
    await warehouse.hear(created(order, ("MUG", 2)))

    await warehouse.hear(cancelled(order, was_paid=True))
    await warehouse.hear(paid(order), cancelled(order, was_paid=True))

    assert await warehouse.movements("MUG") == [(5, "opening", 5), (-2, "sold", 3), (2, "cancelled", 5)]
    (released,) = await warehouse.published("inventory.released")
    assert (released[2], released[3]["restocked"]) == (2, True)
    assert await warehouse.status(order) == "restocked"
    assert await warehouse.stock("MUG") == (5, 0)
    await warehouse.check_the_books()


async def test_overtaken_orders_are_remembered_and_rejected_by_as_many_statements_whatever_their_number(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock_up(MUG=5)

    async def statements(count: int) -> tuple[int, int]:
        ids = [new_id() for _ in range(count)]
        remembered = await warehouse.hear(*map(cancelled, ids))
        return remembered, await warehouse.hear(*(created(order, ("MUG", 1)) for order in ids))

    assert await statements(1) == await statements(10) == (3, 3)  # lock reservations, lock stock, save all
    assert await warehouse.stock("MUG") == (5, 0)


async def test_an_order_told_of_twice_has_one_outcome(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5)
    order = new_id()

    await warehouse.hear(created(order, ("MUG", 1)), created(order, ("MUG", 1)))
    await warehouse.hear(created(order, ("MUG", 1)))

    assert await warehouse.stock("MUG") == (5, 1)
    assert len(await warehouse.published("inventory.reserved")) == 1


async def test_units_that_are_released_go_to_an_order_behind_the_cancellation_not_before(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=1)
    first, early, late = new_id(), new_id(), new_id()

    await warehouse.hear(
        created(first, ("MUG", 1)), created(early, ("MUG", 1)), cancelled(first), created(late, ("MUG", 1))
    )

    assert [await warehouse.status(order) for order in (first, early, late)] == ["released", "rejected", "reserved"]
    assert await warehouse.stock("MUG") == (1, 1)
    await warehouse.check_the_books()


async def test_a_whole_life_in_one_batch_comes_to_the_same_as_in_many(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5)
    order = new_id()

    await warehouse.hear(created(order, ("MUG", 2)), paid(order), returned(order, new_id(), ("MUG", 1, True)))

    assert await warehouse.stock("MUG") == (4, 0)
    assert await warehouse.movements("MUG") == [(5, "opening", 5), (-2, "sold", 3), (1, "returned", 4)]
    await warehouse.check_the_books()


async def test_returned_units_go_back_on_the_shelf_unless_they_are_written_off(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=5, CUP=5)
    order, return_id = new_id(), new_id()
    await warehouse.hear(created(order, ("MUG", 3), ("CUP", 1)), paid(order))

    await warehouse.hear(
        returned(order, return_id, ("MUG", 1, True), ("MUG", 1, True), ("MUG", 1, False), ("CUP", 1, False))
    )

    assert (await warehouse.stock("MUG"), await warehouse.stock("CUP")) == ((4, 0), (4, 0))
    _, adjusted = [one for one in await warehouse.published("inventory.adjusted") if one[1] == "MUG"]
    told = {name: adjusted[3][name] for name in ("delta", "on_hand", "available", "version", "reason", "reference")}
    assert adjusted[2] == 2
    assert told == {
        "delta": 2, "on_hand": 4, "available": 4, "version": 4, "reason": "returned", "reference": return_id,
    }  # fmt: skip
    await warehouse.check_the_books()


async def test_a_batch_takes_as_many_statements_whatever_its_size(warehouse: Warehouse) -> None:
    await warehouse.stock_up(**{f"SKU-{n}": 1_000 for n in range(20)})

    for orders in (1, 40, 300):
        await warehouse.db.fetch("UPDATE stock SET threshold = on_hand - reserved, low = FALSE")
        ids = [new_id() for _ in range(orders)]
        placed = [created(order, (f"SKU-{n % 20}", 1), (f"SKU-{(n + 7) % 20}", 2)) for n, order in enumerate(ids)]
        statements = await warehouse.hear(*placed, *map(paid, ids))
        assert statements == 3 + (orders > 1)  # lock reservations, lock stock, save all; many events apart
        await warehouse.check_the_books()


async def test_the_database_itself_refuses_to_oversell(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=1)

    with pytest.raises(asyncpg.CheckViolationError, match="never_oversold"):
        await warehouse.db.fetch("UPDATE stock SET reserved = 2 WHERE sku = 'MUG'")


async def test_the_ledger_can_not_be_rewritten(warehouse: Warehouse) -> None:
    await warehouse.stock_up(MUG=1)

    for statement in ("UPDATE movement SET quantity = 9", "DELETE FROM movement"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await warehouse.db.fetch(statement)


async def test_moves_of_reservations_find_their_rows_by_the_key_whenever_they_were_planned(
    warehouse: Warehouse,
) -> None:
    """The plan is made once, perhaps while there is hardly an order, and then stays."""
    async with warehouse.db.transaction() as tx:
        await tx.execute(f"PREPARE move (uuid[], text[], bigint[]) AS {repository._MOVE_RESERVATIONS}")
        rows = await tx.fetch("EXPLAIN EXECUTE move (NULL, NULL, NULL)")
    plan = "\n".join(str(row["QUERY PLAN"]) for row in rows)
    assert "Index Cond: (order_id = " in plan
