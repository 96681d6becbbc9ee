"""Payments and the ledger as customers, staff and strangers see them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.kernel.http.driver import Client
from tests.services.payment.till import Till, returned
from tradepost.kernel.ids import new_id


async def test_a_buyer_sees_their_payment_and_nobody_elses(
    till: Till, buyer: Client, staff: Client, stranger: Client, door: Callable[..., Client]
) -> None:
    order_id = await till.pay()
    await till.take_back(returned(order_id, 500))
    await till.work()
    payment_id = await till.payment_id(order_id)
    one, listed = f"/payment/payments/{payment_id}", f"/payment/payments?order_id={order_id}"

    seen = (await buyer.get(one)).json
    refunds = seen.pop("refunds")
    assert {name: seen[name] for name in ("id", "order_id", "status", "amount", "currency", "method")} == {
        "id": payment_id,
        "order_id": order_id,
        "status": "captured",
        "amount": 2_000,
        "currency": "USD",
        "method": "pm_card_visa",
    }
    assert (seen["captured"], seen["refunded"], seen["refunding"]) == (2_000, 500, 0)
    assert [(refund["amount"], refund["status"], refund["reason"]) for refund in refunds] == [
        (500, "succeeded", "returned")
    ]
    assert (await buyer.get(listed)).json == {"data": [seen], "has_more": False}
    assert (await staff.get(listed)).json == {"data": [seen], "has_more": False}
    other = door()
    assert (await other.get(one)).error == (404, "not_found")
    assert (await other.get(f"{one}/transactions")).error == (404, "not_found")
    assert (await other.get(listed)).json == {"data": [], "has_more": False}
    assert (await stranger.get(one)).error == (401, "unauthenticated")


async def test_customers_list_by_order_and_staff_page_through_everything(
    till: Till, buyer: Client, staff: Client
) -> None:
    orders = [await till.request() for _ in range(3)]

    first = (await staff.get("/payment/payments?limit=2")).json
    rest = (await staff.get(f"/payment/payments?limit=2&starting_after={first['data'][1]['id']}")).json
    back = (await staff.get(f"/payment/payments?limit=2&ending_before={rest['data'][0]['id']}")).json

    assert [payment["order_id"] for payment in first["data"] + rest["data"]] == orders[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert back["data"] == first["data"]
    assert (await buyer.get("/payment/payments")).error == (422, "order_id_required")


async def test_the_history_of_a_payment_is_newest_first(till: Till, buyer: Client) -> None:
    order_id = await till.pay("pm_card_threeDSecure2Required")
    await till.desk.simulator.confirm((await till.payment(order_id, "reference"))[0], approve=True)
    await till.work()
    path = f"/payment/payments/{await till.payment_id(order_id)}/transactions"

    newest = (await buyer.get(f"{path}?limit=1")).json
    older = (await buyer.get(f"{path}?starting_after={newest['data'][0]['id']}")).json

    assert newest["has_more"] is True
    assert [(line["type"], line["status"]) for line in newest["data"] + older["data"]] == [
        ("capture", "succeeded"),
        ("authorization", "succeeded"),
        ("authorization", "pending"),
    ]
    assert newest["data"][0]["provider_reference"] == (await till.payment(order_id, "reference"))[0]


async def test_staff_refund_an_amount_the_items_or_all_that_is_left(till: Till, staff: Client) -> None:
    order_id = await till.pay()
    path = f"/payment/payments/{await till.payment_id(order_id)}/refunds"
    items = [{"sku": "MUG-1", "quantity": 2, "amount": 300}, {"sku": "HAT-1", "quantity": 1, "amount": 100}]

    part = await staff.post(path, {"amount": 500, "reason": "late"}, idempotency_key="one")
    again = await staff.post(path, {"amount": 500, "reason": "late"}, idempotency_key="one")
    lines = await staff.post(path, {"items": items, "reason": "broken"})
    rest = await staff.post(path, {"reason": "goodwill"})
    await till.work()

    assert (part.status, part.json["status"], part.json["amount"]) == (201, "pending", 500)
    assert (again.json, again.headers["idempotent-replayed"]) == (part.json, "true")
    assert (lines.json["amount"], rest.json["amount"]) == (400, 1_100)
    assert await till.payment(order_id) == ("captured", 2_000, 0, 2_000)
    assert await till.published(order_id) == ["captured", "refunded", "refunded", "refunded"]
    refunds = await till.refunds(order_id)
    assert (f"refund:{part.json['refund_id']}", 500, "succeeded") in refunds


async def test_a_refund_that_can_not_be_is_refused_and_nothing_happens(
    till: Till, staff: Client, buyer: Client, door: Callable[..., Client]
) -> None:
    order_id, unpaid = await till.pay(), await till.request()
    path = f"/payment/payments/{await till.payment_id(order_id)}/refunds"
    lines = [{"sku": "MUG-1", "quantity": 1, "amount": 300}]

    above = await staff.post(path, {"amount": 2_001, "reason": "x"})
    assert above.error == (409, "refund_exceeds_captured")
    assert above.json["refundable"] == 2_000
    nothing = await staff.post(f"/payment/payments/{await till.payment_id(unpaid)}/refunds", {"reason": "x"})
    assert nothing.error == (409, "refund_exceeds_captured")
    mismatch = await staff.post(path, {"amount": 1, "items": lines, "reason": "x"})
    assert mismatch.error == (422, "amount_mismatch")
    unpriced = await staff.post(path, {"items": [{"sku": "MUG-1", "quantity": 1}], "reason": "x"})
    assert unpriced.error == (422, "amount_required")
    assert (await staff.post(path, {"amount": 0, "reason": "x"})).pointers == ["/amount"]
    assert (await staff.post(path, {"amount": 1, "reason": "x", "to": "me"})).pointers == ["/to"]
    assert (await staff.post(f"/payment/payments/{new_id()}/refunds", {"reason": "x"})).status == 404
    assert (await buyer.post(path, {"reason": "x"})).error == (403, "forbidden")
    assert (await door("payment:read").post(path, {"reason": "x"})).error == (403, "forbidden")

    assert await till.refunds(order_id) == []
    assert await till.payment(order_id) == ("captured", 2_000, 0, 0)


async def failed_refund(till: Till, staff: Client) -> tuple[str, dict[str, Any]]:
    """An order that was cancelled, and its refund that failed as staff see it."""
    order_id = await till.pay("pm_sim_refundRefused")
    await till.cancel(order_id)
    await till.work()
    listed = (await staff.get("/payment/refunds?failed=true")).json["data"]
    return order_id, listed[0]


async def test_staff_list_refunds_that_failed_and_send_them_once_more(
    till: Till, staff: Client, buyer: Client, door: Callable[..., Client]
) -> None:
    good = await till.pay()
    await till.cancel(good)
    order_id, seen = await failed_refund(till, staff)
    path = f"/payment/refunds/{seen['id']}/retry"
    assert {name: seen[name] for name in ("payment_id", "order_id", "status", "amount", "currency", "closed")} == {
        "payment_id": await till.payment_id(order_id),
        "order_id": order_id,
        "status": "failed",
        "amount": 2_000,
        "currency": "USD",
        "closed": None,
    }
    assert (seen["reason"], seen["failure_reason"]) == ("cancelled", "refund_failed")
    every = (await staff.get("/payment/refunds?limit=1")).json
    others = (await staff.get("/payment/refunds?failed=false")).json["data"]
    assert ([one["id"] for one in every["data"]], every["has_more"]) == ([seen["id"]], True)
    assert [one["order_id"] for one in others] == [good]
    assert (await buyer.get("/payment/refunds")).error == (403, "forbidden")
    assert (await buyer.post(path, {})).error == (403, "forbidden")
    assert (await door("payment:read").post(path, {})).error == (403, "forbidden")

    again = await staff.post(path, {}, idempotency_key="one")
    repeated = await staff.post(path, {}, idempotency_key="one")
    twice = await staff.post(path, {})
    await till.work()

    assert (again.status, again.json["amount"], again.json["status"]) == (201, 2_000, "pending")
    assert again.json["refund_id"] != seen["id"]
    assert (repeated.json, repeated.headers["idempotent-replayed"]) == (again.json, "true")
    assert twice.error == (409, "refund_not_failed")
    assert [line[0] for line in await till.refunds(order_id)] == ["cancel-refund", "cancel-refund:2"]
    (waiting,) = (await staff.get("/payment/refunds?failed=true")).json["data"]  # it failed again
    assert waiting["id"] == again.json["refund_id"]
    assert (await staff.post(f"/payment/refunds/{new_id()}/retry", {})).error == (404, "not_found")


@pytest.mark.parametrize(
    ("paid", "status", "refunded", "told"),
    [(True, "succeeded", 2_000, "refunded"), (False, "failed", 0, "refund_waived")],
)
async def test_staff_close_a_refund_that_failed(
    till: Till, staff: Client, buyer: Client, paid: bool, status: str, refunded: int, told: str
) -> None:
    order_id, seen = await failed_refund(till, staff)
    path = f"/payment/refunds/{seen['id']}/close"
    assert (await buyer.post(path, {"paid": paid, "note": "x"})).error == (403, "forbidden")
    assert (await staff.post(path, {"paid": paid, "note": " "})).pointers == ["/note"]
    assert (await staff.post(path, {"note": "x"})).status == 422

    closed = await staff.post(path, {"paid": paid, "note": "SEPA 4711"})
    again = await staff.post(path, {"paid": paid, "note": "SEPA 4711"})
    await till.work()

    assert (closed.status, closed.json["status"], closed.json["amount"]) == (200, status, 2_000)
    assert again.error == (409, "refund_not_failed")
    assert await till.payment(order_id) == ("captured", 2_000, 0, refunded)
    assert await till.published(order_id) == ["captured", "refund_failed", told]
    assert (await staff.get("/payment/refunds?failed=true")).json["data"] == []
    balances = {"provider_receivable": 2_000, "sales": -2_000}
    assert await till.balances() == (balances | {"paid_outside": -2_000, "refunds": 2_000} if paid else balances)
    assert await till.bank(order_id) == ("captured", 0)


async def test_staff_read_the_ledger_and_its_balances(till: Till, staff: Client, buyer: Client) -> None:
    order_id, other = await till.pay(), await till.pay(amount=700)
    await till.take_back(returned(order_id, 500))
    await till.work()

    balances = (await staff.get("/payment/ledger/balances")).json
    entries = (await staff.get(f"/payment/ledger/transactions?order_id={order_id}")).json["data"]
    everything = (await staff.get("/payment/ledger/transactions?limit=2")).json

    assert balances["data"] == [
        {"id": "provider_receivable:USD", "account": "provider_receivable", "currency": "USD", "balance": 2_200},
        {"id": "refunds:USD", "account": "refunds", "currency": "USD", "balance": 500},
        {"id": "sales:USD", "account": "sales", "currency": "USD", "balance": -2_700},
    ]
    assert [(entry["kind"], entry["order_id"]) for entry in entries] == [("refund", order_id), ("capture", order_id)]
    assert entries[1]["cause"] == f"order:{order_id}:charge:1"
    assert entries[1]["postings"] == [
        {"account": "provider_receivable", "amount": 2_000, "currency": "USD"},
        {"account": "sales", "amount": -2_000, "currency": "USD"},
    ]
    assert everything["has_more"] is True
    assert [entry["order_id"] for entry in everything["data"]] == [order_id, other]
    assert (await buyer.get("/payment/ledger/balances")).error == (403, "forbidden")
    assert (await buyer.get("/payment/ledger/transactions")).error == (403, "forbidden")


async def test_balances_are_read_page_by_page_in_both_directions(till: Till, staff: Client) -> None:
    await till.take_back(returned(await till.pay(), 500))
    await till.work()

    async def accounts(query: str) -> tuple[list[str], bool]:
        page = (await staff.get(f"/payment/ledger/balances?{query}")).json
        return [one["account"] for one in page["data"]], page["has_more"]

    assert await accounts("limit=2") == (["provider_receivable", "refunds"], True)
    assert await accounts("limit=2&starting_after=refunds:USD") == (["sales"], False)
    assert await accounts("limit=1&ending_before=sales:USD") == (["refunds"], True)
    assert (await staff.get("/payment/ledger/balances?limit=0")).pointers == ["?limit"]


async def test_the_owner_of_a_card_confirms_on_a_page(till: Till, stranger: Client) -> None:
    order_id = await till.pay("pm_card_threeDSecure2Required", amount=1_250)
    action_url = (await till.data(order_id, "requires_action"))["action_url"]
    charge_id = action_url.rpartition("/")[2]
    confirm = f"/payment/simulator/charges/{charge_id}/confirm"

    page = await stranger.get(action_url)
    confirmed = await stranger.post(confirm, {"approve": True})
    too_late = await stranger.post(confirm, {"approve": False})
    await till.work()

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"12.50 USD" in page.body
    assert confirm.encode() in page.body
    assert confirmed.json == too_late.json == {"charge_id": charge_id, "status": "captured", "reason": None}
    assert await till.published(order_id) == ["requires_action", "authorized", "captured"]
    for path in (f"/payment/simulator/confirm/{new_id()}", "/payment/simulator/confirm/x"):
        assert (await stranger.get(path)).error == (404, "not_found")
    assert (await stranger.post(f"/payment/simulator/charges/{new_id()}/confirm", {"approve": True})).status == 404
