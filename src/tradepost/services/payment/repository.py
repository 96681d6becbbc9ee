"""Rows in, rows out. Payments are locked in the order of their ids, always before their refunds."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.services.payment.domain.ledger import Entry
from tradepost.services.payment.domain.model import (
    Payment,
    Record,
    Refund,
    RefundItem,
    RefundStatus,
    Status,
    Step,
    Task,
    pause_s,
)

_PAYMENT: Final = """
id::text AS id, order_id::text AS order_id, user_id::text AS user_id, amount, currency, method, status, cancelled,
captured, refunding, refunded, version, reference, action_url, failure, attempts,
correlation_id, causation_id::text AS causation_id, traceparent
"""
_REFUND: Final = """
id::text AS id, key, amount, currency, reason, items, return_id, status, reference, failure, attempts,
correlation_id, causation_id::text AS causation_id, traceparent
"""
_LOCK: Final = f"SELECT {_PAYMENT} FROM payment WHERE order_id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"
_LOCK_ONE: Final = f"SELECT {_PAYMENT} FROM payment WHERE id = $1 FOR UPDATE"
_LOCK_REFUNDS: Final = f"SELECT {_REFUND} FROM refund WHERE key = ANY ($1) ORDER BY id FOR UPDATE"

_INSERT: Final = """
INSERT INTO payment (id, order_id, user_id, amount, currency, method, status, captured, version, reference, task,
                     due_at, correlation_id, causation_id, traceparent)
SELECT id, order_id, user_id, amount, currency, method, status, captured, version, reference, task,
       CASE WHEN task IS NOT NULL THEN now() END, correlation_id, causation_id, traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
            $9::bigint[], $10::text[], $11::text[], $12::text[], $13::uuid[], $14::text[])
     AS new (id, order_id, user_id, amount, currency, method, status, captured, version, reference, task,
             correlation_id, causation_id, traceparent)
ORDER BY id
ON CONFLICT (order_id) DO NOTHING
RETURNING id::text AS id
"""
# Money is added rather than set, so that the ceiling stands even behind a caller that forgot to lock.
_UPDATE: Final = """
UPDATE payment SET
    status = new.status, cancelled = new.cancelled, captured = payment.captured + new.captured,
    refunding = payment.refunding + new.refunding, refunded = payment.refunded + new.refunded,
    version = new.version, reference = new.reference, action_url = new.action_url, failure = new.failure,
    task = new.task, due_at = CASE WHEN new.task IS NOT NULL THEN now() + new.pause_s * interval '1 second' END,
    claimed_until = NULL, updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::float8[])
     AS new (id, status, cancelled, captured, refunding, refunded, version, reference, action_url, failure, task,
             pause_s)
WHERE payment.id = new.id
"""
_SAVE_REFUNDS: Final = """
INSERT INTO refund (id, payment_id, key, amount, currency, reason, items, return_id, status, reference, failure, task,
                    due_at, correlation_id, causation_id, traceparent)
SELECT id, payment_id, key, amount, currency, reason, items::json, return_id, status, reference, failure, task,
       CASE WHEN task IS NOT NULL THEN now() + pause_s * interval '1 second' END,
       correlation_id, causation_id, traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::float8[], $14::text[], $15::uuid[], $16::text[])
     AS new (id, payment_id, key, amount, currency, reason, items, return_id, status, reference, failure, task,
             pause_s, correlation_id, causation_id, traceparent)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, reference = excluded.reference, failure = excluded.failure, task = excluded.task,
    due_at = excluded.due_at, claimed_until = NULL, updated_at = now()
"""
_INSERT_RECORDS: Final = """
INSERT INTO payment_transaction (payment_id, id, type, status, amount, currency, provider_reference, refund_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::uuid[])
"""
_INSERT_ENTRIES: Final = """
WITH entered AS (
    INSERT INTO ledger_transaction (id, kind, order_id, payment_id, cause)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[])
)
INSERT INTO ledger_posting (transaction_id, account, currency, amount)
SELECT id, account, currency, signed
FROM unnest($1::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[]) AS new (id, debit, credit, currency, amount),
     LATERAL (VALUES (debit, amount), (credit, -amount)) AS posting (account, signed)
"""

Change = tuple[Payment, Step]  # before, and the step


async def insert(tx: Tx, steps: Sequence[Step]) -> None:
    """New payments with what comes of them; one for an order that has one already is left out."""
    payments = [step.payment for step in steps]
    rows = await tx.fetch(
        _INSERT,
        [payment.id for payment in payments],
        [payment.order_id for payment in payments],
        [payment.user_id for payment in payments],
        [payment.amount for payment in payments],
        [payment.currency for payment in payments],
        [payment.method for payment in payments],
        [payment.status for payment in payments],
        [payment.captured for payment in payments],
        [payment.version for payment in payments],
        [payment.reference for payment in payments],
        [payment.task for payment in payments],
        [payment.cause.correlation_id for payment in payments],
        [payment.cause.causation_id for payment in payments],
        [payment.cause.traceparent for payment in payments],
    )
    inserted = {row["id"] for row in rows}
    await _follow(tx, [step for step in steps if step.payment.id in inserted])


async def lock(tx: Tx, order_ids: Collection[str]) -> Mapping[str, Payment]:
    """The payments of those of the orders that have one, by order."""
    return {row["order_id"]: _payment(row) for row in await tx.fetch(_LOCK, list(order_ids))}


async def lock_one(tx: Tx, payment_id: str) -> Payment | None:
    """The payment of this id."""
    row = await tx.fetchrow(_LOCK_ONE, payment_id)
    return None if row is None else _payment(row)


async def lock_refunds(tx: Tx, keys: Collection[str]) -> Mapping[str, Refund]:
    """Those of the refunds that there are, by key. Their payments are locked already."""
    return {row["key"]: _refund(row) for row in await tx.fetch(_LOCK_REFUNDS, list(keys))}


async def save(tx: Tx, changes: Sequence[Change], refunds_before: Mapping[str, Refund]) -> None:
    """Payments after their steps, with everything that the steps led to. `refunds_before` are by key."""
    if not changes:
        return
    await _update(tx, changes)
    refunds = [(step.payment.id, refund) for _, step in changes for refund in step.refunds.values()]
    if refunds:
        await _save_refunds(tx, refunds, refunds_before)
    await _follow(tx, [step for _, step in changes])


async def _update(tx: Tx, changes: Sequence[Change]) -> None:
    pairs = [(before, step.payment) for before, step in changes]
    await tx.execute(
        _UPDATE,
        [now.id for _, now in pairs],
        [now.status for _, now in pairs],
        [now.cancelled for _, now in pairs],
        [now.captured - before.captured for before, now in pairs],
        [now.refunding - before.refunding for before, now in pairs],
        [now.refunded - before.refunded for before, now in pairs],
        [now.version for _, now in pairs],
        [now.reference for _, now in pairs],
        [now.action_url for _, now in pairs],
        [now.failure for _, now in pairs],
        [now.task for _, now in pairs],
        [pause_s(before.task, now.task, now.attempts) for before, now in pairs],
    )


async def _save_refunds(tx: Tx, refunds: Sequence[tuple[str, Refund]], before: Mapping[str, Refund]) -> None:
    pairs = [(before[refund.key].task if refund.key in before else None, refund) for _, refund in refunds]
    await tx.execute(
        _SAVE_REFUNDS,
        [refund.id for _, refund in refunds],
        [payment_id for payment_id, _ in refunds],
        [refund.key for _, refund in refunds],
        [refund.amount for _, refund in refunds],
        [refund.currency for _, refund in refunds],
        [refund.reason for _, refund in refunds],
        [msgspec.json.encode(refund.items).decode() if refund.items else None for _, refund in refunds],
        [refund.return_id for _, refund in refunds],
        [refund.status for _, refund in refunds],
        [refund.reference for _, refund in refunds],
        [refund.failure for _, refund in refunds],
        [refund.task for _, refund in refunds],
        [pause_s(task, refund.task, refund.attempts) for task, refund in pairs],
        [refund.cause.correlation_id for _, refund in refunds],
        [refund.cause.causation_id for _, refund in refunds],
        [refund.cause.traceparent for _, refund in refunds],
    )


async def _follow(tx: Tx, steps: Sequence[Step]) -> None:
    """Write what steps led to beside the rows; wake the sender where something new is to be asked."""
    if records := [(step.payment, record) for step in steps for record in step.records]:
        await _insert_records(tx, records)
    if entries := [(step.payment, entry) for step in steps for entry in step.entries]:
        await _insert_entries(tx, entries)
    for step in steps:
        first = step.payment.version - len(step.facts) + 1
        for sequence, (fact, cause) in enumerate(step.facts, first):
            tx.append(fact, sequence=sequence, cause=cause)


async def _insert_records(tx: Tx, records: Sequence[tuple[Payment, Record]]) -> None:
    await tx.execute(
        _INSERT_RECORDS,
        [payment.id for payment, _ in records],
        [new_id() for _ in records],
        [record.type for _, record in records],
        [record.status for _, record in records],
        [record.amount for _, record in records],
        [payment.currency for payment, _ in records],
        [record.reference for _, record in records],
        [record.refund_id for _, record in records],
    )


async def _insert_entries(tx: Tx, entries: Sequence[tuple[Payment, Entry]]) -> None:
    await tx.execute(
        _INSERT_ENTRIES,
        [new_id() for _ in entries],
        [entry.kind for _, entry in entries],
        [payment.order_id for payment, _ in entries],
        [payment.id for payment, _ in entries],
        [entry.cause for _, entry in entries],
        [entry.debit for _, entry in entries],
        [entry.credit for _, entry in entries],
        [entry.currency for _, entry in entries],
        [entry.amount for _, entry in entries],
    )
