"""The places of a service's groups as work to be shared: cut finer when there are more processes than places."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from tradepost.kernel.log.append import SLOTS
from tradepost.kernel.log.cursor import Place
from tradepost.kernel.log.roster import Roster
from tradepost.kernel.log.slots import split

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.clocks import Clocks

Register = Callable[[], Awaitable[Sequence[Place]]]

_PLACES: Final = 'SELECT source, "group", first_slot, last_slot FROM cursor ORDER BY source, "group", first_slot'

logger = structlog.get_logger()


class Shares:
    """`registering` makes the first place of each (group, source) that isn't registered yet."""

    def __init__(
        self, db: "Database", clocks: "Clocks", registering: Mapping[tuple[str, str], Register], roster: Roster
    ) -> None:
        self._db, self._clocks, self._roster = db, clocks, roster
        self._registering = dict(registering)
        self._names = frozenset(registering)

    async def units(self) -> Mapping[str, Sequence[Place]]:
        """All places by group and source, as `group of source`."""
        for name in list(self._registering):
            await self._register(name)
        found: dict[tuple[str, str], list[Place]] = {}
        for row in await self._db.fetch(_PLACES):
            place = Place(row["source"], row["group"], (row["first_slot"], row["last_slot"]))
            if (place.group, place.source) in self._names - self._registering.keys():
                found.setdefault((place.group, place.source), []).append(place)
        return {f"{group} of {source}": await self._cut(places) for (group, source), places in found.items()}

    async def _register(self, name: tuple[str, str]) -> None:
        """A publisher whose database isn't there yet keeps only its own readers waiting."""
        try:
            await self._registering[name]()
        except Exception as error:
            logger.warning("waits_for_log", group=name[0], source=name[1], why=str(error) or type(error).__name__)
        else:
            del self._registering[name]

    async def _cut(self, places: list[Place]) -> list[Place]:
        """A place for each member, as far as there are slots; one of the members sees to it."""
        members = self._roster.members
        if members[0] != self._roster.owner or len(places) >= min(len(members), SLOTS):
            return places
        widest = max(places, key=lambda place: place.slots[1] - place.slots[0])
        middle = (widest.slots[0] + widest.slots[1] + 1) // 2
        halves = await split(self._db, self._clocks[widest.source], widest, middle)
        return await self._cut(sorted([*(place for place in places if place != widest), *halves], key=_first_slot))


def _first_slot(place: Place) -> int:
    return place.slots[0]
