"""Requests that arrive together commit together. An idle system waits for no company: a batch of one leaves at once."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.errors import Refusal, Unavailable
from tradepost.kernel.log.dispatch import is_retryable
from tradepost.kernel.right_of_way import RightOfWay

ITEMS_WAITING: Final = 2_000
BYTES_WAITING: Final = 16 * 1024 * 1024
BATCH_ITEMS: Final = 256
RETRY_AFTER_S: Final = 1
LOST_TRIES: Final = 5
LOST_PAUSE_S: Final = 0.2
LOOKING: Final = 10  # batches that look, after one that should have

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

Run = Callable[[Tx, Sequence[I], bool], Awaitable[Sequence[R | Refusal]]]


class Known(Exception):
    """An item was done before, and nobody had looked."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[I, R]):
    item: I
    caller: Hashable
    key: Hashable
    size: int
    verdict: "asyncio.Future[R]"


class Batcher(Generic[I, R]):
    """Runs `run(tx, items, looks)`, which gives each item its own verdict: a result, or a refusal that spares the
    others.

    If it `looks`, `run` begins by looking the items' keys up, so that an item whose COMMIT was lost on the way is found
    rather than done again. Else they are taken for new: the transaction fails with `Known` when one is not, and is done
    again. If it raises, the batch is halved until the culprit is alone and gets the exception. Items of one key never
    share a batch. What waits is taken round-robin per caller, and has the right of `way`."""

    def __init__(
        self,
        db: Database,
        run: Run[I, R],
        way: RightOfWay | None = None,
        *,
        batch_items: int = BATCH_ITEMS,
        workers: int = 1,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._db = db
        self._run = run
        self._way = way or RightOfWay()
        self._batch_items = batch_items
        self._queues: OrderedDict[Hashable, deque[_Waiting[I, R]]] = OrderedDict()
        self._items = 0
        self._bytes = 0
        self._busy: set[Hashable] = set()
        self._looking = 0
        self._closing = False
        self._arrived = asyncio.Event()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(workers)]

    async def submit(self, item: I, *, caller: Hashable, key: Hashable, size: int = 0) -> R:
        """The result for `item`; `size` in bytes. Errors: the item's refusal, Unavailable when too much waits.
        A caller that goes away does not stop what it asked for."""
        if self._closing:
            raise Unavailable("The service is being stopped.", code="stopping", retry_after_s=RETRY_AFTER_S)
        if self._items >= ITEMS_WAITING or self._bytes + size > BYTES_WAITING:
            raise Unavailable("Too many requests wait already.", code="overloaded", retry_after_s=RETRY_AFTER_S)
        waiting: _Waiting[I, R] = _Waiting(item, caller, key, size, self._loop.create_future())
        self._queues.setdefault(caller, deque()).append(waiting)
        self._items += 1
        self._bytes += size
        self._arrived.set()
        self._way.come()
        waiting.verdict.add_done_callback(self._answered)
        return await waiting.verdict

    async def close(self) -> None:
        """Finish what waits, then stop; what comes later is refused."""
        self._closing = True
        while self._items or self._busy:
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answered(self, _verdict: "asyncio.Future[R]") -> None:
        self._way.go()

    async def _work(self) -> None:
        while True:
            batch = self._take()
            if not batch:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            keys = {waiting.key for waiting in batch}
            self._busy |= keys
            try:
                await self._decide(batch)
            finally:
                self._busy -= keys
                self._arrived.set()

    def _take(self) -> list[_Waiting[I, R]]:
        """The oldest item of each caller in turn, until the batch is full; at most one per key."""
        batch: list[_Waiting[I, R]] = []
        keys = set(self._busy)
        held = True
        while held and len(batch) < self._batch_items:
            held = False
            for caller in list(self._queues):
                queue = self._queues[caller]
                if queue[0].key in keys or len(batch) >= self._batch_items:
                    continue
                held = True
                waiting = queue.popleft()
                keys.add(waiting.key)
                batch.append(waiting)
                if not queue:
                    del self._queues[caller]
                else:
                    self._queues.move_to_end(caller)
        if len(batch) == self._batch_items:
            self._way.overflow()
        self._items -= len(batch)
        self._bytes -= sum(waiting.size for waiting in batch)
        return batch

    async def _decide(self, batch: Sequence[_Waiting[I, R]]) -> None:
        try:
            verdicts = await self._commit([waiting.item for waiting in batch])
        except Exception as error:
            if len(batch) == 1 or is_retryable(error):
                for waiting in batch:
                    _settle(waiting, error)
                return
            half = len(batch) // 2
            await self._decide(batch[:half])
            await self._decide(batch[half:])
            return
        for waiting, verdict in zip(batch, verdicts, strict=True):
            _settle(waiting, verdict)

    async def _commit(self, items: Sequence[I]) -> Sequence[R | Refusal]:
        """One transaction; again when the connection was lost, since `run` finds what was committed after all."""
        looks, self._looking = self._looking > 0, max(0, self._looking - 1)
        for attempt in range(1, LOST_TRIES + 1):
            try:
                async with self._db.transaction() as tx:
                    verdicts = _one_each(await self._run(tx, items, looks), items)
                return verdicts  # noqa: RET504 - only after the commit
            except Known:
                looks, self._looking = True, LOOKING
            except Exception as error:
                if not is_retryable(error) or attempt == LOST_TRIES:
                    raise
                looks = True
                await asyncio.sleep(LOST_PAUSE_S * attempt)
        raise AssertionError("unreachable")


def _one_each(verdicts: Sequence[R | Refusal], items: Sequence[I]) -> Sequence[R | Refusal]:
    """Before the commit: a verdict too few would leave a caller waiting for ever."""
    if len(verdicts) != len(items):
        raise ValueError(f"{len(verdicts)} verdicts for {len(items)} items")
    return verdicts


def _settle(waiting: _Waiting[I, R], verdict: R | Exception) -> None:
    if waiting.verdict.done():
        return
    if isinstance(verdict, Exception):
        waiting.verdict.set_exception(verdict)
        waiting.verdict.exception()  # seen: the caller may have gone away
    else:
        waiting.verdict.set_result(verdict)
