"""One message per order and kind, to whoever bought."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check

_ONE: Final = """
SELECT format('%s by %s for order %s: %s messages', template, channel, order_id, count(*))
FROM notification.delivery WHERE order_id IS NOT NULL
GROUP BY order_id, template, channel, CASE WHEN template LIKE 'payment_refund%' THEN event_id END HAVING count(*) > 1
UNION ALL
SELECT format('%s by %s of event %s: %s messages', template, channel, event_id, count(*))
FROM notification.delivery WHERE order_id IS NULL
GROUP BY event_id, template, channel, user_id HAVING count(*) > 1
"""

# Who was erased is told nothing.
_TOLD: Final = f"""
WITH fact AS (
    SELECT event_id, type, key, at FROM "order".event
    WHERE type IN ('order.created', 'order.paid', 'order.shipped', 'order.completed', 'order.cancelled')
    UNION ALL
    SELECT event_id, type, key, at FROM payment.event WHERE type = 'payment.refunded'
    UNION ALL
    SELECT event_id, type, key, at FROM payment.event
    WHERE type = 'payment.refund_failed' AND (data ->> 'was_refunded')::boolean
), mail AS (
    SELECT event_id, order_id, template FROM notification.delivery
    WHERE channel = 'email' AND order_id IS NOT NULL AND at >= {SINCE}
)
SELECT format('%s of order %s: %s', COALESCE(fact.type, mail.template), COALESCE(fact.key, mail.order_id::text),
              CASE WHEN mail.event_id IS NULL THEN 'nobody was told'
                   WHEN fact.event_id IS NULL THEN 'told, though it never happened'
                   ELSE 'told as ' || mail.template || ' of order ' || mail.order_id END)
FROM (SELECT * FROM fact WHERE at >= {SINCE}) AS fact
FULL JOIN mail ON mail.event_id = fact.event_id
LEFT JOIN "order".orders ON orders.id::text = fact.key
LEFT JOIN notification.contact ON contact.user_id = orders.user_id
WHERE mail.event_id IS NULL AND contact.state IS DISTINCT FROM 'erased'
   OR fact.event_id IS NULL AND {SINCE} = '-infinity'
   OR mail.template <> replace(fact.type, '.', '_') OR mail.order_id::text <> fact.key
"""

_WAITING: Final = """
SELECT format('%s by %s for order %s waits, though its reader is known', template, channel, order_id)
FROM notification.delivery JOIN notification.contact USING (user_id)
WHERE status = 'waiting' AND contact.state = 'known'
UNION ALL
SELECT format('%s by %s for order %s waits, though the order is known', template, channel, order_id)
FROM notification.delivery JOIN notification.order_contact USING (order_id)
WHERE status = 'waiting' AND delivery.user_id IS NULL AND number IS NOT NULL
"""

_COUNTED: Final = f"""
SELECT format('%s %s is %s: version %s, but %s events', template, delivery.id, status, version, COALESCE(events, 0))
FROM notification.delivery
LEFT JOIN (SELECT key, max(sequence) AS events FROM notification.event GROUP BY key) AS told
    ON key = delivery.id::text
WHERE version <> COALESCE(events, 0) AND at >= {SINCE}
   OR status IN ('sent', 'failed') AND version = 0
"""

CHECKS: Final = (
    Check("messages.one", "no message was written twice", _ONE),
    Check("messages.told", "the buyer was told everything that happened to the order, and nothing else", _TOLD),
    Check("messages.waiting", "no message waits for somebody who is known", _WAITING),
    Check("messages.counted", "each message that went out, or can't, was published so", _COUNTED),
)
