"""How far behind a service hears the others: who decides that nothing has come asks first whether it could have."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tradepost.kernel.log.clocks import Clocks, UnknownDatabase
from tradepost.kernel.log.lag import Asked, behind
from tradepost.kernel.log.subscription import Group

COUNTED: Final = 5_000  # events, of which the oldest is as old as the oldest of all, but for moments


class Hearing:
    """Of the groups of one service, whose positions lie in the schema of its name in `db`."""

    def __init__(self, name: str, groups: Sequence[Group], db: Asked, clocks: Clocks) -> None:
        self._name, self._groups, self._db, self._clocks = name, groups, db, clocks

    async def late(self, *sources: str) -> timedelta:
        """The age of the oldest event of these publishers that the service has yet to take in; zero when there is none,
        and for a log whose database nobody named. Errors: whatever keeps it from knowing."""
        seconds = [
            await self._behind(group, source) for group in self._groups for source in sources if group.of(source)
        ]
        return timedelta(seconds=max(seconds, default=0.0))

    async def _behind(self, group: Group, source: str) -> float:
        try:
            async with self._clocks.asked(source) as publisher:
                types = list(group.of(source))
                found = await behind(publisher, self._db, source, self._name, group.name, types, at_most=COUNTED)
        except UnknownDatabase:
            return 0.0
        return found.seconds
