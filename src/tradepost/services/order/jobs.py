"""Timed work: unpaid orders end, and orders that should have gone on are seen."""

from datetime import timedelta
from typing import Final

from prometheus_client import Gauge

from tradepost.contracts.inventory import InventoryRejected, InventoryReserved
from tradepost.contracts.payment import PaymentCaptured, PaymentFailed, PaymentRequiresAction
from tradepost.kernel.clock import now
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import LOWEST_ID, first_id, new_id
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.order import commands, queries
from tradepost.services.order.desk import Desk

CONFIRMED_IN: Final = timedelta(minutes=30)  # from placing, where the buyer has something to confirm
PAID_IN: Final = timedelta(days=1)  # where he has not: then inventory, payment or the provider is down
ANSWERS: Final = (InventoryReserved, InventoryRejected, PaymentRequiresAction, PaymentCaptured, PaymentFailed)
ROUND: Final = 500  # orders
LOOK_S: Final = 60.0  # between two looks
SETTLED_S: Final = 120.0  # from the start on: others say first what happened while we were away

OVERDUE: Final = Gauge(
    "tradepost_orders_overdue_seconds",
    "For how long an order has waited that should be paid or cancelled by now; the longest.",
    registry=FIGURES,
)

# By the index `orders_open`.
_DUE: Final = """
SELECT id::text AS id FROM orders
WHERE id > $1 AND id < $2 AND completed_at IS NULL AND cancelled_at IS NULL
  AND status IN ('pending', 'reserved') AND (action_url IS NOT NULL OR id < $3)
ORDER BY orders.id LIMIT $4
"""
_SET_ASIDE: Final = """
SELECT DISTINCT key FROM parked WHERE "group" = 'order' AND key = ANY ($1::text[])
"""


async def expire(desk: Desk) -> bool:
    """Cancel all orders that were not paid in time, and of which nothing is on its way or was set aside."""
    moment, last = now(), LOWEST_ID
    confirmed, paid = first_id(moment - CONFIRMED_IN), first_id(moment - PAID_IN)
    while due := [row["id"] for row in await desk.db.fetch(_DUE, last, confirmed, paid, ROUND)]:
        spared = await desk.unheard(due, *ANSWERS)
        async with desk.db.transaction() as tx:  # what was heard since is in effect, or set aside
            spared |= {row["key"] for row in await tx.fetch(_SET_ASIDE, due)}
            unpaid = [order_id for order_id in due if order_id not in spared]
            await commands.expire(tx, unpaid, Cause(f"expiry-{new_id()}"), now())
        last = due[-1]
    return False


async def look_for_overdue(desk: Desk) -> bool:
    """Measure who has waited for too long. Not with `expire`, whose failing is what it may tell of."""
    OVERDUE.set(await queries.overdue_s(desk.db, now(), CONFIRMED_IN))
    return False


jobs: Final = (
    Job("order.expire", expire, every_s=LOOK_S, after_s=SETTLED_S),
    Job("order.overdue", look_for_overdue, every_s=LOOK_S),
)
