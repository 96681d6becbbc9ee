"""Payments: locked, inserted and saved set-wise, together with everything that their steps led to."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause
from tradepost.services.payment.domain.model import LOOK_AGAIN_S, STATUSES, Payment, Refund, Step, pause_s
from tradepost.services.payment.repository import records, refunds

COLUMNS: Final = """
id::text AS id, order_id::text AS order_id, user_id::text AS user_id, amount, currency, method, status, cancelled,
doubtful, captured, refunding, refunded, version, reference, action_url, failure, attempts,
correlation_id, causation_id::text AS causation_id, traceparent
"""
_LOCK: Final = f"SELECT {COLUMNS} FROM payment WHERE order_id = ANY ($1::uuid[]) ORDER BY payment.id FOR UPDATE"
_LOCK_ONE: Final = f"SELECT {COLUMNS} FROM payment WHERE id = $1 FOR UPDATE"

_INSERT: Final = """
INSERT INTO payment (id, order_id, user_id, amount, currency, method, status, cancelled, captured, version, reference,
                     task, due_at, correlation_id, causation_id, traceparent)
SELECT id, order_id, user_id, amount, currency, method, status, cancelled, captured, version, reference, task,
       CASE WHEN task IS NOT NULL THEN now() END, correlation_id, causation_id, traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::boolean[],
            $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::text[])
     AS new (id, order_id, user_id, amount, currency, method, status, cancelled, captured, version, reference, task,
             correlation_id, causation_id, traceparent)
WHERE NOT EXISTS (SELECT FROM overtaken_order WHERE overtaken_order.order_id = new.order_id)
ORDER BY id
ON CONFLICT (order_id) DO NOTHING
RETURNING id::text AS id
"""
# Money is added rather than set, so that the ceiling stands even behind a caller that forgot to lock.
_UPDATE: Final = """
UPDATE payment SET
    status = new.status, cancelled = new.cancelled, doubtful = new.doubtful,
    captured = payment.captured + new.captured,
    refunding = payment.refunding + new.refunding, refunded = payment.refunded + new.refunded,
    version = new.version, reference = new.reference, action_url = new.action_url, failure = new.failure,
    task = new.task, due_at = CASE WHEN new.task IS NOT NULL THEN now() + new.pause_s * interval '1 second' END,
    claimed_until = NULL, updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::float8[])
     AS new (id, status, cancelled, doubtful, captured, refunding, refunded, version, reference, action_url, failure,
             task, pause_s)
WHERE payment.id = new.id
"""


async def lock(tx: Tx, order_ids: Collection[str]) -> Mapping[str, Payment]:
    """The payments of those of the orders that have one, by order."""
    return {row["order_id"]: payment_of(row) for row in await tx.fetch(_LOCK, list(order_ids))}


async def lock_one(tx: Tx, payment_id: str) -> Payment | None:
    """The payment of this id."""
    row = await tx.fetchrow(_LOCK_ONE, payment_id)
    return None if row is None else payment_of(row)


async def insert(tx: Tx, steps: Sequence[Step]) -> Collection[str]:
    """New payments, with what their steps led to; their ids. One for an order that has one already, or that was
    overtaken, is left out."""
    if not steps:
        return ()
    rows = await tx.fetch(_INSERT, *zip(*(_inserted(step.payment) for step in steps), strict=True))
    inserted = {row["id"] for row in rows}
    await records.follow(tx, [step for step in steps if step.payment.id in inserted])
    return inserted


async def save(tx: Tx, changes: Sequence[tuple[Payment, Step]], refunds_before: Mapping[str, Refund]) -> None:
    """Locked payments before and after their steps, with what the steps led to. `refunds_before` are by key."""
    if not changes:
        return
    steps = [step for _, step in changes]
    await records.follow(tx, steps)
    tx.later(_UPDATE, *zip(*(_updated(before, step.payment) for before, step in changes), strict=True))
    refunds.save(tx, steps, refunds_before)


def payment_of(row: Row) -> Payment:
    """The payment in a row of `COLUMNS`."""
    return Payment(
        id=row["id"],
        order_id=row["order_id"],
        user_id=row["user_id"],
        amount=row["amount"],
        currency=row["currency"],
        method=row["method"],
        status=STATUSES[row["status"]],
        cancelled=row["cancelled"],
        doubtful=row["doubtful"],
        captured=row["captured"],
        refunding=row["refunding"],
        refunded=row["refunded"],
        version=row["version"],
        reference=row["reference"],
        action_url=row["action_url"],
        failure=row["failure"],
        attempts=row["attempts"],
        cause=Cause(row["correlation_id"], row["causation_id"], row["traceparent"]),
    )


def _inserted(payment: Payment) -> tuple[object, ...]:
    return (
        payment.id,
        payment.order_id,
        payment.user_id,
        payment.amount,
        payment.currency,
        payment.method,
        payment.status,
        payment.cancelled,
        payment.captured,
        payment.version,
        payment.reference,
        payment.task,
        payment.cause.correlation_id,
        payment.cause.causation_id,
        payment.cause.traceparent,
    )


def _updated(before: Payment, now: Payment) -> tuple[object, ...]:
    return (
        now.id,
        now.status,
        now.cancelled,
        now.doubtful,
        now.captured - before.captured,
        now.refunding - before.refunding,
        now.refunded - before.refunded,
        now.version,
        now.reference,
        now.action_url,
        now.failure,
        now.task,
        pause_s(before.task, now.task, now.attempts, at_least_s=LOOK_AGAIN_S if now.doubtful else 0.0),
    )
