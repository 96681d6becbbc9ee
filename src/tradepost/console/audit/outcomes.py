"""Exactly one outcome per cause, by the id of the cause that each event carries."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check

_ONE: Final = """
SELECT format('%s of order %s: %s outcomes', cause.type, cause.key, count(outcome.event_id))
FROM "order".event AS cause
LEFT JOIN {publisher}.event AS outcome ON outcome.causation_id = cause.event_id AND outcome.type IN ({outcomes})
WHERE cause.type = '{cause}' AND cause.at >= {since}
GROUP BY cause.event_id, cause.type, cause.key HAVING count(outcome.event_id) <> 1
"""


def _one(cause: str, publisher: str, *outcomes: str) -> str:
    listed = ", ".join(f"'{outcome}'" for outcome in outcomes)
    return _ONE.format(cause=cause, publisher=publisher, outcomes=listed, since=SINCE)


# Order moves by an answer exactly once, or has it on record as late.
_DECISIONS: Final = f"""
WITH answer AS (
    SELECT event_id, type, key, at FROM inventory.event WHERE type IN ('inventory.reserved', 'inventory.rejected')
    UNION ALL
    SELECT event_id, type, key, at FROM payment.event WHERE type IN ('payment.captured', 'payment.failed')
    UNION ALL
    SELECT event_id, type, key, at FROM shipping.event
    WHERE type IN ('shipping.dispatched', 'shipping.delivered', 'shipping.cancelled')
), decision AS (
    SELECT causation_id AS answer_id FROM "order".event WHERE type <> 'order.offer_opened'
    UNION ALL
    SELECT event_id FROM "order".late_fact
)
SELECT format('%s of order %s: %s decisions', type, key, count(answer_id))
FROM answer LEFT JOIN decision ON answer_id = event_id
WHERE at >= {SINCE} GROUP BY event_id, type, key HAVING count(answer_id) <> 1
"""

_RELEASES: Final = f"""
WITH cancelled AS (
    SELECT event_id, key, (data ->> 'paid')::boolean AS paid FROM "order".event
    WHERE type = 'order.cancelled' AND at >= {SINCE}
), held AS (
    SELECT order_id::text AS key FROM inventory.reservation WHERE status <> 'rejected'
), released AS (
    SELECT event_id, key, causation_id, COALESCE((data ->> 'restocked')::boolean, FALSE) AS restocked
    FROM inventory.event WHERE type = 'inventory.released' AND at >= {SINCE}
)
SELECT format('order %s was cancelled: held %s times, released %s times', COALESCE(cancelled.key, released.key),
              count(DISTINCT held.key), count(DISTINCT released.event_id))
FROM cancelled FULL JOIN released ON causation_id = cancelled.event_id LEFT JOIN held ON held.key = cancelled.key
WHERE cancelled.key IS NOT NULL OR {SINCE} = '-infinity'
GROUP BY cancelled.event_id, COALESCE(cancelled.key, released.key), paid
HAVING count(DISTINCT held.key) <> count(DISTINCT released.event_id) OR bool_or(restocked <> paid)
"""

CHECKS: Final = (
    Check(
        "outcomes.reservations",
        "each created order was granted its stock or refused, once",
        _one("order.created", "inventory", "inventory.reserved", "inventory.rejected"),
    ),
    Check("outcomes.decisions", "each answer moved its order once, or is on record as late", _DECISIONS),
    Check("outcomes.releases", "each cancelled order gave back what it held, once", _RELEASES),
    Check(
        "outcomes.shipments",
        "each paid order led to one parcel",
        _one("order.paid", "shipping", "shipping.created"),
    ),
)
