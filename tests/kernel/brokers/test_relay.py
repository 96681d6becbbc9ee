"""A relay's place follows what was confirmed, in fewer steps, and is never put where it was not confirmed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.kernel.log.probing import ticking
from tradepost.kernel.brokers import relay
from tradepost.kernel.brokers.relay import Publication, register_relay
from tradepost.kernel.database import Database
from tradepost.kernel.ids import new_id
from tradepost.kernel.log import cursor
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.cursor import Fenced, Place, Position

NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Noting:
    """A publisher that confirms everything at once."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.closed = False

    async def publish(self, _source: str, events: Sequence[Raw]) -> None:
        self.published += [event.key for event in events]

    async def close(self) -> None:
        self.closed = True


def event(key: str) -> Raw:
    return Raw(1, new_id(), "probe.moved", key, 0, 1, NOW, "test", None, None, "{}")


async def claimed(db: Database, url: str) -> tuple[Place, Position, int]:
    """The relay's place, which is ours; where it stands, and its fence."""
    async with ticking(url) as ticks:
        (place,) = await register_relay(db, ticks, "probe")
    async with db.transaction() as tx:
        owned = await cursor.claim(tx, place, "us", by_force=True)
    assert owned is not None
    return place, owned.position, owned.fence


async def settled(work: Publication) -> None:
    """Until the place moved, or could not."""
    assert work._moving is not None
    await asyncio.wait([work._moving])


async def stands_at(db: Database) -> int:
    return int(await db.fetchval("SELECT last_id FROM cursor WHERE \"group\" = 'relay'"))


async def test_the_place_moves_less_often_than_it_publishes_and_ends_at_the_last(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    move = cursor.move

    async def counted(db: Any, place: Place, fence: int, to: Position) -> int:
        moves.append(to.last_id)
        return await move(db, place, fence, to)

    monkeypatch.setattr(cursor, "move", counted)
    monkeypatch.setattr(relay, "MOVES_S", 0.5)
    place, start, fence = await claimed(database, database_url)
    publisher = Noting()
    work = Publication(database, publisher)

    for at in range(1, 101):
        to = start.within(start.tick, at)
        stored = await work.take(place, [event(f"thing-{at}")], to, fence, catching_up=False)
        assert (0 if stored is None else stored.last_id) <= await stands_at(database)  # what retention may rely on
    await work.close()

    assert publisher.published == [f"thing-{at}" for at in range(1, 101)]
    assert moves == sorted(moves)
    assert len(moves) < 50
    assert (await stands_at(database), publisher.closed) == (100, True)


async def test_who_was_fenced_hears_of_it_before_it_publishes_more(database: Database, database_url: str) -> None:
    place, start, fence = await claimed(database, database_url)
    await claimed(database, database_url)
    publisher = Noting()
    work = Publication(database, publisher)

    await work.take(place, [event("first")], start.within(start.tick, 1), fence, catching_up=False)
    await settled(work)
    with pytest.raises(Fenced):
        await work.take(place, [event("second")], start.within(start.tick, 2), fence, catching_up=False)

    assert publisher.published == ["first"]
    await work.close()
    assert await stands_at(database) == 0


async def test_a_move_under_an_earlier_fence_stops_nobody(database: Database, database_url: str) -> None:
    place, start, fence = await claimed(database, database_url)
    publisher = Noting()
    work = Publication(database, publisher)
    _, _, later = await claimed(database, database_url)

    await work.take(place, [event("first")], start.within(start.tick, 1), fence, catching_up=False)
    await settled(work)
    await work.take(place, [event("first")], start.within(start.tick, 1), later, catching_up=False)
    await work.close()

    assert publisher.published == ["first", "first"]
    assert await stands_at(database) == 1
