"""Refunds: locked by their keys, and saved set-wise."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause
from tradepost.services.payment.domain.model import Closed, Refund, RefundItem, RefundStatus, Step, pause_s

COLUMNS: Final = """
refund.id::text AS id, refund.key, refund.amount, refund.currency, refund.reason, refund.items, refund.return_id,
refund.status, refund.reference, refund.failure, refund.closed, refund.attempts, refund.correlation_id,
refund.causation_id::text AS causation_id, refund.traceparent
"""
_LOCK: Final = f"SELECT {COLUMNS} FROM refund WHERE key = ANY ($1) ORDER BY refund.id FOR UPDATE"
_FIND: Final = "SELECT payment_id::text AS payment_id, key FROM refund WHERE id = $1"
_SAVE: Final = """
INSERT INTO refund (id, payment_id, key, amount, currency, reason, items, return_id, status, reference, failure, closed,
                    task, due_at, correlation_id, causation_id, traceparent)
SELECT id, payment_id, key, amount, currency, reason, items::json, return_id, status, reference, failure, closed, task,
       CASE WHEN task IS NOT NULL THEN now() + pause_s * interval '1 second' END,
       correlation_id, causation_id, traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::float8[], $15::text[], $16::uuid[],
            $17::text[])
     AS new (id, payment_id, key, amount, currency, reason, items, return_id, status, reference, failure, closed,
             task, pause_s, correlation_id, causation_id, traceparent)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, reference = excluded.reference, failure = excluded.failure, closed = excluded.closed,
    task = excluded.task, due_at = excluded.due_at, claimed_until = NULL, updated_at = now()
"""
_items: Final = msgspec.json.Decoder(tuple[RefundItem, ...])


async def lock(tx: Tx, keys: Collection[str]) -> Mapping[str, Refund]:
    """Those of the refunds that there are, by key. Their payments are locked already."""
    return {row["key"]: refund_of(row) for row in await tx.fetch(_LOCK, list(keys))} if keys else {}


async def find(tx: Tx, refund_id: str) -> tuple[str, str] | None:
    """The payment of a refund, and its key; neither of them changes."""
    row = await tx.fetchrow(_FIND, refund_id)
    return None if row is None else (row["payment_id"], row["key"])


def save(tx: Tx, steps: Sequence[Step], before: Mapping[str, Refund]) -> None:
    """The new and changed refunds of the steps; `before` is how the changed ones stood, by key."""
    rows = [_row(step.payment.id, refund, before.get(refund.key)) for step in steps for refund in step.refunds.values()]
    if rows:
        tx.later(_SAVE, *zip(*rows, strict=True))


def refund_of(row: Row) -> Refund:
    """The refund in a row of `COLUMNS`."""
    return Refund(
        id=row["id"],
        key=row["key"],
        amount=row["amount"],
        currency=row["currency"],
        reason=row["reason"],
        items=() if row["items"] is None else _items.decode(row["items"]),
        return_id=row["return_id"],
        status=RefundStatus(row["status"]),
        reference=row["reference"],
        failure=row["failure"],
        closed=None if row["closed"] is None else Closed(row["closed"]),
        attempts=row["attempts"],
        cause=Cause(row["correlation_id"], row["causation_id"], row["traceparent"]),
    )


def _row(payment_id: str, now: Refund, before: Refund | None) -> tuple[object, ...]:
    return (
        now.id,
        payment_id,
        now.key,
        now.amount,
        now.currency,
        now.reason,
        msgspec.json.encode(now.items).decode() if now.items else None,
        now.return_id,
        now.status,
        now.reference,
        now.failure,
        now.closed,
        now.task,
        pause_s(before.task if before else None, now.task, now.attempts),
        now.cause.correlation_id,
        now.cause.causation_id,
        now.cause.traceparent,
    )
