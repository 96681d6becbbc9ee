"""Reads that are asked for together are done together. One alone leaves at once, as in `kernel/batcher.py`."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

AT_ONCE: Final = 200

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Gatherer(Generic[K, R]):
    """`load(keys)` reads what there is of them with one statement. What is asked for while it reads waits for the next
    one, so that everybody sees what was committed before he asked."""

    def __init__(self, load: Callable[[Sequence[K]], Awaitable[Mapping[K, R]]]) -> None:
        self._load = load
        self._asked: defaultdict[K, list[asyncio.Future[R | None]]] = defaultdict(list)
        self._working: asyncio.Task[None] | None = None

    async def get(self, key: K) -> R | None:
        """What there is; None when there is nothing. Errors: what loading it and its company fails with."""
        answer: asyncio.Future[R | None] = asyncio.get_running_loop().create_future()
        self._asked[key].append(answer)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._asked:
            keys = list(islice(self._asked, AT_ONCE))
            asked = {key: self._asked.pop(key) for key in keys}
            try:
                found, error = await self._load(keys), None
            except Exception as failure:
                found, error = {}, failure
            for key, answers in asked.items():
                for answer in answers:
                    if answer.done():  # its caller has gone away
                        continue
                    if error is None:
                        answer.set_result(found.get(key))
                    else:
                        answer.set_exception(error)
        self._working = None
