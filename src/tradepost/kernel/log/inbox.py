"""What a group has taken in: a broker may deliver an event twice, and who catches up may meet it in the log as well."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tradepost.kernel.log.batch import Raw

if TYPE_CHECKING:
    from tradepost.kernel.database import Tx

# In the order of their ids, so that two that take the same events wait for each other instead of colliding.
_TAKE: Final = """
INSERT INTO inbox (event_id, "group") SELECT id, $1 FROM unnest($2::uuid[]) AS new (id) ORDER BY id
ON CONFLICT DO NOTHING RETURNING event_id::text AS id
"""
_TAKE_IN: Final = "SELECT waits, fresh FROM take_in($1, $2)"
HOLD_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"  # as `take_in` does, but shared
_ENTER_LAST: Final = """
WITH gate AS MATERIALIZED (SELECT admitted($1) AS is_open)
INSERT INTO inbox (event_id, "group") SELECT id, $1 FROM gate, unnest($2::uuid[]) AS new (id) WHERE is_open ORDER BY id
ON CONFLICT DO NOTHING
"""
_FORGET: Final = 'DELETE FROM inbox WHERE "group" = $1'


class Entered(NamedTuple):
    """Which events, by their ids, were not taken before, and whether any of the group are parked."""

    fresh: frozenset[str]
    waits: bool


class NotPlain(RuntimeError):
    """Some events were taken before, or some are parked, or the log comes first; nothing was done."""


class CatchUp(RuntimeError):
    """The group has to read the log first; nothing of the broker's messages was done."""


async def take(tx: "Tx", group: str, events: Sequence[Raw]) -> Sequence[Raw]:
    """Note `events` as taken; those that were not before, in their order."""
    if not events:
        return events
    rows = await tx.fetch(_TAKE, group, [event.id for event in events])
    if len(rows) == len(events):
        return events
    fresh = {row["id"] for row in rows}
    return [event for event in {event.id: event for event in events}.values() if event.id in fresh]


async def enter(tx: "Tx", group: str, events: Sequence[Raw]) -> Entered:
    """Begin to take in what a broker brought, and note it as taken: whoever retries parked events, or has the group
    read again, waits meanwhile. Errors: CatchUp."""
    row = await tx.fetchrow(_TAKE_IN, group, [event.id for event in events])
    if row is None or row["fresh"] is None:
        raise CatchUp(group)
    return Entered(frozenset(row["fresh"]), row["waits"])


def enter_last(tx: "Tx", group: str, events: Sequence[Raw]) -> None:
    """The same together with the last of their effects, for whoever has reason to think that all are fresh and none
    parked: the transaction ends with NotPlain when that is not so."""
    otherwise = NotPlain(f"{group} has to look first")
    tx.last(_ENTER_LAST, group, [event.id for event in events], rows=len(events), otherwise=otherwise)


async def enter_alone(tx: "Tx", group: str) -> None:
    """Keep everyone from taking in anything for the group until the transaction ends."""
    await tx.execute(HOLD_ALONE, group)


async def forget(tx: "Tx", group: str) -> None:
    """What the group has taken in counts no more, since it will be emptied."""
    await tx.execute(_FORGET, group)
