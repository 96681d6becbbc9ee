"""A shop in which a refund failed says so, until somebody has seen to it."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.shop import Shop, eventually, open_shop
from tradepost.console.audit.drained import undone
from tradepost.console.audit.examine import examine
from tradepost.console.instance import NAMES
from tradepost.kernel.ids import new_id


async def found(shop: Shop) -> dict[str, str]:
    """The first violation of each check, once nothing is under way."""
    connection = await asyncpg.connect(shop.database_url)
    try:

        async def waiting() -> list[Any]:
            findings = await undone(dict.fromkeys(NAMES, connection))
            return [finding for finding in findings if finding.violations]

        await eventually(waiting, lambda open_: not open_)
        async with connection.transaction():
            return {finding.check: finding.examples[0] for finding in await examine(connection) if finding.violations}
    finally:
        await connection.close()


async def cancelled(shop: Shop, method: str) -> tuple[str, str]:
    """An order of 700 that was cancelled after it was paid, and its refund that has failed."""
    await shop.product("MUG-1", stock=10, price=700)
    account = {"email": "ada@example.com", "name": "Ada", "password": "correct horse battery"}
    buyer = shop.client((await shop.public.post("/user/register", account)).json["user_id"])
    order_id = (await shop.buy(buyer, "MUG-1", payment_method=method)).json["order_id"]
    await buyer.post(f"/order/orders/{order_id}/cancel", {})
    waiting = await eventually(
        lambda: shop.staff.get("/payment/refunds?failed=true"), lambda answer: bool(answer.json["data"])
    )
    return order_id, waiting.json["data"][0]["id"]


@pytest.mark.parametrize("method", ["pm_sim_refundRefused", "pm_card_refundFail"])
@pytest.mark.parametrize("paid", [True, False])
async def test_a_refund_that_failed_is_a_violation_until_it_is_closed(
    database_url: str, tmp_path: Path, method: str, paid: bool
) -> None:
    async with open_shop(database_url, tmp_path) as shop:
        order_id, refund_id = await cancelled(shop, method)
        reason = "declined_by_bank" if method == "pm_card_refundFail" else "refund_failed"
        assert await found(shop) == {
            "payments.failed": f"order {order_id}: 700 USD were to go back, and did not: {reason}",
            "payments.orders": f"order {order_id} is cancelled and costs 700 USD: 700 USD captured, 0 refunded",
        }

        closed = await shop.staff.post(f"/payment/refunds/{refund_id}/close", {"paid": paid, "note": new_id()})
        assert closed.status == 200, closed.json
        assert await found(shop) == {}
        assert (await shop.order(order_id))["refunded_amount"] == (700 if paid else 0)
