"""Timed work: unpaid orders end, and orders that should have gone on are seen."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Gauge

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import first_id, new_id
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.order import commands, queries
from tradepost.services.order.desk import Desk

CONFIRMED_IN: Final = timedelta(minutes=30)  # from placing, where the buyer has something to confirm
PAID_IN: Final = timedelta(days=1)  # where he has not: then inventory, payment or the provider is down
OTHERS: Final = ("inventory", "payment")  # whose word may be on its way
ROUND: Final = 500  # orders
LOOK_S: Final = 60.0  # between two looks through all that are open

OVERDUE: Final = Gauge(
    "tradepost_orders_overdue_seconds",
    "For how long an order has waited that should be paid or cancelled by now; the longest.",
    registry=FIGURES,
)

# Orders in the order of their ids, which is that of time. Whoever is past once was paid, ended, or waits for us: one
# look is enough. All that are younger are not looked at: in half an hour of a rush that may be millions.
_DUE: Final = """
SELECT id::text AS id, status = 'reserved' AND action_url IS NOT NULL AS unconfirmed FROM orders
WHERE id > (SELECT upto FROM expiry FOR UPDATE) AND id < $1
ORDER BY orders.id LIMIT $2
"""
_PASSED: Final = "UPDATE expiry SET upto = $1"
_UNCONFIRMED: Final = """
SELECT EXISTS (SELECT FROM orders WHERE id > (SELECT upto FROM expiry) AND id < $1
               AND completed_at IS NULL AND cancelled_at IS NULL AND status = 'reserved' AND action_url IS NOT NULL)
"""
_UNPAID: Final = """
SELECT id::text AS id FROM orders
WHERE id < $1 AND completed_at IS NULL AND cancelled_at IS NULL AND status IN ('pending', 'reserved')
ORDER BY id LIMIT $2
"""  # by `orders_open`


async def expire_unconfirmed(desk: Desk) -> bool:
    """Cancel a bounded number of orders whose buyers did not confirm in time; whether more may be due."""
    limit = now() - CONFIRMED_IN
    if await desk.db.fetchval(_UNCONFIRMED, first_id(limit)):
        limit -= await desk.late(*OTHERS)
    return await expire_before(desk, limit)


async def expire_before(desk: Desk, limit: datetime) -> bool:
    """The same for orders placed before `limit`."""
    async with desk.db.transaction() as tx:
        due = await tx.fetch(_DUE, first_id(limit), ROUND)
        if not due:
            return False
        await _expire(tx, [row["id"] for row in due if row["unconfirmed"]])
        await tx.execute(_PASSED, due[-1]["id"])
    return len(due) == ROUND


async def expire_unpaid(desk: Desk) -> bool:
    """Cancel a bounded number of orders that were not paid in a day, for whatever reason; whether more may be."""
    limit = now() - PAID_IN
    if not await desk.db.fetch(_UNPAID, first_id(limit), 1):
        return False
    limit -= await desk.late(*OTHERS)
    async with desk.db.transaction() as tx:
        due = [row["id"] for row in await tx.fetch(_UNPAID, first_id(limit), ROUND)]
        await _expire(tx, due)
    return len(due) == ROUND


async def _expire(tx: Tx, order_ids: Sequence[str]) -> None:
    if order_ids:
        await commands.expire(tx, order_ids, Cause(f"expiry-{new_id()}"), now())


async def look_for_overdue(desk: Desk) -> bool:
    """Measure who has waited for too long. Not with those that cancel, whose failing is what it may tell of."""
    OVERDUE.set(await queries.overdue_s(desk.db, now(), CONFIRMED_IN))
    return False


jobs: Final = (
    Job("order.expire", expire_unconfirmed, every_s=5.0),
    Job("order.expire_unpaid", expire_unpaid, every_s=300.0),
    Job("order.overdue", look_for_overdue, every_s=LOOK_S),
)
