"""Every cent is accounted for: ledger, payments, orders and the provider's own books say the same."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check

_BALANCED: Final = """
SELECT format('%s: postings of %s sum to %s', entry.cause, COALESCE(currency, 'nothing'), COALESCE(sum(amount), 0))
FROM payment.ledger_transaction AS entry
FULL JOIN payment.ledger_posting AS posting ON posting.transaction_id = entry.id
GROUP BY entry.id, entry.cause, currency
HAVING entry.id IS NULL OR count(amount) < 2 OR sum(amount) <> 0
"""

_KEPT: Final = """
SELECT format('%s in %s: the balance is %s, the postings sum to %s', account, currency, COALESCE(kept, 0),
              COALESCE(posted, 0))
FROM (SELECT account, currency, sum(amount) AS kept FROM payment.ledger_balance GROUP BY 1, 2) AS balance
FULL JOIN (SELECT account, currency, sum(amount) AS posted FROM payment.ledger_posting GROUP BY 1, 2) AS posting
    USING (account, currency)
WHERE COALESCE(kept, 0) <> COALESCE(posted, 0)
"""

_ENTERED: Final = """
SELECT format('order %s: captured %s and refunded %s, but the ledger says %s and %s',
              COALESCE(order_id::text, 'unknown'), COALESCE(captured, 0), COALESCE(refunded, 0),
              COALESCE(taken, 0), COALESCE(given, 0))
FROM payment.payment
FULL JOIN (
    SELECT payment_id, sum(amount) FILTER (WHERE kind = 'capture') AS taken,
           -sum(amount) FILTER (WHERE kind <> 'capture') AS given
    FROM payment.ledger_transaction AS entry JOIN payment.ledger_posting ON transaction_id = entry.id
    WHERE account IN ('provider_receivable', 'paid_outside') GROUP BY payment_id
) AS entered ON payment_id = payment.id
WHERE COALESCE(captured, 0) <> COALESCE(taken, 0) OR COALESCE(refunded, 0) <> COALESCE(given, 0)
"""

# What staff have said is not to go back is ours.
_ORDERS: Final = """
WITH waived AS (
    SELECT payment_id, sum(amount) AS amount FROM payment.refund WHERE closed = 'waived' GROUP BY payment_id
)
SELECT format('order %s is %s and costs %s %s: %s %s captured, %s refunded', COALESCE(orders.id, order_id),
              COALESCE(orders.status, 'missing'), total_amount, orders.currency, COALESCE(captured, 0),
              payment.currency, COALESCE(payment.refunded, 0))
FROM "order".orders FULL JOIN payment.payment ON order_id = orders.id
LEFT JOIN waived ON payment_id = payment.id
WHERE orders.id IS NULL
   OR (reserved_at IS NOT NULL) <> (payment.id IS NOT NULL)
   OR payment.currency <> orders.currency OR payment.amount <> total_amount
   OR paid_at IS NOT NULL AND captured <> total_amount
   OR (payment.status = 'captured') <> (paid_at IS NOT NULL) AND orders.status <> 'cancelled'
   OR orders.status = 'cancelled' AND captured > payment.refunded + COALESCE(waived.amount, 0)
"""

_REFUNDS: Final = """
WITH asked AS (
    SELECT payment_id, sum(amount) FILTER (WHERE status = 'succeeded') AS succeeded,
           sum(amount) FILTER (WHERE status IN ('pending', 'processing')) AS open
    FROM payment.refund GROUP BY payment_id
)
SELECT format('order %s: refunded %s and refunding %s, but its refunds make %s and %s', order_id, refunded, refunding,
              COALESCE(succeeded, 0), COALESCE(open, 0))
FROM payment.payment LEFT JOIN asked ON payment_id = payment.id
WHERE refunded <> COALESCE(succeeded, 0) OR refunding <> COALESCE(open, 0)
"""

_FAILED: Final = """
SELECT format('order %s: %s %s were to go back, and did not: %s', order_id, refund.amount, refund.currency,
              refund.failure)
FROM payment.refund JOIN payment.payment ON payment.id = payment_id
WHERE refund.status = 'failed' AND closed IS NULL AND captured > refunded + refunding
"""

_TOLD: Final = """
SELECT format('order %s notes %s refunded, the payment %s', orders.id, orders.refunded, COALESCE(payment.refunded, 0))
FROM "order".orders LEFT JOIN payment.payment ON order_id = orders.id
WHERE orders.refunded <> COALESCE(payment.refunded, 0)
"""

# A return waits while its refund has failed, and money is left. In older ones nothing told that less went back.
_RETURNS: Final = """
WITH refund AS (
    SELECT return_id, COALESCE(sum(amount) FILTER (WHERE status = 'succeeded'), 0) AS amount,
           bool_or(status = 'failed' AND closed IS NULL) AS failed
    FROM payment.refund WHERE return_id IS NOT NULL GROUP BY return_id
)
SELECT format('return %s of order %s is %s over %s: %s went back', back.id, back.order_id, back.status, back.amount,
              COALESCE(refund.amount, 0))
FROM "order".return_ AS back
LEFT JOIN refund ON return_id = back.id::text
LEFT JOIN payment.payment ON payment.order_id = back.order_id
WHERE CASE back.status
    WHEN 'refunded' THEN refund.amount > back.amount OR back.amount > 0 AND COALESCE(refund.amount, 0) = 0
    WHEN 'received' THEN (failed AND captured > refunded + refunding) IS NOT TRUE
    ELSE return_id IS NOT NULL END
"""

# One letter per event; money that comes after the payment failed or was given up is a fact, and goes back, and may come
# back from there.
_PATH: Final = f"""
SELECT format('order %s: %s', key, told)
FROM (SELECT key, string_agg(CASE type WHEN 'payment.requires_action' THEN 'q' WHEN 'payment.authorized' THEN 'a'
             WHEN 'payment.captured' THEN 'c' WHEN 'payment.failed' THEN 'f' WHEN 'payment.voided' THEN 'v'
             WHEN 'payment.refunded' THEN 'r' WHEN 'payment.refund_failed' THEN 'b'
             WHEN 'payment.refund_waived' THEN 'w' ELSE '?' END, '' ORDER BY id) AS steps,
             string_agg(substr(type, 9), ', ' ORDER BY id) AS told
      FROM payment.event GROUP BY key HAVING min(sequence) = 1) AS path
WHERE steps !~ '^q?a?([fv]|[fv]?c[rbw]*)?$'
UNION ALL
SELECT format('order %s: asked for payment, which is %s', asked.key, COALESCE(payment.status, 'missing'))
FROM "order".event AS asked
LEFT JOIN payment.payment ON order_id::text = asked.key
LEFT JOIN (SELECT DISTINCT key FROM payment.event
           WHERE type IN ('payment.captured', 'payment.failed', 'payment.voided')) AS done ON done.key = asked.key
WHERE asked.type = 'order.payment_requested' AND asked.at >= {SINCE}
  AND done.key IS NULL AND payment.status IS DISTINCT FROM 'requires_action'
"""

CHECKS: Final = (
    Check("ledger.balanced", "the postings of each transaction sum to zero", _BALANCED),
    Check("ledger.balances", "each balance is the sum of its postings", _KEPT),
    Check("ledger.payments", "the ledger has what was captured and refunded", _ENTERED),
    Check("payments.outcomes", "each payment came to one end, by a legal way", _PATH),
    Check("payments.orders", "paid orders are captured whole, cancelled ones given back whole", _ORDERS),
    Check("payments.refunds", "a payment's refunds make what it says went back", _REFUNDS),
    Check("payments.failed", "each refund that failed was sent once more, paid in another way, or waived", _FAILED),
    Check("payments.told", "orders know what went back", _TOLD),
    Check("payments.returns", "each return that was received is refunded once", _RETURNS),
)
