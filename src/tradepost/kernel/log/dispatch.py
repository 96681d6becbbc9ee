"""Handing a piece of the log to its handlers: all at once, or halved until the event at fault stands alone."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec
import structlog

from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.subscription import Subscription, lanes

if TYPE_CHECKING:
    from tradepost.kernel.database import Tx

TRIES: Final = 3
TRY_AGAIN_S: Final = 0.05
STOP_AFTER_KEYS: Final = 20  # parked in a minute
RETRYABLE_CLASSES: Final = frozenset({"08", "40", "53", "57", "58"})
RETRYABLE_STATES: Final = frozenset({"25006", "25P03", "25P04", "55P03"})  # a standby; time-outs
ADVICE: Final = "that is a bad deployment rather than bad events: fix it and start again"

logger = structlog.get_logger()


class GroupStopped(RuntimeError):
    """So many keys were parked in a minute that the deployment is at fault, not the events. `/health` tells the message
    to everybody, so it quotes no error."""


def is_retryable(error: BaseException) -> bool:
    """Whether `error` is never the event's fault: connection, serialisation, resources, shut-down, time-out."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):  # a migration changed a table under a prepared statement
        return True
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in RETRYABLE_CLASSES or state in RETRYABLE_STATES
    return isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError))


async def apply(tx: "Tx", events: Sequence[Raw], subscriptions: Mapping[str, Subscription]) -> None:
    """Each handler once per lane, with all its events."""
    for subscription, lane in lanes(events, subscriptions):
        await subscription.handler(tx, [subscriptions[event.type].decode(event) for event in lane])


async def apply_halving(
    tx: "Tx", events: Sequence[Raw], subscriptions: Mapping[str, Subscription]
) -> list[tuple[Raw, Exception]]:
    """Apply what can be applied; the events that could not, with their errors, and behind each its key's later ones.
    Errors: those that are never an event's fault, GroupStopped when too many keys fail."""
    failed: list[tuple[Raw, Exception]] = []
    keys: dict[str, Exception] = {}
    parts = [list(events)]
    while parts:
        whole = parts.pop()
        failed += [(event, keys[event.key]) for event in whole if event.key in keys]
        part = [event for event in whole if event.key not in keys]
        error = await _attempt(tx, part, subscriptions, TRIES if len(part) == 1 else 1) if part else None
        if error is None:
            continue
        if len(part) > 1:
            parts += [part[len(part) // 2 :], part[: len(part) // 2]]
            continue
        keys[part[0].key] = error
        failed.append((part[0], error))
        if len(keys) > STOP_AFTER_KEYS:
            _tell("too_many_fail", part[0], error)
            raise GroupStopped(
                f"over {STOP_AFTER_KEYS} keys of one piece fail, the last with {type(error).__name__}; {ADVICE}"
            )
    return failed


async def _attempt(
    tx: "Tx", events: Sequence[Raw], subscriptions: Mapping[str, Subscription], tries: int
) -> Exception | None:
    """Why the events can't be applied, also when that shows only at the commit; None when they are."""
    last: Exception | None = None
    for attempt in range(tries):
        await asyncio.sleep(TRY_AGAIN_S * attempt)
        try:
            async with tx.savepoint():
                await apply(tx, events, subscriptions)
                await tx.settle()
            return None
        except Exception as error:
            if is_retryable(error):
                raise
            last = error
    return last


_PARK: Final = """
INSERT INTO parked (source, "group", position, key, slot, event, error, tries)
SELECT $1, $2, position, key, slot, event::json, error, $8
FROM unnest($3::bigint[], $4::text[], $5::smallint[], $6::text[], $7::text[])
     AS new (position, key, slot, event, error)
"""
_PARKED_LATELY: Final = """
SELECT count(*) FROM (
    SELECT FROM parked WHERE source = $1 AND "group" = $2 GROUP BY key HAVING min(at) > now() - interval '1 minute'
) AS lately
"""


async def park(tx: "Tx", source: str, group: str, failed: Sequence[tuple[Raw, Exception]]) -> None:
    """Set aside what could not be applied. Errors: GroupStopped when that happens to too many keys."""
    await tx.execute(
        _PARK,
        source,
        group,
        [event.position for event, _ in failed],
        [event.key for event, _ in failed],
        [event.slot for event, _ in failed],
        [msgspec.json.encode(event).decode() for event, _ in failed],
        [f"{type(error).__name__}: {error}"[:2_000] for _, error in failed],
        TRIES,
    )
    if await tx.fetchval(_PARKED_LATELY, source, group) > STOP_AFTER_KEYS:
        _tell("too_many_fail", *failed[-1])
        raise GroupStopped(f"{group} parked over {STOP_AFTER_KEYS} keys of {source} in a minute; {ADVICE}")
    for event, error in failed:
        _tell("parked", event, error, source=source, group=group)


def _tell(what: str, event: Raw, error: Exception, **more: str) -> None:
    logger.error(what, **more, key=event.key, type=event.type, event_id=event.id, why=str(error))
