"""A small shop in which everything has happened once, and then come to rest: what an audit is to find clean."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests import databases
from tests.shop import Shop, eventually, open_shop
from tradepost.console.audit.check import Finding
from tradepost.console.audit.drained import undone
from tradepost.console.instance import NAMES
from tradepost.kernel.ids import new_id

CARD_3DS: Final = "pm_card_threeDSecure2Required"
HOUR_S: Final = 3_601.0
MAILS: Final = 22  # created 8, paid 4, shipped 2, completed 2, cancelled 4, refunded 2


@dataclass(frozen=True)
class Journaled:
    """An order as its buyer was answered."""

    key: str
    order_id: str
    total: int


@dataclass(frozen=True)
class Audited:
    """The database, and one answer that was given."""

    url: str
    answer: Journaled


async def make(server: str) -> Audited:
    """Eight orders, each with a story of its own."""
    url = await databases.create(server)
    with tempfile.TemporaryDirectory() as data:
        async with open_shop(url, Path(data)) as shop:
            return Audited(url, await _trade(shop))


async def _trade(shop: Shop) -> Journaled:
    await asyncio.gather(shop.product("MUG-1", stock=50), shop.product("TEA-1", stock=20, price=700))
    account = {"email": "ada@example.com", "name": "Ada", "password": "correct horse battery"}
    registered = await shop.public.post("/user/register", account)
    assert registered.status == 201, registered.json
    buyer = shop.client(registered.json["user_id"])

    three = {"items": [{"sku": "MUG-1", "quantity": 3}]}
    returned = await buyer.post("/order/orders", three, idempotency_key="first", prefer="wait=30")
    guest = {"email": "bob@example.com", "name": "Bob"}
    as_guest = await shop.buy(shop.staff, "TEA-1", 2, guest=guest)
    await _deliver(shop, returned.json["order_id"], as_guest.json["order_id"])
    await _send_back(shop, buyer, returned.json["order_id"])

    await shop.buy(buyer, "MUG-1", 1, payment_method="pm_card_chargeDeclined")
    await shop.buy(buyer, "MUG-1", 1_000)
    await _cancel(shop, buyer, await shop.buy(buyer, "TEA-1", 1))
    await _cancel(shop, buyer, await shop.buy(buyer, "TEA-1", 1, payment_method=CARD_3DS))
    await shop.buy(buyer, "MUG-1", 2, payment_method=CARD_3DS)
    await shop.buy(buyer, "MUG-1", 2)
    await eventually(shop.seen, lambda seen: (seen["payment.refunded"], seen["notification.sent"]) == (2, MAILS))
    await eventually(lambda: _under_way(shop), lambda found: not found)
    return Journaled("first", returned.json["order_id"], returned.json["total_amount"])


async def _under_way(shop: Shop) -> list[Finding]:
    """What is not done yet, though all messages are sent: the last parcel may not have been asked for."""
    connection = await asyncpg.connect(shop.database_url)
    try:
        return [finding for finding in await undone(dict.fromkeys(NAMES, connection)) if finding.violations]
    finally:
        await connection.close()


async def _deliver(shop: Shop, *order_ids: str) -> None:
    await eventually(shop.seen, lambda seen: seen["shipping.created"] == len(order_ids))
    for status in ("shipped", "completed"):
        await shop.turn_carrier(HOUR_S)
        for order_id in order_ids:
            await shop.order_becomes(order_id, status)


async def _send_back(shop: Shop, buyer: Any, order_id: str) -> None:
    body = {"items": [{"sku": "MUG-1", "quantity": 1}], "reason": "broken"}
    asked = await buyer.post(f"/order/orders/{order_id}/returns", body, idempotency_key=new_id())
    received = await shop.staff.post(f"/order/returns/{asked.json['return_id']}/receive", {})
    assert received.status == 200, received.json
    await eventually(
        lambda: buyer.get(f"/order/orders/{order_id}/returns"),
        lambda answer: answer.json["data"][0]["status"] == "refunded",
    )


async def _cancel(shop: Shop, buyer: Any, placed: Any) -> None:
    order_id = placed.json["order_id"]
    if placed.json["status"] == "paid":
        await eventually(shop.seen, lambda seen: seen["shipping.created"] > 2)
    asked = await buyer.post(f"/order/orders/{order_id}/cancel", {})
    assert asked.status == 200, asked.json
    await shop.order_becomes(order_id, "cancelled")
