"""Reading again from the start: only for groups that build something which can be emptied and built anew."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from tradepost.kernel.log import inbox
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx
    from tradepost.kernel.log.ticks import Ticks

_LOCK: Final = 'SELECT first_slot FROM cursor WHERE "group" = $1 AND source = $2 ORDER BY first_slot FOR UPDATE'
_BACK: Final = """
UPDATE cursor SET tick = $3, tick_uuid = $4, toward = NULL, last_id = 0, parked = 0, fence = fence + 1
WHERE "group" = $1 AND source = $2
"""
# A group that a broker serves reads the log again up to now, and then goes on with its messages.
_READ_LOG: Final = """
INSERT INTO cursor (source, "group", tick, tick_uuid, until) SELECT source, "group", $2, $3, $4
FROM intake WHERE "group" = $1 AND source = ANY ($5::text[])
ON CONFLICT (source, "group", first_slot) DO UPDATE SET until = excluded.until
"""
_ALL_COUNTS: Final = 'UPDATE intake SET since_id = 0 WHERE "group" = $1'
_UNPARK: Final = 'DELETE FROM parked WHERE "group" = $1'


class NotRebuildable(ValueError):
    """The group's effects reach the world, so it never reads again."""


async def replay(db: "Database", clocks: Mapping[str, "Ticks"], group: Group) -> None:
    """Empty what the group has built and put it at the first tick, in one transaction. It reads what retention has
    kept. Running consumers are fenced, and go on from there. `clocks` are those of the group's publishers. Errors:
    NotRebuildable."""
    if group.reset is None:
        raise NotRebuildable(f"{group.name} has effects that can't be taken back: it must not read again")
    async with db.transaction() as tx:
        await inbox.enter_alone(tx, group.name)
        for source in group.sources():
            await _back(tx, clocks[source], group, source)
        await group.reset(tx)
        await inbox.forget(tx, group.name)
        await tx.execute(_UNPARK, group.name)
        await tx.execute(_ALL_COUNTS, group.name)


async def _back(tx: "Tx", ticks: "Ticks", group: Group, source: str) -> None:
    """Put the group at the first tick of the publisher's log, which is kept from now on."""
    first = await ticks.first()
    await tx.execute(_READ_LOG, group.name, first.id, first.uuid, ticks.newest.id, [source])
    for place in await tx.fetch(_LOCK, group.name, source):
        await ticks.report(source, group.name, place["first_slot"], first.id)
    await tx.execute(_BACK, group.name, source, first.id, first.uuid)
