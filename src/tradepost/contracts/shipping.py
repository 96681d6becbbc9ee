"""What the shipping service publishes."""

from typing import ClassVar

from tradepost.contracts.order import Address
from tradepost.kernel.events import Fact


class _AboutShipment(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "order_id"

    order_id: str
    shipment_id: str


class ShippingCreated(_AboutShipment, frozen=True, kw_only=True):
    """A parcel waits for the carrier."""

    type: ClassVar[str] = "shipping.created"

    tracking_number: str
    carrier: str


class ShippingCancelled(_AboutShipment, frozen=True, kw_only=True):
    """The parcel will not leave."""

    type: ClassVar[str] = "shipping.cancelled"


class ShippingDispatched(_AboutShipment, frozen=True, kw_only=True):
    """The carrier has the parcel."""

    type: ClassVar[str] = "shipping.dispatched"

    tracking_number: str
    carrier: str
    shipping_address: Address | None = None


class ShippingTracked(_AboutShipment, frozen=True, kw_only=True):
    """The carrier reported where the parcel is; `at` is RFC 3339."""

    type: ClassVar[str] = "shipping.tracked"

    status: str
    at: str
    location: str | None = None
    description: str | None = None


class ShippingDelivered(_AboutShipment, frozen=True, kw_only=True):
    """The parcel is with the buyer; `at` is RFC 3339."""

    type: ClassVar[str] = "shipping.delivered"

    at: str
