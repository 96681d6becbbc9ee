"""Where a group stands in a log. The row moves in the transaction of the effects, and only under its owner's fence."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx

STALE_S: Final = 15.0  # an owner unseen for so long is taken to be gone


@dataclass(frozen=True, slots=True)
class Place:
    """Which positions are meant: those of one group in one log, for a range of slots."""

    source: str
    group: str
    slots: tuple[int, int] = (0, 15)


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `tick` is done, and of what lies between `tick` and `toward` the events up to `last_id`."""

    tick: int
    tick_uuid: str
    toward: int | None = None
    last_id: int = 0

    def at(self, tick: int, uuid: str) -> "Position":
        return Position(tick, uuid)

    def within(self, toward: int, last_id: int) -> "Position":
        return replace(self, toward=toward, last_id=last_id)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A position that is ours while nobody claims it anew; with `until` it ends at that tick."""

    position: Position
    fence: int
    parked: int
    slots: tuple[int, int]
    until: int | None


class Fenced(RuntimeError):
    """Another owner has taken the place over; nothing of ours was done."""


_CREATE: Final = """
INSERT INTO cursor (source, "group", tick, tick_uuid) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_PLACES: Final = """
SELECT first_slot, last_slot FROM cursor WHERE source = $1 AND "group" = $2 ORDER BY first_slot
"""
_CLAIM: Final = """
UPDATE cursor SET fence = fence + 1, owner = $4, seen_at = clock_timestamp()
WHERE source = $1 AND "group" = $2 AND first_slot = $3
  AND ($5 OR owner IS NULL OR owner = $4
       OR CASE WHEN $7::text[] IS NULL THEN seen_at < clock_timestamp() - make_interval(secs => $6)
               ELSE owner <> ALL ($7) END)
RETURNING tick, tick_uuid::text AS tick_uuid, toward, last_id, fence, parked, first_slot, last_slot, until
"""
_MOVE: Final = """
UPDATE cursor SET tick = $5, tick_uuid = $6, toward = $7, last_id = $8, seen_at = clock_timestamp()
WHERE source = $1 AND "group" = $2 AND first_slot = $3 AND fence = $4
"""
_MOVE_AND_LOOK: Final = f"{_MOVE} RETURNING parked"
_RELEASE: Final = """
UPDATE cursor SET owner = NULL WHERE source = $1 AND "group" = $2 AND first_slot = $3 AND owner = $4
"""
_END: Final = 'DELETE FROM cursor WHERE source = $1 AND "group" = $2 AND first_slot = $3 AND fence = $4'
_COUNT: Final = """
UPDATE cursor SET parked = parked + $4 WHERE source = $1 AND "group" = $2 AND first_slot = $3
"""
_STRAY: Final = 'SELECT DISTINCT key FROM parked WHERE source = $1 AND "group" = $2 AND key = ANY ($3::text[])'


async def create(tx: "Tx", place: Place, tick: int, uuid: str) -> bool:
    """Register the group at `tick`, unless it already stands somewhere; whether it is new."""
    return await tx.execute(_CREATE, place.source, place.group, tick, uuid) == "INSERT 0 1"


async def places(db: Any, source: str, group: str) -> list[Place]:
    """The ranges of slots that the group's work is cut into."""
    rows = await db.fetch(_PLACES, source, group)
    return [Place(source, group, (row["first_slot"], row["last_slot"])) for row in rows]


async def claim(
    tx: "Tx", place: Place, owner: str, *, by_force: bool, others: Collection[str] | None = None
) -> Claimed | None:
    """Take the place over, and fence whoever had it; None while another owner is alive, or when there is no such place
    any more. `others` are the owners that are known to be alive: without them, one that was not seen lately is gone.
    `slots` of the answer are those that the place has now."""
    alive = None if others is None else list(others)
    row = await tx.fetchrow(_CLAIM, place.source, place.group, place.slots[0], owner, by_force, STALE_S, alive)
    if row is None:
        return None
    position = Position(row["tick"], row["tick_uuid"], row["toward"], row["last_id"])
    return Claimed(position, row["fence"], row["parked"], (row["first_slot"], row["last_slot"]), row["until"])


async def release(tx: "Tx", place: Place, owner: str) -> None:
    """Leave the place to whoever comes; nothing when it is another's already. Not by its fence: one whose claim was
    cut off, or whose place was split meanwhile, does not know it."""
    await tx.execute(_RELEASE, place.source, place.group, place.slots[0], owner)


async def end(tx: "Tx", place: Place, fence: int) -> None:
    """Remove the place, whose group reads the log no more. Errors: Fenced."""
    if await tx.execute(_END, place.source, place.group, place.slots[0], fence) != "DELETE 1":
        raise _fenced(place)


async def move(tx: "Tx | Database", place: Place, fence: int, to: Position) -> int:
    """Lock the place and put it at `to`, first of all in the transaction of the effects; how many events are parked.
    Errors: Fenced."""
    parked = await tx.fetchval(_MOVE_AND_LOOK, *_moved(place, fence, to))
    if parked is None:
        raise _fenced(place)
    return int(parked)


def move_last(tx: "Tx", place: Place, fence: int, to: Position) -> None:
    """The same together with the last of the effects, for whoever knows that nothing is parked: the transaction ends
    with Fenced, and with nothing done, when the place is another's."""
    tx.last(_MOVE, *_moved(place, fence, to), rows=1, otherwise=_fenced(place))


async def count_parked(tx: "Tx", place: Place, more: int) -> None:
    """Keep the number of events set aside, so that a place without any need not look for them."""
    await tx.execute(_COUNT, place.source, place.group, place.slots[0], more)


async def parked_keys(tx: "Tx", source: str, group: str, keys: list[str]) -> set[str]:
    """Those of `keys` with an event set aside: what comes later for them waits behind it."""
    return {row["key"] for row in await tx.fetch(_STRAY, source, group, keys)}


def _moved(place: Place, fence: int, to: Position) -> tuple[object, ...]:
    return place.source, place.group, place.slots[0], fence, to.tick, to.tick_uuid, to.toward, to.last_id


def _fenced(place: Place) -> Fenced:
    return Fenced(f"{place.group} on {place.source} has another owner")
