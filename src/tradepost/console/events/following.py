"""What is new in all logs since a look before: everything that a snapshot shows and the one before it did not, so that
an event whose transaction commits late is not passed over."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tradepost.console.databases import Connections
from tradepost.console.events.reading import Logged, in_order
from tradepost.kernel.log.batch import raw

# The numbers stand in the statement, since a plan for any numbers could read the whole log.
_NEWS: Final = """
SELECT '{source}' AS source, id, event_id::text AS event_id, type, key, slot, sequence, at, correlation_id,
       causation_id::text AS causation_id, traceparent, data
FROM "{source}".event
WHERE epoch = {epoch} AND xid >= '{xmax}'::xid8 OR epoch = {epoch} AND xid = ANY ('{{{xip}}}'::xid8[])
   OR epoch > {epoch}
"""
_SNAPSHOT: Final = """
SELECT (SELECT max(epoch) FROM log.epoch) AS epoch, pg_snapshot_xmax(snapshot)::text AS xmax,
       ARRAY(SELECT pg_snapshot_xip(snapshot)::text) AS xip
FROM pg_current_snapshot() AS snapshot
"""


class Follower:
    """Looks at the logs of `sources`. What a look shows, no later one shows again, and nothing is left out."""

    def __init__(self, connections: Connections, sources: Iterable[str]) -> None:
        by_connection: dict[int, tuple[Any, list[str]]] = {}
        for source in sources:
            connection = connections[source]
            by_connection.setdefault(id(connection), (connection, []))[1].append(source)
        self._databases = list(by_connection.values())
        self._seen: dict[int, Any] = {}

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """A block that sees each database as it is now; the next look shows what came after that."""
        opened = [
            connection.transaction(isolation="repeatable_read", readonly=True) for connection, _ in self._databases
        ]
        for transaction, (connection, _) in zip(opened, self._databases, strict=True):
            await transaction.start()
            self._seen[id(connection)] = await connection.fetchrow(_SNAPSHOT)
        try:
            yield
        finally:
            for transaction in opened:
                await transaction.rollback()

    async def news(self, wanted: Callable[[Logged], bool]) -> Sequence[Logged]:
        """The events of which `wanted` holds that came since the last look, by time."""
        found: list[Logged] = []
        for connection, sources in self._databases:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                seen, self._seen[id(connection)] = self._seen[id(connection)], await connection.fetchrow(_SNAPSHOT)
                xip = ",".join(seen["xip"])
                parts = [
                    _NEWS.format(source=source, epoch=seen["epoch"], xmax=seen["xmax"], xip=xip) for source in sources
                ]
                rows = await connection.fetch(" UNION ALL ".join(parts))
            found += [Logged(row["source"], raw(row)) for row in rows]
        return in_order(one for one in found if wanted(one))
