"""Deliveries as they are shown, straight from their rows."""

from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import ListOf, ListQuery, page
from tradepost.kernel.paging import given, read_page
from tradepost.services.notification.domain import Channel, Status

MAILBOX_PAGE: Final = 20
MAILBOX_SEARCHED: Final = 10_000  # messages looked through for a recipient

_COLUMNS: Final = """
    id::text, channel, address, template, subject, body, status, attempts, event_id::text, order_id::text, error, at
"""
_ONE: Final = f"SELECT {_COLUMNS} FROM delivery WHERE id = $1"
_MAILBOX: Final = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM delivery
    WHERE status = 'sent' AND address IS NOT NULL AND ($1::uuid IS NULL OR id < $1)
    ORDER BY id DESC LIMIT $4
) AS latest
WHERE $2 = '' OR position(lower($2) IN lower(address)) > 0
ORDER BY latest.id DESC LIMIT $3
"""


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A message and what became of it. Without `to` its recipient is not known yet, or was erased."""

    id: str
    channel: Channel
    to: str | None
    template: str
    subject: str
    body: str
    status: Status
    attempts: int
    event_id: str
    order_id: str | None
    error: str | None
    at: datetime


async def delivery(db: Database | Tx, delivery_id: str) -> DeliveryView:
    """One delivery. Errors: NotFound."""
    row = await db.fetchrow(_ONE, delivery_id)
    if row is None:
        raise NotFound("There is no delivery of this id.")
    return _view(row)


async def deliveries(
    db: Database, query: ListQuery, *, order_id: str | None, channel: Channel | None, status: Status | None
) -> ListOf[DeliveryView]:
    """A page of the deliveries that fit, newest first."""
    wanted = given(("order_id = {}", order_id), ("channel = {}", channel), ("status = {}", status))
    return await read_page(db, "delivery", _COLUMNS, wanted, query, _view)


async def mailbox(db: Database, to: str, starting_after: str | None) -> ListOf[DeliveryView]:
    """A page of what was sent, newest first; with `to` only what went to addresses that contain it."""
    rows = await db.fetch(_MAILBOX, starting_after, to, MAILBOX_PAGE + 1, MAILBOX_SEARCHED)
    return page([_view(row) for row in rows], MAILBOX_PAGE)


def _view(row: Row) -> DeliveryView:
    return DeliveryView(
        id=row["id"],
        channel=Channel(row["channel"]),
        to=row["address"],
        template=row["template"],
        subject=row["subject"],
        body=row["body"],
        status=Status(row["status"]),
        attempts=row["attempts"],
        event_id=row["event_id"],
        order_id=row["order_id"],
        error=row["error"],
        at=row["at"],
    )
