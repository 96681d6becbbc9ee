"""While a crowd waits at the door, what is behind it goes two abreast and rests, until it is late."""

import asyncio
from datetime import timedelta
from time import monotonic

import pytest

from tradepost.kernel import right_of_way
from tradepost.kernel.clock import now
from tradepost.kernel.right_of_way import ABREAST, CROWD, LATE_S, REST, RightOfWay

PIECE_S = 0.02


class Yard:
    """Counts who is at work at once."""

    def __init__(self, way: RightOfWay) -> None:
        self.way, self.at_work, self.most, self.done = way, 0, 0, 0

    async def piece(self) -> None:
        async with self.way.behind():
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            await asyncio.sleep(PIECE_S)
            self.at_work -= 1
            self.done += 1

    async def pieces(self, count: int) -> float:
        """Do so many at once; how long it took."""
        began = monotonic()
        await asyncio.gather(*(self.piece() for _ in range(count)))
        return monotonic() - began


def crowded() -> Yard:
    way = RightOfWay()
    way.waiting = CROWD
    return Yard(way)


async def test_without_a_crowd_all_work_at_once() -> None:
    yard = crowded()
    yard.way.waiting = CROWD - 1
    await yard.pieces(10)
    assert yard.most == 10


async def test_behind_a_crowd_two_go_abreast_and_rest() -> None:
    yard = crowded()
    took = await yard.pieces(3 * ABREAST)
    assert yard.most == ABREAST
    assert yard.done == 3 * ABREAST
    assert took >= 2 * PIECE_S * REST  # the first two pairs' rests, before the third can begin


async def test_a_rest_ends_with_the_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    yard = crowded()
    working = asyncio.create_task(yard.pieces(3 * ABREAST))
    while yard.done < ABREAST:
        await asyncio.sleep(PIECE_S)
    yard.way.waiting = 0
    async with asyncio.timeout(5):
        await working


async def test_who_is_late_rests_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    yard = crowded()
    yard.way.tell("worker", now() - timedelta(seconds=LATE_S))
    async with asyncio.timeout(5):
        await yard.pieces(3 * ABREAST)
    assert yard.most == ABREAST


async def test_what_was_told_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    monkeypatch.setattr(right_of_way, "HEARD_S", 0.0)
    yard = crowded()
    yard.way.tell("worker", now() - timedelta(hours=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20 * PIECE_S):
            await yard.pieces(3 * ABREAST)
    assert yard.done == ABREAST


async def test_a_piece_that_fails_lets_the_next_one_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    way = crowded().way
    async with asyncio.timeout(5):
        for _ in range(3 * ABREAST):
            with pytest.raises(ValueError, match="at fault"):
                async with way.behind():
                    raise ValueError("at fault")
