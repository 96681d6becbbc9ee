"""Shipments as they are shown, straight from their rows."""

from datetime import datetime
from typing import Final

import msgspec

from tradepost.contracts.order import Address
from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import ListOf, ListQuery
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.paging import given, read_page
from tradepost.services.shipping.domain.shipment import Status

READ: Final = "shipping:read"


class TrackingEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the tracking history."""

    status: Status
    at: datetime
    location: str | None = None
    description: str | None = None


class ShipmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A shipment with its history, oldest first."""

    id: str
    order_id: str
    tracking_number: str
    carrier: str
    status: Status
    shipping_address: Address | None
    events: list[TrackingEvent]


_history: Final = msgspec.json.Decoder(list[TrackingEvent])
_address: Final = msgspec.json.Decoder(Address)

_COLUMNS: Final = "id::text, order_id::text, tracking_number, carrier, status, shipping_address, history"
_ONE: Final = f"SELECT {_COLUMNS} FROM shipment WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2)"


def owner_for(caller: Caller) -> str | None:
    """Whose shipments `caller` may see: their own, or everybody's, which is None."""
    return None if caller.may(READ) else caller.user_id


async def shipment(db: Database | Tx, shipment_id: str, owner: str | None) -> ShipmentView:
    """One shipment of `owner`, or of anybody's where that is None. Errors: NotFound, also when it is another's."""
    row = await db.fetchrow(_ONE, shipment_id, owner)
    if row is None:
        raise NotFound("There is no shipment of this id.")
    return _view(row)


async def shipments(db: Database, wanted: ListQuery, order_id: str | None, owner: str | None) -> ListOf[ShipmentView]:
    """The shipments of `owner`, or everybody's, newest first; of an order, none while it isn't paid."""
    conditions = given(("order_id = {}", order_id), ("user_id = {}", owner))
    return await read_page(db, "shipment", _COLUMNS, conditions, wanted, _view)


def _view(row: Row) -> ShipmentView:
    return ShipmentView(
        id=row["id"],
        order_id=row["order_id"],
        tracking_number=row["tracking_number"],
        carrier=row["carrier"],
        status=Status(row["status"]),
        shipping_address=row["shipping_address"] and _address.decode(row["shipping_address"]),
        events=_history.decode(row["history"]),
    )
