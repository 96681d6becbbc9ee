"""Events as they lie in the logs of all services: the newest, those about a key, and what one of them led to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from tradepost.console.databases import GROUPS, Connections
from tradepost.kernel.log.batch import RAW_COLUMNS, Raw, raw
from tradepost.kernel.log.lag import id_at
from tradepost.main import SERVICES

PUBLISHERS: Final = tuple(service.name for service in SERVICES)
NEAR_EVENTS: Final = 20_000  # of a log, among which what an event led to is looked for
SKEW: Final = timedelta(minutes=5)  # between an event's own time and that in its id
LIMIT: Final = 10_000

_NEWEST: Final = f"""
SELECT {RAW_COLUMNS} FROM "{{source}}".event
WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR key = $2) ORDER BY id DESC LIMIT $3
"""
_OF_KEYS: Final = f'SELECT {RAW_COLUMNS} FROM "{{source}}".event WHERE key = ANY ($1::text[]) ORDER BY id LIMIT {LIMIT}'

_IN_RANGE: Final = f"""
SELECT {RAW_COLUMNS} FROM "{{source}}".event WHERE id >= $1 AND id < $2 AND event_id = $3::uuid
"""
_ANYWHERE: Final = f'SELECT {RAW_COLUMNS} FROM "{{source}}".event WHERE event_id = $1::uuid'
_CAUSED: Final = f"""
SELECT {RAW_COLUMNS} FROM (SELECT * FROM "{{source}}".event WHERE id >= $1 ORDER BY id LIMIT {NEAR_EVENTS}) AS near
WHERE causation_id = $2::uuid
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """An event, and the service whose log it lies in."""

    source: str
    event: Raw


async def newest(
    connections: Connections, sources: Iterable[str], type_: str | None, key: str | None, count: int
) -> list[Logged]:
    """The last `count` events of these logs by time, the oldest first."""
    found: list[Logged] = []
    for source in sources:
        rows = await connections[source].fetch(_NEWEST.format(source=source), type_, key, count)
        found += [Logged(source, raw(row)) for row in rows]
    return in_order(found)[-count:] if count else []


async def about(connections: Connections, keys: Sequence[str]) -> list[Logged]:
    """All events of these keys, by time."""
    return in_order(
        [
            Logged(source, raw(row))
            for source in PUBLISHERS
            for row in await connections[source].fetch(_OF_KEYS.format(source=source), list(keys))
        ]
    )


async def find(connections: Connections, event_id: str) -> Logged | None:
    """The event of that id. Its id tells its time, and so about where it lies; other ids are looked for everywhere."""
    for source in PUBLISHERS:
        if at := _time_in(event_id):
            low, high = [await id_at(connections[source], source, at + skew) for skew in (-SKEW, SKEW)]
            rows = await connections[source].fetch(_IN_RANGE.format(source=source), low, high, event_id)
        else:
            rows = await connections[source].fetch(_ANYWHERE.format(source=source), event_id)
        if rows:
            return Logged(source, raw(rows[0]))
    return None


async def caused_by(connections: Connections, cause: Logged) -> list[Logged]:
    """What the event led to: looked for among the events of its key, and the next 20,000 of each log of a service that
    reads its type."""
    found = {one.event.id: one for one in await about(connections, [cause.event.key])}
    led = [one for one in found.values() if one.event.causation_id == cause.event.id]
    seen = {one.event.id for one in led}
    for source in heard_by(cause):
        low = await id_at(connections[source], source, cause.event.time - timedelta(seconds=1))
        rows = await connections[source].fetch(_CAUSED.format(source=source), low, cause.event.id)
        led += [Logged(source, raw(row)) for row in rows if row["event_id"] not in seen]
    return in_order(led)


def heard_by(one: Logged) -> list[str]:
    """The services with a group that reads events of this type."""
    return list(dict.fromkeys(name for name, group in GROUPS.values() if one.event.type in group.of(one.source)))


def in_order(found: Iterable[Logged]) -> list[Logged]:
    """By time; those of one log as they lie in it."""
    return sorted(found, key=lambda one: (one.event.time, one.source, one.event.position))


def _time_in(event_id: str) -> datetime | None:
    """When an id of version 7 was made."""
    value = UUID(event_id)
    return datetime.fromtimestamp((value.int >> 80) / 1_000, UTC) if value.version == 7 else None
