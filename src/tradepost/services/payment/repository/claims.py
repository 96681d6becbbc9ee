"""What is due to be asked of the provider, leased to whoever asks; and the webhooks that were taken in already."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from tradepost.kernel.database import Database, Row, Tx
from tradepost.services.payment.domain.keys import charge_key
from tradepost.services.payment.domain.model import Task
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest

LEASE_S: Final = 30
BATCH: Final = 500  # payments, and as many refunds
WEBHOOKS_KEPT_DAYS: Final = 30
PURGE_LIMIT: Final = 1_000  # rows
OVERDUE_MIN: Final = 10  # since anything was heard

_FREE: Final = "due_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())"
_LONG_AGO: Final = f"updated_at < now() - interval '{OVERDUE_MIN} minutes'"

# One statement for both tables. The predicates name their tasks, as the partial indexes of the jobs do.
_CLAIM: Final = f"""
WITH charge AS (
    UPDATE payment SET claimed_until = now() + interval '{LEASE_S} seconds', attempts = attempts + 1,
                       status = CASE WHEN status = 'pending' THEN 'processing' ELSE status END
    WHERE id = ANY (ARRAY(
        SELECT id FROM payment WHERE task IN ({{charges}}) AND {_FREE} ORDER BY due_at LIMIT {BATCH}
        FOR UPDATE SKIP LOCKED))
    RETURNING task, order_id, amount, currency, method
), back AS (
    UPDATE refund SET claimed_until = now() + interval '{LEASE_S} seconds', attempts = refund.attempts + 1,
                      status = CASE WHEN refund.status = 'pending' THEN 'processing' ELSE refund.status END
    FROM payment
    WHERE payment.id = refund.payment_id AND refund.id = ANY (ARRAY(
        SELECT id FROM refund WHERE task = {{refunds}} AND {_FREE} ORDER BY due_at LIMIT {BATCH}
        FOR UPDATE SKIP LOCKED))
    RETURNING key, refund.amount, refund.currency, order_id, payment.reference
)
SELECT task, order_id::text AS order_id, amount, currency, method, NULL AS refund_key, NULL AS reference FROM charge
UNION ALL
SELECT {{refunds}}, order_id::text, amount, currency, NULL, key, reference FROM back
"""
_SEND: Final = _CLAIM.format(charges="'charge', 'void'", refunds="'refund'")
_FIND: Final = _CLAIM.format(charges="'find'", refunds="'find'")

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
# Where nothing is left to give back, it went back by another refund.
_FAILED: Final = """
SELECT count(*) FROM refund JOIN payment ON payment.id = payment_id
WHERE refund.status = 'failed' AND closed IS NULL AND captured > refunded + refunding
"""


class Claimed(NamedTuple):
    """What is to be asked of the provider, by whoever claimed it; each charge with what is to be asked about it."""

    charges: Sequence[tuple[Task, ChargeRequest]]
    refunds: Sequence[RefundRequest]

    @property
    def is_full(self) -> bool:
        """Whether there may be more."""
        return BATCH in (len(self.charges), len(self.refunds))


async def to_send(db: Database | Tx) -> Claimed:
    """Charges, voids and refunds that are due. Once claimed, a payment counts as sent."""
    return _claimed(await db.fetch(_SEND))


async def to_find(db: Database | Tx) -> Claimed:
    """Payments and refunds whose fate the provider should have told by now."""
    return _claimed(await db.fetch(_FIND))


async def overdue(tx: Tx) -> int:
    """How many payments and refunds wait for the provider for over ten minutes."""
    return int(await tx.fetchval(_OVERDUE))


async def failed(tx: Tx) -> int:
    """How many refunds failed, and nobody has dealt with them yet."""
    return int(await tx.fetchval(_FAILED))


async def take_in(tx: Tx, provider: str, event_ids: Collection[str]) -> Collection[str]:
    """Those of the provider's events that are seen for the first time."""
    return {row["event_id"] for row in await tx.fetch(_TAKE_IN, provider, list(event_ids))}


async def purge_webhooks(tx: Tx) -> bool:
    """Forget events that no provider repeats any more; whether there may be more of them."""
    return int((await tx.execute(_PURGE)).rpartition(" ")[2]) == PURGE_LIMIT


def _claimed(rows: Sequence[Row]) -> Claimed:
    return Claimed(
        charges=[(Task(row["task"]), _charge(row)) for row in rows if row["refund_key"] is None],
        refunds=[_refund(row) for row in rows if row["refund_key"] is not None],
    )


def _charge(row: Row) -> ChargeRequest:
    return ChargeRequest(
        key=charge_key(row["order_id"]), amount=row["amount"], currency=row["currency"], method=row["method"]
    )


def _refund(row: Row) -> RefundRequest:
    return RefundRequest(
        key=row["refund_key"],
        charge_key=charge_key(row["order_id"]),
        charge_reference=row["reference"],
        amount=row["amount"],
        currency=row["currency"],
    )
