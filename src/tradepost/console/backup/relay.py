"""After a restore: what a broker had under way is in no backup, so the relays publish it again.

A relay has moved on when the broker confirmed, and the groups' inboxes tell what has arrived. It goes back to the last
tick that shows none of what is missing; what it publishes twice is recognised by the inboxes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tradepost.console.backup.place import Target
from tradepost.kernel.log.lag import RELAY
from tradepost.kernel.migrate import INBOX_DAYS
from tradepost.kernel.service import Service
from tradepost.main import SERVICES

KEPT: Final = timedelta(days=INBOX_DAYS - 1)  # what is older was taken in long before, and may be forgotten

_INTAKE: Final = 'SELECT source, "group", broker, since_id FROM "{schema}".intake ORDER BY source, "group"'
_PUBLISHED: Final = """
SELECT event_id FROM "{source}".event WHERE id > $1 AND type = ANY ($2::text[]) AND at > $3
"""
_MISSING: Final = """
SELECT event_id FROM unnest($1::uuid[]) AS event (event_id)
WHERE NOT EXISTS (SELECT FROM "{schema}".inbox WHERE inbox.event_id = event.event_id AND "group" = $2)
"""
_TICKS: Final = "SELECT id FROM log.tick ORDER BY id"
_SHOWS: Final = """
SELECT EXISTS (
    SELECT FROM "{source}".event JOIN log.tick ON tick.id = $1
    WHERE event_id = ANY ($2::uuid[])
      AND (event.epoch < tick.epoch OR event.epoch = tick.epoch AND pg_visible_in_snapshot(event.xid, tick.snapshot)))
"""
_BACK: Final = """
UPDATE "{source}".cursor
SET tick = found.id, tick_uuid = found.uuid, toward = NULL, last_id = 0, fence = fence + 1
FROM log.tick AS found WHERE found.id = $1 AND source = $2 AND "group" = $3 AND tick >= found.id
"""
_REPORT: Final = """
SELECT log.report($1, $2, first_slot, tick) FROM "{source}".cursor WHERE source = $1 AND "group" = $2
"""
# The days that an inbox forgets by now, though what a relay publishes again is recognised by them.
_OLD_DAYS: Final = """
SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = '"{schema}".inbox'::regclass AND relname ~ '^inbox_[0-9]{{8}}$'
  AND to_date(substr(relname, 7), 'YYYYMMDD') < now() - make_interval(days => $1)
"""
_KEEP: Final = """
ALTER TABLE "{schema}".inbox DETACH PARTITION "{schema}"."{name}";
INSERT INTO "{schema}".inbox SELECT * FROM "{schema}"."{name}";
DROP TABLE "{schema}"."{name}"
"""
_FORGET: Final = 'DELETE FROM "{schema}".kafka_offset'


async def keep_taken(connection: Any, schemas: Sequence[str]) -> None:
    """Let the inboxes of an old backup know what they knew, before a migration drops their old days."""
    for schema in schemas:
        for row in await connection.fetch(_OLD_DAYS.format(schema=schema), INBOX_DAYS - 1):
            await connection.execute(_KEEP.format(schema=schema, name=row["name"]))


async def go_back(targets: Sequence[Target], made_at: datetime) -> Sequence[str]:
    """Let every relay publish again what is missing from an inbox, and forget the offsets in Kafka's topics. The
    brokers that served a group."""
    homes = {service: target.connection for target in targets for service in target.services}
    missing: dict[str, set[Any]] = {}
    brokers: set[str] = set()
    for service in SERVICES:
        home = homes[service.name]
        for row in await home.fetch(_INTAKE.format(schema=service.name)):
            brokers.add(row["broker"])
            types = _types(service, row["group"], row["source"])
            lost = await _lost(homes[row["source"]], home, service.name, row, types, made_at)
            missing.setdefault(row["source"], set()).update(lost)
        await home.execute(_FORGET.format(schema=service.name))
    for source, events in missing.items():
        if events:
            await _set_back(homes[source], source, list(events))
    return sorted(brokers)


def _types(service: Service, name: str, source: str) -> list[str]:
    return [type_ for group in service.groups if group.name == name for type_ in group.of(source)]


async def _lost(
    publisher: Any, consumer: Any, schema: str, intake: Any, types: Sequence[str], made_at: datetime
) -> list[Any]:
    """The ids of what the group was to take in and has not."""
    published = await publisher.fetch(
        _PUBLISHED.format(source=intake["source"]), intake["since_id"], types, made_at - KEPT
    )
    ids = [row["event_id"] for row in published]
    rows = await consumer.fetch(_MISSING.format(schema=schema), ids, intake["group"])
    return [row["event_id"] for row in rows]


async def _set_back(publisher: Any, source: str, events: Sequence[Any]) -> None:
    """To the last tick that shows none of `events`; the first of all shows nothing."""
    ticks = [row["id"] for row in await publisher.fetch(_TICKS)]
    low, high = 0, len(ticks)
    while high - low > 1:
        middle = (low + high) // 2
        shows = await publisher.fetchval(_SHOWS.format(source=source), ticks[middle], list(events))
        low, high = (low, middle) if shows else (middle, high)
    await publisher.execute(_BACK.format(source=source), ticks[low], source, RELAY)
    await publisher.execute(_REPORT.format(source=source), source, RELAY)
