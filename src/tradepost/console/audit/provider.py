"""The simulated provider's own books against ours. Payments of other providers can't be looked up here."""

from typing import Final

from tradepost.console.audit.check import Check

# The simulator's references are ids; those of other providers are not.
_ID: Final = "^[0-9a-f]{8}-"

_CHARGES: Final = f"""
SELECT format('order %s: payment %s over %s %s, at the provider %s over %s %s', COALESCE(order_id::text, key),
              COALESCE(payment.status, 'missing'), payment.amount, payment.currency,
              COALESCE(charge.state, 'missing'), charge.amount, charge.currency)
FROM (SELECT * FROM payment.payment WHERE amount > 0) AS payment
FULL JOIN payment.simulator_charge AS charge ON key = 'order:' || order_id || ':charge:1'
WHERE CASE
    WHEN charge.id IS NULL THEN payment.status = 'captured' AND reference ~ '{_ID}'
    WHEN payment.id IS NULL THEN TRUE
    ELSE charge.amount <> payment.amount OR charge.currency <> payment.currency
         OR (charge.state = 'captured') <> (payment.status = 'captured')
         OR charge.state IN ('requires_action', 'authorized') AND payment.status IN ('failed', 'voided')
            AND NOT payment.doubtful  -- which is asked about once more
END
"""

_REFUNDS: Final = f"""
SELECT format('%s: %s over %s, at the provider %s over %s', COALESCE(refund.key, theirs.key),
              COALESCE(refund.status, 'missing'), refund.amount, COALESCE(theirs.state, 'missing'), theirs.amount)
FROM payment.refund
FULL JOIN payment.simulator_refund AS theirs ON theirs.key = refund.key
WHERE CASE
    WHEN theirs.id IS NULL THEN refund.status = 'succeeded' AND refund.reference ~ '{_ID}'
    WHEN refund.id IS NULL THEN TRUE
    ELSE theirs.amount <> refund.amount OR (theirs.state = 'succeeded') <> (refund.status = 'succeeded')
END
UNION ALL
SELECT format('%s: the provider notes %s given back, its refunds make %s', charge.key, refunded,
              COALESCE(gone.amount, 0))
FROM payment.simulator_charge AS charge
LEFT JOIN (SELECT charge_key, sum(amount) AS amount FROM payment.simulator_refund WHERE state <> 'failed'
           GROUP BY charge_key) AS gone ON charge_key = charge.key
WHERE refunded <> COALESCE(gone.amount, 0)
"""

CHECKS: Final = (
    Check("provider.charges", "the provider took exactly what payments say, once per order", _CHARGES),
    Check("provider.refunds", "the provider gave back exactly what refunds say", _REFUNDS),
)
