"""Deliveries as they are written, wait and are forgotten; what comes of one is appended with it."""

from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from tradepost.contracts.notification import NotificationFailed, NotificationSent
from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause
from tradepost.services.notification.domain import ERASED, Draft, Notice, Status

COPIED: Final = 64  # deliveries from which on COPY within a savepoint is the cheaper way

_COLUMNS: Final = (
    "id",
    "event_id",
    "channel",
    "template",
    "user_id",
    "order_id",
    "address",
    "subject",
    "body",
    "facts",
    "status",
    "version",
    "attempts",
    "correlation_id",
    "traceparent",
)
_INSERT: Final = f"""
INSERT INTO delivery ({", ".join(_COLUMNS)})
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
                     $9::text[], $10::jsonb[], $11::text[], $12::bigint[], $13::int[], $14::text[], $15::text[])
ON CONFLICT (id) DO NOTHING
RETURNING id::text
"""
_WAITING: Final = "event_id::text, template, facts, order_id::text, user_id::text, correlation_id, traceparent"
_TAKE_WAITING: Final = f"""
DELETE FROM delivery WHERE status = 'waiting' AND user_id = ANY ($1::uuid[]) RETURNING {_WAITING}
"""
_TAKE_WAITING_FOR_BUYERS: Final = f"""
DELETE FROM delivery WHERE status = 'waiting' AND user_id IS NULL AND order_id = ANY ($1::uuid[]) RETURNING {_WAITING}
"""
_LOCK_OF_USERS: Final = """
SELECT id FROM delivery
WHERE id = ANY (ARRAY(
    SELECT delivery.id FROM order_contact JOIN delivery USING (order_id)
    WHERE order_contact.user_id = ANY ($1::uuid[])
    UNION ALL
    SELECT id FROM delivery WHERE order_id IS NULL AND user_id = ANY ($1::uuid[])))
ORDER BY id FOR UPDATE
"""
_REDACT: Final = f"""
UPDATE delivery
SET address = NULL, subject = '', body = '', facts = NULL,
    status = CASE WHEN status IN ('waiting', 'pending') THEN 'failed' ELSE status END,
    version = version + (status IN ('waiting', 'pending'))::int,
    error = CASE WHEN status IN ('waiting', 'pending') THEN '{ERASED}' END
WHERE id = ANY ($1)
RETURNING id::text, event_id::text, channel, template, order_id::text, version, error, correlation_id, traceparent
"""


class Written(msgspec.Struct, frozen=True):
    """A draft as it will be read; without a text it waits."""

    draft: Draft
    status: Status
    subject: str = ""
    body: str = ""


async def insert(tx: Tx, written: Sequence[Written]) -> bool:
    """Keep these deliveries, each once; whether one of them is yet to be sent."""
    by_id = {one.draft.id: one for one in written}
    kept = await _keep(tx, [_row(delivery_id, one) for delivery_id, one in by_id.items()])
    for delivery_id, one in by_id.items():
        if one.status is Status.SENT and delivery_id in kept:
            tx.append(_sent(delivery_id, one.draft), sequence=1, cause=one.draft.notice.cause)
    return any(one.status is Status.PENDING for one in written)


async def _keep(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> Container[str]:
    """The ids of those that were not there yet."""
    if len(rows) >= COPIED:
        with suppress(asyncpg.UniqueViolationError):
            async with tx.savepoint():
                await tx.copy("delivery", _COLUMNS, rows)
            return {row[0] for row in rows}
    return {row["id"] for row in await tx.fetch(_INSERT, *zip(*rows, strict=True))}


async def take_waiting(tx: Tx, user_ids: Collection[str]) -> list[Notice]:
    """What waits for these users to be known, to be told anew."""
    return list(_notices(await tx.fetch(_TAKE_WAITING, list(user_ids))))


async def take_waiting_for_buyers(tx: Tx, order_ids: Collection[str]) -> list[Notice]:
    """What waits until it is known whose these orders are, to be told anew."""
    return list(_notices(await tx.fetch(_TAKE_WAITING_FOR_BUYERS, list(order_ids))))


async def redact(tx: Tx, user_ids: Collection[str]) -> None:
    """Forget where messages to these users went and what they said; what has not gone out never will."""
    locked = [row["id"] for row in await tx.fetch(_LOCK_OF_USERS, list(user_ids))]
    for row in await tx.fetch(_REDACT, locked):
        if row["error"] == ERASED:
            tx.append(_failed(row, ERASED), sequence=row["version"], cause=_cause(row))


def _notices(rows: Sequence[Row]) -> Iterator[Notice]:
    """One notice per event, over however many channels it waits."""
    for row in {row["event_id"]: row for row in rows}.values():
        yield Notice(
            event_id=row["event_id"],
            template=row["template"],
            facts=msgspec.json.decode(row["facts"]),
            cause=_cause(row),
            order_id=row["order_id"],
            user_id=row["user_id"],
        )


def _cause(row: Row) -> Cause:
    return Cause(row["correlation_id"], row["event_id"], row["traceparent"])


def _row(delivery_id: str, one: Written) -> tuple[object, ...]:
    notice, is_sent, cause = one.draft.notice, one.status is Status.SENT, one.draft.notice.cause
    return (
        delivery_id,
        notice.event_id,
        one.draft.channel,
        notice.template,
        notice.user_id,
        notice.order_id,
        one.draft.address,
        one.subject,
        one.body,
        _json(notice.facts) if one.status is Status.WAITING else None,
        one.status,
        int(is_sent),
        int(is_sent),
        None if is_sent else cause.correlation_id,
        None if is_sent else cause.traceparent,
    )


def _sent(delivery_id: str, draft: Draft) -> NotificationSent:
    notice = draft.notice
    return NotificationSent(
        delivery_id=delivery_id, channel=draft.channel, template=notice.template, order_id=notice.order_id
    )


def _failed(row: Row, reason: str) -> NotificationFailed:
    return NotificationFailed(
        delivery_id=row["id"],
        channel=row["channel"],
        template=row["template"],
        order_id=row["order_id"],
        reason=reason,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
