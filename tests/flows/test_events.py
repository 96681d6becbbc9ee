"""Every type of event that we publish is seen on a log, and is what is published about it."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg

from tests.contracts.schemas import validate
from tests.mail import mail_server
from tests.shop import Shop, eventually, open_shop
from tests.story import TYPES, tell_everything
from tradepost.contracts import FACTS
from tradepost.kernel.brokers.envelope import encode
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.batch import RAW_COLUMNS, Raw
from tradepost.services.order.jobs import ANSWERS


async def test_every_event_is_seen_on_the_log(database_url: str, tmp_path: Path) -> None:
    with mail_server() as (_, smtp_url):
        async with open_shop(database_url, tmp_path, smtp_url=smtp_url) as shop:
            await tell_everything(shop)
            await asyncio.sleep(0.3)
            assert await shop.parked() == []
    assert await _fit(database_url) == TYPES


async def _fit(database_url: str) -> set[str]:
    """The types seen. Each event fits its schema and contract, and counts per publisher and key without a gap."""
    seen: set[str] = set()
    connection = await asyncpg.connect(database_url)
    try:
        for publisher in sorted({fact.publisher() for fact in FACTS}):
            last: dict[str, int] = {}
            for row in await connection.fetch(f'SELECT {RAW_COLUMNS} FROM "{publisher}".event ORDER BY id'):
                event = Raw(*row.values())
                seen.add(validate(encode(publisher, event)))
                assert event.sequence == last.get(event.key, 0) + 1, (event.type, event.key)
                last[event.key] = event.sequence
    finally:
        await connection.close()
    return seen


async def test_a_customer_sees_nothing_of_another(shop: Shop) -> None:
    await shop.product("MUG-1", stock=5)
    order_id = (await shop.buy(shop.client(new_id()), "MUG-1")).json["order_id"]
    stranger = shop.client(new_id())

    for path in (f"/payment/payments?order_id={order_id}", f"/shipping/shipments?order_id={order_id}"):
        answer = await stranger.call("GET", path, [b""])
        assert answer.status == 404 or answer.json["data"] == [], path


async def test_an_order_service_that_is_held_up_knows_of_which_orders(
    shop: Shop, superuser: "asyncpg.Connection[Any]"
) -> None:
    await shop.product("MUG-1", stock=5)
    body = {"items": [{"sku": "MUG-1", "quantity": 1}]}
    async with superuser.transaction():
        await superuser.execute('LOCK TABLE "order".cursor IN SHARE ROW EXCLUSIVE MODE')
        placed = await shop.client(new_id()).post("/order/orders", body)
        order_id = placed.json["order_id"]

        async def unheard() -> set[str]:
            found: set[str] = await shop.running.desks["order"].unheard([order_id, new_id()], *ANSWERS)
            return found

        await eventually(unheard, lambda found: found == {order_id})
    await eventually(unheard, lambda found: found == set())
