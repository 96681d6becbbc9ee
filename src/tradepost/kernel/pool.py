"""Connections to one database under one role, opened when they are needed, kept while they are used, and never more
than so many. Taking one and giving it back costs a few microseconds, where asyncpg's own pool wraps each anew, gives it
back in a task and resets it: as much as a round trip in each transaction. Sessions must leave nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

PATIENCE_S: Final = 10.0  # for a free connection
IDLE_S: Final = 60.0  # without use, and it is closed
FAREWELL_S: Final = 5.0  # for a server to take our leave

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
R = TypeVar("R")


class Pool:
    """`open_` opens a connection, and there are `size` at most. Errors of all that ask for one: TimeoutError when none
    comes free in time, InterfaceError after the end, and what opening says."""

    def __init__(self, open_: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._open = open_
        self._free: list[tuple[Connection, float]] = []  # with the time since when; the last is the one used last
        self._taken: set[Connection] = set()
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self._closed = False
        self._sweeping: asyncio.TimerHandle | None = None

    async def take(self) -> Connection:
        """A connection that is ours until we give it back."""
        if self._closed:
            raise asyncpg.InterfaceError("the pool is closed")
        if self._slots.locked():
            async with asyncio.timeout(PATIENCE_S):
                await self._slots.acquire()
        else:
            await self._slots.acquire()
        try:
            connection = await self._ready()
        except BaseException:
            self._slots.release()
            raise
        self._taken.add(connection)
        return connection

    def give(self, connection: Connection, *, broken: bool = False) -> None:
        """Back, for others; one that is `broken`, or in the middle of a transaction, ends."""
        self._taken.discard(connection)
        if broken or self._closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        else:
            loop = asyncio.get_running_loop()
            self._free.append((connection, loop.time()))
            if self._sweeping is None:
                self._sweeping = loop.call_later(IDLE_S, self._sweep)
        self._slots.release()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """One for as long as the block takes."""
        connection = await self.take()
        broken = True
        try:
            yield connection
            broken = False
        finally:
            self.give(connection, broken=broken)

    async def fetch(self, sql: str, *args: object) -> Sequence[Any]:
        """All rows of one statement."""
        return await self._one(asyncpg.Connection.fetch, sql, args)

    async def fetchrow(self, sql: str, *args: object) -> Any:
        """The first row of one statement, or None."""
        return await self._one(asyncpg.Connection.fetchrow, sql, args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row of one statement, or None."""
        return await self._one(asyncpg.Connection.fetchval, sql, args)

    async def execute(self, sql: str, *args: object) -> str:
        """The status of one statement."""
        return await self._one(asyncpg.Connection.execute, sql, args)

    async def close(self) -> None:
        """Wait for those that are taken, and close all; one whose server is gone without our knowing just ends."""
        self._closed = True
        self._stop_sweeping()
        for _ in range(self._size):
            await self._slots.acquire()
        for connection, _ in self._free:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=FAREWELL_S)
        self._free.clear()
        for _ in range(self._size):
            self._slots.release()

    def terminate(self) -> None:
        """End all at once, the taken ones, too."""
        self._closed = True
        self._stop_sweeping()
        for connection in (*self._taken, *(connection for connection, _ in self._free)):
            connection.terminate()
        self._free.clear()

    async def _ready(self) -> Connection:
        while self._free:
            connection, _ = self._free.pop()
            if not connection.is_closed():
                return connection
        if self._closed:  # while we waited
            raise asyncpg.InterfaceError("the pool is closed")
        return await self._open()

    async def _one(self, ask: Callable[..., Awaitable[R]], sql: str, args: Sequence[object]) -> R:
        connection = await self.take()
        broken = True
        try:
            answer = await ask(connection, sql, *args)
            broken = False
            return answer
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            broken = False  # it is the statement's fault
            raise
        finally:
            self.give(connection, broken=broken)

    def _sweep(self) -> None:
        """Close those that nobody needed for long."""
        now = asyncio.get_running_loop().time()
        while self._free and self._free[0][1] <= now - IDLE_S:
            self._free.pop(0)[0].terminate()
        left = self._free[0][1] + IDLE_S - now if self._free else None
        self._sweeping = None if left is None else asyncio.get_running_loop().call_later(left, self._sweep)

    def _stop_sweeping(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
