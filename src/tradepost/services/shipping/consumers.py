"""What shipping does when it hears of an order."""

from collections.abc import Sequence

from tradepost.contracts.order import OrderCancelled, OrderCancelRequested, OrderPaid
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, later
from tradepost.services.shipping import commands


async def ship(tx: Tx, events: Sequence[Event[OrderPaid]]) -> None:
    """The money is there: prepare the parcels."""
    await commands.open_shipments(tx, events, now())


async def keep(tx: Tx, events: Sequence[Event[OrderCancelRequested | OrderCancelled]]) -> None:
    """Stop the parcels that have not left."""
    await commands.cancel_shipments(tx, events, now())


groups = (
    Group(
        "shipping",
        (
            later(OrderPaid, ship),
            later(OrderCancelRequested, keep),
            later(OrderCancelled, keep),
        ),
    ),
)
