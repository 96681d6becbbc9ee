"""The end of a log is read once for all who stand there, and whoever lags behind gets all that is there at once."""

import asyncio
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from tests.kernel.log.probing import (
    RECORD,
    ProbeMoved,
    consumer_of,
    consuming,
    effects,
    move,
    running,
    ticking,
)
from tests.patience import PATIENCE_S
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Event
from tradepost.kernel.ids import new_id
from tradepost.kernel.log import batch, consumer, reading
from tradepost.kernel.log.batch import Piece, Reach, Tick, read_piece
from tradepost.kernel.log.consumer import register
from tradepost.kernel.log.reading import ALL_SLOTS, Reading
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.log.ticks import Ticks

TYPES = [ProbeMoved.type]


class Reads:
    """Counts what is read, by whom; `fails` so often first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int = 0) -> None:
        self.together, self.alone, self._fails = 0, 0, fails
        monkeypatch.setattr(reading, "read_piece", self._together)
        monkeypatch.setattr(consumer, "read_piece", self._alone)

    async def _together(self, *args: Any, **options: Any) -> Piece:
        self.together += 1
        if self.together <= self._fails:
            raise ConnectionError("lost")
        return await read_piece(*args, **options)

    async def _alone(self, *args: Any, **options: Any) -> Piece:
        self.alone += 1
        return await read_piece(*args, **options)


async def happened(database: Database, ticks: Ticks, *things: str) -> None:
    """The things moved, and a tick shows it."""
    before = ticks.newest.id
    await move(database, *things)
    ticks.poke()
    await ticks.after(before)


def keys(piece: Piece | None) -> Sequence[str]:
    assert piece is not None
    return [event.key for event in piece.events]


async def part(end: Reading, prev: Tick, types: Sequence[str] | None = None) -> tuple[Tick, Piece | None]:
    cur = end.begin(prev)
    assert cur is not None
    return cur, await end.piece(prev, cur, ALL_SLOTS, types or TYPES)


async def test_three_groups_that_keep_up_read_each_part_once(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, list[str]] = {"one": [], "two": [], "three": []}

    def group(name: str) -> Group:
        async def take(tx: Tx, events: Sequence[Event[ProbeMoved]]) -> None:
            taken[name] += [event.key for event in events]

        return Group(name, (on(ProbeMoved, take),))

    reads = Reads(monkeypatch)
    async with consuming(database, database_url, *map(group, taken), RECORD):
        for n in range(5):
            await move(database, f"thing-{n}")
            await effects(database, n + 1)
        async with asyncio.timeout(PATIENCE_S):
            while any(len(keys) < 5 for keys in taken.values()):
                await asyncio.sleep(0.01)
    assert set(map(tuple, taken.values())) == {tuple(f"thing-{n}" for n in range(5))}
    assert 1 <= reads.together <= 5
    assert reads.alone == 0


async def test_who_lags_behind_gets_all_parts_at_once_in_the_order_of_the_log(
    database: Database, database_url: str
) -> None:
    async with ticking(database_url) as ticks:
        end, first = ticks.reading("probe"), ticks.newest
        end.want(TYPES)
        prev = first
        for n in range(3):
            await happened(database, ticks, f"a-{n}", f"b-{n}")
            prev, piece = await part(end, prev)
            assert keys(piece) == [f"a-{n}", f"b-{n}"]
        cur, piece = await part(end, first)
        assert (cur, keys(piece)) == (prev, ["a-0", "b-0", "a-1", "b-1", "a-2", "b-2"])
        assert piece is not None
        assert [event.position for event in piece.events] == sorted(event.position for event in piece.events)


async def test_each_takes_out_its_types_and_slots(database: Database, database_url: str) -> None:
    async with ticking(database_url) as ticks:
        end, first = ticks.reading("probe"), ticks.newest
        end.want(None)
        await happened(database, ticks, *(f"thing-{n}" for n in range(20)))
        cur, piece = await part(end, first)
        assert len(keys(piece)) == 20
        halves = [await end.piece(first, cur, slots, None) for slots in ((0, 7), (8, 15))]
        assert sorted(key for half in halves for key in keys(half)) == sorted(keys(piece))
        assert all(keys(half) for half in halves)
        assert keys(await end.piece(first, cur, ALL_SLOTS, ["probe.other"])) == []


@pytest.mark.parametrize("module", [batch, reading])
async def test_more_than_a_piece_is_left_to_each_reader(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    """Whether one part has more, or all of them together; the first of one is for whoever wants all that is read."""
    monkeypatch.setattr(module, "PIECE_EVENTS", 3)
    everything = [*TYPES, "probe.other"]
    async with ticking(database_url) as ticks:
        end, first = ticks.reading("probe"), ticks.newest
        end.want(everything)
        await happened(database, ticks, "a", "b", "c", "d")
        cur, piece = await part(end, first)
        assert piece is None
        assert await end.piece(first, cur, (1, 15), everything) is None
        whole = await end.piece(first, cur, ALL_SLOTS, everything[::-1])
    assert keys(whole) == ["a", "b", "c", "d"][: batch.PIECE_EVENTS]
    assert whole is not None
    assert whole.found == 4


async def test_a_gap_ends_what_follows(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first part is being read a second one begins behind it, then the first fails: whoever comes now gets
    nothing of the second without the first."""
    held = asyncio.Event()

    async def fails_once(*args: Any, **options: Any) -> Piece:
        if not held.is_set():
            await held.wait()
            raise ConnectionError("lost")
        return await read_piece(*args, **options)

    async with ticking(database_url) as ticks:
        end, first = ticks.reading("probe"), ticks.newest
        end.want(TYPES)
        await happened(database, ticks, "zero")
        middle, piece = await part(end, first)
        assert keys(piece) == ["zero"]
        monkeypatch.setattr(reading, "read_piece", fails_once)
        await happened(database, ticks, "one")
        failing = asyncio.ensure_future(part(end, middle))
        await asyncio.sleep(0)
        await happened(database, ticks, "two")
        monkeypatch.setattr(reading, "read_piece", read_piece)
        _, piece = await part(end, ticks.near(middle, 1) or middle)
        assert keys(piece) == ["two"]
        held.set()
        with pytest.raises(ConnectionError):
            await failing
        _, piece = await part(end, first)
        assert keys(piece) == ["zero", "one", "two"]


async def test_who_is_far_behind_reads_as_far_as_a_piece_goes(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty ticks of two events, five events a piece: the whole is looked at once, and found to be too much."""
    monkeypatch.setattr(batch, "PIECE_EVENTS", 5)
    monkeypatch.setattr(reading, "PIECE_EVENTS", 5)
    spans: list[int] = []

    async def noting(pool: Any, source: str, prev: Tick, cur: Tick, **options: Any) -> Piece:
        spans.append(cur.id - prev.id)
        return await read_piece(pool, source, prev, cur, **options)

    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, RECORD)
        for n in range(20):
            await happened(database, ticks, f"a-{n}", f"b-{n}")
        monkeypatch.setattr(reading, "read_piece", noting)
        monkeypatch.setattr(consumer, "read_piece", noting)
        async with running(consumer_of(database, ticks, RECORD, place, new_id())):
            assert [key for key, _ in await effects(database, 40)] == [f"{x}-{n}" for n in range(20) for x in "ab"]
    assert spans[0] >= 20
    assert max(spans[2:]) <= 2


async def test_who_reads_thinned_out_ticks_reads_on(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next tick that is left is as far as can be gone, however much lies before it."""
    monkeypatch.setattr(batch, "PIECE_EVENTS", 3)
    monkeypatch.setattr(reading, "PIECE_EVENTS", 3)
    async with ticking(database_url) as ticks:
        (place,) = await register(database, ticks, RECORD)
        first = ticks.newest
        for n in range(10):
            await happened(database, ticks, f"a-{n}", f"b-{n}")
        owner = await asyncpg.connect(database_url)
        await owner.execute("DELETE FROM log.tick WHERE id > $1 AND id < $2", first.id, ticks.newest.id)
        await owner.close()
    async with ticking(database_url) as ticks, running(consumer_of(database, ticks, RECORD, place, new_id())):
        assert len(await effects(database, 20)) == 20


@pytest.mark.parametrize(
    ("spanned", "asked", "found", "read", "again", "then"),
    [
        (100, 100, 10_000, 1_000, True, 10),  # ten times too far
        (100, 100, 1_001, 1_000, True, 99),
        (100, 2, 10_000, 1_000, False, 10),  # thinned out
        (1, 1, 5_000, 1_000, False, 1),  # no less can be read
        (10, 10, 700, 700, False, 10),  # just right
        (10, 10, 499, 499, False, 20),
        (3, 10, 10, 10, False, 10),  # the end of the log says nothing
        (80, 80, 0, 0, False, 100),
    ],
)
def test_the_reach_follows_what_is_found(
    spanned: int, asked: int, found: int, read: int, again: bool, then: int
) -> None:
    reach = Reach()
    reach.ticks = asked
    prev, cur = (Tick(at, "", 1, frozenset(), "", 0, ()) for at in (7, 7 + spanned))
    event: Any = object()
    assert (reach.went_too_far(prev, cur, Piece([event] * read, found, 0)), reach.ticks) == (again, then)


async def test_nothing_new_begins_nothing(database: Database, database_url: str) -> None:
    async with ticking(database_url) as ticks:
        end = ticks.reading("probe")
        end.want(TYPES)
        await happened(database, ticks, "a")
        assert end.begin(ticks.newest) is None


async def test_what_was_read_before_a_type_was_wanted_is_not_used_for_it(database: Database, database_url: str) -> None:
    async with ticking(database_url) as ticks:
        end, first = ticks.reading("probe"), ticks.newest
        end.want(["probe.other"])
        await happened(database, ticks, "a")
        _, piece = await part(end, first, ["probe.other"])
        assert keys(piece) == []
        end.want(TYPES)
        _, piece = await part(end, first)
        assert keys(piece) == ["a"]


async def test_a_read_that_failed_is_done_again(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "BACK_OFF_S", (0.01,))
    reads = Reads(monkeypatch, fails=2)
    async with consuming(database, database_url, RECORD):
        await move(database, "a")
        assert await effects(database, 1) == [("a", 1)]
    assert reads.together == 3
