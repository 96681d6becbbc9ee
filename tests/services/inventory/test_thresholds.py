"""Low and available again: told once per crossing, whatever made available change."""

import pytest

from tests.kernel.http.driver import Client
from tests.services.inventory.warehouse import Warehouse, cancelled, created, paid
from tradepost.kernel.ids import new_id

CROSSINGS = ("inventory.low", "inventory.available")


async def watch(staff: Client, sku: str, threshold: int | None) -> None:
    body = b'{"threshold": %s}' % (b"null" if threshold is None else b"%d" % threshold)
    answer = await staff.call("PUT", f"/inventory/stock/{sku}/threshold", [body], {"content-type": "application/json"})
    assert (answer.status, answer.json["threshold"]) == (200, threshold)


async def test_each_crossing_is_told_once(warehouse: Warehouse, staff: Client) -> None:
    product_id = await warehouse.stock_up(MUG=10)
    await watch(staff, "MUG", 5)
    orders = [new_id() for _ in range(10)]

    await warehouse.hear(*(created(order, ("MUG", 1)) for order in orders[:5]))
    assert await warehouse.published(*CROSSINGS) == []
    await warehouse.hear(*(created(order, ("MUG", 1)) for order in orders[5:8]))
    await warehouse.hear(*(created(order, ("MUG", 1)) for order in orders[8:]), paid(orders[0]))
    await warehouse.hear(*(cancelled(order) for order in orders[1:4]))
    await warehouse.hear(*(cancelled(order) for order in orders[4:8]))
    await warehouse.hear(cancelled(orders[8]))

    variant_id = str(await warehouse.column("MUG", "variant_id"))
    common = {"sku": "MUG", "product_id": product_id, "variant_id": variant_id, "threshold": 5}
    assert await warehouse.published(*CROSSINGS) == [
        ("inventory.low", "MUG", 2, {**common, "available": 2}),
        ("inventory.available", "MUG", 3, {**common, "available": 7}),
    ]
    await warehouse.check_the_books()


async def test_alerts_are_listed_newest_first(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=10)
    await watch(staff, "MUG", 5)
    await staff.post("/inventory/movements", {"sku": "MUG", "quantity": -6, "reason": "lost"})
    await staff.post("/inventory/movements", {"sku": "MUG", "quantity": 1, "reason": "found"})

    alerts = (await staff.get("/inventory/alerts")).json
    newest = (await staff.get("/inventory/alerts?limit=1")).json
    older = (await staff.get(f"/inventory/alerts?starting_after={newest['data'][0]['id']}")).json

    told = [(alert["sku"], alert["kind"], alert["available"], alert["threshold"]) for alert in alerts["data"]]
    assert told == [("MUG", "available", 5, 5), ("MUG", "low", 4, 5)]
    assert (newest["data"], newest["has_more"]) == (alerts["data"][:1], True)
    assert (older["data"], older["has_more"]) == (alerts["data"][1:], False)


async def test_the_list_of_what_is_low_holds_nothing_else(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(CUP=1, MUG=10, POT=1)
    await watch(staff, "CUP", 2)
    await watch(staff, "MUG", 2)

    low = (await staff.get("/inventory/stock?low=true")).json["data"]
    rest = (await staff.get("/inventory/stock?low=false")).json["data"]

    assert [(stock["sku"], stock["available"], stock["low"]) for stock in low] == [("CUP", 1, True)]
    assert [stock["sku"] for stock in rest] == ["MUG", "POT"]


async def test_a_threshold_above_what_is_there_is_low_at_once_and_below_it_available(
    warehouse: Warehouse, staff: Client
) -> None:
    await warehouse.stock_up(MUG=10)

    await watch(staff, "MUG", 11)
    await watch(staff, "MUG", 12)
    await watch(staff, "MUG", 10)

    assert [kind for kind, *_ in await warehouse.published(*CROSSINGS)] == ["inventory.low", "inventory.available"]
    await warehouse.check_the_books()


async def test_taking_the_threshold_away_ends_the_watch_in_silence(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=1)
    await watch(staff, "MUG", 5)

    await watch(staff, "MUG", None)
    await warehouse.hear(created(new_id(), ("MUG", 1)))

    assert [kind for kind, *_ in await warehouse.published(*CROSSINGS)] == ["inventory.low"]
    assert await warehouse.column("MUG", "low") is False
    await warehouse.check_the_books()


@pytest.mark.parametrize(("if_match", "status"), [('"1"', 200), ('"7"', 412)])
async def test_a_threshold_set_on_a_stale_version_is_refused(
    warehouse: Warehouse, staff: Client, if_match: str, status: int
) -> None:
    await warehouse.stock_up(MUG=1)
    headers = {"content-type": "application/json", "if-match": if_match}

    answer = await staff.call("PUT", "/inventory/stock/MUG/threshold", [b'{"threshold": 1}'], headers)

    assert answer.status == status
    assert await warehouse.column("MUG", "threshold") == (1 if status == 200 else None)


async def test_an_unknown_sku_has_no_threshold(staff: Client) -> None:
    headers = {"content-type": "application/json"}

    answer = await staff.call("PUT", "/inventory/stock/GHOST/threshold", [b'{"threshold": 1}'], headers)

    assert answer.error == (404, "unknown_sku")
