"""While a crowd waits at the door, what is behind it goes one by one, little at once, and rests until it is late;
beside a throng two by two, and no less than ever once it is late. What nobody waits for gives way to what is late."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import pytest

from tests.patience import PATIENCE_S
from tradepost.kernel import right_of_way
from tradepost.kernel.clock import now
from tradepost.kernel.log.batch import PIECE_EVENTS
from tradepost.kernel.right_of_way import (
    ABREAST,
    ASIDE_S,
    CROWD,
    FEW,
    GIVES_WAY_S,
    HURRY_S,
    LATE_S,
    REST,
    TOO_LATE_S,
    RightOfWay,
)
from tradepost.kernel.tasks import end

PIECE_S = 0.02


class Yard:
    """Counts who is at work at once."""

    def __init__(self, way: RightOfWay, *, hurried: bool = True) -> None:
        self.way, self.hurried, self.at_work, self.most, self.done = way, hurried, 0, 0, 0

    async def piece(self) -> None:
        async with self.way.behind(hurried=self.hurried):
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


def crowded(requests: int = CROWD) -> Yard:
    way = RightOfWay()
    for _ in range(requests):
        way.come()
    return Yard(way)


def thronged() -> Yard:
    yard = crowded()
    yard.way.overflow()
    return yard


def told(late_s: float, *, hurried: bool = True) -> Yard:
    """Without a crowd; nobody waits for what it does. One worker has told how late it is."""
    way = RightOfWay()
    way.tell("worker", now() - timedelta(seconds=late_s), hurried=hurried)
    return Yard(way, hurried=False)


async def test_without_a_crowd_all_work_at_once() -> None:
    yard = crowded(CROWD - 1)
    await yard.pieces(10)
    assert yard.most == 10
    assert yard.way.at_once == PIECE_EVENTS


async def test_behind_a_crowd_one_goes_after_the_other_and_rests() -> None:
    yard = crowded()
    took = await yard.pieces(3)
    assert yard.most == 1
    assert yard.done == 3
    assert took >= 2 * PIECE_S * REST  # the first two's rests, before the third can begin
    assert crowded().way.at_once == FEW


async def test_beside_a_throng_two_go_abreast_and_rest() -> None:
    yard = thronged()
    took = await yard.pieces(3 * ABREAST)
    assert yard.most == ABREAST
    assert yard.done == 3 * ABREAST
    assert took >= 2 * PIECE_S * REST
    assert thronged().way.at_once == FEW


async def test_a_crowd_is_taken_to_come_back_and_a_throng_to_stay_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = thronged()
    for _ in range(CROWD):
        yard.way.go()
    yard.way.tell("worker", now() - timedelta(seconds=LATE_S))
    assert yard.way.at_once == PIECE_EVENTS, "thronged, and late"
    monkeypatch.setattr(right_of_way, "THRONG_S", 0.0)
    assert yard.way.at_once == FEW, "crowded"
    monkeypatch.setattr(right_of_way, "CROWD_S", 0.0)
    assert yard.way.at_once == PIECE_EVENTS


@pytest.mark.parametrize(
    ("door", "late_s", "at_once"),
    [
        (crowded, LATE_S, FEW),
        (crowded, TOO_LATE_S - 1, FEW),
        (crowded, TOO_LATE_S, PIECE_EVENTS),
        (thronged, LATE_S - 1, FEW),
        (thronged, LATE_S, PIECE_EVENTS),
    ],
)
async def test_the_work_takes_its_share_once_it_is_late(door: Callable[[], Yard], late_s: float, at_once: int) -> None:
    way = door().way
    way.tell("worker", now() - timedelta(seconds=late_s))
    assert way.at_once == at_once


async def test_a_rest_ends_with_the_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    yard = crowded()
    working = asyncio.create_task(yard.pieces(3))
    while yard.done < 1:
        await asyncio.sleep(PIECE_S)
    for _ in range(CROWD):
        yard.way.go()
    async with asyncio.timeout(PATIENCE_S):
        await working


async def test_who_is_late_rests_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    yard = crowded()
    yard.way.tell("worker", now() - timedelta(seconds=LATE_S))
    async with asyncio.timeout(PATIENCE_S):
        await yard.pieces(3 * ABREAST)
    assert yard.most == ABREAST


async def test_what_was_told_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    monkeypatch.setattr(right_of_way, "HEARD_S", 0.0)
    yard = crowded()
    yard.way.tell("worker", now() - timedelta(hours=1))
    working = asyncio.create_task(yard.pieces(3))
    while yard.done < 1:
        await asyncio.sleep(PIECE_S)
    await asyncio.sleep(20 * PIECE_S)
    assert yard.done == 1
    await end([working])


async def test_a_piece_that_fails_lets_the_next_one_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    way = crowded().way
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            with pytest.raises(ValueError, match="at fault"):
                async with way.behind():
                    raise ValueError("at fault")


async def test_what_nobody_waits_for_gives_way_to_what_is_late() -> None:
    yard = told(HURRY_S)
    took = await yard.pieces(3)
    assert yard.most == 1
    assert yard.done == 3
    assert took >= 2 * PIECE_S * REST
    assert yard.way.at_once == PIECE_EVENTS


@pytest.mark.parametrize(
    "yard",
    [lambda: told(HURRY_S / 2), lambda: told(GIVES_WAY_S, hurried=False), lambda: Yard(told(HURRY_S).way)],
    ids=["nothing is late", "what is late is not waited for", "it is waited for itself"],
)
async def test_else_all_work_at_once(yard: Callable[[], Yard]) -> None:
    unhindered = yard()
    await unhindered.pieces(10)
    assert unhindered.most == 10


async def test_what_is_too_late_itself_gives_way_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    yard = told(HURRY_S)
    working = asyncio.create_task(yard.pieces(10))
    while yard.done < 1:
        await asyncio.sleep(PIECE_S)
    await asyncio.sleep(5 * PIECE_S)
    assert yard.done == 1
    yard.way.tell("shipping", now() - timedelta(seconds=GIVES_WAY_S), hurried=False)
    async with asyncio.timeout(PATIENCE_S):
        await working
        await yard.pieces(10)
    assert yard.most == 10


async def test_giving_way_ends_when_nothing_is_told_of_late_work_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    monkeypatch.setattr(right_of_way, "ASIDE_S", float("inf"))
    yard = told(HURRY_S)
    async with asyncio.timeout(PATIENCE_S):
        await yard.pieces(3)


async def test_behind_a_crowd_it_has_no_lane_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "REST", 0)
    way = crowded().way
    way.tell("worker", now() - timedelta(seconds=HURRY_S))
    yard = Yard(way, hurried=False)
    async with way.behind():
        working = asyncio.create_task(yard.piece())
        await asyncio.sleep(5 * PIECE_S)
        assert (yard.at_work, yard.done) == (0, 0)
    async with asyncio.timeout(PATIENCE_S):
        await working
    assert yard.done == 1


async def test_a_piece_that_fails_beside_late_work_lets_the_next_one_go_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def rest(_seconds: float, _goes_on: Callable[[], bool]) -> None:
        raise AssertionError("it rests")

    monkeypatch.setattr(right_of_way, "_rest", rest)
    way = told(HURRY_S).way
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            with pytest.raises(ValueError, match="at fault"):
                async with way.behind(hurried=False):
                    raise ValueError("at fault")
    assert not way._aside.locked()


async def test_the_rest_of_what_gives_way_is_a_few_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def note(seconds: float, _goes_on: Callable[[], bool]) -> None:
        rests.append(seconds)

    monkeypatch.setattr(right_of_way, "_rest", note)
    monkeypatch.setattr(right_of_way, "REST", 10_000)
    await told(HURRY_S).piece()
    assert rests == [ASIDE_S]


async def test_behind_a_crowd_what_gives_way_rests_once_and_out_of_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    way = crowded().way
    way.tell("worker", now() - timedelta(seconds=HURRY_S))
    held: list[tuple[bool, bool]] = []

    async def note(_seconds: float, _goes_on: Callable[[], bool]) -> None:
        held.append((way._aside.locked(), way._single.locked()))

    monkeypatch.setattr(right_of_way, "_rest", note)
    await Yard(way, hurried=False).piece()
    await Yard(way).piece()
    assert held == [(True, False), (False, True)]


def test_how_late_is_what_gives_way_makes_no_throng() -> None:
    """It is late by intent; buyers keep the right of way."""
    way = crowded().way
    way.tell("shipping", now() - timedelta(seconds=GIVES_WAY_S - 1), hurried=False)
    assert way._late_s > LATE_S
    way.tell("inventory", now() - timedelta(seconds=HURRY_S))
    assert way._late_s < LATE_S
