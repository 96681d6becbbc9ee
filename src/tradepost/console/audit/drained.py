"""Whether all is done: every event was read, and nothing waits to be sent or heard."""

from collections.abc import Iterator
from typing import Final

from tradepost.console.audit.check import Check
from tradepost.main import SERVICES

# A position that an idle reader has not saved lately does no harm: what counts is whether an event that it is to read
# lies beyond it. As in `kernel/log/batch.py`, those are the events that its tick does not show.
_UNREAD: Final = """
SELECT format('%s has yet to read %s events of %s', '{group}', count(*), '{source}')
FROM (SELECT first_slot, last_slot, last_id, prev.epoch AS known, prev.snapshot, cur.snapshot AS toward
      FROM "{schema}".cursor
      JOIN log.tick AS prev ON prev.id = cursor.tick AND prev.uuid = cursor.tick_uuid
      LEFT JOIN log.tick AS cur ON cur.id = cursor.toward
      WHERE source = '{source}' AND "group" = '{group}') AS place
JOIN "{source}".event
  ON epoch = known AND xid >= pg_snapshot_xmax(snapshot)
  OR epoch = known AND xid = ANY (ARRAY(SELECT pg_snapshot_xip(snapshot)))
  OR epoch > known
WHERE type IN ({types}) AND slot BETWEEN first_slot AND last_slot
  AND NOT COALESCE(id <= last_id AND pg_visible_in_snapshot(xid, toward), FALSE)
HAVING count(*) > 0
UNION ALL
SELECT format('%s does not stand anywhere in the log of %s', '{group}', '{source}')
WHERE EXISTS (SELECT FROM "{source}".event WHERE type IN ({types}))
  AND NOT EXISTS (SELECT FROM "{schema}".cursor JOIN log.tick ON tick.id = cursor.tick AND tick.uuid = cursor.tick_uuid
                  WHERE source = '{source}' AND "group" = '{group}')
"""


def _unread() -> Iterator[str]:
    for service in SERVICES:
        for group in service.groups:
            for source in group.sources():
                types = ", ".join(f"'{type_}'" for type_ in group.of(source))
                yield _UNREAD.format(schema=service.name, group=group.name, source=source, types=types)


# A payment that waits for its buyer may wait.
_PAYMENTS: Final = """
SELECT format('order %s: the provider is to be asked to %s', order_id, task) FROM payment.payment
WHERE task IS NOT NULL AND NOT (status = 'requires_action' AND task = 'find')
UNION ALL
SELECT format('refund %s: the provider is to be asked to %s', key, task) FROM payment.refund WHERE task IS NOT NULL
"""
_NEWS: Final = "SELECT format('%s: %s was not told yet', key, state) FROM payment.simulator_webhook"
_MESSAGES: Final = """
SELECT format('%s by %s, order %s: pending after %s tries', template, channel, order_id, attempts)
FROM notification.delivery WHERE status = 'pending'
"""

CHECKS: Final = (
    Check("drained.events", "every group has read all that it subscribes to", " UNION ALL ".join(_unread())),
    Check("drained.payments", "the provider has been asked everything, and has answered", _PAYMENTS),
    Check("drained.news", "the simulated provider has told all its news", _NEWS),
    Check("drained.messages", "no message waits to be sent", _MESSAGES),
)
