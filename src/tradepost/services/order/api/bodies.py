"""What is sent to order, and the queries of its lists."""

from typing import Annotated, Final

from msgspec import Meta

from tradepost.kernel.http.body import Address, Amount, Body, Currency, Id, ListQuery, Quantity, ShortText
from tradepost.services.order.domain.order import Status

DEFAULT_METHOD: Final = "pm_card_visa"  # the simulator's card that succeeds
LINES: Final = 500

# A provider's name for one: it begins with a letter, and so is no card's number.
PaymentMethod = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]*\Z", min_length=1, max_length=100)]
Sku = Annotated[str, Meta(min_length=1, max_length=255)]


class ItemBody(Body, frozen=True, kw_only=True):
    """Exactly one of `product_id`, `variant_id` and `sku`. With `price` the order is refused if it has changed."""

    quantity: Quantity
    product_id: Id | None = None
    variant_id: Id | None = None
    sku: Sku | None = None
    price: Amount | None = None


class GuestBody(Body, frozen=True, kw_only=True):
    """A buyer without an account."""

    email: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    name: ShortText


class PlaceOrder(Body, frozen=True, kw_only=True):
    """What to buy. `user_id` and `guest` are for staff who order for somebody else."""

    items: Annotated[list[ItemBody], Meta(min_length=1, max_length=LINES)]
    currency: Currency | None = None
    shipping_address: Address | None = None
    payment_method: PaymentMethod = DEFAULT_METHOD
    user_id: Id | None = None
    guest: GuestBody | None = None


class CancelOrder(Body, frozen=True, kw_only=True):
    """Why, in a few words."""

    reason: ShortText | None = None


class ReturnItem(Body, frozen=True, kw_only=True):
    """Units that are to come back."""

    sku: Sku
    quantity: Quantity


class ArrivedItem(ReturnItem, frozen=True, kw_only=True):
    """Units that came back; `restock` false for what can't be sold again."""

    restock: bool = True


class RequestReturn(Body, frozen=True, kw_only=True):
    """What comes back, and why. Whether it can be sold again, staff say when they have it."""

    items: Annotated[list[ReturnItem], Meta(min_length=1, max_length=LINES)]
    reason: ShortText


class ReceiveReturn(Body, frozen=True, kw_only=True):
    """What arrived, where it is not what was announced, or is not to be sold again."""

    items: Annotated[list[ArrivedItem], Meta(min_length=1, max_length=LINES)] | None = None


class OrderList(ListQuery, frozen=True, kw_only=True):
    """`user_id` is for staff."""

    status: Status | None = None
    user_id: Id | None = None
