"""After a restore: transaction ids start low again, so the old epoch is closed and a new one opened.

The closing tick shows every event of the old epoch and lies before every event of the new one. Readers pass from one to
the other like from tick to tick: nothing is lost, nothing comes twice, and each key keeps its order.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from tradepost.kernel.log.batch import TICK_COLUMNS, Tick

SESSION: Final = {"application_name": "tradepost log", "lock_timeout": "30s"}
TICK_LOCK: Final = 7238113970  # that of log.tick()

_SCHEMAS: Final = """
SELECT quote_ident(nspname) AS schema FROM pg_attribute
JOIN pg_class AS class ON class.oid = attrelid JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
WHERE relname = 'cursor' AND relkind = 'r' AND attname = 'tick_uuid' ORDER BY nspname
"""
_CURSORS: Final = """
SELECT source, "group", first_slot, tick, tick_uuid::text AS tick_uuid, toward FROM {schema}.cursor
WHERE source = ANY ($1::text[]) ORDER BY source, "group", first_slot FOR UPDATE
"""
_UNKNOWN: Final = """
SELECT held.uuid FROM unnest($1::uuid[]) AS held (uuid)
WHERE NOT EXISTS (SELECT FROM log.tick WHERE tick.uuid = held.uuid)
"""
_MOVE: Final = """
UPDATE {schema}.cursor SET tick = $4, tick_uuid = $5, toward = NULL, last_id = 0, fence = fence + 1
WHERE source = $1 AND "group" = $2 AND first_slot = $3
"""
_TOWARD: Final = """
UPDATE {schema}.cursor SET toward = $4, fence = fence + 1 WHERE source = $1 AND "group" = $2 AND first_slot = $3
"""


@dataclass(frozen=True)
class Moved:
    """A reader that stood beyond the restored log: it has read all that the log holds, and goes on with what is new."""

    source: str
    group: str
    first_slot: int
    from_tick: int


@dataclass(frozen=True)
class Rebasing:
    """What was done; `epoch` is the one that was opened, None when there was no need."""

    epoch: int | None
    moved: tuple[Moved, ...]


@dataclass(frozen=True)
class _Stray:
    connection: Any
    schema: str
    row: Any


async def rebase(admin_url: str, *, readers: Sequence[str] = ()) -> Rebasing:
    """Close the epoch of the log at `admin_url` and open the next, if it was restored elsewhere or a cursor stands at a
    tick that it does not have. `readers` are the URLs of other databases whose services read it. The URLs' roles own
    the tables. Stop the services first. All or nothing: after a failure, do it again."""
    async with AsyncExitStack() as stack:
        log, *others = [await _opened(stack, url) for url in (admin_url, *readers)]
        await stack.enter_async_context(log.transaction())  # entered first, so committed last: it closes the matter
        for other in others:
            await stack.enter_async_context(other.transaction())
        await log.execute("SELECT pg_advisory_xact_lock($1)", TICK_LOCK)
        last = Tick.of(await log.fetchrow(f"SELECT {TICK_COLUMNS} FROM log.tick ORDER BY id DESC LIMIT 1"))
        strays, halfway = await _strays(log, [log, *others], last)
        if await log.fetchval("SELECT log.same_system()") and not strays and not halfway:
            return Rebasing(None, ())
        closing = await log.fetchrow("SELECT id, uuid::text AS uuid FROM log.open_epoch()")
        for stray in strays:
            await stray.connection.execute(
                _MOVE.format(schema=stray.schema), *_place(stray), closing["id"], closing["uuid"]
            )
            await log.execute("SELECT log.report($1, $2, $3, $4)", *_place(stray), closing["id"])
        for stray in halfway:
            await stray.connection.execute(_TOWARD.format(schema=stray.schema), *_place(stray), closing["id"])
        return Rebasing(last.epoch + 1, tuple(Moved(*_place(stray), stray.row["tick"]) for stray in strays))


async def _opened(stack: AsyncExitStack, url: str) -> Any:
    connection = await asyncpg.connect(url, server_settings=SESSION)
    stack.push_async_callback(connection.close)
    return connection


async def _strays(log: Any, databases: Sequence[Any], last: Tick) -> tuple[list[_Stray], list[_Stray]]:
    """The cursors whose tick the log does not have, and those on their way to a tick that it does not have."""
    sources = [row["name"] for row in await log.fetch("SELECT name FROM log.source")]
    found = [
        _Stray(connection, schema["schema"], row)
        for connection in databases
        for schema in await connection.fetch(_SCHEMAS)
        for row in await connection.fetch(_CURSORS.format(schema=schema["schema"]), sources)
    ]
    rows = await log.fetch(_UNKNOWN, [stray.row["tick_uuid"] for stray in found])
    unknown = {str(row["uuid"]) for row in rows}
    strays = [stray for stray in found if stray.row["tick_uuid"] in unknown]
    known = [stray for stray in found if stray.row["tick_uuid"] not in unknown]
    return strays, [stray for stray in known if (stray.row["toward"] or 0) > last.id]


def _place(stray: _Stray) -> tuple[str, str, int]:
    return stray.row["source"], stray.row["group"], stray.row["first_slot"]
