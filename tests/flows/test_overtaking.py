"""A service hears that an order ends before what it ends, as after a broker has lost something: nothing stays charged,
held or on its way, and the books agree."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S
from tests.shop import Shop, eventually, open_shop
from tradepost.console.audit import audit
from tradepost.console.instance import NAMES
from tradepost.kernel.ids import new_id

# Everything but their places in the log.
SWAP = """
UPDATE "order".event AS one
SET event_id = other.event_id, type = other.type, sequence = other.sequence, at = other.at, data = other.data,
    bytes = other.bytes, correlation_id = other.correlation_id, causation_id = other.causation_id
FROM "order".event AS other
WHERE one.key = $1 AND other.key = $1 AND (one.type, other.type) IN (($2::text, $3::text), ($3, $2))
"""

# Whether a service has taken in all that the log tells of an order, so that what it has read is not exchanged with what
# it has yet to read.
HEARD = """
SELECT (SELECT min(tick) FROM {service}.cursor WHERE source = 'order') >= newest.id
   AND NOT EXISTS (SELECT FROM "order".event WHERE key = $1 AND NOT pg_visible_in_snapshot(xid, newest.snapshot))
FROM log.tick AS newest WHERE 'order' = ANY (sources) ORDER BY id DESC LIMIT 1
"""


async def all_heard(superuser: Any, order_id: str, late: str | None = None) -> None:
    """All but the late one have."""
    for service in {"inventory", "payment", "shipping", "notification"} - {late}:
        await eventually(partial(superuser.fetchval, HEARD.format(service=service), order_id), bool)


async def cancelled_order(shop: Shop, when: str) -> str:
    """An order that its buyer cancels when it is `when`."""
    buyer = shop.client(new_id())
    placed = await buyer.post("/order/orders", {"items": [{"sku": "MUG-1", "quantity": 2}]})
    assert placed.status == 201, placed.json
    order_id = str(placed.json["order_id"])
    await shop.order_becomes(order_id, when)
    asked = await buyer.post(f"/order/orders/{order_id}/cancel", {})
    assert asked.status == 200, asked.json
    return order_id


@pytest.mark.parametrize(
    ("late", "when", "overtaken", "by", "outcome", "paid"),
    [
        ("inventory", "pending", "order.created", "order.cancelled", "inventory.rejected", []),
        ("payment", "reserved", "order.payment_requested", "order.cancelled", "payment.voided", [("voided", 0, 0)]),
        ("shipping", "paid", "order.paid", "order.cancel_requested", "payment.refunded", [("captured", 1000, 1000)]),
    ],
)
async def test_a_cancellation_that_overtakes_its_order_is_not_forgotten(
    database_url: str,
    superuser: Any,
    tmp_path: Path,
    late: str,
    when: str,
    overtaken: str,
    by: str,
    outcome: str,
    paid: list[tuple[str, int, int]],
) -> None:
    async with open_shop(database_url, tmp_path) as shop:
        await shop.product("MUG-1", stock=5)
    async with open_shop(database_url, tmp_path, without=late) as shop:
        order_id = await cancelled_order(shop, when)
        await all_heard(superuser, order_id, late)
    assert await superuser.execute(SWAP, order_id, overtaken, by) == "UPDATE 2"

    async with open_shop(database_url, tmp_path, pace="0,0") as shop:
        await eventually(shop.seen, lambda seen: seen[outcome] == 1)
        await shop.order_becomes(order_id, "cancelled")
        await eventually(lambda: shop.stock("MUG-1"), lambda stock: stock == (5, 0))
        assert [(p["status"], p["captured"], p["refunded"]) for p in await shop.payments(order_id)] == paid
        assert (await shop.seen())["shipping.dispatched"] == 0
        assert await shop.parked() == []

        await all_heard(superuser, order_id)
        await superuser.execute(SWAP, order_id, overtaken, by)
        lines: list[str] = []
        code = await audit(dict.fromkeys(NAMES, database_url), journal=None, wait_s=PATIENCE_S, echo=lines.append)
        assert code == 0, lines
