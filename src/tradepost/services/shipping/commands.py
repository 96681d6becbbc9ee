"""Each write of shipping: load, decide, save."""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import structlog

from tradepost.contracts.order import OrderCancelled, OrderCancelRequested, OrderPaid
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.events import Cause, Event
from tradepost.kernel.ids import new_id
from tradepost.services.shipping import carrier_clock, repository
from tradepost.services.shipping.domain import shipment as domain
from tradepost.services.shipping.domain.shipment import CarrierReport, IllegalTrackingStatus, Report, Status
from tradepost.services.shipping.domain.tracking_number import CHANCE_BITS, read_tracking_number, tracking_number
from tradepost.services.shipping.repository import Opening

logger = structlog.get_logger()

CARRIER_JOB: Final = "shipping.carrier"

_REMEMBER: Final = "INSERT INTO webhook (carrier, id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"


async def open_shipments(tx: Tx, paid: Sequence[Event[OrderPaid]], now: datetime) -> None:
    """A parcel for each paid order that has none yet; one that was to be cancelled before stays here."""
    made = await repository.insert(tx, [_opening(event, now) for event in paid])
    if made.overtaken:
        await _keep(tx, [event for event in paid if event.data.order_id in made.overtaken], now)
    if made.is_due:
        tx.wake(CARRIER_JOB)


async def cancel_shipments(
    tx: Tx, events: Sequence[Event[OrderCancelRequested | OrderCancelled]], now: datetime
) -> None:
    """Keep the parcels of these orders here. One that has left goes on: the fact that it left has told order so. A paid
    order that has none yet is remembered until it has; one that is cancelled before it is paid never will."""
    kept = await _keep(tx, events, now)
    paid = [event.data.order_id for event in events if isinstance(event.data, OrderCancelRequested) or event.data.paid]
    repository.remember(tx, [order_id for order_id in paid if order_id not in kept])


async def _keep(
    tx: Tx, events: Sequence[Event[OrderCancelRequested | OrderCancelled | OrderPaid]], now: datetime
) -> Collection[str]:
    """The orders that have a parcel."""
    shipments = await repository.lock_of_orders(tx, [event.data.order_id for event in events])
    steps = []
    for event in events:
        shipment = shipments.get(event.data.order_id)
        if shipment and (step := domain.cancel(shipment, now)):
            shipments[event.data.order_id] = step.shipment
            steps.append((step, event.cause))
    repository.save(tx, steps)
    return shipments.keys()


async def track(tx: Tx, shipment_id: str, report: Report, cause: Cause) -> None:
    """A tracking event by hand. Errors: NotFound, IllegalTrackingStatus."""
    shipment = await repository.lock(tx, shipment_id)
    if shipment is None:
        raise NotFound("There is no shipment of this id.")
    step = domain.track(shipment, report)
    repository.save(tx, [(step, cause)])
    repository.look_again(tx, [step.shipment])


async def hear(tx: Tx, said: CarrierReport, cause: Cause) -> str:
    """Take a carrier's report in: `recorded`, or `duplicate`, or `ignored` when it comes too late to be true.
    That the carrier has a parcel that was cancelled is logged. Errors: NotFound when no parcel of the carrier has that
    number."""
    if not await tx.fetchval(_REMEMBER, said.carrier, said.webhook_id):
        return "duplicate"
    number = read_tracking_number(said.tracking_number)
    shipment = number and await repository.lock_by_number(tx, said.carrier, number)
    if not shipment:
        raise NotFound("No parcel of this carrier has that tracking number.", code="unknown_tracking_number")
    try:
        step = domain.hear(shipment, said.report)
    except IllegalTrackingStatus:  # carriers send late and out of order, and would send what is refused again
        return "ignored"
    if shipment.status is Status.CANCELLED:
        about = {"order_id": shipment.order_id, "shipment_id": shipment.id}
        logger.warning("cancelled_parcel_moves", status=str(said.report.status), **about)
    repository.save(tx, [(step, cause)])
    repository.look_again(tx, [step.shipment])
    return "recorded"


async def carry(tx: Tx, limit: int) -> int:
    """Move up to `limit` parcels with which the local carrier is due; how many it looked at."""
    locked, carrier_now = await repository.lock_due(tx, limit)
    if carrier_now is None:
        return 0
    steps = [(domain.carry(one.shipment, carrier_now), one.cause) for one in locked]
    repository.save(tx, [(step, cause) for step, cause in steps if step.facts])
    repository.look_again(tx, [step.shipment for step, _ in steps])
    return len(locked)


async def advance(tx: Tx, seconds: float) -> datetime:
    """Turn the local carrier's clock forward and let it move what is due then; the time that the clock shows."""
    tx.wake(CARRIER_JOB)
    return await carrier_clock.advance(tx, seconds)


def _opening(event: Event[OrderPaid], now: datetime) -> Opening:
    paid, shipment_id = event.data, new_id()
    number = tracking_number(int(now.timestamp() * 1000), secrets.randbits(CHANCE_BITS))
    return Opening(
        shipment_id=shipment_id,
        order_id=paid.order_id,
        user_id=paid.user_id,
        tracking_number=number,
        shipping_address=paid.shipping_address,
        report=Report(status=Status.PENDING, at=now),
        fact=domain.created(shipment_id, paid.order_id, number),
        cause=event.cause,
    )
