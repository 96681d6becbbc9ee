"""Each read: SQL to a response, past the domain."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from tradepost.contracts.inventory import Shortage
from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import ListOf, ListQuery, page
from tradepost.kernel.ids import LOWEST_ID
from tradepost.kernel.paging import given, read_page
from tradepost.services.order.domain.order import Failure, Status
from tradepost.services.order.views import COLUMNS, Moment, OrderView, ReturnView, of_return, of_row

_ASKED: Final = f"""
SELECT {COLUMNS}, (SELECT json_agg(json_build_array(type, at)) FROM late_fact WHERE order_id = orders.id) AS late,
       reader::text AS reader
FROM unnest($1::uuid[], $2::uuid[]) AS asked (order_id, reader)
JOIN orders ON orders.id = asked.order_id AND (reader IS NULL OR user_id = reader)
"""
_RETURNS: Final = """
SELECT id::text AS id, order_id::text AS order_id, status, lines, reason, amount, requested_at, approved_at,
       rejected_at, received_at, refunded_at
FROM return_ WHERE
"""
_RETURN: Final = f"{_RETURNS} return_.id = $1"
_OF_ORDER: Final = f"{_RETURNS} order_id = $1 AND return_.id > $2 ORDER BY return_.id LIMIT $3"
_BACKWARDS: Final = f"{_RETURNS} order_id = $1 AND return_.id < $2 ORDER BY return_.id DESC LIMIT $3"
_OPEN: Final = "completed_at IS NULL AND cancelled_at IS NULL"  # as the index `orders_open` has it
_CANCELLED: Final = "cancelled_at IS NOT NULL"  # as the index `orders_cancelled` has it
# Requests from before the moment was noted count from the payment on. Earlier is not known, and they are over soon.
_OVERDUE: Final = f"""
SELECT extract(epoch FROM $1 - min(CASE
    WHEN status IN ('pending', 'reserved') THEN created_at + $2::interval
    WHEN cancel_requested THEN coalesce(cancel_requested_at, paid_at) END))::float8
FROM orders WHERE {_OPEN}
"""
_OWNED: Final = "SELECT true FROM orders WHERE id = $1 AND ($3 OR user_id = $2)"


_failure: Final = msgspec.json.Decoder(Failure)
_moments: Final = msgspec.json.Decoder(list[tuple[str, datetime]])


class Asked(NamedTuple):
    """An order, and the user who asks for it; None for who may see everyone's."""

    order_id: str
    reader: str | None


class Fate:
    """What became of an order: its view, and why it ended if it did."""

    def __init__(self, view: OrderView, failure: Failure) -> None:
        self.view = view
        self.missing: tuple[Shortage, ...] = failure.missing
        self.decline = failure.decline

    @property
    def is_known(self) -> bool:
        """Paid, cancelled, or waiting for the buyer."""
        return self.view.status not in (Status.PENDING, Status.RESERVED) or self.view.action_url is not None


async def fates(db: Database | Tx, asked: Sequence[Asked]) -> Mapping[Asked, Fate]:
    """Those of the orders that are there and their readers' own."""
    rows = await db.fetch(_ASKED, [one.order_id for one in asked], [one.reader for one in asked])
    return {Asked(row["id"], row["reader"]): _fate(row) for row in rows}


def _fate(row: Row) -> Fate:
    failure = Failure() if row["failure"] is None else _failure.decode(row["failure"])
    return Fate(of_row(row, _late(row["late"])), failure)


async def listing(db: Database | Tx, query: ListQuery, user_id: str | None, status: Status | None) -> ListOf[OrderView]:
    """A page of orders, newest first; of one user unless `user_id` is None."""
    wanted = given(("user_id = {}", user_id), ("status = {}", status))
    if status is Status.CANCELLED:
        wanted.append(_CANCELLED)
    elif status is not None and status is not Status.COMPLETED:
        wanted.append(_OPEN)
    return await read_page(db, "orders", COLUMNS, wanted, query, of_row)


async def returns(
    db: Database, query: ListQuery, order_id: str, user_id: str | None, *, everyones: bool
) -> ListOf[ReturnView]:
    """The returns of an order, oldest first. Errors: NotFound."""
    if not await db.fetchval(_OWNED, order_id, user_id, everyones):
        raise NotFound("There is no such order.")
    backwards = query.ending_before is not None
    cursor = query.ending_before or query.starting_after or LOWEST_ID
    rows = await db.fetch(_BACKWARDS if backwards else _OF_ORDER, order_id, cursor, query.limit + 1)
    return page([of_return(row) for row in rows], query.limit, backwards=backwards)


async def overdue_s(db: Database | Tx, moment: datetime, unpaid: timedelta) -> float:
    """For how long the order that waits longest has waited at `moment` though it should not: unpaid, since its time of
    `unpaid` was over; or paid and to be cancelled, since somebody asked. 0 where there is none. Reads all open ones."""
    return max(0.0, await db.fetchval(_OVERDUE, moment, unpaid) or 0.0)


def _late(text: str | None) -> list[Moment]:
    return [Moment(kind, at, True) for kind, at in _moments.decode(text)] if text else []


async def view_in(tx: Tx, order_id: str) -> OrderView:
    """The order as this transaction leaves it."""
    (fate,) = (await fates(tx, [Asked(order_id, None)])).values()
    return fate.view


async def return_in(tx: Tx, return_id: str) -> ReturnView:
    """The return as this transaction leaves it."""
    row = await tx.fetchrow(_RETURN, return_id)
    assert row is not None
    return of_return(row)
