"""Timed work: unpaid orders end, and orders that should have gone on are seen."""

from datetime import timedelta
from typing import Final

from prometheus_client import Gauge

from tradepost.contracts.inventory import InventoryRejected, InventoryReserved
from tradepost.contracts.payment import PaymentCaptured, PaymentFailed, PaymentRequiresAction
from tradepost.kernel.clock import now
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import first_id, new_id
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.order import commands, queries
from tradepost.services.order.desk import Desk

CONFIRMED_IN: Final = timedelta(minutes=30)  # from placing, where the buyer has something to confirm
PAID_IN: Final = timedelta(days=1)  # where he has not: then inventory, payment or the provider is down
ANSWERS: Final = (InventoryReserved, InventoryRejected, PaymentRequiresAction, PaymentCaptured, PaymentFailed)
ROUND: Final = 500  # orders in a transaction
ROUNDS: Final = 20  # for one look through all that are open
LOOK_S: Final = 60.0  # between two looks
SETTLED_S: Final = 120.0  # from the start on: others say first what happened while we were away

OVERDUE: Final = Gauge(
    "tradepost_orders_overdue_seconds",
    "For how long an order has waited that should be paid or cancelled by now; the longest.",
    registry=FIGURES,
)

# By the index `orders_open`. An order of which an event was set aside waits for whoever looks at that.
_DUE: Final = """
SELECT id::text AS id FROM orders
WHERE id < $1 AND completed_at IS NULL AND cancelled_at IS NULL
  AND status IN ('pending', 'reserved') AND (action_url IS NOT NULL OR id < $2)
  AND NOT EXISTS (SELECT FROM parked WHERE "group" = 'order' AND key = orders.id::text)
ORDER BY orders.id LIMIT $3
"""


async def expire(desk: Desk) -> bool:
    """Cancel a bounded number of orders that were not paid in time; whether more may be due."""
    moment = now()
    limits = first_id(moment - CONFIRMED_IN), first_id(moment - PAID_IN)
    due = [row["id"] for row in await desk.db.fetch(_DUE, *limits, ROUND * ROUNDS)]
    ended = 0
    for begin in range(0, len(due), ROUND):
        some = due[begin : begin + ROUND]
        unheard = await desk.unheard(some, *ANSWERS)
        async with desk.db.transaction() as tx:
            unpaid = [order_id for order_id in some if order_id not in unheard]
            ended += await commands.expire(tx, unpaid, Cause(f"expiry-{new_id()}"), now())
    return ended > 0 and len(due) == ROUND * ROUNDS


async def look_for_overdue(desk: Desk) -> bool:
    """Measure who has waited for too long. Not with `expire`, whose failing is what it may tell of."""
    OVERDUE.set(await queries.overdue_s(desk.db, now(), CONFIRMED_IN))
    return False


jobs: Final = (
    Job("order.expire", expire, every_s=LOOK_S, after_s=SETTLED_S),
    Job("order.overdue", look_for_overdue, every_s=LOOK_S),
)
