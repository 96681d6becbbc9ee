"""Stock is conserved: every unit that came, went or is promised can be told."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check

_ON_HAND: Final = """
SELECT format('%s: %s on hand, but movements add up to %s', sku, COALESCE(on_hand::text, 'nothing'), COALESCE(units, 0))
FROM inventory.stock
FULL JOIN (SELECT sku, sum(quantity) AS units FROM inventory.movement GROUP BY sku) AS moved USING (sku)
WHERE on_hand IS DISTINCT FROM COALESCE(units, 0)
"""

_RESERVED: Final = """
SELECT format('%s: %s reserved, but open reservations hold %s', sku, COALESCE(reserved::text, 'nothing'),
              COALESCE(units, 0))
FROM inventory.stock
FULL JOIN (SELECT line.sku, sum(line.quantity) AS units
           FROM inventory.reservation, unnest(skus, quantities) AS line (sku, quantity)
           WHERE status = 'reserved' GROUP BY line.sku) AS held USING (sku)
WHERE reserved IS DISTINCT FROM COALESCE(units, 0)
"""

_SOLD: Final = """
WITH gone AS (
    SELECT order_id, line.sku, sum(line.quantity) AS sold,
           sum(line.quantity) FILTER (WHERE status = 'restocked') AS cancelled
    FROM inventory.reservation, unnest(skus, quantities) AS line (sku, quantity)
    WHERE status IN ('committed', 'restocked') GROUP BY order_id, line.sku
), moved AS (
    SELECT order_id, sku, sum(-quantity) FILTER (WHERE reason = 'sold') AS sold,
           sum(quantity) FILTER (WHERE reason = 'cancelled') AS cancelled
    FROM inventory.movement WHERE reason IN ('sold', 'cancelled') GROUP BY order_id, sku
)
SELECT format('order %s, %s: %s sold and %s taken back, but %s and %s moved', order_id, sku,
              COALESCE(gone.sold, 0), COALESCE(gone.cancelled, 0),
              COALESCE(moved.sold, 0), COALESCE(moved.cancelled, 0))
FROM gone FULL JOIN moved USING (order_id, sku)
WHERE COALESCE(gone.sold, 0) <> COALESCE(moved.sold, 0) OR COALESCE(gone.cancelled, 0) <> COALESCE(moved.cancelled, 0)
"""

# What staff take back under another heading has no order; a SKU that inventory does not know gets nothing.
_RETURNED: Final = f"""
WITH back AS (
    SELECT event.data ->> 'return_id' AS reference, line.sku, sum(line.quantity) AS units
    FROM "order".event, json_to_recordset(data -> 'items') AS line (sku text, quantity bigint, restock boolean)
    WHERE type = 'order.return_received' AND at >= {SINCE} AND line.restock GROUP BY 1, 2
), moved AS (
    SELECT reference, sku, sum(quantity) AS units FROM inventory.movement
    WHERE reason = 'returned' AND order_id IS NOT NULL GROUP BY 1, 2
)
SELECT format('return %s, %s: %s came back, but %s moved', reference, sku, COALESCE(back.units, 0),
              COALESCE(moved.units, 0))
FROM back FULL JOIN moved USING (reference, sku)
WHERE COALESCE(back.units, 0) <> COALESCE(moved.units, 0)
  AND (back.reference IS NOT NULL OR {SINCE} = '-infinity')
  AND EXISTS (SELECT FROM inventory.stock WHERE stock.sku = COALESCE(back.sku, moved.sku))
"""

_UNITS: Final = """
WITH asked AS (
    SELECT id AS order_id, line.sku, sum(line.quantity) AS units
    FROM "order".orders, json_to_recordset(lines) AS line (sku text, quantity bigint) GROUP BY id, line.sku
), held AS (
    SELECT order_id, line.sku, sum(line.quantity) AS units
    FROM inventory.reservation, unnest(skus, quantities) AS line (sku, quantity) GROUP BY order_id, line.sku
)
SELECT format('order %s, %s: %s ordered, %s in the reservation', order_id, sku, COALESCE(asked.units, 0),
              COALESCE(held.units, 0))
FROM asked FULL JOIN held USING (order_id, sku)
WHERE asked.units IS DISTINCT FROM held.units
"""

_FATES: Final = """
SELECT format('order %s is %s, its reservation %s', orders.id, orders.status, reservation.status)
FROM "order".orders JOIN inventory.reservation ON reservation.order_id = orders.id
WHERE NOT CASE reservation.status
    WHEN 'reserved' THEN orders.status = 'reserved'
    WHEN 'committed' THEN orders.status IN ('paid', 'shipped', 'completed')
    WHEN 'restocked' THEN orders.status = 'cancelled' AND paid_at IS NOT NULL
    ELSE orders.status = 'cancelled' AND paid_at IS NULL
END
"""

_TOLD: Final = f"""
SELECT format('%s: %s events counted, %s on the log', sku, stock.events, COALESCE(told.events, 0))
FROM inventory.stock
LEFT JOIN (SELECT key AS sku, count(*) AS events FROM inventory.event
           WHERE type IN ('inventory.adjusted', 'inventory.low', 'inventory.available')
           GROUP BY key) AS told USING (sku)
WHERE stock.events <> COALESCE(told.events, 0) AND {SINCE} = '-infinity'
"""

CHECKS: Final = (
    Check("stock.on_hand", "opening, received and returned less sold units are on hand", _ON_HAND),
    Check("stock.reserved", "what is reserved is what open reservations hold", _RESERVED),
    Check("stock.sold", "exactly the units of paid orders have left, and of cancelled ones came back", _SOLD),
    Check("stock.returned", "exactly the returned units that can be sold again came back", _RETURNED),
    Check("stock.units", "each order has one reservation, of the units that it is for", _UNITS),
    Check("stock.fates", "a reservation went the way of its order", _FATES),
    Check("stock.told", "every change of a stock was published", _TOLD),
)
