"""A story in which every type of event is told."""

from typing import Final

from tests.kernel.http.driver import Client
from tests.shop import Shop, eventually
from tradepost.contracts import FACTS

TYPES: Final = frozenset(fact.type for fact in FACTS)
JSON: Final = {"content-type": "application/json"}


async def tell_everything(shop: Shop) -> None:
    """In a shop whose mails go to a `tests.mail.mail_server`; until all of it lies on the logs."""
    buyer = await _users(shop)
    mug = await shop.product("MUG-1", stock=20)
    await shop.staff.call("PATCH", f"/product/products/{mug}", [b'{"price": 600}'], JSON)
    await shop.staff.call("PUT", "/inventory/stock/MUG-1/threshold", [b'{"threshold": 15}'], JSON)
    old = await shop.product("OLD-1", stock=1)
    await shop.staff.call("DELETE", f"/product/products/{old}", [b""])

    first = (await shop.buy(buyer, "MUG-1", 6)).json["order_id"]  # below the threshold
    stopped = (await shop.buy(buyer, "MUG-1", 2)).json["order_id"]
    await buyer.post(f"/order/orders/{stopped}/cancel", {})
    await shop.order_becomes(stopped, "cancelled")
    await shop.buy(buyer, "MUG-1", 500)
    await shop.buy(buyer, "MUG-1", 1, payment_method="pm_card_chargeDeclined")
    asked = (await shop.buy(buyer, "MUG-1", 1, payment_method="pm_card_threeDSecure2Required")).json
    assert asked["action_url"], asked
    await buyer.post(f"/order/orders/{asked['order_id']}/cancel", {})
    await shop.buy(buyer, "MUG-1", 1, payment_method="pm_sim_captureLater")
    await shop.buy(shop.staff, "MUG-1", 1, guest={"email": "nobody@example.com", "name": "Nobody"})
    await eventually(shop.seen, lambda seen: seen["shipping.created"] >= 4)
    await shop.turn_carrier(3601)
    await shop.order_becomes(first, "shipped")
    await _track(shop, first)
    await shop.turn_carrier(3601)
    await shop.order_becomes(first, "completed")
    back = await buyer.post(
        f"/order/orders/{first}/returns", {"items": [{"sku": "MUG-1", "quantity": 1}], "reason": "x"}
    )
    await shop.staff.post(f"/order/returns/{back.json['return_id']}/receive", {})
    await _lose_refunds(shop, buyer, first)
    await shop.staff.post("/inventory/movements", {"sku": "MUG-1", "quantity": 50, "reason": "received"})
    await eventually(shop.seen, lambda seen: set(seen) >= TYPES)


async def _users(shop: Shop) -> Client:
    """A customer who registered, changed a name, and another who was forgotten."""
    clients = []
    for name in ("ann", "bob"):
        body = {
            "email": f"{name}@example.com",
            "password": "correct horse battery",
            "name": name,
            "phone": "+4912345678",
        }
        made = await shop.public.post("/user/register", body)
        assert made.status == 201, made.json
        clients.append(shop.client(made.json["user_id"]))
    await clients[0].call("PATCH", "/user/me", [b'{"name": "Ann B."}'], JSON)
    await clients[1].call("DELETE", "/user/me", [b""])
    return clients[0]


async def _lose_refunds(shop: Shop, buyer: Client, delivered: str) -> None:
    """One is sent back by the bank, and of a return nothing is left to give back."""
    sent_back = (await shop.buy(buyer, "MUG-1", 1, payment_method="pm_card_refundFail")).json["order_id"]
    await buyer.post(f"/order/orders/{sent_back}/cancel", {})
    await eventually(shop.seen, lambda seen: seen["payment.refunded"] >= 3)
    (payment,) = await shop.payments(delivered)
    await shop.staff.post(f"/payment/payments/{payment['id']}/refunds", {"reason": "x"})
    back = await buyer.post(
        f"/order/orders/{delivered}/returns", {"items": [{"sku": "MUG-1", "quantity": 1}], "reason": "x"}
    )
    await shop.staff.post(f"/order/returns/{back.json['return_id']}/receive", {})


async def _track(shop: Shop, order_id: str) -> None:
    found = await shop.staff.call("GET", f"/shipping/shipments?order_id={order_id}", [b""])
    shipment = found.json["data"][0]["id"]
    told = await shop.staff.post(f"/shipping/shipments/{shipment}/events", {"status": "in_transit", "location": "Hub"})
    assert told.status == 201, told.json
