"""One parcel per paid order, and it went the way of its order."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check

# A legal way of a parcel: new, tracked, cancelled before or sent, tracked, delivered.
LEGAL: Final = "^nt*(x|st*d?)?$"

_ONE: Final = """
SELECT format('order %s is %s: %s parcels', COALESCE(orders.id, order_id), COALESCE(orders.status, 'missing'),
              count(shipment.id))
FROM "order".orders FULL JOIN shipping.shipment ON order_id = orders.id
GROUP BY orders.id, order_id, orders.status, paid_at
HAVING count(shipment.id) <> (paid_at IS NOT NULL)::int
"""

_FATES: Final = """
SELECT format('order %s is %s, its parcel %s', orders.id, orders.status, shipment.status)
FROM "order".orders JOIN shipping.shipment ON order_id = orders.id
WHERE (orders.status = 'cancelled') <> (shipment.status = 'cancelled')
   OR shipped_at IS NOT NULL AND NOT dispatched OR completed_at IS NOT NULL AND shipment.status <> 'delivered'
"""

_PATH: Final = f"""
SELECT format('order %s: its parcel is %s at version %s, its events say: %s', order_id, status, version,
              COALESCE(told, 'nothing'))
FROM shipping.shipment
LEFT JOIN (
    SELECT key, max(sequence) AS events, min(sequence) AS first, string_agg(CASE type
        WHEN 'shipping.created' THEN 'n' WHEN 'shipping.cancelled' THEN 'x' WHEN 'shipping.dispatched' THEN 's'
        WHEN 'shipping.tracked' THEN 't' WHEN 'shipping.delivered' THEN 'd' ELSE '?' END, '' ORDER BY id) AS steps,
        string_agg(substr(type, 10), ', ' ORDER BY id) AS told
    FROM shipping.event GROUP BY key
) AS path ON key = order_id::text
WHERE steps IS NULL AND {SINCE} = '-infinity' OR version <> events
   OR first = 1 AND (steps !~ '{LEGAL}' OR dispatched <> (steps ~ 's') OR (status = 'delivered') <> (steps ~ 'd')
                     OR (status = 'cancelled') <> (steps ~ 'x'))
"""

CHECKS: Final = (
    Check("parcels.one", "each paid order has one parcel, and no other order has any", _ONE),
    Check("parcels.fates", "a parcel went the way of its order", _FATES),
    Check("parcels.path", "each parcel went a legal way, step by step, and is where it ended", _PATH),
)
