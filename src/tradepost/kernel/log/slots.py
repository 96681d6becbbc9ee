"""Cutting a group's work in one log into ranges of slots, for consumers side by side, and joining them again.

A running consumer learns of it at its next move: it is fenced, and claims its place anew with the slots that the place
then has. New places are taken up by processes that start afterwards.
"""

from typing import TYPE_CHECKING, Final

from tradepost.kernel.log.append import SLOTS
from tradepost.kernel.log.cursor import Place

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.ticks import Ticks

_PARKED: Final = """
(SELECT count(*) FROM parked
 WHERE parked.source = cursor.source AND parked."group" = cursor."group" AND parked.slot BETWEEN {first} AND {last})
"""
_NARROW: Final = f"""
UPDATE cursor SET last_slot = $4::smallint - 1, fence = fence + 1,
                  parked = {_PARKED.format(first="first_slot", last="$4::smallint - 1")}
WHERE source = $1 AND "group" = $2 AND first_slot = $3 AND last_slot = $5 AND first_slot < $4
RETURNING tick
"""
_UPPER: Final = f"""
INSERT INTO cursor (source, "group", first_slot, last_slot, tick, tick_uuid, toward, last_id, fence, parked)
SELECT source, "group", $4, $5, tick, tick_uuid, toward, last_id, fence, {_PARKED.format(first="$4", last="$5")}
FROM cursor WHERE source = $1 AND "group" = $2 AND first_slot = $3
"""
_TWO: Final = """
SELECT first_slot, last_slot, tick, tick_uuid, toward, last_id, parked FROM cursor
WHERE source = $1 AND "group" = $2 AND first_slot = ANY ($3::smallint[]) ORDER BY first_slot FOR UPDATE
"""
_WIDEN: Final = """
UPDATE cursor SET last_slot = $4, parked = parked + $5, fence = fence + 1
WHERE source = $1 AND "group" = $2 AND first_slot = $3
"""
_REMOVE: Final = 'DELETE FROM cursor WHERE source = $1 AND "group" = $2 AND first_slot = $3'


class SlotsError(ValueError):
    """The places can't be cut or joined like this; nothing was changed."""


async def split(db: "Database", ticks: "Ticks", place: Place, at: int) -> tuple[Place, Place]:
    """Two places out of one: its slots below `at`, and those from `at` on; both stand where it stood.
    Errors: SlotsError when there is no such place, or `at` is not inside it."""
    first, last = place.slots
    if not first < at <= last < SLOTS:
        raise SlotsError(f"slots {first} to {last} can't be split at {at}")
    async with db.transaction() as tx:
        tick = await tx.fetchval(_NARROW, place.source, place.group, first, at, last)
        if tick is None:
            raise SlotsError(f"{place.group} has no place for slots {first} to {last} of {place.source}")
        await ticks.report(place.source, place.group, at, tick)  # before it exists, so that retention minds it
        await tx.execute(_UPPER, place.source, place.group, first, at, last)
    return Place(place.source, place.group, (first, at - 1)), Place(place.source, place.group, (at, last))


async def merge(db: "Database", ticks: "Ticks", lower: Place, upper: Place) -> Place:
    """One place out of two neighbours. Errors: SlotsError when they are none, or don't stand at one position: what one
    of them has done and the other has not could no longer be told apart."""
    source, group = lower.source, lower.group
    async with db.transaction() as tx:
        rows = await tx.fetch(_TWO, source, group, [lower.slots[0], upper.slots[0]])
        found = [(row["first_slot"], row["last_slot"]) for row in rows]
        if found != [lower.slots, upper.slots] or lower.slots[1] + 1 != upper.slots[0]:
            raise SlotsError(f"{group} has no two neighbouring places of {source} with slots {found}")
        low, high = rows
        if any(low[part] != high[part] for part in ("tick", "tick_uuid", "toward", "last_id")):
            raise SlotsError(
                f"the two places of {group} in {source} are not at one position: try again when it is quiet"
            )
        await tx.execute(_REMOVE, source, group, upper.slots[0])
        await tx.execute(_WIDEN, source, group, lower.slots[0], upper.slots[1], high["parked"])
    await ticks.forget(source, group, upper.slots[0])
    return Place(source, group, (lower.slots[0], upper.slots[1]))
