"""Reading again from the start: only for groups that build something which can be emptied and built anew."""

from typing import TYPE_CHECKING, Final

from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.ticks import Ticks

_LOCK: Final = 'SELECT source, first_slot FROM cursor WHERE "group" = $1 ORDER BY source, first_slot FOR UPDATE'
_BACK: Final = """
UPDATE cursor SET tick = $2, tick_uuid = $3, toward = NULL, last_id = 0, parked = 0, fence = fence + 1
WHERE "group" = $1
"""
_UNPARK: Final = 'DELETE FROM parked WHERE "group" = $1'


class NotRebuildable(ValueError):
    """The group's effects reach the world, so it never reads again."""


async def replay(db: "Database", ticks: "Ticks", group: Group) -> None:
    """Empty what the group has built and put it at the first tick, in one transaction. It reads what retention has
    kept. Running consumers are fenced, and go on from there. Errors: NotRebuildable."""
    if group.reset is None:
        raise NotRebuildable(f"{group.name} has effects that can't be taken back: it must not read again")
    first = await ticks.first()
    async with db.transaction() as tx:
        for place in await tx.fetch(_LOCK, group.name):
            await ticks.report(place["source"], group.name, place["first_slot"], first.id)
        await group.reset(tx)
        await tx.execute(_UNPARK, group.name)
        await tx.execute(_BACK, group.name, first.id, first.uuid)
