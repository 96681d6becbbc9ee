"""Several logs become one: services that had databases of their own are restored into a database that they share.

The ticks of different databases know nothing of one another, and neither do their transaction ids. So both are made
anew, as far as readers need them: of each old log the ticks at which a reader stands, in their order, one log after
the other. An event gets as its transaction the number of the first of these ticks that shows it, and each tick shows
the transactions up to its own number. Ids and their order stay, so every reader goes on with exactly what it has not
read, in the order in which it would have read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tradepost.console.backup.manifest import BackupError, Database
from tradepost.console.backup.place import Target
from tradepost.kernel.log.lag import RELAY
from tradepost.process import RESTORING_SCHEMA

_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS {RESTORING_SCHEMA}.tick (origin int, id bigint, uuid uuid, epoch int, snapshot pg_snapshot);
CREATE TABLE IF NOT EXISTS {RESTORING_SCHEMA}.relay (source text, first_slot smallint, tick bigint)
"""
_SET_ASIDE: Final = f"""
INSERT INTO {RESTORING_SCHEMA}.tick SELECT {{origin}}, id, uuid, epoch, snapshot FROM log.tick;
INSERT INTO {RESTORING_SCHEMA}.relay SELECT source, first_slot, tick FROM log.reader WHERE "group" = '{RELAY}';
DROP SCHEMA log CASCADE
"""
_PLACES: Final = """
SELECT source, "group", first_slot, tick, tick_uuid, toward, until FROM "{schema}".cursor
WHERE source = ANY ($1::text[])
"""
_RELAYS: Final = f"SELECT source, first_slot, tick FROM {RESTORING_SCHEMA}.relay WHERE source = ANY ($1::text[])"
_KNOWN: Final = (
    f"SELECT id, uuid FROM {RESTORING_SCHEMA}.tick WHERE origin = $1 AND id = ANY ($2::bigint[]) ORDER BY id"
)

# The number of a tick plus two is its own transaction, as the first two are none of anybody's.
_NOTHING: Final = "UPDATE log.tick SET snapshot = '4:4:', sources = '{}' WHERE id = 1"
_TICK: Final = """
INSERT INTO log.tick (id, previous, epoch, snapshot, sources)
VALUES ($1, $1::bigint - 1, 1, format('%s:%s:', $1::bigint + 3, $1::bigint + 3)::pg_snapshot, $2)
"""
_RENUMBER: Final = f"""
UPDATE "{{schema}}".event SET epoch = 1, xid = (
    SELECT ($1::bigint + 3 + count(*))::text::xid8 FROM {RESTORING_SCHEMA}.tick
    WHERE origin = $2 AND id = ANY ($3::bigint[])
      AND NOT (event.epoch < tick.epoch
               OR event.epoch = tick.epoch AND pg_visible_in_snapshot(event.xid, tick.snapshot)))
"""
_MOVE: Final = """
UPDATE "{schema}".cursor SET tick = $4, tick_uuid = $5, toward = $6, until = $7, fence = fence + 1
WHERE source = $1 AND "group" = $2 AND first_slot = $3
"""
_REPORT: Final = "SELECT log.report($1, $2, $3, $4)"
_UUID: Final = "SELECT uuid FROM log.tick WHERE id = $1"


@dataclass(frozen=True)
class _Place:
    """A reader's place in one of the logs, and where the row lies."""

    connection: Any
    schema: str
    row: Mapping[str, Any]

    def ticks(self) -> set[int]:
        return {tick for tick in (self.row["tick"], self.row["toward"], self.row["until"]) if tick is not None}


async def set_aside(target: Target, origin: int) -> None:
    """Keep what is needed of the old log that was just loaded, and make room for the next one."""
    await target.connection.execute(_TABLES)
    await target.connection.execute(_SET_ASIDE.format(origin=origin))


async def join(target: Target, origins: Sequence[Database], targets: Sequence[Target]) -> None:
    """Number the events of `target` anew and let the readers in all `targets` stand where they stood; all of it is one
    closed epoch then. Errors: BackupError."""
    log = target.connection
    await log.execute(_NOTHING)
    newest = 1
    for number, origin in enumerate(origins):
        sources = [service for service in origin.services if service in target.services]
        places = await _places(targets, sources)
        relays = await log.fetch(_RELAYS, sources)
        ticks = await _needed(log, number, places, {row["tick"] for row in relays})
        for schema in sources:
            await log.execute(_RENUMBER.format(schema=schema), newest, number, ticks)
        for tick in range(newest + 1, newest + len(ticks) + 2):  # the last shows what none of the old ones showed
            await log.execute(_TICK, tick, sources)
        renamed = {old: newest + 1 + nth for nth, old in enumerate(ticks)}
        for place in places:
            await _move(log, place, renamed)
        for row in relays:
            await log.execute(_REPORT, row["source"], RELAY, row["first_slot"], renamed[row["tick"]])
        newest += len(ticks) + 1
    await log.fetch("SELECT log.open_epoch()")


async def _places(targets: Sequence[Target], sources: Sequence[str]) -> list[_Place]:
    return [
        _Place(target.connection, schema, row)
        for target in targets
        for schema in target.services
        for row in await target.connection.fetch(_PLACES.format(schema=schema), sources)
    ]


async def _needed(log: Any, origin: int, places: Sequence[_Place], more: set[int]) -> list[int]:
    """The ticks that are named, in their order. Errors: BackupError when the log has none of that name."""
    named = more.union(*(place.ticks() for place in places))
    known = {row["id"]: row["uuid"] for row in await log.fetch(_KNOWN, origin, list(named))}
    for place in places:
        if not place.ticks() <= known.keys() or known[place.row["tick"]] != place.row["tick_uuid"]:
            raise BackupError(
                f"{place.row['group']} stands at a tick that the log of {place.row['source']} lacks: restore into as "
                "many databases as there were, and run `tradepost log rebase`"
            )
    return sorted(known)


async def _move(log: Any, place: _Place, renamed: Mapping[int, int]) -> None:
    row, tick = place.row, renamed[place.row["tick"]]
    key = (row["source"], row["group"], row["first_slot"])
    further = [None if row[name] is None else renamed[row[name]] for name in ("toward", "until")]
    await place.connection.execute(
        _MOVE.format(schema=place.schema), *key, tick, await log.fetchval(_UUID, tick), *further
    )
    await log.execute(_REPORT, *key, tick)
