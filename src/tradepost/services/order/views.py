"""Orders and returns as they are shown."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tradepost.contracts.order import Address, Guest, Line
from tradepost.kernel.database import Row
from tradepost.services.order.domain.order import Order, Status
from tradepost.services.order.domain.return_ import ReturnLine, ReturnStatus
from tradepost.services.order.repository import Priced, order_of


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of state, or a fact that came too late for one."""

    status: str
    at: datetime
    late: bool = False


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
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
    """A return. `amount` in minor units of the order's currency."""

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


_lines: Final = msgspec.json.Decoder(tuple[Line, ...])
_back: Final = msgspec.json.Decoder(tuple[ReturnLine, ...])


def of_row(row: Row, late: Sequence[Moment] = ()) -> OrderView:
    """The view of a row with its lines."""
    return of_order(order_of(row), _lines.decode(row["lines"]), late)


def of_placed(priced: Priced) -> OrderView:
    """The view of an order that was placed just now."""
    placement = priced.placement
    order = Order(
        id=placement.order_id,
        number=priced.number,
        user_id=placement.user_id,
        guest=placement.guest,
        status=Status.PENDING,
        version=1,
        currency=priced.currency,
        total_amount=priced.total,
        payment_method=placement.payment_method,
        shipping_address=placement.shipping_address,
        created_at=placement.now,
    )
    return of_order(order, priced.lines)


def of_order(order: Order, lines: Sequence[Line], late: Sequence[Moment] = ()) -> OrderView:
    """The view of an order, its lines and what came too late."""
    return OrderView(
        id=order.id,
        order_id=order.id,
        number=order.number,
        user_id=order.user_id,
        guest=order.guest,
        status=order.status,
        currency=order.currency,
        total_amount=order.total_amount,
        refunded_amount=order.refunded,
        items=lines,
        shipping_address=order.shipping_address,
        payment_method=order.payment_method,
        action_url=order.action_url,
        cancel_requested=order.cancel_requested,
        cancel_reason=order.cancel_reason,
        tracking_number=order.tracking_number,
        carrier=order.carrier,
        created_at=order.created_at,
        timeline=sorted([*_timeline(order), *late], key=lambda moment: moment.at),
    )


def of_return(row: Row) -> ReturnView:
    """The view of a row of `return_`."""
    fields: dict[str, Any] = {name: row[name] for name in ReturnView.__struct_fields__ if name in _RETURN_PLAIN}
    return ReturnView(
        **fields, return_id=row["id"], status=ReturnStatus(row["status"]), items=_back.decode(row["lines"])
    )


_RETURN_PLAIN: Final = frozenset(ReturnView.__struct_fields__) - {"return_id", "status", "items"}


def _timeline(order: Order) -> Iterator[Moment]:
    yield Moment(Status.PENDING, order.created_at)
    for status in (Status.RESERVED, Status.PAID, Status.SHIPPED, Status.COMPLETED, Status.CANCELLED):
        at = getattr(order, f"{status}_at")
        if at is not None:
            yield Moment(status, at)
