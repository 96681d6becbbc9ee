"""`tradepost log split` and `merge`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from tradepost import settings
from tradepost.console.databases import as_service, clocks, group_named
from tradepost.console.trouble import failing, say
from tradepost.kernel.log import cursor, slots
from tradepost.kernel.log.cursor import Place
from tradepost.kernel.log.slots import SlotsError

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.ticks import Ticks

REFUSED: Final = 1

Change = Callable[["Database", "Ticks", list[Place]], Awaitable[str]]


def split(group: str, source: str, at: int) -> None:
    """Cut a group's place in a log in two, so that two consumers can work side by side.

    Parameters
    ----------
    group
        Whose place.
    source
        The publisher of the log.
    at
        The first slot of the upper half, 1 to 15.
    """

    async def cut(database: "Database", ticks: "Ticks", places: list[Place]) -> str:
        place = next((place for place in places if place.slots[0] < at <= place.slots[1]), Place(source, group))
        lower, upper = await slots.split(database, ticks, place, at)
        return f"{group} on {source}: slots {_told(lower)} and {_told(upper)}"

    _change(group, source, cut)


def merge(group: str, source: str, at: int) -> None:
    """Join the two places of a group that meet at a slot.

    Parameters
    ----------
    group
        Whose places.
    source
        The publisher of the log.
    at
        The first slot of the upper one.
    """

    async def join(database: "Database", ticks: "Ticks", places: list[Place]) -> str:
        below = [place for place in places if place.slots[1] == at - 1]
        above = [place for place in places if place.slots[0] == at]
        if not below or not above:
            raise SlotsError(f"{group} on {source} is not cut at slot {at}")
        return f"{group} on {source}: slots {_told(await slots.merge(database, ticks, below[0], above[0]))}"

    _change(group, source, join)


def _change(group: str, source: str, change: Change) -> None:
    with failing():
        service, known = group_named(group)
        if source not in known.sources():
            raise SystemExit(say(f"{group} does not read {source}; it reads {', '.join(known.sources())}"))
        code = asyncio.run(_changed(service, group, source, change))
    raise SystemExit(code)


async def _changed(service: str, group: str, source: str, change: Change) -> int:
    now = settings.read()
    async with as_service(now, service) as database, clocks(now, (source,)) as ticking:
        places = await cursor.places(database, source, group)
        try:
            print(await change(database, ticking[source], places))
        except SlotsError as error:
            return say(str(error), REFUSED)
    return 0


def _told(place: Place) -> str:
    return f"{place.slots[0]}-{place.slots[1]}"
