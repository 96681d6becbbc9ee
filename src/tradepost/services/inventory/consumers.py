"""What inventory hears: orders, which ask for stock, and products, which tell it of SKUs."""

from collections.abc import Sequence
from typing import Final

from tradepost.contracts.order import OrderCancelled, OrderCreated, OrderPaid, OrderReturnReceived
from tradepost.contracts.product import ProductCreated, ProductUpdated
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, on
from tradepost.services.inventory import commands
from tradepost.services.inventory.domain.listing import Snapshot, Variant
from tradepost.services.inventory.domain.order import Cancellation, Return, Sale, Step
from tradepost.services.inventory.domain.reservation import Demand, total

OrderFact = OrderCreated | OrderPaid | OrderCancelled | OrderReturnReceived
ProductFact = ProductCreated | ProductUpdated


async def follow_orders(tx: Tx, events: Sequence[Event[OrderFact]]) -> None:
    """One function for all that orders say: a handler of its own for each would lock stock once per type, and two
    transactions that lock twice can wait for one another."""
    await commands.follow(tx, [step_of(event) for event in events], now())


async def learn_products(tx: Tx, events: Sequence[Event[ProductFact]]) -> None:
    """New SKUs get a stock; known ones their present product."""
    await commands.learn(tx, [snapshot_of(event) for event in events], now())


def step_of(event: Event[OrderFact]) -> Step:
    """What the event asks of stock. Lines of one SKU are summed."""
    match event.data:
        case OrderCreated(order_id=order_id, items=items):
            units = total((line.sku, line.quantity) for line in items)
            return Demand(order_id=order_id, units=units, cause=event.cause)
        case OrderPaid(order_id=order_id):
            return Sale(order_id=order_id, cause=event.cause)
        case OrderCancelled(order_id=order_id, paid=paid):
            return Cancellation(order_id=order_id, paid=paid, cause=event.cause)
        case OrderReturnReceived(order_id=order_id, return_id=return_id, items=returned):
            units = total((line.sku, line.quantity) for line in returned if line.restock)
            return Return(order_id=order_id, return_id=return_id, units=units, cause=event.cause)


def snapshot_of(event: Event[ProductFact]) -> Snapshot:
    """The product as the event tells it."""
    variants = tuple(
        Variant(sku=variant.sku, variant_id=variant.variant_id, opening=variant.opening_stock or 0)
        for variant in event.data.variants
    )
    return Snapshot(product_id=event.data.product_id, variants=variants, cause=event.cause)


inventory: Final = Group(
    "inventory",
    (
        on(OrderCreated, follow_orders),
        on(OrderPaid, follow_orders),
        on(OrderCancelled, follow_orders),
        on(OrderReturnReceived, follow_orders),
        on(ProductCreated, learn_products),
        on(ProductUpdated, learn_products),
    ),
)
