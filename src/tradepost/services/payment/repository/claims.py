"""What is due to be asked of the provider, leased to whoever asks; and the webhooks that were taken in already."""

from collections.abc import Collection, Sequence
from typing import Final

from tradepost.kernel.database import Tx
from tradepost.services.payment.domain.keys import charge_key
from tradepost.services.payment.domain.model import Payment, Task
from tradepost.services.payment.domain.request import RefundRequest
from tradepost.services.payment.repository.payments import COLUMNS, payment_of

LEASE_S: Final = 30
BATCH: Final = 500  # payments, and as many refunds
WEBHOOKS_KEPT_DAYS: Final = 30
PURGE_LIMIT: Final = 1_000  # rows
OVERDUE_MIN: Final = 10  # since anything was heard

_FREE: Final = "due_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())"
_LONG_AGO: Final = f"updated_at < now() - interval '{OVERDUE_MIN} minutes'"

# The predicate names its tasks, as the partial index of the job that asks for them does.
_CLAIM_PAYMENTS: Final = f"""
UPDATE payment SET claimed_until = now() + interval '{LEASE_S} seconds', attempts = attempts + 1,
                   status = CASE WHEN status = 'pending' THEN 'processing' ELSE status END
WHERE id = ANY (ARRAY(
    SELECT id FROM payment WHERE task IN ({{tasks}}) AND {_FREE} ORDER BY due_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED))
RETURNING task, {COLUMNS}
"""
_SEND: Final = _CLAIM_PAYMENTS.format(tasks="'charge', 'void'")
_FIND: Final = _CLAIM_PAYMENTS.format(tasks="'find'")

_CLAIM_REFUNDS: Final = f"""
UPDATE refund SET claimed_until = now() + interval '{LEASE_S} seconds', attempts = refund.attempts + 1,
                  status = CASE WHEN refund.status = 'pending' THEN 'processing' ELSE refund.status END
FROM payment
WHERE payment.id = refund.payment_id AND refund.id = ANY (ARRAY(
    SELECT id FROM refund WHERE task = '{{task}}' AND {_FREE} ORDER BY due_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED))
RETURNING refund.key, refund.amount, refund.currency, payment.order_id::text AS order_id,
          payment.reference AS charge_reference
"""
_SEND_REFUNDS: Final = _CLAIM_REFUNDS.format(task="refund")
_FIND_REFUNDS: Final = _CLAIM_REFUNDS.format(task="find")

_TAKE_IN: Final = """
INSERT INTO webhook (provider, event_id) SELECT DISTINCT $1, event_id FROM unnest($2::text[]) AS new (event_id)
ORDER BY event_id ON CONFLICT DO NOTHING RETURNING event_id
"""
_PURGE: Final = f"""
DELETE FROM webhook WHERE (provider, event_id) IN (
    SELECT provider, event_id FROM webhook WHERE at < now() - interval '{WEBHOOKS_KEPT_DAYS} days'
    ORDER BY at LIMIT {PURGE_LIMIT} FOR UPDATE SKIP LOCKED)
"""
# The predicates name their tasks, as the partial indexes do. A payment that waits for its buyer may wait.
_OVERDUE: Final = f"""
SELECT (SELECT count(*) FROM payment WHERE task IN ('charge', 'void') AND {_LONG_AGO})
     + (SELECT count(*) FROM payment WHERE task = 'find' AND status <> 'requires_action' AND {_LONG_AGO})
     + (SELECT count(*) FROM refund WHERE task = 'refund' AND {_LONG_AGO})
     + (SELECT count(*) FROM refund WHERE task = 'find' AND {_LONG_AGO})
"""


async def to_send(tx: Tx) -> tuple[Sequence[tuple[Task, Payment]], Sequence[RefundRequest]]:
    """Charges, voids and refunds that are due. Once claimed, a payment counts as sent."""
    return await _payments(tx, _SEND), await _refunds(tx, _SEND_REFUNDS)


async def to_find(tx: Tx) -> tuple[Sequence[tuple[Task, Payment]], Sequence[RefundRequest]]:
    """Payments and refunds whose fate the provider should have told by now."""
    return await _payments(tx, _FIND), await _refunds(tx, _FIND_REFUNDS)


async def overdue(tx: Tx) -> int:
    """How many payments and refunds wait for the provider for over ten minutes."""
    return int(await tx.fetchval(_OVERDUE))


async def take_in(tx: Tx, provider: str, event_ids: Collection[str]) -> Collection[str]:
    """Those of the provider's events that are seen for the first time."""
    return {row["event_id"] for row in await tx.fetch(_TAKE_IN, provider, list(event_ids))}


async def purge_webhooks(tx: Tx) -> bool:
    """Forget events that no provider repeats any more; whether there may be more of them."""
    return int((await tx.execute(_PURGE)).rpartition(" ")[2]) == PURGE_LIMIT


async def _payments(tx: Tx, sql: str) -> Sequence[tuple[Task, Payment]]:
    return [(Task(row["task"]), payment_of(row)) for row in await tx.fetch(sql)]


async def _refunds(tx: Tx, sql: str) -> Sequence[RefundRequest]:
    return [
        RefundRequest(
            key=row["key"],
            charge_key=charge_key(row["order_id"]),
            charge_reference=row["charge_reference"],
            amount=row["amount"],
            currency=row["currency"],
        )
        for row in await tx.fetch(sql)
    ]
