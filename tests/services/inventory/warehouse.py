"""A warehouse to test with: facts in, facts and rows out, and the books that must balance whatever happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tradepost.contracts.order import Line, OrderCancelled, OrderCreated, OrderPaid, OrderReturnReceived, ReturnedLine
from tradepost.contracts.product import ProductCreated, Variant
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.dispatch import apply
from tradepost.services.inventory.consumers import inventory

CAUSE: Final = Cause("test")

UNBALANCED: Final = """
WITH moved AS (SELECT sku, sum(quantity) AS units FROM movement GROUP BY sku),
     held AS (SELECT line.sku, sum(line.quantity) AS units
              FROM reservation, unnest(skus, quantities) AS line (sku, quantity)
              WHERE status = 'reserved' GROUP BY line.sku),
     told AS (SELECT key, count(*) AS events FROM event
              WHERE type IN ('inventory.adjusted', 'inventory.low', 'inventory.available') GROUP BY key)
SELECT sku FROM stock
LEFT JOIN moved USING (sku) LEFT JOIN held USING (sku) LEFT JOIN told ON told.key = sku
WHERE on_hand <> COALESCE(moved.units, 0)
   OR reserved <> COALESCE(held.units, 0)
   OR stock.events <> COALESCE(told.events, 0)
   OR low IS DISTINCT FROM COALESCE(on_hand - reserved < threshold, FALSE)
"""
GAPS: Final = """
SELECT key FROM (SELECT key, sequence, row_number() OVER (PARTITION BY key ORDER BY id) AS nth FROM event) AS numbered
WHERE sequence <> nth
"""


@dataclass(frozen=True)
class Warehouse:
    db: Database

    async def hear(self, *facts: Fact) -> int:
        """Hand one publisher's facts over as the log does, in one transaction; how many statements that took."""
        raws = [_raw(fact, position) for position, fact in enumerate(facts, 1)]
        async with self.db.transaction() as tx:
            await apply(tx, raws, inventory.of(facts[0].publisher()))
        return tx.statements

    async def stock_up(self, **opening: int | None) -> str:
        """A product with one variant per SKU; its id."""
        product_id = new_id()
        await self.hear(product(product_id, **opening))
        return product_id

    async def stock(self, sku: str) -> tuple[int, int]:
        """On hand and reserved."""
        row = await self.db.fetchrow("SELECT on_hand, reserved FROM stock WHERE sku = $1", sku)
        assert row is not None
        return row["on_hand"], row["reserved"]

    async def column(self, sku: str, column: str) -> Any:
        return await self.db.fetchval(f"SELECT {column} FROM stock WHERE sku = $1", sku)

    async def status(self, order_id: str) -> str:
        return str(await self.db.fetchval("SELECT status FROM reservation WHERE order_id = $1", order_id))

    async def published(self, *types: str) -> Sequence[tuple[str, str, int, Any]]:
        """(type, key, sequence, data) of the events of these types, or of all."""
        rows = await self.db.fetch("SELECT type, key, sequence, data FROM event ORDER BY id")
        return [
            (row["type"], row["key"], row["sequence"], msgspec.json.decode(row["data"]))
            for row in rows
            if not types or row["type"] in types
        ]

    async def movements(self, sku: str) -> Sequence[tuple[int, str, int]]:
        """(quantity, reason, on hand after it), oldest first."""
        rows = await self.db.fetch("SELECT quantity, reason, on_hand FROM movement WHERE sku = $1 ORDER BY id", sku)
        return [(row["quantity"], row["reason"], row["on_hand"]) for row in rows]

    async def check_the_books(self) -> None:
        """Movements add up to what is on hand, open reservations to what is reserved; sequences have no gap."""
        assert await self.db.fetch(UNBALANCED) == []
        assert await self.db.fetch(GAPS) == []


def _raw(fact: Fact, position: int) -> Raw:
    return Raw(
        position=position,
        id=new_id(),
        type=fact.type,
        key=fact.key,
        slot=slot_of(fact.key),
        sequence=1,
        time=now(),
        correlation_id="story",
        causation_id=None,
        traceparent=None,
        data=msgspec.json.encode(fact).decode(),
    )


def product(product_id: str, **opening: int | None) -> ProductCreated:
    variants = tuple(
        Variant(variant_id=new_id(), sku=sku, price=100, opening_stock=units) for sku, units in opening.items()
    )
    return ProductCreated(product_id=product_id, name="Mug", status="active", currency="USD", variants=variants)


def created(order_id: str, *lines: tuple[str, int]) -> OrderCreated:
    items = tuple(
        Line(product_id=new_id(), variant_id=new_id(), sku=sku, quantity=quantity, price=100) for sku, quantity in lines
    )
    return OrderCreated(order_id=order_id, number="1", user_id=new_id(), total_amount=1, currency="USD", items=items)


def paid(order_id: str) -> OrderPaid:
    return OrderPaid(order_id=order_id, number="1", payment_method="pm", transaction_id="t", amount=1, currency="USD")


def cancelled(order_id: str, *, was_paid: bool = False) -> OrderCancelled:
    return OrderCancelled(
        order_id=order_id, number="1", reason="changed_mind", paid=was_paid, total_amount=1, currency="USD"
    )


def returned(order_id: str, return_id: str, *lines: tuple[str, int, bool]) -> OrderReturnReceived:
    items = tuple(ReturnedLine(sku=sku, quantity=quantity, restock=restock) for sku, quantity, restock in lines)
    return OrderReturnReceived(order_id=order_id, return_id=return_id, items=items, amount=1, currency="USD")
