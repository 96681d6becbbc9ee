"""Who reads together is answered together, and nobody is told what was before he asked."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tradepost.kernel import gatherer as module
from tradepost.kernel.gatherer import Gatherer


class Shelf:
    """What can be read, and what was asked for at once."""

    def __init__(self) -> None:
        self.things = {"a": 1, "b": 2}
        self.loads: list[list[str]] = []
        self.failure: Exception | None = None

    async def load(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.loads.append(list(keys))
        found = {key: self.things[key] for key in keys if key in self.things}
        await asyncio.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        return found


async def test_who_asks_together_is_read_for_together() -> None:
    shelf = Shelf()
    gatherer = Gatherer(shelf.load)
    assert await asyncio.gather(*map(gatherer.get, ("a", "b", "a", "none"))) == [1, 2, 1, None]
    assert shelf.loads == [["a", "b", "none"]]
    assert await gatherer.get("b") == 2
    assert shelf.loads[1:] == [["b"]]


async def test_who_asks_later_sees_what_was_changed_before() -> None:
    shelf = Shelf()
    gatherer = Gatherer(shelf.load)
    first = asyncio.create_task(gatherer.get("a"))
    while not shelf.loads:
        await asyncio.sleep(0)
    shelf.things["a"] = 3
    assert (await gatherer.get("a"), await first) == (3, 1)


async def test_a_failure_is_everyones_and_the_next_may_succeed() -> None:
    shelf = Shelf()
    gatherer = Gatherer(shelf.load)
    shelf.failure = ConnectionError("gone")
    found = await asyncio.gather(gatherer.get("a"), gatherer.get("b"), return_exceptions=True)
    assert [type(one) for one in found] == [ConnectionError] * 2
    shelf.failure = None
    assert await gatherer.get("a") == 1


async def test_who_goes_away_spares_the_others() -> None:
    shelf = Shelf()
    gatherer = Gatherer(shelf.load)
    leaving, staying = asyncio.create_task(gatherer.get("a")), asyncio.create_task(gatherer.get("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1


async def test_there_are_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    shelf = Shelf()
    gatherer = Gatherer(shelf.load)
    await asyncio.gather(*map(gatherer.get, "abcde"))
    assert shelf.loads == [["a", "b"], ["c", "d"], ["e"]]
