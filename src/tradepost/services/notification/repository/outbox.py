"""Deliveries on their way out: claimed, tried, settled; what comes of one is appended with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tradepost.contracts.notification import NotificationFailed, NotificationSent
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.services.notification.domain import Channel, Outcome, Status

_CLAIM: Final = """
UPDATE delivery SET attempts = attempts + 1, next_try_at = now() + $2
WHERE id = ANY (ARRAY(
    SELECT id FROM delivery WHERE status = 'pending' AND next_try_at <= now()
    ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id::text, event_id::text, channel, template, order_id::text, address, subject, body, attempts, version,
          correlation_id, traceparent
"""
# Who had it to himself for too long comes too late: by then the attempts have another number.
_SETTLE: Final = """
UPDATE delivery
SET status = new.status, error = new.error, version = version + (new.status <> 'pending')::int,
    next_try_at = now() + make_interval(secs => new.retry_s)
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::int[]) AS new (id, attempts, status, error, retry_s)
WHERE delivery.id = new.id AND delivery.attempts = new.attempts AND delivery.status = 'pending'
RETURNING delivery.id::text, version
"""
_LOCK: Final = "SELECT status, address FROM delivery WHERE id = $1 FOR UPDATE"
_SEND_AGAIN: Final = """
UPDATE delivery
SET status = 'pending', attempts = 0, next_try_at = now(), error = NULL, correlation_id = $2, traceparent = $3
WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to send for a while."""

    id: str
    channel: Channel
    template: str
    order_id: str | None
    address: str
    subject: str
    body: str
    attempts: int
    version: int
    cause: Cause


async def claim(tx: Tx, limit: int, lease_s: float) -> list[Claimed]:
    """Up to `limit` deliveries that it is time to send, for nobody else for `lease_s`."""
    return [
        Claimed(
            id=row["id"],
            channel=Channel(row["channel"]),
            template=row["template"],
            order_id=row["order_id"],
            address=row["address"],
            subject=row["subject"],
            body=row["body"],
            attempts=row["attempts"],
            version=row["version"],
            cause=Cause(row["correlation_id"], row["event_id"], row["traceparent"]),
        )
        for row in await tx.fetch(_CLAIM, limit, timedelta(seconds=lease_s))
    ]


async def settle(tx: Tx, outcomes: Sequence[tuple[Claimed, Outcome]]) -> None:
    """Record what came of tries to send, unless somebody else has had a try since."""
    rows = await tx.fetch(
        _SETTLE,
        [one.id for one, _ in outcomes],
        [one.attempts for one, _ in outcomes],
        [outcome.status for _, outcome in outcomes],
        [outcome.reason for _, outcome in outcomes],
        [outcome.retry_s for _, outcome in outcomes],
    )
    versions = {row["id"]: row["version"] for row in rows}
    for one, outcome in outcomes:
        if one.id in versions and outcome.status is not Status.PENDING:
            tx.append(_told(one, outcome), sequence=versions[one.id], cause=one.cause)


async def lock(tx: Tx, delivery_id: str) -> tuple[Status, str | None] | None:
    """Status and address of a delivery."""
    row = await tx.fetchrow(_LOCK, delivery_id)
    return None if row is None else (Status(row["status"]), row["address"])


async def send_again(tx: Tx, delivery_id: str, cause: Cause) -> None:
    """Make a locked delivery pending, with all its tries before it."""
    await tx.execute(_SEND_AGAIN, delivery_id, cause.correlation_id, cause.traceparent)


def _told(one: Claimed, outcome: Outcome) -> NotificationSent | NotificationFailed:
    if outcome.status is Status.SENT:
        return NotificationSent(delivery_id=one.id, channel=one.channel, template=one.template, order_id=one.order_id)
    return NotificationFailed(
        delivery_id=one.id,
        channel=one.channel,
        template=one.template,
        order_id=one.order_id,
        reason=outcome.reason or "",
    )
