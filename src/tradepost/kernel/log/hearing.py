"""What a service has yet to hear: who decides that nothing has come asks first whether something is on its way."""

from collections.abc import Sequence
from typing import Final

from tradepost.kernel.events import Fact
from tradepost.kernel.log.clocks import Clocks, UnknownDatabase
from tradepost.kernel.log.lag import Asked, waiting
from tradepost.kernel.log.subscription import Group

_PUBLISHED: Final = """
SELECT id, key FROM "{source}".event WHERE key = ANY ($1::text[]) AND type = ANY ($2::text[])
"""


class Hearing:
    """Of the groups of one service, whose positions lie in the schema of its name in `db`."""

    def __init__(self, name: str, groups: Sequence[Group], db: Asked, clocks: Clocks) -> None:
        self._name, self._groups, self._db, self._clocks = name, groups, db, clocks

    async def unheard(self, keys: Sequence[str], *facts: type[Fact]) -> set[str]:
        """Those of `keys` of which others have published one of these facts that the service has yet to take in. Of a
        log whose database nobody named nothing is known. Errors: whatever else keeps it from knowing."""
        found: set[str] = set()
        for group in self._groups:
            for source in group.sources():
                types = [fact.type for fact in facts if fact.type in group.of(source)]
                if types:
                    found |= await self._unheard(group, source, keys, types)
        return found

    async def _unheard(self, group: Group, source: str, keys: Sequence[str], types: Sequence[str]) -> set[str]:
        try:
            async with self._clocks.asked(source) as publisher:
                rows = await publisher.fetch(_PUBLISHED.format(source=source), keys, types)
                if not rows:
                    return set()
                ids = [row["id"] for row in rows]
                left = await waiting(publisher, self._db, source, self._name, group.name, ids)
        except UnknownDatabase:
            return set()
        return {row["key"] for row in rows if row["id"] in left}
