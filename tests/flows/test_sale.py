"""The whole sale over HTTP, from a product to a parcel at the door, and each way out of it."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.kernel.http.driver import Client
from tests.shop import Shop, eventually
from tradepost.kernel.ids import new_id


async def test_an_order_is_paid_shipped_and_completed(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10, price=1999)
    buyer = shop.client(new_id())

    placed = await shop.buy(buyer, "MUG-1", 2)

    assert placed.status == 201
    assert (placed.json["status"], placed.json["total_amount"], placed.json["currency"]) == ("paid", 3998, "USD")
    order_id = placed.json["order_id"]
    await eventually(lambda: shop.stock("MUG-1"), lambda stock: stock == (8, 0))
    await shop.ship(order_id)
    await shop.turn_carrier(3601)
    order = await shop.order_becomes(order_id, "completed")
    assert [moment["status"] for moment in order["timeline"]] == ["pending", "reserved", "paid", "shipped", "completed"]
    assert [(p["status"], p["captured"], p["refunded"]) for p in await shop.payments(order_id)] == [
        ("captured", 3998, 0)
    ]


async def test_the_last_unit_goes_to_exactly_one_of_five_hundred_buyers(shop: Shop) -> None:
    await shop.product("MUG-1", stock=1)
    gate = asyncio.Semaphore(64)

    async def buy() -> tuple[int, str]:
        async with gate:
            answer = await shop.buy(shop.client(new_id()), "MUG-1")
            return answer.status, answer.json.get("error") or answer.json["status"]

    outcomes = Counter(await asyncio.gather(*(buy() for _ in range(500))))

    assert outcomes == {(201, "paid"): 1, (409, "insufficient_stock"): 499}
    await eventually(lambda: shop.stock("MUG-1"), lambda stock: stock == (0, 0))
    seen = await shop.seen()
    assert (seen["order.created"], seen["inventory.reserved"], seen["inventory.rejected"]) == (500, 1, 499)
    assert (seen["order.paid"], seen["order.cancelled"], seen["payment.captured"]) == (1, 499, 1)


async def test_one_order_sent_four_times_at_once_is_one_order_and_one_charge(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10)
    buyer = shop.client(new_id())
    body = {"items": [{"sku": "MUG-1", "quantity": 1}]}

    answers = await asyncio.gather(
        *(buyer.post("/order/orders", body, idempotency_key="once", prefer="wait=20") for _ in range(4))
    )

    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["order_id"] for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == 3
    assert (await shop.seen())["payment.captured"] == 1
    other = await buyer.post(
        "/order/orders", {"items": [{"sku": "MUG-1", "quantity": 2}]}, idempotency_key="once", prefer="wait=20"
    )
    assert other.error == (422, "idempotency_key_reused")


async def test_a_declined_card_ends_the_order_and_gives_the_stock_back(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10)

    declined = await shop.buy(shop.client(new_id()), "MUG-1", 3, payment_method="pm_card_chargeDeclined")

    assert declined.error == (402, "payment_failed")
    order = await shop.order(declined.json["order_id"])
    assert (order["status"], order["cancel_reason"]) == ("cancelled", "payment_failed")
    await eventually(lambda: shop.stock("MUG-1"), lambda stock: stock == (10, 0))


async def test_a_time_out_after_charging_charges_once(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10)

    placed = await shop.buy(shop.client(new_id()), "MUG-1", payment_method="pm_sim_timeoutAfterCharge")

    order = await shop.order_becomes(placed.json["order_id"], "paid")
    assert [(p["status"], p["captured"]) for p in await shop.payments(order["id"])] == [("captured", 500)]
    assert (await shop.seen())["payment.captured"] == 1


@pytest.mark.parametrize("method", ["pm_sim_duplicateWebhook", "pm_sim_reorderedWebhooks", "pm_sim_webhookFirst"])
async def test_webhooks_in_any_number_and_order_pay_once(shop: Shop, method: str) -> None:
    await shop.product("MUG-1", stock=10)

    placed = await shop.buy(shop.client(new_id()), "MUG-1", payment_method=method)

    await shop.order_becomes(placed.json["order_id"], "paid")
    await asyncio.sleep(0.5)
    assert (await shop.seen())["payment.captured"] == 1


async def test_cancelling_a_paid_order_before_its_parcel_left_refunds_and_restocks(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10)
    buyer = shop.client(new_id())
    placed = await shop.buy(buyer, "MUG-1", 2)
    order_id = placed.json["order_id"]

    asked = await buyer.post(f"/order/orders/{order_id}/cancel", {"reason": "too many"})

    assert (asked.status, asked.json["cancel_requested"]) == (200, True)
    order = await shop.order_becomes(order_id, "cancelled")
    assert order["cancel_reason"] == "too many"
    await eventually(lambda: shop.stock("MUG-1"), lambda stock: stock == (10, 0))
    await eventually(lambda: shop.payments(order_id), lambda found: found[0]["refunded"] == 1000)
    again = await buyer.post(f"/order/orders/{order_id}/cancel", {})
    assert (again.status, again.json["status"]) == (200, "cancelled")
    await asyncio.sleep(0.3)
    assert (await shop.seen())["payment.refunded"] == 1


@pytest.mark.parametrize("reason", ["insufficient_stock", "payment_failed"])
async def test_who_cancels_for_a_reason_of_ours_is_not_told_that_it_failed(shop: Shop, reason: str) -> None:
    await shop.product("MUG-1", stock=10)
    buyer, body = shop.client(new_id()), {"items": [{"sku": "MUG-1", "quantity": 1}]}
    placed = await buyer.post("/order/orders", body, idempotency_key="once", prefer="wait=30")
    await buyer.post(f"/order/orders/{placed.json['order_id']}/cancel", {"reason": reason})
    await shop.order_becomes(placed.json["order_id"], "cancelled")

    again = await buyer.post("/order/orders", body, idempotency_key="once", prefer="wait=30")

    assert (again.status, again.json["status"], again.json["cancel_reason"]) == (201, "cancelled", reason)


async def test_cancelling_after_the_parcel_left_is_refused_and_a_return_is_the_way(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10, price=700)
    buyer = shop.client(new_id())
    order_id = (await shop.buy(buyer, "MUG-1", 3)).json["order_id"]
    await shop.ship(order_id)

    refused = await buyer.post(f"/order/orders/{order_id}/cancel", {})
    assert refused.error == (409, "already_shipped")
    asked = await buyer.post(
        f"/order/orders/{order_id}/returns", {"items": [{"sku": "MUG-1", "quantity": 2}], "reason": "broken"}
    )
    assert (asked.status, asked.json["amount"]) == (201, 1400)
    too_many = await buyer.post(
        f"/order/orders/{order_id}/returns", {"items": [{"sku": "MUG-1", "quantity": 2}], "reason": "broken"}
    )
    assert too_many.error == (409, "return_exceeds_order")
    items = [{"sku": sku, "quantity": 1} for sku in ("CUP-1", "MUG-1", "JUG-1")]
    foreign = await buyer.post(f"/order/orders/{order_id}/returns", {"items": items, "reason": "broken"})
    assert (foreign.error, foreign.pointers) == ((422, "not_in_order"), ["/items/0/sku", "/items/2/sku"])
    received = await shop.staff.post(f"/order/returns/{asked.json['return_id']}/receive", {})
    assert (received.status, received.json["status"]) == (200, "received")

    await eventually(lambda: shop.stock("MUG-1"), lambda stock: stock == (9, 0))
    await eventually(lambda: shop.payments(order_id), lambda found: found[0]["refunded"] == 1400)
    listed = await eventually(
        lambda: buyer.get(f"/order/orders/{order_id}/returns"),
        lambda answer: answer.json["data"][0]["status"] == "refunded",
    )
    assert len(listed.json["data"]) == 1


async def _sent_back(shop: Shop, buyer: Client) -> tuple[str, str]:
    """An order of three, two of them returned and refunded; its bank sends the money back. The return's id."""
    order_id = (await shop.buy(buyer, "MUG-1", 3, payment_method="pm_card_refundFail")).json["order_id"]
    await shop.ship(order_id)
    body = {"items": [{"sku": "MUG-1", "quantity": 2}], "reason": "broken"}
    asked = await buyer.post(f"/order/orders/{order_id}/returns", body)
    await shop.staff.post(f"/order/returns/{asked.json['return_id']}/receive", {})
    await eventually(lambda: shop.order(order_id), lambda order: order["refunded_amount"] == 1400)
    await eventually(lambda: shop.order(order_id), lambda order: order["refunded_amount"] == 0)
    return order_id, asked.json["return_id"]


async def test_a_refund_that_the_bank_sends_back_is_seen_and_ends_when_staff_have_paid_it(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10, price=700)
    buyer = shop.client(new_id())
    order_id, return_id = await _sent_back(shop, buyer)

    async def returned() -> dict[str, Any]:
        return dict((await buyer.get(f"/order/orders/{order_id}/returns")).json["data"][0])

    assert ((await returned())["status"], (await returned())["refunded_at"]) == ("received", None)
    (waiting,) = (await shop.staff.get("/payment/refunds?failed=true")).json["data"]
    assert (waiting["order_id"], waiting["return_id"], waiting["amount"]) == (order_id, return_id, 1400)
    assert (waiting["failure_reason"], waiting["closed"]) == ("declined_by_bank", None)

    again = await shop.staff.post(f"/payment/refunds/{waiting['id']}/retry", {})
    assert (again.status, again.json["amount"]) == (201, 1400)
    await eventually(returned, lambda back: back["status"] == "refunded")
    await eventually(returned, lambda back: back["status"] == "received")  # the same bank, the same answer
    paid = await shop.staff.post(
        f"/payment/refunds/{again.json['refund_id']}/close", {"paid": True, "note": "SEPA 4711"}
    )
    assert (paid.status, paid.json["status"]) == (200, "succeeded")

    back = await eventually(returned, lambda back: back["status"] == "refunded")
    assert back["amount"] == 1400
    assert (await shop.order(order_id))["refunded_amount"] == 1400
    assert [(p["refunded"], p["refunding"]) for p in await shop.payments(order_id)] == [(1400, 0)]
    assert (await shop.staff.get("/payment/refunds?failed=true")).json["data"] == []
    seen = await shop.seen()
    assert (seen["payment.refunded"], seen["payment.refund_failed"]) == (3, 2)
    assert await shop.parked() == []


async def test_a_return_with_nothing_left_to_refund_ends_with_nothing(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10, price=700)
    buyer = shop.client(new_id())
    order_id = (await shop.buy(buyer, "MUG-1", 3)).json["order_id"]
    await shop.ship(order_id)
    (payment,) = await shop.payments(order_id)
    await shop.staff.post(f"/payment/payments/{payment['id']}/refunds", {"amount": 1000, "reason": "late"})
    ends = []
    for quantity in (2, 1):
        body = {"items": [{"sku": "MUG-1", "quantity": quantity}], "reason": "broken"}
        asked = await buyer.post(f"/order/orders/{order_id}/returns", body)
        assert asked.json["amount"] == 700 * quantity
        await shop.staff.post(f"/order/returns/{asked.json['return_id']}/receive", {})
        listed = await eventually(
            lambda: buyer.get(f"/order/orders/{order_id}/returns"),
            lambda answer: answer.json["data"][-1]["status"] == "refunded",
        )
        ends.append(listed.json["data"][-1]["amount"])

    assert ends == [1100, 0]
    assert (await shop.seen())["payment.refund_waived"] == 1
    await eventually(lambda: shop.order(order_id), lambda order: order["refunded_amount"] == 2100)


async def test_whether_goods_are_sold_again_is_for_staff_to_say(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10)
    buyer = shop.client(new_id())
    order_id = (await shop.buy(buyer, "MUG-1", 3)).json["order_id"]
    await shop.ship(order_id)
    path = f"/order/orders/{order_id}/returns"

    said = await buyer.post(path, {"items": [{"sku": "MUG-1", "quantity": 2, "restock": True}], "reason": "broken"})
    assert (said.status, said.pointers) == (422, ["/items/0/restock"])
    assert (await buyer.get(path)).json["data"] == []
    asked = await buyer.post(path, {"items": [{"sku": "MUG-1", "quantity": 2}], "reason": "broken"})
    arrived = {"items": [{"sku": "MUG-1", "quantity": 2, "restock": False}]}
    received = await shop.staff.post(f"/order/returns/{asked.json['return_id']}/receive", arrived)

    assert received.json["items"] == [{"sku": "MUG-1", "quantity": 2, "restock": False}]
    await eventually(lambda: shop.order(order_id), lambda order: order["refunded_amount"] == 1000)
    assert await shop.stock("MUG-1") == (7, 0)


async def test_another_customers_order_is_not_there(shop: Shop) -> None:
    await shop.product("MUG-1", stock=10)
    order_id = (await shop.buy(shop.client(new_id()), "MUG-1")).json["order_id"]
    stranger = shop.client(new_id())

    for path in ("", "/stream", "/returns"):
        assert (await stranger.get(f"/order/orders/{order_id}{path}")).error == (404, "not_found")
    assert (await stranger.post(f"/order/orders/{order_id}/cancel", {})).error == (404, "not_found")
    assert (await shop.order(order_id))["status"] == "paid"
    assert (await stranger.get("/order/orders")).json == {"data": [], "has_more": False}


async def test_orders_have_one_right_of_way_before_all_that_reads_events(shop: Shop) -> None:
    running = shop.running
    consumers = await eventually(lambda: asyncio.sleep(0, running.consumers), bool)
    assert {consumer._way for consumer in consumers} == {running.way, running.desks["order"].placements._way}
