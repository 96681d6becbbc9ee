"""How far a group is behind a log: how many events are not in effect yet, and for how long the oldest has waited.

A position that an idle reader has not saved lately does no harm: what counts is whether an event that the group is to
take in lies beyond it, or is missing from its inbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from tradepost.kernel.clock import now
from tradepost.kernel.log.batch import TICK_COLUMNS, Tick

RELAY: Final = "relay"  # the group that carries a log to a broker; its positions lie beside that log
LOG: Final = "log"
INBOX_KEPT: Final = timedelta(days=6)  # what is older was taken in long before, and an inbox forgets it after a week
CHUNK_EVENTS: Final = 5_000  # of a log, looked for in the inbox at once
NO_LIMIT: Final = 2**63 - 1

_PLACES: Final = """
SELECT first_slot, last_slot, tick, tick_uuid::text AS tick_uuid, toward, last_id, until
FROM "{schema}".cursor WHERE source = $1 AND "group" = $2 ORDER BY first_slot
"""
_INTAKE: Final = 'SELECT broker, since_id FROM "{schema}".intake WHERE source = $1 AND "group" = $2'
_TICKS: Final = f"SELECT {TICK_COLUMNS} FROM log.tick WHERE id = ANY ($1::bigint[])"

# Beyond a position lies what its tick does not show, as in `batch.py`. Each of the three is one range of an index; the
# numbers stand in the statement, since a plan for any numbers could read the whole log.
_BEYOND: Final = (
    "epoch = {epoch} AND xid >= '{xmax}'::xid8",
    "epoch = {epoch} AND xid = ANY ('{{{xip}}}'::xid8[])",
    "epoch > {epoch}",
)
_TO_DO: Final = """slot BETWEEN $1 AND $2 AND ($3::text[] IS NULL OR type = ANY ($3))
  AND NOT COALESCE(id <= $4 AND pg_visible_in_snapshot(xid, $5::text::pg_snapshot), FALSE)
  AND id <= $6 AND ($7::int IS NULL OR epoch < $7
                    OR epoch = $7 AND pg_visible_in_snapshot(xid, $8::text::pg_snapshot))"""
_COUNT: Final = """
SELECT count(*) AS events, extract(epoch FROM clock_timestamp() - min(at))::float8 AS seconds
FROM ({ranges} LIMIT $9) AS waiting
"""
_RANGE: Final = '(SELECT at FROM "{source}".event WHERE {beyond} AND {to_do})'
_AMONG: Final = 'SELECT id FROM "{source}".event WHERE id = ANY ($9::bigint[]) AND ({beyond}) AND {to_do}'

_CHUNK: Final = """
SELECT count(*) AS events, min(id) AS lowest, array_agg(id) FILTER (WHERE wanted) AS ids,
       array_agg(event_id) FILTER (WHERE wanted) AS event_ids,
       min(event_id::text)::uuid AS low, max(event_id::text)::uuid AS high
FROM (SELECT id, event_id, $3::text[] IS NULL OR type = ANY ($3) AS wanted
      FROM "{source}".event WHERE id > $1 AND id < $2 ORDER BY id DESC LIMIT $4) AS chunk
"""
_GIVEN: Final = """
SELECT array_agg(id) AS ids, array_agg(event_id) AS event_ids,
       min(event_id::text)::uuid AS low, max(event_id::text)::uuid AS high
FROM "{source}".event WHERE id = ANY ($1::bigint[]) AND id > $2
"""
# Ids follow the time of their events but for moments: a search in halves needs some twenty looks into the index.
_FROM_TIME: Final = """
WITH RECURSIVE halves (low, high) AS (
    SELECT COALESCE(min(id), 0), COALESCE(max(id), 0) + 1 FROM "{source}".event
    UNION ALL
    SELECT CASE WHEN earlier THEN middle + 1 ELSE low END, CASE WHEN earlier THEN high ELSE middle END
    FROM (SELECT low, high, (low + high) / 2 AS middle, COALESCE((
              SELECT at < $1 FROM "{source}".event WHERE id >= (low + high) / 2 ORDER BY id LIMIT 1), FALSE) AS earlier
          FROM halves WHERE low < high) AS half
)
SELECT low FROM halves WHERE low >= high LIMIT 1
"""
_MISSING: Final = """
SELECT id FROM unnest($1::bigint[], $2::uuid[]) AS sought (id, event_id)
WHERE NOT EXISTS (SELECT FROM "{schema}".inbox WHERE inbox.event_id = sought.event_id AND "group" = $5
                  AND inbox.event_id BETWEEN $3 AND $4)
"""  # the bounds name the partitions to look in
_AGE: Final = """
SELECT extract(epoch FROM clock_timestamp() - at)::float8 AS seconds FROM "{source}".event WHERE id = $1
"""


class Asked(Protocol):
    """What can be asked: a connection, a pool or a `Database`."""

    async def fetch(self, sql: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Behind:
    """`events` are 0 only when everything is in effect, or was set aside; `seconds` is the age of the oldest. A group
    that `stands` nowhere has it all before it; `how` tells what carries the events: `log`, `rabbitmq` or `kafka`."""

    events: int
    seconds: float
    how: str = LOG
    stands: bool = True


@dataclass(frozen=True, slots=True)
class _Reach:
    """A place, with the ticks that it names as the publisher knows them."""

    row: Mapping[str, Any]
    prev: Tick | None
    toward: Tick | None
    until: Tick | None

    @property
    def stands(self) -> bool:
        known = self.prev is not None and self.prev.uuid == self.row["tick_uuid"]
        return known and (self.row["toward"] is None or self.toward is not None)

    def beyond(self) -> list[str]:
        """What lies beyond, as conditions of which an event meets at most one. All does for a place that stands
        nowhere."""
        prev = self.prev if self.stands else None
        epoch, xmax, xip = (prev.epoch, prev.xmax, prev.xip) if prev else (0, 0, ())
        return [one.format(epoch=epoch, xmax=xmax, xip=",".join(map(str, xip))) for one in _BEYOND]

    def args(self, types: Sequence[str] | None, highest: int) -> tuple[object, ...]:
        """The arguments of `_TO_DO`."""
        toward, until = (self.toward, self.until) if self.stands else (None, None)
        return (
            self.row["first_slot"],
            self.row["last_slot"],
            types,
            self.row["last_id"],
            toward.snapshot if toward else None,
            highest,
            until.epoch if until else None,
            until.snapshot if until else None,
        )


_NOWHERE: Final = _Reach(
    {"first_slot": 0, "last_slot": 15, "tick_uuid": None, "toward": None, "last_id": 0}, None, None, None
)


async def behind(
    publisher: Asked,
    consumer: Asked,
    source: str,
    schema: str,
    group: str,
    types: Sequence[str] | None,
    *,
    thorough: bool = False,
    at_most: int | None = None,
) -> Behind:
    """How far `group`, whose positions lie in `schema`, is behind the log of `source` with the events of `types`, or
    with all of them. `publisher` is asked for the log and its ticks, `consumer` for positions and inbox; both may be
    one connection. Counting ends at `at_most`.

    Where a broker carries the events, looking back ends at the first 5,000 of the log that are all taken in; with
    `thorough` every event of the last six days is looked for."""
    intake = await consumer.fetch(_INTAKE.format(schema=schema), source, group)
    reaches = await _reaches(publisher, consumer, source, schema, group)
    limit = NO_LIMIT if at_most is None else at_most
    if intake:
        since, how = await _since(publisher, source, intake[0]["since_id"]), intake[0]["broker"]
        parts = [await _unread(publisher, source, reach, types, since, limit) for reach in reaches]
        parts.append(await _missing(publisher, consumer, source, schema, group, types, since, thorough, limit))
    else:
        how, parts = (
            LOG,
            [await _unread(publisher, source, reach, types, NO_LIMIT, limit) for reach in reaches or [_NOWHERE]],
        )
    events, seconds = min(limit, sum(part[0] for part in parts)), max(part[1] for part in parts)
    stands = all(reach.stands for reach in reaches) and bool(reaches or intake)
    return Behind(events, seconds, how, stands)


async def waiting(
    publisher: Asked, consumer: Asked, source: str, schema: str, group: str, ids: Sequence[int]
) -> set[int]:
    """Those of the events `ids` of `source` that the group has yet to take in."""
    intake = await consumer.fetch(_INTAKE.format(schema=schema), source, group)
    reaches = await _reaches(publisher, consumer, source, schema, group)
    highest = await _since(publisher, source, intake[0]["since_id"]) if intake else NO_LIMIT
    found: set[int] = set()
    for reach in reaches if intake else reaches or [_NOWHERE]:
        beyond = " OR ".join(f"({one})" for one in reach.beyond())
        sql = _AMONG.format(source=source, beyond=beyond, to_do=_TO_DO)
        found |= {row["id"] for row in await publisher.fetch(sql, *reach.args(None, highest), list(ids))}
    if intake:
        (given,) = await publisher.fetch(_GIVEN.format(source=source), list(ids), highest)
        found.update(await _not_taken(consumer, schema, group, given))
    return found


async def id_at(publisher: Asked, source: str, at: datetime) -> int:
    """The lowest id in the log of `source` of about that time."""
    (row,) = await publisher.fetch(_FROM_TIME.format(source=source), at)
    return int(row["low"])


async def _since(publisher: Asked, source: str, since_id: int) -> int:
    """The id after which the inbox tells what was taken in."""
    return max(since_id, await id_at(publisher, source, now() - INBOX_KEPT) - 1)


async def _reaches(publisher: Asked, consumer: Asked, source: str, schema: str, group: str) -> list[_Reach]:
    """The places, read before the log is: what is taken in meanwhile counts as behind, and never the other way."""
    rows = await consumer.fetch(_PLACES.format(schema=schema), source, group)
    named = {row[part] for row in rows for part in ("tick", "toward", "until")} - {None}
    ticks = {row["id"]: Tick.of(row) for row in await publisher.fetch(_TICKS, list(named))} if named else {}
    return [_Reach(row, *(ticks.get(row[part]) for part in ("tick", "toward", "until"))) for row in rows]


def _count(source: str, reach: _Reach) -> str:
    """The statement that counts what lies beyond a place."""
    ranges = " UNION ALL ".join(_RANGE.format(source=source, beyond=beyond, to_do=_TO_DO) for beyond in reach.beyond())
    return _COUNT.format(ranges=ranges)


async def _unread(
    publisher: Asked, source: str, reach: _Reach, types: Sequence[str] | None, highest: int, limit: int
) -> tuple[int, float]:
    """Events that lie beyond the place, and the age of the oldest in seconds."""
    (row,) = await publisher.fetch(_count(source, reach), *reach.args(types, highest), limit)
    return row["events"], max(0.0, row["seconds"] or 0.0)


async def _missing(
    publisher: Asked,
    consumer: Asked,
    source: str,
    schema: str,
    group: str,
    types: Sequence[str] | None,
    since: int,
    thorough: bool,
    limit: int,
) -> tuple[int, float]:
    """Events after the id `since` that are not in the inbox, and the age of the oldest in seconds."""
    below, count, oldest = NO_LIMIT, 0, None
    while count < limit:
        (chunk,) = await publisher.fetch(_CHUNK.format(source=source), since, below, types, CHUNK_EVENTS)
        missing = await _not_taken(consumer, schema, group, chunk)
        count, oldest, below = count + len(missing), min(missing, default=oldest), chunk["lowest"]
        if chunk["events"] < CHUNK_EVENTS or (not missing and not thorough):
            break
    if oldest is None:
        return 0, 0.0
    (row,) = await publisher.fetch(_AGE.format(source=source), oldest)
    return count, max(0.0, row["seconds"])


async def _not_taken(consumer: Asked, schema: str, group: str, chunk: Mapping[str, Any]) -> list[int]:
    """Of the events in a row of `_CHUNK` or `_GIVEN` the ids of those that the inbox lacks."""
    if not chunk["ids"]:
        return []
    args = (chunk["ids"], chunk["event_ids"], chunk["low"], chunk["high"], group)
    return [row["id"] for row in await consumer.fetch(_MISSING.format(schema=schema), *args)]
