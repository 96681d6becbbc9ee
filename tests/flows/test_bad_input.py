"""Bad input is refused with a stable code, and changes nothing."""

from typing import Any

import pytest

from tests.shop import Shop
from tradepost.kernel.ids import new_id

ITEM = {"sku": "MUG-1", "quantity": 1}
LONG_AGO = "01900000-0000-7000-8000-000000000000"

REFUSED: list[tuple[str, Any, int, str]] = [
    ("malformed JSON", b'{"items": [', 400, "malformed_json"),
    ("an unknown field", {"items": [ITEM], "total": 1}, 422, "invalid_request"),
    ("no items", {"items": []}, 422, "invalid_request"),
    ("a negative quantity", {"items": [{**ITEM, "quantity": -1}]}, 422, "invalid_request"),
    ("a zero quantity", {"items": [{**ITEM, "quantity": 0}]}, 422, "invalid_request"),
    ("a huge quantity", {"items": [{**ITEM, "quantity": 10**30}]}, 422, "invalid_request"),
    ("a fractional quantity", {"items": [{**ITEM, "quantity": 1.5}]}, 422, "invalid_request"),
    ("a quantity in words", {"items": [{**ITEM, "quantity": "1"}]}, 422, "invalid_request"),
    ("an unknown product", {"items": [{"sku": "NOPE", "quantity": 1}]}, 422, "unknown_product"),
    ("an unknown product id", {"items": [{"product_id": LONG_AGO, "quantity": 1}]}, 422, "unknown_product"),
    ("two names for one item", {"items": [{**ITEM, "product_id": new_id()}]}, 422, "invalid_request"),
    ("no name for an item", {"items": [{"quantity": 1}]}, 422, "invalid_request"),
    ("another currency", {"items": [ITEM], "currency": "EUR"}, 422, "currency_mismatch"),
    ("501 lines", {"items": [ITEM] * 501}, 422, "invalid_request"),
    ("a price that differs", {"items": [{**ITEM, "price": 1}]}, 409, "price_changed"),
    ("an incomplete address", {"items": [ITEM], "shipping_address": {"name": "A"}}, 422, "invalid_request"),
    ("somebody else's order", {"items": [ITEM], "user_id": new_id()}, 403, "forbidden"),
    ("a guest's order by a customer", {"items": [ITEM], "guest": {"email": "a@b.c", "name": "A"}}, 403, "forbidden"),
]


@pytest.fixture(scope="module")
def refused() -> list[tuple[str, Any, int, str]]:
    return REFUSED


async def test_a_bad_order_is_refused_and_changes_nothing(shop: Shop, refused: list[Any]) -> None:
    await shop.product("MUG-1", stock=5)
    buyer = shop.client(new_id())

    for what, body, status, error in refused:
        answer = await buyer.post("/order/orders", body)
        assert answer.error == (status, error), what
        assert answer.json["type"].endswith(error), what

    assert (await shop.seen())["order.created"] == 0
    assert await shop.stock("MUG-1") == (5, 0)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer a.b.c"])
async def test_without_a_valid_token_nothing_is_ordered(shop: Shop, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}

    answer = await shop.public.post("/order/orders", {"items": [ITEM]}, **headers)

    assert answer.status == 401
    assert (await shop.seen())["order.created"] == 0


async def test_a_customer_may_not_do_what_is_for_staff(shop: Shop) -> None:
    buyer = shop.client(new_id())
    made = await buyer.post("/product/products", {"name": "Mug", "price": 1, "currency": "USD"})
    moved = await buyer.post("/inventory/movements", {"sku": "MUG-1", "quantity": 5, "reason": "received"})
    listed = await buyer.get("/notification/deliveries")

    assert [answer.error for answer in (made, moved, listed)] == [(403, "forbidden")] * 3


async def test_a_product_in_several_lines_is_summed(shop: Shop) -> None:
    await shop.product("MUG-1", stock=5)
    buyer = shop.client(new_id())

    refused = await buyer.post(
        "/order/orders", {"items": [{**ITEM, "quantity": 3}, {**ITEM, "quantity": 3}]}, prefer="wait=20"
    )

    assert refused.error == (409, "insufficient_stock")
    assert refused.json["products"] == [{"sku": "MUG-1", "requested": 6, "available": 5}]
    assert await shop.stock("MUG-1") == (5, 0)
