"""Waiting for news of one key without polling: a waiter is woken by the tick that shows the next event of its key."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from tradepost.kernel.log.batch import Tick
from tradepost.kernel.log.ticks import Ticks

TRY_AGAIN_S: Final = 0.5

_CHANGED: Final = """
SELECT DISTINCT key FROM {schema}.event
WHERE epoch = $1
  AND (xid >= $2::text::xid8 AND xid < $3::text::xid8 OR xid = ANY ($4::text[]::xid8[]))
  AND key = ANY ($5::text[])
"""

logger = structlog.get_logger()


class Watch:
    """Wakes waiters of this process about one publisher's keys, whichever process wrote the event."""

    def __init__(self, ticks: Ticks, source: str) -> None:
        self._ticks = ticks
        self._sql = _CHANGED.format(schema=f'"{source}"')
        self._source = source
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def on(self, key: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something was published about `key`; clear it before you look."""
        changed = asyncio.Event()
        self._waiters[key].add(changed)
        try:
            yield changed
        finally:
            self._waiters[key].discard(changed)
            if not self._waiters[key]:
                del self._waiters[key]

    async def run(self) -> None:
        """Until cancelled."""
        seen = self._ticks.newest
        while True:
            newest = await self._ticks.after(seen.id)
            try:
                if self._waiters and self._ticks.silent_until(seen.id, self._source) is not newest:
                    await self._wake(seen, newest)
            except Exception as error:
                logger.warning("watch_interrupted", source=self._source, why=str(error))
                self._wake_all()
                await asyncio.sleep(TRY_AGAIN_S)
            seen = newest

    async def _wake(self, seen: Tick, newest: Tick) -> None:
        if seen.epoch != newest.epoch:
            self._wake_all()
            return
        rows = await self._ticks.pool.fetch(
            self._sql, seen.epoch, str(seen.xmax), str(newest.xmax), [str(x) for x in seen.xip], list(self._waiters)
        )
        for row in rows:
            for changed in self._waiters.get(row["key"], ()):
                changed.set()

    def _wake_all(self) -> None:
        for waiters in self._waiters.values():
            for changed in waiters:
                changed.set()
