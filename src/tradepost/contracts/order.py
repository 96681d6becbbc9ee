"""What the order service publishes."""

from typing import ClassVar

import msgspec

from tradepost.kernel.events import Fact


class Address(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a parcel goes; `country` is ISO 3166-1 alpha-2."""

    name: str
    line1: str
    city: str
    postal_code: str
    country: str
    line2: str | None = None
    region: str | None = None
    phone: str | None = None


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a buyer without an account."""

    email: str
    name: str


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Units of one SKU at the price of one, in minor units."""

    product_id: str
    variant_id: str
    sku: str
    quantity: int
    price: int
    name: str = ""


class ReturnedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units that came back; `restock` when they can be sold again."""

    sku: str
    quantity: int
    restock: bool


class _AboutOrder(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "order_id"

    order_id: str


class _AboutSale(_AboutOrder, frozen=True, kw_only=True):
    number: str
    user_id: str | None = None
    guest: Guest | None = None


class OrderCreated(_AboutSale, frozen=True, kw_only=True):
    """An order is on record; a guest's has no `user_id`."""

    type: ClassVar[str] = "order.created"

    total_amount: int
    currency: str
    items: tuple[Line, ...]


class OrderPaymentRequested(_AboutOrder, frozen=True, kw_only=True):
    """The stock is held: take the money."""

    type: ClassVar[str] = "order.payment_requested"

    user_id: str | None = None
    amount: int
    currency: str
    payment_method: str


class OrderPaid(_AboutSale, frozen=True, kw_only=True):
    """The money is there: send the goods."""

    type: ClassVar[str] = "order.paid"

    payment_method: str
    transaction_id: str
    amount: int
    currency: str
    shipping_address: Address | None = None


class OrderShipped(_AboutSale, frozen=True, kw_only=True):
    """The parcel is with the carrier."""

    type: ClassVar[str] = "order.shipped"

    tracking_number: str
    carrier: str
    shipping_address: Address | None = None


class OrderCompleted(_AboutSale, frozen=True, kw_only=True):
    """The parcel was delivered."""

    type: ClassVar[str] = "order.completed"

    delivery_time: str


class OrderCancelRequested(_AboutOrder, frozen=True, kw_only=True):
    """A paid order is to be stopped, if the parcel still can be."""

    type: ClassVar[str] = "order.cancel_requested"

    reason: str


class OrderCancelled(_AboutSale, frozen=True, kw_only=True):
    """The order will not be fulfilled. `paid` tells whether we knew of its payment, so that the units had left; what
    is heard of later goes back by itself."""

    type: ClassVar[str] = "order.cancelled"

    reason: str
    paid: bool
    total_amount: int
    currency: str


class OrderReturnReceived(_AboutOrder, frozen=True, kw_only=True):
    """Goods came back: restock what can be sold, refund `amount`."""

    type: ClassVar[str] = "order.return_received"

    return_id: str
    items: tuple[ReturnedLine, ...]
    amount: int
    currency: str


class OrderOfferOpened(Fact, frozen=True, kw_only=True):
    """Price and stock of the SKU are both known: it can be ordered from now on."""

    type: ClassVar[str] = "order.offer_opened"
    key_field: ClassVar[str] = "variant_id"

    variant_id: str
    product_id: str
    sku: str
