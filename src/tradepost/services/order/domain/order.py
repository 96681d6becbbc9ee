"""The order: its states, the moves between them, and the facts that each move publishes."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from tradepost.contracts.inventory import InventoryRejected, Shortage
from tradepost.contracts.order import (
    Address,
    Guest,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderPaid,
    OrderPaymentRequested,
    OrderShipped,
)
from tradepost.contracts.payment import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRequiresAction,
)
from tradepost.contracts.shipping import ShippingDelivered, ShippingDispatched
from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Fact

OUT_OF_STOCK: Final = "insufficient_stock"
NOT_PAID: Final = "payment_failed"
TIMED_OUT: Final = "payment_timed_out"
SHIPMENT_CANCELLED: Final = "shipment_cancelled"


class Status(StrEnum):
    """Where a sale stands."""

    PENDING = "pending"
    RESERVED = "reserved"
    PAID = "paid"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


STATUSES: Final[Mapping[str, Status]] = {status.value: status for status in Status}  # quicker than a call of Status

MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.RESERVED, Status.CANCELLED}),
    Status.RESERVED: frozenset({Status.PAID, Status.CANCELLED}),
    Status.PAID: frozenset({Status.SHIPPED, Status.CANCELLED}),
    Status.SHIPPED: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an order ended: what was short, or how the provider declined."""

    missing: tuple[Shortage, ...] = ()
    decline: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its moves need it, without its lines. `version` counts the facts published about it. What stands
    after `refunded` is written by moves and read by none: None for what happened before the order was locked."""

    id: str
    number: str
    user_id: str | None
    guest: Guest | None
    status: Status
    version: int
    currency: str
    total_amount: int
    payment_method: str
    shipping_address: Address | None = None
    action_url: str | None = None
    cancel_reason: str | None = None
    cancel_requested: bool = False
    refunded: int = 0
    failure: Failure | None = None
    tracking_number: str | None = None
    carrier: str | None = None
    reserved_at: datetime | None = None
    paid_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    shipped_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None


class Late(Exception):
    """The fact came when the order had gone another way: it goes on record and changes nothing."""


class TooLateToCancel(Conflict):
    """The parcel has left."""

    code = "already_shipped"


Moved = tuple[Order, tuple[Fact, ...]]


def reserve(order: Order, now: datetime) -> Moved:
    """The stock is held: ask for the money. Errors: Late."""
    moved = _move(order, Status.RESERVED, reserved_at=now)
    asked = OrderPaymentRequested(
        order_id=order.id,
        user_id=order.user_id,
        amount=order.total_amount,
        currency=order.currency,
        payment_method=order.payment_method,
    )
    return moved, (asked,)


def reject(order: Order, rejected: InventoryRejected, now: datetime) -> Moved:
    """There is not enough: the order ends. Errors: Late."""
    if order.status is not Status.PENDING:
        raise Late
    return _cancel(order, OUT_OF_STOCK, now, Failure(missing=rejected.missing))


def require_action(order: Order, required: PaymentRequiresAction) -> Moved:
    """The buyer has to confirm; nothing is published. Errors: Late."""
    if order.status is not Status.RESERVED:
        raise Late
    return replace(order, action_url=required.action_url), ()


def pay(order: Order, captured: PaymentCaptured, now: datetime) -> Moved:
    """The money is there. Errors: Late."""
    moved = _move(order, Status.PAID, paid_at=now, action_url=None)
    paid = OrderPaid(
        order_id=order.id,
        number=order.number,
        user_id=order.user_id,
        guest=order.guest,
        payment_method=captured.payment_method,
        transaction_id=captured.transaction_id,
        amount=captured.amount,
        currency=captured.currency,
        shipping_address=order.shipping_address,
    )
    return moved, (paid,)


def fail(order: Order, failed: PaymentFailed, now: datetime) -> Moved:
    """The money can't be had: the order ends. Errors: Late."""
    if order.status is not Status.RESERVED:
        raise Late
    return _cancel(order, NOT_PAID, now, Failure(decline=failed.reason))


def expire(order: Order, now: datetime) -> Moved | None:
    """The time for payment is over; None when the order needs none any more."""
    if order.status not in (Status.PENDING, Status.RESERVED):
        return None
    return _cancel(order, TIMED_OUT, now)


def cancel(order: Order, reason: str, now: datetime) -> Moved | None:
    """As somebody asks: at once before payment; a paid order only if its parcel can still be stopped. None when it is
    cancelled or asked for already. Errors: TooLateToCancel."""
    if order.status in (Status.PENDING, Status.RESERVED):
        return _cancel(order, reason, now)
    if order.status in (Status.SHIPPED, Status.COMPLETED):
        raise TooLateToCancel("The parcel is on its way; ask for a return instead.")
    if order.status is Status.CANCELLED or order.cancel_requested:
        return None
    asked = replace(
        order, cancel_requested=True, cancel_requested_at=now, cancel_reason=reason, version=order.version + 1
    )
    return asked, (OrderCancelRequested(order_id=order.id, reason=reason),)


def stop(order: Order, now: datetime) -> Moved:
    """Shipping will not send the parcel. Errors: Late."""
    if order.status is not Status.PAID:
        raise Late
    return _cancel(order, order.cancel_reason or SHIPMENT_CANCELLED, now)


def ship(order: Order, dispatched: ShippingDispatched, now: datetime) -> Moved:
    """The parcel has left; a request to cancel came too late. Errors: Late."""
    moved = _move(
        order,
        Status.SHIPPED,
        shipped_at=now,
        tracking_number=dispatched.tracking_number,
        carrier=dispatched.carrier,
        cancel_requested=False,
        cancel_reason=None,
    )
    shipped = OrderShipped(
        order_id=order.id,
        number=order.number,
        user_id=order.user_id,
        guest=order.guest,
        tracking_number=dispatched.tracking_number,
        carrier=dispatched.carrier,
        shipping_address=order.shipping_address,
    )
    return moved, (shipped,)


def complete(order: Order, delivered: ShippingDelivered, now: datetime) -> Moved:
    """The parcel was delivered. Errors: Late."""
    moved = _move(order, Status.COMPLETED, completed_at=now)
    completed = OrderCompleted(
        order_id=order.id,
        number=order.number,
        user_id=order.user_id,
        guest=order.guest,
        delivery_time=delivered.at,
    )
    return moved, (completed,)


def refund(order: Order, refunded: PaymentRefunded) -> Moved:
    """Money went back, whatever state the order is in; nothing is published. Events of older versions tell no total."""
    total = order.refunded + refunded.amount if refunded.refunded_total is None else refunded.refunded_total
    return replace(order, refunded=min(order.total_amount, total)), ()


def lose_refund(order: Order, failed: PaymentRefundFailed) -> Moved:
    """Money did not go back after all, or has come back to us; nothing is published."""
    return replace(order, refunded=min(order.total_amount, failed.refunded_total)), ()


def _cancel(order: Order, reason: str, now: datetime, failure: Failure | None = None) -> Moved:
    moved = _move(
        order,
        Status.CANCELLED,
        cancelled_at=now,
        cancel_reason=reason,
        cancel_requested=False,
        action_url=None,
        failure=failure,
    )
    cancelled = OrderCancelled(
        order_id=order.id,
        number=order.number,
        user_id=order.user_id,
        guest=order.guest,
        reason=reason,
        paid=order.status is Status.PAID,
        total_amount=order.total_amount,
        currency=order.currency,
    )
    return moved, (cancelled,)


def _move(order: Order, to: Status, **changes: object) -> Order:
    if to not in MOVES[order.status]:
        raise Late
    return replace(order, status=to, version=order.version + 1, **changes)
