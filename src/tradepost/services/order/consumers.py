"""What order hears: the answers of the others to what it decided, and what can be sold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tradepost.contracts.inventory import InventoryAdjusted, InventoryRejected, InventoryReserved
from tradepost.contracts.payment import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundWaived,
    PaymentRequiresAction,
)
from tradepost.contracts.product import ProductArchived, ProductCreated, ProductUpdated
from tradepost.contracts.shipping import ShippingCancelled, ShippingDelivered, ShippingDispatched
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, later, on
from tradepost.services.order import commands, offers, returns
from tradepost.services.order.domain import order as moves
from tradepost.services.order.domain.order import Moved, Order


def decide(order: Order, event: Event[Any], at: datetime) -> Moved:
    """The move that the fact asks for. Errors: Late."""
    match event.data:
        case InventoryReserved():
            return moves.reserve(order, at)
        case InventoryRejected() as rejected:
            return moves.reject(order, rejected, at)
        case PaymentRequiresAction() as required:
            return moves.require_action(order, required)
        case PaymentCaptured() as captured:
            return moves.pay(order, captured, at)
        case PaymentFailed() as failed:
            return moves.fail(order, failed, at)
        case PaymentRefunded() as refunded:
            return moves.refund(order, refunded)
        case PaymentRefundFailed() as lost:
            return moves.lose_refund(order, lost)
        case PaymentRefundWaived():
            return order, ()
        case ShippingDispatched() as dispatched:
            return moves.ship(order, dispatched, at)
        case ShippingDelivered() as delivered:
            return moves.complete(order, delivered, at)
        case ShippingCancelled():
            return moves.stop(order, at)
    raise TypeError(f"order does not follow {event.type}")


async def follow(tx: Tx, events: Sequence[Event[Any]]) -> None:
    """One function for all answers, so that a batch locks its orders once."""
    await commands.follow(tx, events, decide, now())
    await returns.settle(tx, [event.data for event in events], now())


async def follow_products(
    tx: Tx, events: Sequence[Event[ProductCreated] | Event[ProductUpdated] | Event[ProductArchived]]
) -> None:
    """Keep offers as the products are now."""
    await offers.learn_products(tx, events)


async def follow_stock(tx: Tx, events: Sequence[Event[InventoryAdjusted]]) -> None:
    """Note the SKUs that inventory knows."""
    await offers.learn_stock(tx, events)


order: Final = Group(
    "order",
    (
        on(InventoryReserved, follow),
        on(InventoryRejected, follow),
        on(PaymentRequiresAction, follow),
        on(PaymentCaptured, follow),
        on(PaymentFailed, follow),
        on(PaymentRefunded, follow),
        on(PaymentRefundFailed, follow),
        on(PaymentRefundWaived, follow),
        later(ShippingDispatched, follow),
        later(ShippingDelivered, follow),
        later(ShippingCancelled, follow),
    ),
)

selling: Final = Group(
    "order.offers",
    (
        on(ProductCreated, follow_products),
        on(ProductUpdated, follow_products),
        on(ProductArchived, follow_products),
        on(InventoryAdjusted, follow_stock),
    ),
)
