"""Database and Tx: one transaction, and the events that come true with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import msgspec

from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.log.append import COPIED, Pending, copy, insertion
from tradepost.kernel.pool import Connection, Pool
from tradepost.kernel.session import PLANNED_ONCE, SESSION
from tradepost.kernel.wire import opener, wire_of
from tradepost.kernel.writes import Write, write

TRANSACTIONS: Final = 6  # at once
LOOKS: Final = 4

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
    """A transaction, which begins with its first statement and ends with its last. Events are collected and inserted
    last, after every row that they are about was locked."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._wire = connection, wire_of(connection)
        self.begun = False  # or begins with what is sent next
        self._later: list[Write] = []
        self._last: list[Write] = []
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
        if not args:
            await self.begin()
        await self._ready()
        return await self._connection.execute(sql, *args)

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Insert many rows for less than a statement takes, but for all or none of them: there is no ON CONFLICT."""
        await self.begin()
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

    def last(self, sql: str, *args: object, rows: int | None = None, otherwise: Exception | None = None) -> None:
        """As `later`, but with the last of what is written, whatever is asked before."""
        self._last.append(Write(sql, args, rows, otherwise))

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

    async def flush(self) -> None:
        """Write what waits, and insert the collected events."""
        await self._settle(self._collected())

    async def begin(self) -> None:
        """At once, unless it has begun."""
        if not self.begun or self._wire.begins:
            self._wire.begins = self.begun = False
            await self._connection.execute("BEGIN")
            self.begun = True

    async def commit(self) -> int:
        """Write what waits, and end; how many events were appended. Called by `Database`. Errors: CommitUnknown; any
        other says that nothing was done."""
        if self._wire.begins:  # nothing was sent since
            self._wire.begins = self.begun = False
        copied = self._collected()
        if copied and (self.begun or self._later):
            await self._settle(copied)
            copied = []
        try:
            await self._end(copied)
        except asyncpg.DataError:  # an argument that can't be sent
            raise
        except (*LOST, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError) as lost:
            raise CommitUnknown(str(lost)) from lost
        except asyncpg.PostgresError:
            self.begun = self._connection.is_in_transaction()
            raise
        return self._appended

    async def roll_back(self) -> None:
        """Called by `Database`."""
        has_begun = self.begun and not self._wire.begins
        self._wire.begins = self._wire.commits = False
        if has_begun:
            await self._connection.execute("ROLLBACK")

    async def _ready(self) -> None:
        self._announce()
        await self._write()
        self.statements += 1

    def _announce(self) -> None:
        """Begin with what is sent next."""
        if not self.begun:
            self._wire.begins = self.begun = True

    def _collected(self) -> Sequence[Pending]:
        """The events that wait, if they are so many that they are copied; fewer are written with the rest."""
        self._later, self._last = [*self._later, *self._last], []
        events, self._pending = self._pending, []
        self._appended += len(events)
        if not 0 < len(events) < COPIED:
            return events
        self.later(*insertion(events))
        return []

    async def _settle(self, copied: Sequence[Pending]) -> None:
        self._announce()
        await self._write()
        if copied:
            await self.begin()
            await self._copy(copied)

    async def _end(self, copied: Sequence[Pending]) -> None:
        """The last of all, and COMMIT; one statement alone is a transaction by itself."""
        if self._later:
            await self._write(commits=self.begun)
        elif copied:
            await self._copy(copied)
        elif self.begun:
            await self._connection.execute("COMMIT")

    async def _copy(self, events: Sequence[Pending]) -> None:
        self.statements += 1
        await copy(self._connection, events)

    async def _write(self, *, commits: bool = False) -> None:
        writes, self._later = self._later, []
        if writes:
            self.statements += 1
            await write(self._connection, writes, commits=commits)

    @property
    def woken(self) -> Collection[str]:
        return self._woken


class Database:
    """Connections under one role with one schema, and the way into transactions. These have connections of their own,
    where each statement is planned once; what is asked outside of them is planned for its arguments: ADR 19."""

    def __init__(self, looks: Pool, transactions: Pool, schema: str) -> None:
        self._looks, self._transactions = looks, transactions
        self.schema = schema
        self.statements = 0  # sent so far, for the tests that count them
        self.on_events: Callable[[], None] = lambda: None
        self.on_wake: Callable[[Collection[str]], None] = lambda _names: None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Commits at the end, rolls back on an exception. Errors: CommitUnknown."""
        connection = await self._transactions.take()
        tx, broken = Tx(connection), False
        try:
            try:
                yield tx
                appended = await tx.commit()
            except BaseException as error:
                # What is one statement may still be under way. Of what has begun ROLLBACK is behind the last.
                broken = not tx.begun and isinstance(error, (asyncio.CancelledError, TimeoutError, CommitUnknown))
                with suppress(*LOST):  # a lost connection must not hide why, least of all a cancellation
                    await tx.roll_back()
                raise
        finally:
            self.statements += tx.statements
            self._transactions.give(connection, broken=broken)
        if appended:
            self.on_events()
        if tx.woken:
            self.on_wake(tx.woken)

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows of one statement outside a transaction."""
        self.statements += 1
        return await self._looks.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row of one statement outside a transaction, or None."""
        self.statements += 1
        return await self._looks.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row of one statement outside a transaction, or None."""
        self.statements += 1
        return await self._looks.fetchval(sql, *args)

    async def close(self) -> None:
        """Wait for what is running and close."""
        await self._transactions.close()
        await self._looks.close()

    def terminate(self) -> None:
        """End all connections at once."""
        self._transactions.terminate()
        self._looks.terminate()


@asynccontextmanager
async def connect(url: str, schema: str, *, transactions: int = TRANSACTIONS) -> AsyncIterator[Database]:
    """A database whose unqualified names are those of `schema`, for so many transactions at once."""
    settings = {**SESSION, "search_path": f'"{schema}", extension', "application_name": f"tradepost {schema}"}
    looks = Pool(opener(url, settings), LOOKS)
    database = Database(looks, Pool(opener(url, {**settings, **PLANNED_ONCE}), transactions), schema)
    try:
        yield database
    finally:
        await database.close()
