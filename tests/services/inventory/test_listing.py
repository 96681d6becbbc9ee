"""Learning SKUs from products: announced once, opened once, and whose they are put right."""

import pytest

from tests.services.inventory.warehouse import CAUSE, Warehouse, created, product
from tradepost.contracts.product import ProductUpdated
from tradepost.kernel.ids import new_id
from tradepost.services.inventory.commands import tell


def again(snapshot: object, **changes: object) -> ProductUpdated:
    """The same product, as an update tells it."""
    fields = {name: getattr(snapshot, name) for name in ("product_id", "name", "status", "currency", "variants")}
    return ProductUpdated(**{**fields, **changes})


async def test_a_new_sku_is_announced_with_its_opening_stock(warehouse: Warehouse) -> None:
    told = product(new_id(), MUG=5, CUP=None)

    await warehouse.hear(told)

    common = {"product_id": told.product_id, "reserved": 0, "version": 1, "reference": None}
    mug = {"sku": "MUG", "variant_id": told.variants[0].variant_id, "delta": 5, "on_hand": 5, "available": 5}
    cup = {"sku": "CUP", "variant_id": told.variants[1].variant_id, "delta": 0, "on_hand": 0, "available": 0}
    assert await warehouse.published() == [
        ("inventory.adjusted", "MUG", 1, {**common, **mug, "reason": "opening"}),
        ("inventory.adjusted", "CUP", 1, {**common, **cup, "reason": "announced"}),
    ]
    assert await warehouse.movements("MUG") == [(5, "opening", 5)]
    assert await warehouse.movements("CUP") == []
    await warehouse.check_the_books()


async def test_telling_it_again_changes_nothing(warehouse: Warehouse) -> None:
    told = product(new_id(), MUG=5, CUP=None)
    await warehouse.hear(told, again(told))
    before = await warehouse.published()
    await warehouse.hear(created(new_id(), ("MUG", 1)))

    await warehouse.hear(again(told, variants=product(told.product_id, MUG=9, CUP=9).variants))

    assert (await warehouse.stock("MUG"), await warehouse.stock("CUP")) == ((5, 1), (0, 0))
    assert await warehouse.published("inventory.adjusted") == before
    await warehouse.check_the_books()


async def test_the_first_word_on_opening_stock_counts_in_one_batch_as_in_two(warehouse: Warehouse) -> None:
    first = product(new_id(), MUG=None)

    await warehouse.hear(first, again(first, variants=product(first.product_id, MUG=7).variants))

    assert await warehouse.stock("MUG") == (0, 0)
    assert [data["reason"] for *_, data in await warehouse.published()] == ["announced"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_sku_that_moves_to_another_product_belongs_to_it(warehouse: Warehouse, at_once: bool) -> None:
    old = product(new_id(), MUG=5, CUP=1)
    bare = again(old, variants=old.variants[1:])
    new = product(new_id(), MUG=9)

    for batch in [(old, bare, new)] if at_once else [(old,), (bare,), (new,)]:
        await warehouse.hear(*batch)

    assert str(await warehouse.column("MUG", "product_id")) == new.product_id
    assert str(await warehouse.column("MUG", "variant_id")) == new.variants[0].variant_id
    assert str(await warehouse.column("CUP", "product_id")) == old.product_id
    assert await warehouse.stock("MUG") == (5, 0)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_sku_that_its_product_dropped_belongs_to_nobody_and_keeps_its_stock(
    warehouse: Warehouse, at_once: bool
) -> None:
    old = product(new_id(), MUG=5, CUP=1)
    bare = again(old, variants=old.variants[1:])

    for batch in [(old, bare)] if at_once else [(old,), (bare,)]:
        await warehouse.hear(*batch)

    assert await warehouse.column("MUG", "product_id") is None
    assert await warehouse.stock("MUG") == (5, 0)


async def test_a_batch_takes_the_same_few_statements_whatever_its_size(warehouse: Warehouse) -> None:
    for products in (1, 50, 300):
        told = [product(new_id(), **{f"A-{products}-{n}": 3, f"B-{products}-{n}": None}) for n in range(products)]
        assert await warehouse.hear(*told) == 3 + (products > 1)  # lock, insert, movements; many events apart
        assert await warehouse.hear(*(again(one, variants=one.variants[:1]) for one in told)) == 2  # lock, owners
    await warehouse.check_the_books()


async def test_what_is_announced_again_moves_nothing_and_is_the_newest_word(warehouse: Warehouse) -> None:
    await warehouse.stock_up(CUP=1, MUG=5, POT=2)
    await warehouse.hear(created(new_id(), ("MUG", 2)))
    moved = {sku: await warehouse.movements(sku) for sku in ("CUP", "MUG", "POT")}

    async with warehouse.db.transaction() as tx:
        first = await tell(tx, None, 2, CAUSE)
    async with warehouse.db.transaction() as tx:
        rest = [await tell(tx, first[-1], 2, CAUSE), await tell(tx, "POT", 2, CAUSE)]

    assert (first, rest) == (["CUP", "MUG"], [["POT"], []])
    told = [data for *_, data in await warehouse.published("inventory.adjusted")][-3:]
    assert [(one["sku"], one["delta"], one["on_hand"], one["reserved"], one["available"]) for one in told] == [
        ("CUP", 0, 1, 0, 1), ("MUG", 0, 5, 2, 3), ("POT", 0, 2, 0, 2),
    ]  # fmt: skip
    assert [(one["reason"], one["version"]) for one in told] == [("announced", 2), ("announced", 3), ("announced", 2)]
    assert {sku: await warehouse.movements(sku) for sku in moved} == moved
    await warehouse.check_the_books()
