"""Deliveries as they are written, wait and are forgotten; what comes of one is appended with it."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from tradepost.contracts.notification import NotificationFailed, NotificationSent
from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause
from tradepost.services.notification.domain import ERASED, Draft, Notice, Status

_INSERT: Final = """
INSERT INTO delivery (id, event_id, channel, template, user_id, order_id, address, subject, body, facts, status,
                      version, attempts, correlation_id, traceparent)
SELECT new.id, event_id, channel, template, user_id, order_id, address, subject, body, facts::jsonb, status,
       (status = 'sent')::int, (status = 'sent')::int, CASE WHEN status <> 'sent' THEN correlation_id END,
       CASE WHEN status <> 'sent' THEN traceparent END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[])
     WITH ORDINALITY AS new (id, event_id, channel, template, user_id, order_id, address, subject, body, facts,
                             correlation_id, traceparent, position)
     JOIN transport USING (channel),
     LATERAL (SELECT CASE WHEN facts IS NOT NULL THEN 'waiting' WHEN mailbox THEN 'sent' ELSE 'pending' END)
     AS become (status)
ORDER BY position
ON CONFLICT (id) DO NOTHING
RETURNING id::text, status
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
    subject: str = ""
    body: str = ""


async def insert(tx: Tx, written: Sequence[Written]) -> bool:
    """Keep these deliveries, each once; whether one of them is yet to be sent."""
    drafts = [one.draft for one in written]
    notices = [draft.notice for draft in drafts]
    ids = [draft.id for draft in drafts]
    rows = await tx.fetch(
        _INSERT,
        ids,
        [notice.event_id for notice in notices],
        [draft.channel for draft in drafts],
        [notice.template for notice in notices],
        [notice.user_id for notice in notices],
        [notice.order_id for notice in notices],
        [draft.address for draft in drafts],
        [one.subject for one in written],
        [one.body for one in written],
        [None if draft.contact else _json(draft.notice.facts) for draft in drafts],
        [notice.cause.correlation_id for notice in notices],
        [notice.cause.traceparent for notice in notices],
    )
    became = {row["id"]: row["status"] for row in rows}
    is_pending = Status.PENDING in became.values()
    for delivery_id, draft in zip(ids, drafts, strict=True):
        if became.pop(delivery_id, None) == Status.SENT:
            tx.append(_sent(delivery_id, draft), sequence=1, cause=draft.notice.cause)
    return is_pending


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
