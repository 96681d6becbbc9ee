"""Orders and returns as they are shown."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import msgspec

from tradepost.contracts.order import Address, Guest, Line
from tradepost.kernel.database import Row
from tradepost.services.order.domain.order import STATUSES, Status
from tradepost.services.order.domain.return_ import ReturnLine, ReturnStatus
from tradepost.services.order.repository import Priced


class Moment(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A change of state, or a fact that came too late for one."""

    status: str
    at: datetime
    late: bool = False


class OrderView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order with its lines and its story. Amounts in minor units of `currency`."""

    id: str
    order_id: str
    number: str
    user_id: str | None
    guest: Guest | None
    status: Status
    currency: str
    total_amount: int
    refunded_amount: int
    items: Sequence[Line]
    shipping_address: Address | None
    payment_method: str
    action_url: str | None
    cancel_requested: bool
    cancel_reason: str | None
    tracking_number: str | None
    carrier: str | None
    created_at: datetime
    timeline: Sequence[Moment]


class ReturnView(msgspec.Struct, frozen=True, kw_only=True):
    """A return. `amount`, in minor units of the order's currency, is what the goods cost, and once it is refunded what
    went back: less where less was left, nothing where staff had refunded all."""

    id: str
    return_id: str
    order_id: str
    status: ReturnStatus
    items: Sequence[ReturnLine]
    reason: str
    amount: int
    requested_at: datetime
    approved_at: datetime | None
    rejected_at: datetime | None
    received_at: datetime | None
    refunded_at: datetime | None


COLUMNS: Final = """id::text AS id, number::text AS number, user_id::text AS user_id, guest, status, currency,
    total_amount, refunded, lines, shipping_address, payment_method, action_url, cancel_requested, cancel_reason,
    tracking_number, carrier, failure, created_at, reserved_at, paid_at, shipped_at, completed_at, cancelled_at"""

_PLAIN: Final = (
    "id",
    "number",
    "user_id",
    "currency",
    "total_amount",
    "payment_method",
    "action_url",
    "cancel_requested",
    "cancel_reason",
    "tracking_number",
    "carrier",
    "created_at",
)

_REACHED: Final = tuple(
    (status, f"{status}_at")
    for status in (Status.RESERVED, Status.PAID, Status.SHIPPED, Status.COMPLETED, Status.CANCELLED)
)

_guest: Final = msgspec.json.Decoder(Guest)
_address: Final = msgspec.json.Decoder(Address)
_lines: Final = msgspec.json.Decoder(tuple[Line, ...])
_back: Final = msgspec.json.Decoder(tuple[ReturnLine, ...])


def of_row(row: Row, late: Sequence[Moment] = ()) -> OrderView:
    """The view of a row with `COLUMNS`."""
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    return OrderView(
        **fields,
        order_id=row["id"],
        guest=None if row["guest"] is None else _guest.decode(row["guest"]),
        status=STATUSES[row["status"]],
        refunded_amount=row["refunded"],
        items=_lines.decode(row["lines"]),
        shipping_address=None if row["shipping_address"] is None else _address.decode(row["shipping_address"]),
        timeline=sorted([*_timeline(row), *late], key=attrgetter("at")),
    )


def of_placed(priced: Priced) -> OrderView:
    """The view of an order that was placed just now."""
    placement = priced.placement
    return OrderView(
        id=placement.order_id,
        order_id=placement.order_id,
        number=priced.number,
        user_id=placement.user_id,
        guest=placement.guest,
        status=Status.PENDING,
        currency=priced.currency,
        total_amount=priced.total,
        refunded_amount=0,
        items=priced.lines,
        shipping_address=placement.shipping_address,
        payment_method=placement.payment_method,
        action_url=None,
        cancel_requested=False,
        cancel_reason=None,
        tracking_number=None,
        carrier=None,
        created_at=placement.now,
        timeline=[Moment(Status.PENDING, placement.now)],
    )


def of_return(row: Row) -> ReturnView:
    """The view of a row of `return_`."""
    fields: dict[str, Any] = {name: row[name] for name in ReturnView.__struct_fields__ if name in _RETURN_PLAIN}
    return ReturnView(
        **fields, return_id=row["id"], status=ReturnStatus(row["status"]), items=_back.decode(row["lines"])
    )


_RETURN_PLAIN: Final = frozenset(ReturnView.__struct_fields__) - {"return_id", "status", "items"}


def _timeline(row: Row) -> Iterator[Moment]:
    yield Moment(Status.PENDING, row["created_at"])
    for status, column in _REACHED:
        if (at := row[column]) is not None:
            yield Moment(status, at)
