"""What staff see and do over HTTP: stock, movements, and the units of a product."""

import asyncio
from collections import Counter
from typing import Any

from tests.kernel.http.driver import Client, Response
from tests.services.inventory.warehouse import Warehouse, created
from tradepost.kernel.ids import new_id

IMPOSSIBLE = (  # with 5 units on hand, of which 2 are reserved
    (-4, "damaged", (409, "stock_reserved")),
    (-6, "damaged", (409, "insufficient_stock")),
    (0, "correction", (422, "wrong_sign")),
    (4, "damaged", (422, "wrong_sign")),
    (-1, "received", (422, "wrong_sign")),
    (1, "sold", (422, "invalid_request")),
)


async def move(staff: Client, quantity: int, reason: str, *, sku: str = "MUG", **headers: str) -> Response:
    return await staff.post("/inventory/movements", {"sku": sku, "quantity": quantity, "reason": reason}, **headers)


async def set_stock(staff: Client, product_id: str, stock: int, **more: str) -> Response:
    body = b'{"stock": %d}' % stock
    headers = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in more.items()}}
    return await staff.call("PUT", f"/product/products/{product_id}/stock", [body], headers)


async def test_stock_is_shown_with_its_locations_and_its_version(warehouse: Warehouse, staff: Client) -> None:
    product_id = await warehouse.stock_up(**{"MUG 1ä": 5})
    await warehouse.hear(created(new_id(), ("MUG 1ä", 2)))

    answer = await staff.get("/inventory/stock/MUG 1ä")

    assert (answer.status, answer.headers["etag"]) == (200, '"2"')
    assert answer.json == {
        "sku": "MUG 1ä", "on_hand": 5, "reserved": 2, "available": 3, "threshold": None, "low": False, "version": 2,
        "product_id": product_id, "variant_id": str(await warehouse.column("MUG 1ä", "variant_id")),
        "locations": [{"location": "main", "on_hand": 5}],
    }  # fmt: skip
    assert (await staff.get("/inventory/stock/GHOST")).error == (404, "unknown_sku")


async def test_the_list_of_stock_is_paged_by_sku_in_both_directions(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(A=1, B=1, C=1, D=1, a=1)

    async def skus(query: str) -> tuple[list[str], bool]:
        answer = (await staff.get(f"/inventory/stock?{query}")).json
        return [stock["sku"] for stock in answer["data"]], answer["has_more"]

    assert await skus("limit=2") == (["A", "B"], True)
    assert await skus("limit=3&starting_after=B") == (["C", "D", "a"], False)
    assert await skus("limit=2&ending_before=D") == (["B", "C"], True)
    assert await skus("sku=D&sku=A&sku=GHOST") == (["A", "D"], False)
    assert await skus("sku=D&sku=A&starting_after=A") == (["D"], False)


async def test_a_movement_changes_what_is_on_hand_and_tells_everyone(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5)
    sent = {"sku": "MUG", "quantity": 3, "reason": "received", "reference": "PO-1"}

    answer = await staff.post("/inventory/movements", sent)

    assert answer.status == 201
    made = answer.json
    assert {name: made[name] for name in ("on_hand", "reserved", "available", "version")} == {
        "on_hand": 8, "reserved": 0, "available": 8, "version": 2,
    }  # fmt: skip
    _, (_, key, sequence, data) = await warehouse.published("inventory.adjusted")
    assert (key, sequence) == ("MUG", 2)
    assert (data["delta"], data["available"], data["reason"], data["reference"]) == (3, 8, "received", "PO-1")
    ledger = (await staff.get("/inventory/movements?sku=MUG")).json["data"]
    assert [(line["quantity"], line["reason"], line["on_hand"]) for line in ledger] == [
        (3, "received", 8),
        (5, "opening", 5),
    ]
    assert (ledger[0]["id"], ledger[0]["reference"], ledger[0]["order_id"]) == (made["id"], "PO-1", None)
    await warehouse.check_the_books()


async def test_a_movement_that_can_not_be_is_refused_and_nothing_moves(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5)
    await warehouse.hear(created(new_id(), ("MUG", 2)))
    before = await warehouse.published()

    for quantity, reason, error in IMPOSSIBLE:
        assert (await move(staff, quantity, reason)).error == error

    assert await warehouse.stock("MUG") == (5, 2)
    assert await warehouse.movements("MUG") == [(5, "opening", 5)]
    assert await warehouse.published() == before


async def test_a_movement_of_an_unknown_sku_is_refused(warehouse: Warehouse, staff: Client) -> None:
    assert (await move(staff, 1, "found", sku="GHOST")).error == (404, "unknown_sku")
    assert await warehouse.published() == []


async def test_a_refusal_says_what_could_be_taken(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5)
    await warehouse.hear(created(new_id(), ("MUG", 2)))

    refused = (await move(staff, -4, "lost")).json

    assert {name: refused[name] for name in ("on_hand", "reserved", "available")} == {
        "on_hand": 5, "reserved": 2, "available": 3,
    }  # fmt: skip


async def test_a_movement_sent_again_under_its_key_moves_once(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5)

    first = await move(staff, -1, "lost", idempotency_key="key-1")
    again = await move(staff, -1, "lost", idempotency_key="key-1")

    assert first.json == again.json
    assert again.headers["idempotent-replayed"] == "true"
    assert await warehouse.movements("MUG") == [(5, "opening", 5), (-1, "lost", 4)]


async def test_movements_that_race_for_the_same_units_take_each_unit_once(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=10)

    answers = await asyncio.gather(*(move(staff, -1, "damaged") for _ in range(25)))

    assert Counter(answer.status for answer in answers) == {201: 10, 409: 15}
    assert await warehouse.stock("MUG") == (0, 0)
    await warehouse.check_the_books()


async def test_the_ledger_is_paged_newest_first(warehouse: Warehouse, staff: Client) -> None:
    await warehouse.stock_up(MUG=5, CUP=7)
    for quantity in (1, 2, 3):
        await move(staff, quantity, "found")

    async def ledger(query: str) -> Any:
        return (await staff.get(f"/inventory/movements?{query}")).json

    whole = await ledger("sku=MUG")
    assert [line["quantity"] for line in whole["data"]] == [3, 2, 1, 5]
    page = await ledger("sku=MUG&limit=2")
    assert (page["data"], page["has_more"]) == (whole["data"][:2], True)
    assert (await ledger(f"sku=MUG&starting_after={page['data'][1]['id']}"))["data"] == whole["data"][2:]
    assert (await ledger(f"sku=MUG&limit=1&ending_before={whole['data'][2]['id']}"))["data"] == whole["data"][1:2]
    assert len((await ledger("limit=100"))["data"]) == 5


async def test_setting_a_products_stock_sets_what_can_be_sold(warehouse: Warehouse, staff: Client) -> None:
    product_id = await warehouse.stock_up(MUG=5)
    await warehouse.hear(created(new_id(), ("MUG", 2)))

    answers = [await set_stock(staff, product_id, 10), await set_stock(staff, product_id, 10)]

    assert [(answer.status, answer.json) for answer in answers] == [(200, {"stock": 10})] * 2
    assert await warehouse.stock("MUG") == (12, 2)
    assert await warehouse.movements("MUG") == [(5, "opening", 5), (7, "correction", 12)]
    await warehouse.check_the_books()


async def test_a_stock_that_changed_meanwhile_is_not_set_by_who_did_not_see_it(
    warehouse: Warehouse, staff: Client
) -> None:
    product_id = await warehouse.stock_up(MUG=5)
    seen = (await staff.get("/inventory/stock/MUG")).headers["etag"]
    first = await set_stock(staff, product_id, 10, if_match=seen)
    stale = await set_stock(staff, product_id, 20, if_match=seen)
    same = await set_stock(staff, product_id, 10, if_match=first.headers["etag"])
    ghost = await set_stock(staff, new_id(), 10, if_match=seen)

    assert (first.status, first.headers["etag"]) == (200, '"2"')
    assert (stale.error, ghost.error) == ((412, "stale_version"), (404, "unknown_product"))
    assert (same.status, same.headers["etag"]) == (200, '"2"')
    assert await warehouse.movements("MUG") == [(5, "opening", 5), (5, "correction", 10)]
    assert len(await warehouse.published("inventory.adjusted")) == 2


async def test_what_orders_hold_stays_when_a_products_stock_is_set_to_nothing(
    warehouse: Warehouse, staff: Client
) -> None:
    product_id = await warehouse.stock_up(MUG=5)
    await warehouse.hear(created(new_id(), ("MUG", 2)))

    await set_stock(staff, product_id, 0)

    assert await warehouse.stock("MUG") == (2, 2)


async def test_one_number_is_not_the_stock_of_several_variants(warehouse: Warehouse, staff: Client) -> None:
    product_id = await warehouse.stock_up(MUG=5, CUP=5)

    answer = await set_stock(staff, product_id, 10)

    assert answer.error == (409, "several_variants")
    assert answer.json["skus"] == ["CUP", "MUG"]
    assert await warehouse.stock("MUG") == (5, 0)
    assert (await set_stock(staff, new_id(), 1)).error == (404, "unknown_product")
