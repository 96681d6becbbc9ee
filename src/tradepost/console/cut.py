"""A cut: one snapshot of every database at once, in which state and events of all services agree.

While a cut is taken, all logs are locked against new events and new ticks; then a snapshot is taken in each database,
and the locks are released. An effect is a transaction in the consumer's own database that moves its cursor, or writes
its inbox, along with it: it is in the cut as a whole or not at all. If it is, the events that it read were committed
before it, so before the locks, and are in the publisher's part. The tick that its cursor names is there, too, since no
tick is made meanwhile and none deleted.

Transactions that publish nothing may commit while the snapshots are taken: a reader's cursor may have moved on over
events that it had nothing to publish about. That is harmless, because nothing but an event carries an effect from one
database to another.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import asyncpg

from tradepost import process
from tradepost.console.trouble import Trouble

LOCK_TIMEOUT: Final = "1s"  # writers queue behind us while we wait, so we give up soon and try again
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)
PAUSED: Final = "5s"  # when this process is stopped while it holds the locks, the server frees them

_LOCKING: Final = {"lock_timeout": LOCK_TIMEOUT, "idle_in_transaction_session_timeout": PAUSED}
_READING: Final = {"idle_in_transaction_session_timeout": "0"}

# Two URLs may name one database.
_IDENTITY: Final = """
SELECT system_identifier::text, pg_postmaster_start_time()::text, oid::text
FROM pg_control_system(), pg_database WHERE datname = current_database()
"""
# ONLY: whoever writes locks the whole log first, and partitions alone belong to autovacuum. Events before ticks, in
# the order of `log.open_epoch()`.
_LOCK: Final = "LOCK TABLE {events}, log.tick IN SHARE MODE"


class CutError(Trouble):
    """There is no moment without writers to be had."""


@dataclass(frozen=True)
class Store:
    """One database and the services that live in it. `reader` is in the cut's transaction while there is one."""

    url: str
    services: tuple[str, ...]
    reader: Any
    _locker: Any

    async def lock(self) -> None:
        """In a transaction of the locker: no more events and ticks until it ends."""
        events = ", ".join(f'ONLY "{schema}".event' for schema in sorted(self.services))
        await self._locker.execute(_LOCK.format(events=events))


@asynccontextmanager
async def open_stores(
    urls: Mapping[str, str], session: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[tuple[Store, ...]]:
    """The distinct databases among `urls`, which are by service; `options` are for the readers. Errors:
    DatabaseError."""
    async with AsyncExitStack() as stack:
        homes: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for service, url in urls.items():
            homes[await identity(url, service)].append(service)
        stores = []
        for _, services in sorted(homes.items()):
            url = urls[services[0]]
            reader = await _connected(stack, url, services, {**_READING, **(session or {})}, **options)
            locker = await _connected(stack, url, services, {**_LOCKING, **(session or {})})
            stores.append(Store(url, tuple(services), reader, locker))
        yield tuple(stores)


@asynccontextmanager
async def cut(stores: Sequence[Store]) -> AsyncIterator[float]:
    """Every store's reader in a REPEATABLE READ transaction, all of them at one cut; how many seconds writers were held
    up at most. With one database a snapshot is a cut, and nobody waits. Errors: CutError."""
    async with snapshots(stores) if len(stores) == 1 else _cut(stores) as blocked_s:
        yield blocked_s


@asynccontextmanager
async def snapshots(stores: Sequence[Store]) -> AsyncIterator[float]:
    """A snapshot in each database, taken one after the other: of several databases they need not agree."""
    async with AsyncExitStack() as stack:
        for store in stores:
            await _freeze(stack, store)
        yield 0.0


@asynccontextmanager
async def _cut(stores: Sequence[Store]) -> AsyncIterator[float]:
    async with AsyncExitStack() as stack:
        yield await _tried(stores, stack)


async def _tried(stores: Sequence[Store], stack: AsyncExitStack) -> float:
    for pause_s in PAUSES_S:
        try:
            return await _frozen(stores, stack)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(pause_s)
    raise CutError("a transaction that writes events does not end, so there is no consistent moment: try again")


async def _frozen(stores: Sequence[Store], stack: AsyncExitStack) -> float:
    began = monotonic()
    async with AsyncExitStack() as locks:
        for store in stores:  # always in one order, so that two cuts don't wait for each other
            await locks.enter_async_context(store._locker.transaction())
            await store.lock()
        for store in stores:
            await _freeze(stack, store)
    return monotonic() - began


async def _freeze(stack: AsyncExitStack, store: Store) -> None:
    await stack.enter_async_context(store.reader.transaction(isolation="repeatable_read", readonly=True))
    await store.reader.fetchval("SELECT pg_current_snapshot()")  # the first statement takes the snapshot


async def _connected(
    stack: AsyncExitStack, url: str, services: Sequence[str], session: Mapping[str, str], **options: Any
) -> Any:
    connection = await process.connect(url, services, server_settings=dict(session), **options)
    stack.push_async_callback(connection.close)
    return connection


async def identity(url: str, service: str) -> tuple[str, ...]:
    """What tells the database at `url`, which is that of `service`, from every other. Errors: DatabaseError."""
    connection = await process.connect(url, [service])
    try:
        return tuple(await connection.fetchrow(_IDENTITY))
    finally:
        await connection.close()
