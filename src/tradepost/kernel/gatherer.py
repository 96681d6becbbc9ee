"""Reads that are asked for together are done together. One alone leaves at once, as in `kernel/batcher.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Final, Generic, TypeVar

AT_ONCE: Final = 200

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Gatherer(Generic[K, R]):
    """`load(keys)` reads what there is of them with one statement. What is asked for while it reads waits for the next
    one, so that everybody sees what was committed before he asked."""

    def __init__(self, load: Callable[[Sequence[K]], Awaitable[Mapping[K, R]]]) -> None:
        self._load = load
        self._asked: dict[K, asyncio.Future[R | None]] = {}
        self._working: asyncio.Task[None] | None = None

    async def get(self, key: K) -> R | None:
        """What there is; None when there is nothing. Errors: what loading it and its company fails with."""
        waiting = self._asked.get(key)
        if waiting is None:
            waiting = self._asked[key] = asyncio.get_running_loop().create_future()
            if self._working is None:
                self._working = asyncio.create_task(self._work())
        return await asyncio.shield(waiting)

    async def _work(self) -> None:
        while self._asked:
            keys = list(self._asked)[:AT_ONCE]
            asked = {key: self._asked.pop(key) for key in keys}
            try:
                found = await self._load(keys)
            except Exception as error:
                for waiting in asked.values():
                    waiting.set_exception(error)
                    waiting.exception()  # seen: the caller may have gone away
            else:
                for key, waiting in asked.items():
                    waiting.set_result(found.get(key))
        self._working = None
