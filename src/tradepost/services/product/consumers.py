"""What product hears: inventory tells how much can be sold, order what it has opened for sale."""

from collections.abc import Iterator, Sequence
from typing import Final

from tradepost.contracts.inventory import InventoryAdjusted, InventoryReleased, InventoryReserved, StockLine
from tradepost.contracts.order import OrderOfferOpened
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, later, on

StockFact = InventoryReserved | InventoryReleased | InventoryAdjusted

# Facts about orders and about SKUs have no common order: the highest version of a SKU counts.
_KEEP_NEWEST: Final = """
INSERT INTO availability AS known (sku, available, version)
SELECT sku, available, version FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (sku, available, version)
ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET available = excluded.available, version = excluded.version
WHERE known.version < excluded.version
"""
_FORGET: Final = "DELETE FROM availability"
_OPEN: Final = "INSERT INTO offer (variant_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"


async def follow_stock(tx: Tx, events: Sequence[Event[StockFact]]) -> None:
    """Remember what can be sold of each SKU, whether its product is known yet or not."""
    newest: dict[str, InventoryAdjusted | StockLine] = {}
    for event in events:
        for line in _lines(event.data):
            if line.sku not in newest or newest[line.sku].version < line.version:
                newest[line.sku] = line
    if newest:
        available = [line.available for line in newest.values()]
        await tx.execute(_KEEP_NEWEST, list(newest), available, [line.version for line in newest.values()])


async def forget_stock(tx: Tx) -> None:
    """Empty the view, for it to be built again from the start."""
    await tx.execute(_FORGET)


async def open_offers(tx: Tx, events: Sequence[Event[OrderOfferOpened]]) -> None:
    """Mark variants as orderable; those that have gone meanwhile do no harm."""
    await tx.execute(_OPEN, sorted({event.data.variant_id for event in events}))


def _lines(fact: StockFact) -> Iterator[InventoryAdjusted | StockLine]:
    if isinstance(fact, InventoryAdjusted):
        yield fact
    else:
        yield from fact.items


availability: Final = Group(
    "product.availability",
    (
        later(InventoryReserved, follow_stock),
        later(InventoryReleased, follow_stock),
        later(InventoryAdjusted, follow_stock),
    ),
    reset=forget_stock,
)
product: Final = Group("product", (on(OrderOfferOpened, open_offers),))
