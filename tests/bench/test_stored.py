"""The past that `bench/million.py` loads is one that the audit believes, and in which business goes on."""

from pathlib import Path

import asyncpg
import pytest

from bench import stored
from tests.patience import PATIENCE_S
from tests.shop import Shop, open_shop
from tradepost.console.audit.examine import audit
from tradepost.console.instance import NAMES
from tradepost.kernel.ids import new_id


async def register(shop: Shop) -> str:
    """A customer who can be written to; the id."""
    body = {"email": "ann@example.com", "password": "a-long-password", "name": "Ann"}
    made = await shop.public.post("/user/register", body)
    assert made.status == 201, made.json
    return str(made.json["user_id"])


async def sell(shop: Shop, user_id: str, orders: int) -> None:
    for number in range(orders):
        placed = await shop.buy(shop.client(user_id), "MUG-1", number + 1)
        assert placed.status == 201
        await shop.order_becomes(placed.json["order_id"], "completed")


async def audited(url: str) -> tuple[int, str]:
    lines: list[str] = []
    code = await audit(dict.fromkeys(NAMES, url), journal=None, wait_s=PATIENCE_S, echo=lines.append)
    return code, "\n".join(lines)


async def test_copied_orders_are_believed_by_the_audit_and_business_goes_on(database_url: str, tmp_path: Path) -> None:
    async with open_shop(database_url, tmp_path, pace="0,0") as shop:
        connection = await asyncpg.connect(database_url)
        await stored.number_from_here(connection)
        await shop.product("MUG-1", stock=1000)
        user_id = await register(shop)
        await sell(shop, user_id, 2)
        assert (await audited(database_url))[0] == 0
        messages = (await shop.seen())["notification.sent"]
    await connection.close()

    count = await stored.multiply(database_url, copies=3)

    async with open_shop(database_url, tmp_path, pace="0,0") as shop:
        seen = await shop.seen()
        await sell(shop, user_id, 1)
        code, told = await audited(database_url)
        stock = await shop.stock("MUG-1")
    assert (count, seen["order.completed"], seen["notification.sent"]) == (8, 8, 4 * messages)
    assert (code, "9 orders" in told) == (0, True), told
    assert messages > 0
    assert stock == (1000 - 4 * (1 + 2) - 1, 0)


async def test_orders_under_way_are_not_copied(database_url: str, tmp_path: Path) -> None:
    async with open_shop(database_url, tmp_path) as shop:
        await shop.product("MUG-1", stock=10)
        await shop.buy(shop.client(new_id()), "MUG-1")

    with pytest.raises(stored.WrongPattern, match="1 of 1 orders are not completed"):
        await stored.multiply(database_url, copies=1)
