"""Timed work: unpaid orders end, and orders that should have gone on are seen."""

from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Gauge

from tradepost.kernel.clock import now
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import first_id, new_id
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.order import commands, queries
from tradepost.services.order.desk import Desk

UNPAID: Final = timedelta(minutes=30)  # from placing to the end of patience
ROUND: Final = 500  # orders
LOOK_S: Final = 60.0  # between two looks through all that are open

OVERDUE: Final = Gauge(
    "tradepost_orders_overdue_seconds",
    "For how long an order has waited that should be paid or cancelled by now; the longest.",
    registry=FIGURES,
)

# Orders in the order of their ids, which is that of time. Whoever is past once was paid or ended: one look is enough.
# All that are younger are not looked at: in half an hour of a rush that may be millions.
_DUE: Final = """
SELECT id::text AS id, status FROM orders
WHERE id > (SELECT upto FROM expiry FOR UPDATE) AND id < $1 AND created_at < $2
ORDER BY orders.id LIMIT $3
"""
_PASSED: Final = "UPDATE expiry SET upto = $1"


async def expire_unpaid(desk: Desk) -> bool:
    """Cancel a bounded number of orders whose time for payment is over; whether more may be due."""
    return await expire_before(desk, now() - UNPAID)


async def expire_before(desk: Desk, limit: datetime) -> bool:
    """The same for orders placed before `limit`."""
    async with desk.db.transaction() as tx:
        due = await tx.fetch(_DUE, first_id(limit), limit, ROUND)
        if not due:
            return False
        unpaid = [row["id"] for row in due if row["status"] in ("pending", "reserved")]
        if unpaid:
            await commands.expire(tx, unpaid, Cause(f"expiry-{new_id()}"), now())
        await tx.execute(_PASSED, due[-1]["id"])
    return len(due) == ROUND


async def look_for_overdue(desk: Desk) -> bool:
    """Measure who has waited for too long. Not with `expire_unpaid`, whose failing is what it may tell of."""
    OVERDUE.set(await queries.overdue_s(desk.db, now(), UNPAID))
    return False


jobs: Final = (
    Job("order.expire", expire_unpaid, every_s=5.0),
    Job("order.overdue", look_for_overdue, every_s=LOOK_S),
)
