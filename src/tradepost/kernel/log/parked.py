"""What a group could not digest: to see it, to apply it after all, to give it up. The key waits until then."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from tradepost.kernel.log import inbox
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.dispatch import apply
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx

LISTED: Final = 1_000
TRIES: Final = 3

_LIST: Final = """
SELECT source, "group", key, count(*) AS events, min(at) AS since,
       (array_agg(event->>'type' ORDER BY position))[1] AS type,
       (array_agg(event->>'id' ORDER BY position))[1] AS event_id,
       (array_agg(error ORDER BY position))[1] AS error
FROM parked WHERE $1::text IS NULL OR "group" = $1
GROUP BY source, "group", key ORDER BY since, source, "group", key LIMIT $2
"""
# The consumer of a place with something parked locks it first, too: it waits, and afterwards sees how many are left.
_LOCK: Final = 'SELECT FROM cursor WHERE "group" = $1 ORDER BY source, first_slot FOR UPDATE'
_OF_KEY: Final = """
SELECT source, event FROM parked WHERE "group" = $1 AND key = $2 ORDER BY source, position
"""
_FORGET: Final = """
WITH gone AS (
    DELETE FROM parked WHERE "group" = $1 AND key = $2 RETURNING source, slot
), counted AS (
    SELECT source, slot, count(*)::int AS events FROM gone GROUP BY source, slot
), lowered AS (
    UPDATE cursor SET parked = cursor.parked - counted.events FROM counted
    WHERE cursor.source = counted.source AND cursor."group" = $1
      AND counted.slot BETWEEN cursor.first_slot AND cursor.last_slot
)
SELECT count(*) FROM gone
"""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A key that waits: `event_id`, `type` and `error` are those of the first of its `events`, the culprit."""

    source: str
    group: str
    key: str
    events: int
    since: datetime
    event_id: str
    type: str
    error: str


async def list_parked(db: "Database", group: str | None = None) -> Sequence[Parked]:
    """The keys that wait, those of one group or of all, the longest waiting first; at most 1,000."""
    return [Parked(**row) for row in await db.fetch(_LIST, group, LISTED)]


async def retry(db: "Database", group: Group, key: str) -> int:
    """Apply the key's events in their order, all or none; how many. Errors: the handler's, and then nothing changed."""
    for _ in range(TRIES - 1):
        with suppress(asyncpg.DeadlockDetectedError):  # with the consumer, which locks its place after what it works on
            return await _retry(db, group, key)
    return await _retry(db, group, key)


async def _retry(db: "Database", group: Group, key: str) -> int:
    async with db.transaction() as tx:
        await inbox.enter_alone(tx, group.name)
        await tx.fetch(_LOCK, group.name)
        rows = await tx.fetch(_OF_KEY, group.name, key)
        for source in dict.fromkeys(row["source"] for row in rows):
            raws = [msgspec.json.decode(row["event"], type=Raw) for row in rows if row["source"] == source]
            subscriptions = group.of(source)
            await apply(tx, [raw for raw in raws if raw.type in subscriptions], subscriptions)
        return await _forget(tx, group.name, key)


async def drop(db: "Database", group: str, key: str) -> int:
    """Give the key's events up: they never take effect, and later ones of the key flow again. How many."""
    async with db.transaction() as tx:
        await inbox.enter_alone(tx, group)
        await tx.fetch(_LOCK, group)
        return await _forget(tx, group, key)


async def _forget(tx: "Tx", group: str, key: str) -> int:
    return int(await tx.fetchval(_FORGET, group, key))
