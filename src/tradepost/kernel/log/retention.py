"""Keeping the logs in shape: partitions made ahead, old ones dropped, ticks thinned. Needs the owner of the tables."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import structlog
from prometheus_client import Gauge

from tradepost.kernel.log.batch import TICKS_AT_ONCE
from tradepost.kernel.migrate import INBOX_DAYS, INBOX_DAYS_AHEAD, PARTITION_EVENTS, PARTITIONS_AHEAD
from tradepost.kernel.telemetry import FIGURES

EVENTS_KEPT: Final = timedelta(days=30)
TICKS_KEPT: Final = timedelta(hours=1)
READER_SILENT: Final = timedelta(days=1)
EVERY_S: Final = 60.0
TICKS_PER_ROUND: Final = 20_000
SESSION: Final = {"application_name": "tradepost log", "lock_timeout": "5s"}
LOCK: Final = 7238113973

IDS_AHEAD: Final = Gauge(
    "tradepost_log_ids_ahead", "Ids for which a log has partitions; at 0 it refuses events", ["source"]
)

KEPT_AT: Final = Gauge(
    "tradepost_log_kept_timestamp_seconds",
    "When this process last went through the logs of a database, or began to be there for it.",
    ["database"],
    registry=FIGURES,
)

_ROOM: Final = """
SELECT COALESCE(max(high), 0) - 1 - log.newest_id($1) AS ahead FROM log.partitions($1)
"""
# The first event behind a partition is younger than all in it, those included whose transaction is still open.
_KEEP_INBOX: Final = "SELECT log.keep_inbox($1, $2, $3)"
_NEXT: Final = 'SELECT at FROM "{source}".event WHERE id >= $1 ORDER BY id LIMIT 1'
_BEHIND: Final = """
SELECT NOT EXISTS (
    SELECT FROM log.reader LEFT JOIN log.tick ON tick.id = reader.tick
    WHERE reader.source = $1 AND (tick.id IS NULL OR EXISTS (
        SELECT FROM {partition} AS event
        WHERE event.epoch > tick.epoch
           OR event.epoch = tick.epoch AND NOT pg_visible_in_snapshot(event.xid, tick.snapshot))))
"""
_ORPHANS: Final = """
SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1 AND relname ~ '^event_[0-9]+$' AND relkind = 'r' AND NOT relispartition
"""
_OLDEST: Final = 'SELECT at FROM "{source}".event ORDER BY id LIMIT 1'
# Kept are the first and the last tick of each epoch, between which a new group reads everything, what a reader may
# still stand at, and of the rest each hundredth while there are events of its time: a replay goes in such steps.
_THIN: Final = f"""
DELETE FROM log.tick WHERE id IN (
    SELECT id FROM log.tick
    WHERE id < (SELECT COALESCE(min(tick), (SELECT max(id) FROM log.tick)) FROM log.reader)
      AND at < $1
      AND (id % {TICKS_AT_ONCE} <> 0 OR at < $2)
      AND id NOT IN (SELECT unnest(ARRAY[min(id), max(id)]) FROM log.tick GROUP BY epoch)
    ORDER BY id LIMIT {TICKS_PER_ROUND})
"""
_SILENT: Final = 'SELECT source, "group" FROM log.reader WHERE at < $1 ORDER BY source, "group"'

logger = structlog.get_logger()


@dataclass(frozen=True)
class Kept:
    """What one round did: partitions made, their names when dropped, ticks deleted; `is_left` when another process was
    at it."""

    made: int = 0
    dropped: tuple[str, ...] = ()
    ticks: int = 0
    is_left: bool = False


async def keep_for_ever(admin_url: str) -> None:
    """A round each minute, until cancelled."""
    parts = urlsplit(admin_url)
    kept_at = KEPT_AT.labels(f"{parts.netloc.rpartition('@')[2] or 'local'}{parts.path}")
    kept_at.set_to_current_time()  # the start has made sure of what there must be
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            if not (await keep(admin_url, datetime.now(UTC))).is_left:
                kept_at.set_to_current_time()
        except Exception as error:
            logger.error("retention_failed", why=str(error) or type(error).__name__)


async def keep(admin_url: str, now: datetime, *, size: int = PARTITION_EVENTS) -> Kept:
    """One round for all logs of the database; `size` is that of new partitions, in ids."""
    connection = await asyncpg.connect(admin_url, server_settings=SESSION)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return Kept(is_left=True)
        sources = [row["name"] for row in await connection.fetch("SELECT name FROM log.source ORDER BY name")]
        made = sum([await _extend(connection, source, size) for source in sources])
        for source in sources:
            await connection.execute(_KEEP_INBOX, source, INBOX_DAYS, INBOX_DAYS_AHEAD)
        dropped = [name for source in sources for name in await _drop_old(connection, source, now)]
        ticks = await _thin(connection, sources, now)
        for reader in await connection.fetch(_SILENT, now - READER_SILENT):
            logger.warning("reader_silent", source=reader["source"], group=reader["group"], holds="its log is kept")
        return Kept(made, tuple(dropped), ticks)
    finally:
        await connection.close()


async def _extend(connection: Any, source: str, size: int) -> int:
    """Make the partitions ahead; an alarm when there are none, since the log will refuse events soon."""
    made, why = 0, ""
    try:
        made = await connection.fetchval("SELECT log.extend($1, $2, $3)", source, size, PARTITIONS_AHEAD)
    except asyncpg.PostgresError as error:
        why = str(error)
    ahead = await connection.fetchval(_ROOM, source)
    IDS_AHEAD.labels(source).set(ahead)
    if ahead < size:
        logger.error("no_partition_ahead", source=source, ids_ahead=ahead, why=why)
    elif why:
        logger.warning("partition_not_made", source=source, ids_ahead=ahead, why=why)
    return int(made)


async def _drop_old(connection: Any, source: str, now: datetime) -> list[str]:
    """Drop the oldest partitions as long as nobody needs them; their names."""
    for row in await connection.fetch(_ORPHANS, source):  # detached when a round was cut off
        await connection.execute(f"DROP TABLE {row['name']}")
    dropped: list[str] = []
    for part in await connection.fetch("SELECT name, high, detaching FROM log.partitions($1)", source):
        name = f'"{source}"."{part["name"]}"'
        if part["detaching"]:
            await connection.execute(f'ALTER TABLE "{source}".event DETACH PARTITION {name} FINALIZE')
        elif not await _is_done_with(connection, source, name, part["high"], now):
            break
        else:
            await connection.execute(f'ALTER TABLE "{source}".event DETACH PARTITION {name} CONCURRENTLY')
        await connection.execute(f"DROP TABLE {name}")
        dropped.append(f"{source}.{part['name']}")
    return dropped


async def _is_done_with(connection: Any, source: str, partition: str, high: int, now: datetime) -> bool:
    following = await connection.fetchval(_NEXT.format(source=source), high)
    if following is None or following > now - EVENTS_KEPT:
        return False
    return bool(await connection.fetchval(_BEHIND.format(partition=partition), source))


async def _thin(connection: Any, sources: list[str], now: datetime) -> int:
    begun = [await connection.fetchval(_OLDEST.format(source=source)) for source in sources]
    oldest = min([at for at in begun if at is not None], default=now)
    deleted = await connection.execute(_THIN, now - TICKS_KEPT, min(oldest, now) - TICKS_KEPT)
    return int(deleted.split()[-1])
