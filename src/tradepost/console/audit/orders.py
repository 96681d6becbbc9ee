"""Every order reached a legal state by a legal path, and none is stuck."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check

GRACE: Final = "35 minutes"  # the time for payment, a start, and a few rounds of the job that ends it

# One letter per event: created, (payment) requested, paid, (cancellation) queried, shipped, done, x cancelled, back.
LEGAL: Final = "^c(x|r(x|p(q?(x|sb*(db*)?)?)?)?)?$"

_STEPS: Final = f"""
SELECT key, max(sequence) AS version, string_agg(CASE type
    WHEN 'order.created' THEN 'c' WHEN 'order.payment_requested' THEN 'r' WHEN 'order.paid' THEN 'p'
    WHEN 'order.cancel_requested' THEN 'q' WHEN 'order.shipped' THEN 's' WHEN 'order.completed' THEN 'd'
    WHEN 'order.cancelled' THEN 'x' WHEN 'order.return_received' THEN 'b' ELSE '?' END, '' ORDER BY id) AS steps,
    string_agg(substr(type, 7), ', ' ORDER BY id) AS told
FROM "order".event WHERE type <> 'order.offer_opened'
GROUP BY key HAVING min(at) FILTER (WHERE type = 'order.created') >= {SINCE} OR {SINCE} = '-infinity'
"""

_PATH: Final = f"SELECT format('order %s: %s', key, told) FROM ({_STEPS}) AS path WHERE steps !~ '{LEGAL}'"

_STATE: Final = f"""
SELECT format('order %s is %s at version %s, but its events say: %s', COALESCE(id::text, key),
              COALESCE(status, 'missing'), COALESCE(version, 0), COALESCE(told, 'nothing'))
FROM "order".orders
FULL JOIN (SELECT key, version AS events, steps, told FROM ({_STEPS}) AS path) AS path ON key = id::text
WHERE id IS NULL OR steps IS NULL AND created_at >= {SINCE} OR version <> events
   OR status <> CASE WHEN steps ~ 'x' THEN 'cancelled' WHEN steps ~ 'd' THEN 'completed' WHEN steps ~ 's' THEN 'shipped'
                     WHEN steps ~ 'p' THEN 'paid' WHEN steps ~ 'r' THEN 'reserved' ELSE 'pending' END
   OR (reserved_at IS NOT NULL) <> (steps ~ 'r') OR (paid_at IS NOT NULL) <> (steps ~ 'p')
   OR (shipped_at IS NOT NULL) <> (steps ~ 's') OR (completed_at IS NOT NULL) <> (steps ~ 'd')
   OR (cancelled_at IS NOT NULL) <> (steps ~ 'x') OR cancel_requested <> (steps ~ 'q$')
"""

_TOTALS: Final = f"""
SELECT format('order %s: the total is %s %s, its lines make %s, and %s %s was announced', orders.id, total_amount,
              currency, worth, announced, announced_currency)
FROM "order".orders
CROSS JOIN LATERAL (
    SELECT sum(quantity::numeric * price) AS worth FROM json_to_recordset(lines) AS line (quantity bigint, price bigint)
) AS lines_
LEFT JOIN (
    SELECT key, told.total_amount AS announced, told.currency AS announced_currency
    FROM "order".event, json_to_record(data) AS told (total_amount bigint, currency text)
    WHERE type = 'order.created'
) AS created ON key = orders.id::text
WHERE total_amount <> worth OR announced <> total_amount OR announced_currency <> currency
   OR announced IS NULL AND {SINCE} = '-infinity'
"""

# That all is drained has been checked by now, so that no answer is on its way any more.
_STUCK: Final = f"""
SELECT format('order %s is %s since %s', id, status, CASE status WHEN 'pending' THEN created_at ELSE reserved_at END)
FROM "order".orders
WHERE status = 'pending' OR status = 'reserved' AND (action_url IS NULL OR created_at < now() - interval '{GRACE}')
UNION ALL
SELECT format('order %s is paid, and nobody answers that it is to be cancelled', id)
FROM "order".orders WHERE status = 'paid' AND cancel_requested
UNION ALL
SELECT format('order %s is %s, its parcel %s', order_id, orders.status, shipment.status)
FROM "order".orders JOIN shipping.shipment ON order_id = orders.id
WHERE orders.status = 'paid' AND dispatched OR orders.status = 'shipped' AND shipment.status = 'delivered'
"""

CHECKS: Final = (
    Check("orders.path", "each order went a legal way, step by step", _PATH),
    Check("orders.state", "each order is where its events left it", _STATE),
    Check("orders.totals", "each total is what the lines cost, and what was announced", _TOTALS),
    Check("orders.stuck", "no order waits for something that will not come", _STUCK),
)
