"""Every type of event that we publish is seen on a log, and fits its contract."""

import asyncio

import asyncpg
import msgspec

from tests.kernel.http.driver import Client
from tests.shop import Shop, eventually
from tradepost.contracts import FACTS
from tradepost.kernel.ids import new_id


async def test_every_event_is_seen_on_the_log(shop: Shop) -> None:
    buyer = await _user_facts(shop)
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
    await eventually(lambda: shop.seen(), lambda seen: seen["shipping.created"] >= 3)
    await shop.turn_carrier(3601)
    await shop.order_becomes(first, "shipped")
    await _track(shop, first)
    await shop.turn_carrier(3601)
    await shop.order_becomes(first, "completed")
    back = await buyer.post(
        f"/order/orders/{first}/returns", {"items": [{"sku": "MUG-1", "quantity": 1}], "reason": "x"}
    )
    await shop.staff.post(f"/order/returns/{back.json['return_id']}/receive", {})
    await shop.staff.post("/inventory/movements", {"sku": "MUG-1", "quantity": 50, "reason": "received"})

    wanted = {fact.type for fact in FACTS} - {"notification.failed"}  # that one needs a mail server that refuses
    await eventually(lambda: shop.seen(), lambda seen: wanted <= set(seen))
    await asyncio.sleep(0.3)
    await _fit(shop.database_url)


JSON = {"content-type": "application/json"}


async def _user_facts(shop: Shop) -> Client:
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


async def _track(shop: Shop, order_id: str) -> None:
    found = await shop.staff.call("GET", f"/shipping/shipments?order_id={order_id}", [b""])
    shipment = found.json["data"][0]["id"]
    told = await shop.staff.post(f"/shipping/shipments/{shipment}/events", {"status": "in_transit", "location": "Hub"})
    assert told.status == 201, told.json


async def _fit(database_url: str) -> None:
    """Each event fits its contract, and counts per publisher and key without a gap."""
    connection = await asyncpg.connect(database_url)
    try:
        for publisher in sorted({fact.publisher() for fact in FACTS}):
            rows = await connection.fetch(f'SELECT type, key, sequence, data FROM "{publisher}".event ORDER BY id')
            last: dict[str, int] = {}
            for row in rows:
                kind = next(fact for fact in FACTS if fact.type == row["type"])
                assert msgspec.json.decode(row["data"], type=kind).key == row["key"]
                assert row["sequence"] == last.get(row["key"], 0) + 1, (row["type"], row["key"])
                last[row["key"]] = row["sequence"]
    finally:
        await connection.close()


async def test_a_customer_sees_nothing_of_another(shop: Shop) -> None:
    await shop.product("MUG-1", stock=5)
    order_id = (await shop.buy(shop.client(new_id()), "MUG-1")).json["order_id"]
    stranger = shop.client(new_id())

    for path in (f"/payment/payments?order_id={order_id}", f"/shipping/shipments?order_id={order_id}"):
        answer = await stranger.call("GET", path, [b""])
        assert answer.status == 404 or answer.json["data"] == [], path
