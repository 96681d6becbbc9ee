"""Database and Tx: one transaction, and the events that come true with it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import msgspec
from asyncpg.protocol import protocol

from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.log.append import Pending, append_all
from tradepost.kernel.pool import Connection, Pool

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
    """An open transaction. Events are collected and inserted last, after every row that they are about was locked."""

    __slots__ = ("_appended", "_connection", "_depth", "_pending", "_woken", "statements")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pending: list[Pending] = []
        self._appended = 0
        self._woken: set[str] = set()
        self._depth = 0
        self.statements = 0

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows of the answer."""
        self.statements += 1
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row, or None."""
        self.statements += 1
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        self.statements += 1
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        """The status of the command, such as `UPDATE 3`."""
        self.statements += 1
        return await self._connection.execute(sql, *args)

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Insert many rows for less than a statement takes, but for all or none of them: there is no ON CONFLICT."""
        self.statements += 1
        await self._connection.copy_records_to_table(table, records=rows, columns=columns)

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
        pending, appended = list(self._pending), self._appended
        self._depth += 1
        name = f"part_{self._depth}"
        try:
            await self._connection.execute(f"SAVEPOINT {name}")
            try:
                yield
            except BaseException:
                with suppress(*LOST):
                    await self._connection.execute(f"ROLLBACK TO {name}")
                self._pending, self._appended = pending, appended
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
        """Insert the collected events; how many this transaction has appended. Called by `Database` and `settle`."""
        if self._pending:
            self.statements += 1
            await append_all(self._connection, self._pending)
            self._appended += len(self._pending)
            self._pending = []
        return self._appended

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
        try:
            await connection.execute("BEGIN")
            tx = Tx(connection)
            try:
                yield tx
                appended = await tx.flush()
            except BaseException:
                with suppress(*LOST):  # a lost connection must not hide why, least of all a cancellation
                    await connection.execute("ROLLBACK")
                raise
            finally:
                self.statements += tx.statements
            try:
                await connection.execute("COMMIT")
            except LOST as lost:
                raise CommitUnknown(str(lost)) from lost
        finally:
            self._pool.give(connection)
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
