"""One hot SKU: units a second through inventory, which reserves for a whole batch of orders at once, against one UPDATE
per order from C (pgbench, the best of three numbers of clients).

"Inventory" is its consumer at work on a log full of orders for one unit: it reads, reserves, writes a reservation and
publishes an event for each order, so it does much more than the UPDATE.

python -m bench.hot_sku [--quick] [--runs 3]
"""

import asyncio
import time
from typing import Final

import asyncpg
import uvloop

from bench import pgbench
from bench.figures import Figure, Size, command
from bench.shop import open_shop
from tradepost import process
from tradepost.contracts.order import Line, OrderCreated
from tradepost.kernel import runtime
from tradepost.kernel.database import Database, connect
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.runtime import Site
from tradepost.main import SERVICES
from tradepost.services.inventory import service as inventory

SKU: Final = "HOT-1"
CLIENTS: Final = (16, 32, 64)
BATCH: Final = 500  # orders in one transaction of those that fill the log
PATIENCE_S: Final = 600.0
UPDATE: Final = f"UPDATE inventory.stock SET reserved = reserved + 1 WHERE sku = '{SKU}' AND on_hand - reserved >= 1;"
_STOCK: Final = "INSERT INTO inventory.stock (sku, on_hand) VALUES ($1, 1000000000)"
_RESERVED: Final = "SELECT reserved FROM inventory.stock WHERE sku = $1"


def measure(size: Size) -> list[Figure]:
    orders, seconds = round(size.of(100_000, 5_000)), size.of(8, 2)
    with open_shop() as shop:
        url = pgbench.prepare(shop, [service.name for service in SERVICES])
        uvloop.run(_stock(url))
        alone = {clients: pgbench.run(shop, url, UPDATE, clients, seconds).per_s for clients in CLIENTS}
        uvloop.run(_stock(url))
        taken_s = uvloop.run(
            _reserved(
                url,
                orders,
                Site(
                    databases=dict.fromkeys((service.name for service in SERVICES), url),
                    secret=shop.secret,
                    data=shop.folder,
                ),
            )
        )
    best = max(alone.values())
    beside = {
        "units_per_s": orders / taken_s,
        **{f"update_{clients}_clients": per_s for clients, per_s in alone.items()},
    }
    return [Figure("hot_sku.of_update", orders / taken_s / best, beside)]


async def _stock(url: str) -> None:
    """A stock of the SKU that nothing was taken from."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DELETE FROM inventory.stock")
        await connection.execute(_STOCK, SKU)
    finally:
        await connection.close()


async def _reserved(url: str, orders: int, site: Site) -> float:
    """Seconds until inventory has reserved a unit for each of so many orders that are on the log when it starts."""
    async with connect(url_as(url, role_of("order"), site.secret), "order") as db:
        async with runtime.run([inventory], site):
            pass  # it takes its place in the logs
        for start in range(0, orders, BATCH):
            await _append(db, min(BATCH, orders - start))
    process.collect_rarely()  # as `tradepost run` does
    began = time.monotonic()
    async with runtime.run([inventory], site) as running, asyncio.timeout(PATIENCE_S):
        while await running.databases["inventory"].fetchval(_RESERVED, SKU) < orders:
            await asyncio.sleep(0.02)
        return time.monotonic() - began


async def _append(db: Database, orders: int) -> None:
    line = Line(product_id=new_id(), variant_id=new_id(), sku=SKU, quantity=1, price=1999, name="A hot mug")
    async with db.transaction() as tx:
        for _ in range(orders):
            fact = OrderCreated(
                order_id=new_id(), number="1", user_id=new_id(), total_amount=1999, currency="GBP", items=(line,)
            )
            tx.append(fact, sequence=1, cause=Cause("bench"))


if __name__ == "__main__":
    command(__doc__, measure)
