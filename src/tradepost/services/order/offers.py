"""Order's own table of offers, fed by product (what it costs) and inventory (that it can be counted)."""

from collections.abc import Sequence
from typing import Any, Final

from tradepost.contracts.inventory import InventoryAdjusted
from tradepost.contracts.order import OrderOfferOpened
from tradepost.contracts.product import ProductArchived
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause, Event

# The two sources come in transactions of their own: without the lock each could miss what the other has just written.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('order.offers', 0))"
_RETIRE: Final = """
UPDATE offer SET active = false
WHERE product_id = ANY ($1::uuid[]) AND active AND variant_id <> ALL ($2::uuid[])
"""
_UPSERT: Final = """
INSERT INTO offer (variant_id, product_id, sku, name, price, currency, active, stocked)
SELECT variant_id, product_id, sku, name, price, currency, active,
       EXISTS (SELECT FROM stocked WHERE stocked.sku = new.sku)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::boolean[])
     AS new (variant_id, product_id, sku, name, price, currency, active)
ON CONFLICT (variant_id) DO UPDATE SET product_id = excluded.product_id, sku = excluded.sku, name = excluded.name,
    price = excluded.price, currency = excluded.currency, active = excluded.active, stocked = excluded.stocked
"""
_STOCKED: Final = "INSERT INTO stocked (sku) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
_MARK: Final = "UPDATE offer SET stocked = true WHERE sku = ANY ($1::text[]) AND NOT stocked"
_OPEN: Final = """
UPDATE offer SET opened = true
WHERE (variant_id = ANY ($1::uuid[]) OR sku = ANY ($2::text[])) AND active AND stocked AND NOT opened
RETURNING variant_id::text AS variant_id, product_id::text AS product_id, sku
"""


async def learn_products(tx: Tx, events: Sequence[Event[Any]]) -> None:
    """The products as they are after the last of their events."""
    last = {event.key: event for event in events}
    snapshots = [event for event in last.values() if not isinstance(event.data, ProductArchived)]
    rows = [
        (v.variant_id, p.product_id, v.sku, v.name or p.name, v.price, p.currency, p.status == "active")
        for p in (event.data for event in snapshots)
        for v in p.variants
    ]
    await tx.execute(_LOCK)
    await tx.execute(_RETIRE, list(last), [row[0] for row in rows])
    if rows:
        await tx.execute(_UPSERT, *(list(column) for column in zip(*rows, strict=True)))
        causes = {v.variant_id: event.cause for event in snapshots for v in event.data.variants}
        await _open(tx, causes, {})


async def learn_stock(tx: Tx, events: Sequence[Event[InventoryAdjusted]]) -> None:
    """The SKUs that inventory counts."""
    causes = {event.data.sku: event.cause for event in events}
    await tx.execute(_LOCK)
    await tx.execute(_STOCKED, sorted(causes))
    await tx.execute(_MARK, sorted(causes))
    await _open(tx, {}, causes)


async def _open(tx: Tx, by_variant: dict[str, Cause], by_sku: dict[str, Cause]) -> None:
    """Announce what can be ordered from now on, once each."""
    for row in await tx.fetch(_OPEN, list(by_variant), list(by_sku)):
        fact = OrderOfferOpened(variant_id=row["variant_id"], product_id=row["product_id"], sku=row["sku"])
        cause = by_variant.get(fact.variant_id) or by_sku[fact.sku]
        tx.append(fact, sequence=1, cause=cause)
