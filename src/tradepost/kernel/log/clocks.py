"""The clocks of all the databases that a process reads logs in, each opened when it is first asked for."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from tradepost.kernel.log.ticks import IDLE_S, Ticks
from tradepost.kernel.migrate import READER, url_as
from tradepost.kernel.pool import Pool
from tradepost.kernel.session import PLANNED_ONCE, SESSION
from tradepost.kernel.wire import opener

READER_POOL: Final = 6
FOREIGN_IDLE_S: Final = 1.0  # whose writers tick themselves; we do it for those that died


class UnknownDatabase(LookupError):
    """A log is to be read whose database nobody named; the message says which variable does."""


class Clocks(Mapping[str, Ticks]):
    """Those that run, by publisher; `owner` shows in its `own` databases that it is alive. `databases` are URLs by
    publisher, of which several may be equal."""

    def __init__(self, databases: Mapping[str, str], secret: str, owner: str, own: frozenset[str]) -> None:
        self._databases, self._secret, self.owner = databases, secret, owner
        self._own = {databases[name] for name in own}
        self._stack = AsyncExitStack()
        self._by_url: dict[str, Ticks] = {}
        self._opening = asyncio.Lock()

    def __getitem__(self, source: str) -> Ticks:
        return self._by_url[self._databases[source]]

    def __iter__(self) -> Iterator[str]:
        return (source for source, url in self._databases.items() if url in self._by_url)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    async def of(self, source: str) -> Ticks:
        """The clock of the publisher's database. Errors: UnknownDatabase; Rebased; whatever says that the database
        is not there, or not set up, yet."""
        url = self._url(source)
        async with self._opening:
            if url not in self._by_url:
                self._by_url[url] = await self._opened(url)
        return self._by_url[url]

    @asynccontextmanager
    async def asked(self, source: str) -> AsyncIterator[Pool]:
        """Connections to the publisher's database, for a look into its log: its clock's where that runs, or their own.
        Errors: UnknownDatabase."""
        url = self._url(source)
        if url in self._by_url:
            yield self._by_url[url].pool
            return
        pool = reader_pool(url, self._secret)
        try:
            yield pool
        finally:
            await pool.close()

    async def close(self) -> None:
        """Stop all."""
        await self._stack.aclose()

    def _url(self, source: str) -> str:
        try:
            return self._databases[source]
        except KeyError:
            why = f"{source}'s log is to be read: set TRADEPOST_{source.upper()}_DATABASE_URL"
            raise UnknownDatabase(why) from None

    async def _opened(self, url: str) -> Ticks:
        async with AsyncExitStack() as stack:
            pool = reader_pool(url, self._secret)
            stack.push_async_callback(pool.close)
            own = url in self._own
            ticks = Ticks(pool, owner=self.owner if own else None, idle_s=IDLE_S if own else FOREIGN_IDLE_S)
            await ticks.start()
            stack.push_async_callback(ticks.stop)
            self._stack.push_async_exit(stack.pop_all())
        return ticks


def reader_pool(url: str, secret: str) -> Pool:
    """Connections to the database at `url` as the role that may read logs and tick."""
    settings = {**SESSION, **PLANNED_ONCE, "application_name": "tradepost log"}
    return Pool(opener(url_as(url, READER, secret), settings), READER_POOL)
