"""The shipment: its tracking statuses, which may follow which, and the facts that each report publishes."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from tradepost.contracts.order import Address
from tradepost.contracts.shipping import (
    ShippingCancelled,
    ShippingCreated,
    ShippingDelivered,
    ShippingDispatched,
    ShippingTracked,
)
from tradepost.kernel.clock import rfc3339
from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Fact

LOCAL: Final = "local"


class Status(StrEnum):
    """Where a parcel is, whatever the carrier calls it."""

    PENDING = "pending"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    READY_FOR_PICKUP = "ready_for_pickup"
    DELIVERED = "delivered"
    DELIVERY_DELAYED = "delivery_delayed"
    DELIVERY_FAILED = "delivery_failed"
    ON_HOLD = "on_hold"
    RETURN_TO_SENDER = "return_to_sender"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


STATUSES: Final[Mapping[str, Status]] = {status.value: status for status in Status}  # quicker than a call of Status

_KNOWS_NOTHING: Final = frozenset({Status.PENDING, Status.CANCELLED, Status.UNKNOWN})  # a carrier that has no parcel
_VAGUE: Final = frozenset({Status.ON_HOLD, Status.DELIVERY_DELAYED, Status.UNKNOWN})  # by hand: here, or on its way
_UNDER_WAY: Final = _VAGUE | {
    Status.IN_TRANSIT,
    Status.OUT_FOR_DELIVERY,
    Status.READY_FOR_PICKUP,
    Status.DELIVERED,
    Status.DELIVERY_FAILED,
    Status.RETURN_TO_SENDER,
}
_AT_HOME: Final = frozenset({Status.PICKED_UP, Status.CANCELLED})  # possible only while the parcel has not left
_AT_COUNTER: Final = frozenset(
    {Status.READY_FOR_PICKUP, Status.DELIVERED, Status.ON_HOLD, Status.RETURN_TO_SENDER, Status.UNKNOWN}
)

FOLLOWS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: _UNDER_WAY | _AT_HOME,  # carriers skip scans: the first one can be any
    Status.PICKED_UP: _UNDER_WAY,
    Status.IN_TRANSIT: _UNDER_WAY,
    Status.OUT_FOR_DELIVERY: _UNDER_WAY,
    Status.READY_FOR_PICKUP: _AT_COUNTER,
    Status.DELIVERED: frozenset(),
    Status.DELIVERY_DELAYED: _UNDER_WAY | _AT_HOME,
    Status.DELIVERY_FAILED: _UNDER_WAY,
    Status.ON_HOLD: _UNDER_WAY | _AT_HOME,
    Status.RETURN_TO_SENDER: frozenset({Status.RETURN_TO_SENDER}),
    Status.CANCELLED: frozenset(),
    Status.UNKNOWN: _UNDER_WAY | _AT_HOME,
}


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the tracking history."""

    status: Status
    at: datetime
    location: str | None = None
    description: str | None = None


class CarrierReport(msgspec.Struct, frozen=True):
    """What a carrier says about the parcel that it knows by `tracking_number`; `webhook_id` names the saying."""

    carrier: str
    webhook_id: str
    tracking_number: str
    report: Report


class Shipment(msgspec.Struct, frozen=True):
    """`version` counts the events published about it. The local carrier comes at `pick_up_at` and is at the buyer's
    at `deliver_at`, both in the carrier's time."""

    id: str
    order_id: str
    tracking_number: str
    carrier: str
    status: Status
    dispatched: bool
    version: int
    pick_up_at: datetime
    deliver_at: datetime
    shipping_address: Address | None


class Step(msgspec.Struct, frozen=True):
    """The shipment after `reports`, and the facts to publish, of which the last has the shipment's version."""

    shipment: Shipment
    reports: tuple[Report, ...] = ()
    facts: tuple[Fact, ...] = ()

    def then(self, later: "Step") -> "Step":
        """Both steps as one."""
        return Step(later.shipment, self.reports + later.reports, self.facts + later.facts)


class IllegalTrackingStatus(Conflict):
    """The status can't follow the one that the shipment has."""

    code = "illegal_tracking_status"

    def __init__(self, shipment: Shipment, status: Status) -> None:
        allowed = sorted(one for one in Status if one is not Status.CANCELLED and may_follow(shipment, one))
        can = f"can become {', '.join(allowed)}" if allowed else "stays as it is"
        hint = " Cancel the order instead." if status is Status.CANCELLED and allowed else ""
        super().__init__(f"A shipment that is {shipment.status} {can}, not {status}.{hint}")


def created(shipment_id: str, order_id: str, number: str) -> ShippingCreated:
    """The first fact about a shipment."""
    return ShippingCreated(order_id=order_id, shipment_id=shipment_id, tracking_number=number, carrier=LOCAL)


def may_follow(shipment: Shipment, status: Status) -> bool:
    """Whether the shipment can be `status` next."""
    return status in FOLLOWS[shipment.status] and not (shipment.dispatched and status in _AT_HOME)


def track(shipment: Shipment, report: Report) -> Step:
    """What a report by hand leads to. The first one that shows that the parcel has left also publishes that it did.
    Errors: IllegalTrackingStatus; a cancellation is never reported but comes from the order."""
    return _track(shipment, report, leaves=report.status not in _VAGUE)


def hear(shipment: Shipment, report: Report) -> Step:
    """What a carrier's report leads to: the same, but that a carrier can put off or hold only what it has. That it has
    a parcel which was to stay here is kept for staff to see, and changes nothing: the order is over. Errors:
    IllegalTrackingStatus."""
    has_it = report.status not in _KNOWS_NOTHING
    if has_it and shipment.status is Status.CANCELLED:
        return Step(shipment, (report,))
    return _track(shipment, report, leaves=has_it)


def _track(shipment: Shipment, report: Report, *, leaves: bool) -> Step:
    if report.status is Status.CANCELLED or not may_follow(shipment, report.status):
        raise IllegalTrackingStatus(shipment, report.status)
    leaves = leaves and not shipment.dispatched
    facts = ((_dispatched(shipment),) if leaves else ()) + _told_by(shipment, report)
    moved = replace(
        shipment,
        status=report.status,
        dispatched=shipment.dispatched or leaves,
        version=shipment.version + len(facts),
    )
    return Step(moved, (report,), facts)


def cancel(shipment: Shipment, at: datetime) -> Step | None:
    """The parcel stays here. None when it has left, or was cancelled before."""
    if not may_follow(shipment, Status.CANCELLED):
        return None
    cancelled = replace(shipment, status=Status.CANCELLED, version=shipment.version + 1)
    fact = ShippingCancelled(order_id=shipment.order_id, shipment_id=shipment.id)
    return Step(cancelled, (Report(status=Status.CANCELLED, at=at),), (fact,))


def carry(shipment: Shipment, carrier_now: datetime) -> Step:
    """All that the local carrier has done with the parcel by `carrier_now`."""
    step = Step(shipment)
    while (move := next_move(step.shipment)) and move.at <= carrier_now:
        step = step.then(track(step.shipment, move))
    return step


def next_move(shipment: Shipment) -> Report | None:
    """What the local carrier does next, and when; None when it waits for somebody's word, or is done."""
    match shipment.status:
        case Status.PENDING:
            return Report(status=Status.PICKED_UP, at=shipment.pick_up_at)
        case Status.PICKED_UP | Status.IN_TRANSIT | Status.OUT_FOR_DELIVERY:
            return Report(status=Status.DELIVERED, at=shipment.deliver_at)
        case _:
            return None


def _dispatched(shipment: Shipment) -> Fact:
    return ShippingDispatched(
        order_id=shipment.order_id,
        shipment_id=shipment.id,
        tracking_number=shipment.tracking_number,
        carrier=shipment.carrier,
        shipping_address=shipment.shipping_address,
    )


def _told_by(shipment: Shipment, report: Report) -> tuple[Fact, ...]:
    if report.status is Status.PICKED_UP:
        return ()
    at = rfc3339(report.at)
    if report.status is Status.DELIVERED:
        return (ShippingDelivered(order_id=shipment.order_id, shipment_id=shipment.id, at=at),)
    tracked = ShippingTracked(
        order_id=shipment.order_id,
        shipment_id=shipment.id,
        status=report.status,
        at=at,
        location=report.location,
        description=report.description,
    )
    return (tracked,)
