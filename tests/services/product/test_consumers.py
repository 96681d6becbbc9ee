"""What inventory and order tell."""

from tests.services.product.catalogue import PRODUCTS, Catalogue, adjusted, event, opened, reserved
from tradepost.contracts.inventory import InventoryReleased, StockLine
from tradepost.services.product import consumers


async def stock(catalogue: Catalogue) -> dict[str, tuple[int, int]]:
    rows = await catalogue.db.fetch("SELECT sku, available, version FROM availability")
    return {row["sku"]: (row["available"], row["version"]) for row in rows}


async def test_the_highest_version_of_a_sku_counts_in_whatever_order_it_comes(catalogue: Catalogue) -> None:
    await catalogue.hear([reserved(("A", 7, 3), ("B", 1, 1)), adjusted("A", 9, 2)])
    await catalogue.hear([adjusted("A", 10, 1), reserved(("B", 0, 2))])
    released = InventoryReleased(order_id="x", items=(StockLine(sku="B", quantity=1, available=1, version=3),))
    await catalogue.hear([released, released])

    assert await stock(catalogue) == {"A": (7, 3), "B": (1, 3)}


async def test_availability_may_come_before_the_product_and_is_not_lost(catalogue: Catalogue) -> None:
    await catalogue.hear([adjusted("MUG", 5, 1)])

    made = await catalogue.create(stock=9)

    assert made["stock"] == 5
    await catalogue.hear([adjusted("MUG", 4, 2)])
    shown = (await catalogue.everyone.get(f"{PRODUCTS}/{made['id']}")).json
    assert (shown["stock"], shown["variants"][0]["stock"], shown["version"]) == (4, 4, 1)


async def test_a_thousand_events_are_one_statement(catalogue: Catalogue) -> None:
    facts = [event(reserved((f"S{n % 50}", n, n), ("HOT", 5000 - n, n))) for n in range(1, 1001)]
    async with catalogue.db.transaction() as tx:
        await consumers.follow_stock(tx, facts)
        assert tx.statements == 1

    found = await stock(catalogue)
    assert (len(found), found["HOT"], found["S7"]) == (51, (4000, 1000), (957, 957))


async def test_the_view_can_be_built_again(catalogue: Catalogue) -> None:
    await catalogue.hear([adjusted("A", 5, 1)])
    assert consumers.availability.reset is not None
    async with catalogue.db.transaction() as tx:
        await consumers.availability.reset(tx)
    assert await stock(catalogue) == {}

    await catalogue.hear([adjusted("A", 5, 1)])
    assert await stock(catalogue) == {"A": (5, 1)}


async def test_an_opened_offer_makes_a_variant_orderable_and_no_new_version(catalogue: Catalogue) -> None:
    made = await catalogue.create(variants=[{"options": {"Size": size}} for size in "SM"])
    small, medium = opened(made)

    await catalogue.hear([small, small])
    half = (await catalogue.everyone.get(f"{PRODUCTS}/{made['id']}")).json
    await catalogue.hear([small, medium])
    whole = (await catalogue.everyone.get(f"{PRODUCTS}/{made['id']}")).json

    assert [variant["orderable"] for variant in half["variants"]] == [True, False]
    assert (half["orderable"], whole["orderable"], whole["version"]) == (False, True, 1)
    await catalogue.edit(made["id"], {"variants": [{"id": medium.variant_id}]})
    assert await catalogue.db.fetchval("SELECT count(*) FROM offer") == 1
