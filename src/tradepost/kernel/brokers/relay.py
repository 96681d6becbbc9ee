"""The relay: one more group of each publisher's log. It publishes what it reads, and moves when that was confirmed."""

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


class Publication:
    """What a relay does with a piece of the log."""

    def __init__(self, db: "Database", publisher: Publisher) -> None:
        self._db, self._publisher = db, publisher

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
    ) -> None:
        """Publish and move. Whoever dies in between leaves it to the next to publish again: receivers take each event
        once. Errors: Fenced, BrokerError."""
        for wave in waves(events):
            await self._publisher.publish(place.source, wave)
        await cursor.move(self._db, place, fence, to)

    async def close(self) -> None:
        """Leave the broker."""
        await self._publisher.close()


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
