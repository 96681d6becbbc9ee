"""Database and Tx: one transaction, and the events that come true with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import msgspec
from asyncpg.protocol import protocol

from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.log.append import COPIED, Pending, copy, insertion
from tradepost.kernel.pool import Connection, Pool
from tradepost.kernel.writes import Write, write

COMMAND_TIMEOUT_S: Final = 60.0
POOL_SIZE: Final = 6
SESSION: Final = {
    "default_transaction_isolation": "read committed",  # what the locks rely on, whatever the server's default is
    # These free the locks of a process that was paused. Between preparing a statement and executing it a session is not
    # idle for PostgreSQL: only the limit of the statement ends it then. While we are awake, our own comes first.
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "70s",
}

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
    OSError,
)

Row = Mapping[str, Any]


class CommitUnknown(ConnectionError):
    """The connection was lost during COMMIT: the transaction may have been committed or not."""


class Tx:
    """A transaction, which begins with its first statement. Events are collected and inserted last, after every row
    that they are about was locked."""

    __slots__ = ("_appended", "_connection", "_depth", "_later", "_pending", "_woken", "begun", "statements")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.begun = False
        self._later: list[Write] = []
        self._pending: list[Pending] = []
        self._appended = 0
        self._woken: set[str] = set()
        self._depth = 0
        self.statements = 0

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows of the answer."""
        await self._ready()
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row, or None."""
        await self._ready()
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        await self._ready()
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        """The status of the command, such as `UPDATE 3`."""
        await self._ready()
        return await self._connection.execute(sql, *args)

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Insert many rows for less than a statement takes, but for all or none of them: there is no ON CONFLICT."""
        await self._ready()
        await self._connection.copy_records_to_table(table, records=rows, columns=columns)

    async def look(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows of a query that locks nothing, for which the transaction need not have begun."""
        if self.begun or self._later:
            return await self.fetch(sql, *args)
        self.statements += 1
        return await self._connection.fetch(sql, *args)

    def later(self, sql: str, *args: object, rows: int | None = None, otherwise: Exception | None = None) -> None:
        """Write before the next statement or the commit, in one statement with all others that wait for it: see
        `kernel/writes.py`. What it updates must be locked already, for the sake of the events about it."""
        self._later.append(Write(sql, args, rows, otherwise))

    def append(self, fact: Fact, *, sequence: int, cause: Cause) -> None:
        """Publish `fact` with this transaction. `sequence` is the version of the aggregate that it is about, whose
        row this transaction has locked."""
        self._pending.append(Pending(fact.type, fact.key, sequence, msgspec.json.encode(fact), cause))

    def wake(self, name: str) -> None:
        """After the commit, wake the job or waiter of this name in this process."""
        self._woken.add(name)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail alone, together with the events that it appended."""
        await self.begin()
        await self._write()
        pending, appended = list(self._pending), self._appended
        self._depth += 1
        name = f"part_{self._depth}"
        try:
            await self._connection.execute(f"SAVEPOINT {name}")
            try:
                yield
                await self._write()
            except BaseException:
                with suppress(*LOST):
                    await self._connection.execute(f"ROLLBACK TO {name}")
                self._pending, self._appended, self._later = pending, appended, []
                raise
            await self._connection.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1

    async def settle(self) -> None:
        """Do now what else waits for the commit, so that what is wrong with it shows here: insert the collected
        events, check deferred constraints."""
        await self.flush()
        await self.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")

    async def flush(self) -> int:
        """Write what waits, and insert the collected events; how many this transaction has appended. Called by
        `Database` and `settle`."""
        events, self._pending = self._pending, []
        if 0 < len(events) < COPIED:
            self.later(*insertion(events))
        await self._write()
        if len(events) >= COPIED:
            self.statements += 1
            await copy(self._connection, events)
        self._appended += len(events)
        return self._appended

    @property
    def is_one_statement(self) -> bool:
        """Whether all that there is to do is one, which is a transaction by itself, or none."""
        return not self.begun and not (self._later and len(self._pending) >= COPIED)

    async def begin(self) -> None:
        """Unless it has begun already."""
        if not self.begun:
            await self._connection.execute("BEGIN")
            self.begun = True

    async def commit(self) -> int:
        """How many events were appended. Called by `Database`."""
        appended = await self.flush()
        if self.begun:
            await self._connection.execute("COMMIT")
        return appended

    async def roll_back(self) -> None:
        """Called by `Database`."""
        if self.begun:
            await self._connection.execute("ROLLBACK")

    async def _ready(self) -> None:
        await self.begin()
        await self._write()
        self.statements += 1

    async def _write(self) -> None:
        writes, self._later = self._later, []
        if writes:
            self.statements += 1
            await write(self._connection, writes)

    @property
    def woken(self) -> Collection[str]:
        return self._woken


class Database:
    """A pool of connections under one role with one schema, and the way into transactions."""

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool = pool
        self.schema = schema
        self.statements = 0  # sent so far, for the tests that count them
        self.on_events: Callable[[], None] = lambda: None
        self.on_wake: Callable[[Collection[str]], None] = lambda _names: None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Commits at the end, rolls back on an exception. Errors: CommitUnknown."""
        connection = await self._pool.take()
        tx, broken = Tx(connection), False
        try:
            try:
                yield tx
                if not tx.is_one_statement:
                    await tx.begin()
                    await tx.flush()
            except BaseException as error:
                broken = not tx.begun and isinstance(error, (asyncio.CancelledError, TimeoutError))
                with suppress(*LOST):  # a lost connection must not hide why, least of all a cancellation
                    await tx.roll_back()
                raise
            try:
                appended = await tx.commit()
            except LOST as lost:
                raise CommitUnknown(str(lost)) from lost
            except (asyncio.CancelledError, TimeoutError):
                broken = True
                raise
        finally:
            self.statements += tx.statements
            self._pool.give(connection, broken=broken)
        if appended:
            self.on_events()
        if tx.woken:
            self.on_wake(tx.woken)

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows of one statement outside a transaction."""
        self.statements += 1
        return await self._pool.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row of one statement outside a transaction, or None."""
        self.statements += 1
        return await self._pool.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row of one statement outside a transaction, or None."""
        self.statements += 1
        return await self._pool.fetchval(sql, *args)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A bare connection, for COPY and LISTEN."""
        async with self._pool.acquire() as connection:
            yield connection

    async def close(self) -> None:
        """Wait for what is running and close."""
        await self._pool.close()


def _tell_arrays_by_their_type() -> None:
    """asyncpg asks of each element of an array whether it is an array in turn, through abstract classes: half of what
    encoding takes. Ours are lists and tuples."""
    protocol.IterableABC = protocol.SizedABC = (list, tuple)


def opener(url: str, settings: Mapping[str, str]) -> Callable[[], Awaitable[Connection]]:
    """How a pool opens its connections to `url`, with these settings of the session."""

    async def opened() -> Connection:
        return await asyncpg.connect(url, command_timeout=COMMAND_TIMEOUT_S, server_settings=dict(settings))

    return opened


@asynccontextmanager
async def connect(url: str, schema: str, *, size: int = POOL_SIZE) -> AsyncIterator[Database]:
    """A database whose unqualified names are those of `schema`."""
    _tell_arrays_by_their_type()
    settings = {**SESSION, "search_path": f'"{schema}", extension', "application_name": f"tradepost {schema}"}
    pool = Pool(opener(url, settings), size)
    database = Database(pool, schema)
    try:
        yield database
    finally:
        await database.close()
