"""The relay: one more group of each publisher's log. It publishes what it reads, and moves when that was confirmed."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tradepost.kernel.brokers.port import Publisher
from tradepost.kernel.log import cursor
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.cursor import Place, Position

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.ticks import Ticks

RELAY: Final = "relay"
MOVES_S: Final = 0.1  # between two moves of a place


class Publication:
    """What a relay does with a piece of the log."""

    def __init__(self, db: "Database", publisher: Publisher) -> None:
        self._db, self._publisher = db, publisher
        self._confirmed: tuple[Place, int, Position] | None = None  # with its fence: what the place has yet to be told
        self._failed: tuple[int, Exception] | None = None  # the fence, and why it could not be told
        self._stored: Position | None = None
        self._moving: asyncio.Task[None] | None = None

    def types(self, _source: str) -> None:
        """All, those included that a newer version has written."""

    async def take(
        self,
        place: Place,
        events: Sequence[Raw],
        to: Position,
        fence: int,
        *,
        catching_up: bool,  # noqa: ARG002
    ) -> Position | None:
        """Publish, and move while the next is published. Whoever dies in between leaves it to the next to publish
        again: receivers take each event once. Errors: BrokerError; Fenced, and whatever the last move failed with."""
        failed, self._failed = self._failed, None
        if failed is not None and failed[0] == fence:
            raise failed[1]
        for wave in waves(events):
            await self._publisher.publish(place.source, wave)
        self._confirmed = place, fence, to
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move())
        return self._stored

    async def close(self) -> None:
        """Leave the place where the last is confirmed, and then the broker."""
        if self._moving is not None:
            await asyncio.wait([self._moving])
        await self._publisher.close()

    async def _move(self) -> None:
        while self._confirmed is not None:
            (place, fence, to), self._confirmed = self._confirmed, None
            try:
                await cursor.move(self._db, place, fence, to)
                self._stored = to
            except Exception as error:
                self._failed = fence, error
            await asyncio.sleep(MOVES_S)


def waves(events: Sequence[Raw]) -> list[list[Raw]]:
    """The events in as few parts as it takes for each key to be in a part once: an event is published when the one
    before it of its key was confirmed, so that one that is refused is not overtaken."""
    made: list[list[Raw]] = []
    seen: dict[str, int] = {}
    for event in events:
        nth = seen.get(event.key, 0)
        seen[event.key] = nth + 1
        if nth == len(made):
            made.append([])
        made[nth].append(event)
    return made


async def register_relay(db: "Database", ticks: "Ticks", source: str) -> list[Place]:
    """The relay's places in the log of `source`; a new one starts where the log is handed over to a broker."""
    places = await cursor.places(db, source, RELAY)
    if places:
        return places
    tick = await ticks.pool.fetchval("SELECT log.hand_over($1)", source)
    start = await ticks.get(tick)
    if start is None:
        raise LookupError(f"the log of {source} lacks the tick {tick} that its relay starts at")
    async with db.transaction() as tx:
        await cursor.create(tx, Place(source, RELAY), start.id, start.uuid)
    return await cursor.places(db, source, RELAY)
