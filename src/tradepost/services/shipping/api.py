"""Shipping over HTTP."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import Body, Id, ListOf, ListQuery
from tradepost.kernel.http.endpoint import Idempotency, Request, get, owner_or, post, public, staff
from tradepost.services.shipping import commands, providers, queries
from tradepost.services.shipping.desk import Desk
from tradepost.services.shipping.domain.shipment import Report, Status
from tradepost.services.shipping.queries import ShipmentView


class ShipmentQuery(ListQuery, frozen=True, kw_only=True):
    """A page, of one order's where it is named."""

    order_id: Id | None = None


class NewTrackingEvent(Body, frozen=True, kw_only=True):
    """What is known about a parcel; without `at` it is so now."""

    status: Status
    at: Annotated[datetime, Meta(tz=True)] | None = None
    location: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    description: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None


class Advance(Body, frozen=True, kw_only=True):
    """How far to turn the local carrier's clock: up to a year."""

    seconds: Annotated[float, Meta(gt=0, le=366 * 86_400)]


class CarrierTime(msgspec.Struct, frozen=True, kw_only=True):
    """What the local carrier's clock shows."""

    carrier_time: datetime


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """`recorded`; or `duplicate`; or `ignored`, because what came earlier rules it out."""

    outcome: str


async def list_shipments(request: Request[None, ShipmentQuery], desk: Desk) -> ListOf[ShipmentView]:
    """Shipments, of an order or of all; a customer sees their own."""
    query, owner = request.query, queries.owner_for(request.caller)
    return await queries.shipments(desk.db, query, query.order_id, owner)


async def read_shipment(request: Request[None, None], desk: Desk) -> ShipmentView:
    """A shipment with its tracking history."""
    return await queries.shipment(desk.db, request.path["shipment_id"], queries.owner_for(request.caller))


async def add_tracking_event(request: Request[NewTrackingEvent, None], _desk: Desk, tx: Tx) -> ShipmentView:
    """Tell by hand where a parcel is."""
    body, shipment_id = request.body, request.path["shipment_id"]
    report = Report(status=body.status, at=body.at or now(), location=body.location, description=body.description)
    await commands.track(tx, shipment_id, report, request.cause)
    return await queries.shipment(tx, shipment_id, None)


async def hear_carrier(request: Request[bytes, None], desk: Desk) -> Heard:
    """Take in a carrier's signed webhook (Standard Webhooks)."""
    carrier = request.path["carrier"]
    secret = desk.secrets.get(carrier)
    if secret is None:
        raise NotFound(f"The carriers are {', '.join(desk.secrets)}.", code="unknown_carrier")
    said = providers.read_webhook(carrier, secret, request.headers, request.body, now())
    async with desk.db.transaction() as tx:
        outcome = await commands.hear(tx, said, request.cause)
    return Heard(outcome=outcome)


async def advance_carrier(request: Request[Advance, None], _desk: Desk, tx: Tx) -> CarrierTime:
    """Turn the local carrier's clock forward."""
    return CarrierTime(carrier_time=await commands.advance(tx, request.body.seconds))


endpoints = (
    get("/shipping/shipments", list_shipments, access=owner_or(staff(queries.READ))),
    get("/shipping/shipments/{shipment_id}", read_shipment, access=owner_or(staff(queries.READ))),
    post("/shipping/shipments/{shipment_id}/events", add_tracking_event, access=staff("shipping:write"), status=201),
    post("/shipping/webhooks/{carrier}", hear_carrier, access=public, idempotency=Idempotency.IGNORED),
    post("/shipping/carrier/advance", advance_carrier, access=staff("shipping:write")),
)
