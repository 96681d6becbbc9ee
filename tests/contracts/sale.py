"""One fact of every type, with all its fields filled: a sale of two mugs, and what went wrong with another.

`python -m tests.contracts.sale` writes the golden envelope of each fact that has none yet, and touches no other: a
golden file tells what is out there already, so it never changes. A new fact goes to the end of `FACTS`.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from tradepost.contracts import inventory, notification, order, payment, product, shipping, user
from tradepost.contracts.inventory import Shortage, StockLine
from tradepost.contracts.order import Address, Guest, Line, ReturnedLine
from tradepost.contracts.product import Variant
from tradepost.kernel.brokers.envelope import encode
from tradepost.kernel.events import Fact
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import Raw

GOLDEN: Final = Path(__file__).parent / "golden"
BEGIN: Final = datetime(2026, 11, 23, 8, 0, 0, 123456, UTC)


def _id(number: int) -> str:
    return f"0193a5f0-7c00-7000-8000-{number:012x}"


USER, PRODUCT, VARIANT, ORDER, OTHER_ORDER, PAYMENT, SHIPMENT, RETURN, REFUND, DELIVERY = (
    _id(number) for number in range(1, 11)
)
GUEST: Final = Guest(email="guest@example.com", name="Guest")
ADDRESS: Final = Address(
    name="Ada Lovelace",
    line1="12 St James's Square",
    line2="Second floor",
    city="London",
    region="Greater London",
    postal_code="SW1Y 4JH",
    country="GB",
    phone="+442071234567",
)
MUG: Final = Variant(variant_id=VARIANT, sku="MUG-1", price=1999, name="White", opening_stock=10)
HELD: Final = StockLine(sku="MUG-1", quantity=2, available=8, version=2)
FREED: Final = StockLine(sku="MUG-1", quantity=2, available=10, version=3)

_user: Final[dict[str, Any]] = {"user_id": USER, "email": "ada@example.com", "name": "Ada", "phone": "+442071234567"}
_product: Final[dict[str, Any]] = {
    "product_id": PRODUCT,
    "name": "Mug",
    "status": "active",
    "currency": "USD",
    "variants": (MUG,),
}
_sku: Final = {"sku": "MUG-1", "product_id": PRODUCT, "variant_id": VARIANT}
_sale: Final[dict[str, Any]] = {"order_id": ORDER, "number": "T-1001", "user_id": USER, "guest": GUEST}
_money: Final[dict[str, Any]] = {"order_id": ORDER, "payment_id": PAYMENT, "amount": 3998, "currency": "USD"}
_parcel: Final = {"order_id": ORDER, "shipment_id": SHIPMENT}
_carried: Final[dict[str, Any]] = {"tracking_number": "TP000000000001", "carrier": "local"}
_letter: Final = {"delivery_id": DELIVERY, "channel": "email", "template": "order.created", "order_id": ORDER}
_mugs = Line(product_id=PRODUCT, variant_id=VARIANT, sku="MUG-1", quantity=2, price=1999, name="Mug")
_back = ReturnedLine(sku="MUG-1", quantity=2, restock=True)

FACTS: Final[tuple[Fact, ...]] = (
    user.UserRegistered(**_user, roles=("customer",)),
    user.UserUpdated(**_user, roles=("customer", "staff")),
    user.UserErased(user_id=USER),
    product.ProductCreated(**_product),
    product.ProductUpdated(**_product),
    product.ProductPriceChanged(product_id=PRODUCT, currency="USD", variants=(MUG,)),
    product.ProductArchived(product_id=PRODUCT),
    inventory.InventoryReserved(order_id=ORDER, items=(HELD,)),
    inventory.InventoryRejected(
        order_id=OTHER_ORDER,
        reason="insufficient_stock",
        missing=(Shortage(sku="MUG-1", requested=50, available=8),),
    ),
    inventory.InventoryReleased(order_id=ORDER, items=(FREED,), restocked=True),
    inventory.InventoryAdjusted(
        **_sku, delta=10, on_hand=10, reserved=0, available=10, version=1, reason="opening", reference="import-1"
    ),
    inventory.InventoryLow(**_sku, available=2, threshold=5),
    inventory.InventoryAvailable(**_sku, available=5, threshold=5),
    order.OrderCreated(**_sale, total_amount=3998, currency="USD", items=(_mugs,)),
    order.OrderPaymentRequested(
        order_id=ORDER, user_id=USER, amount=3998, currency="USD", payment_method="sim_success"
    ),
    order.OrderPaid(
        **_sale,
        payment_method="sim_success",
        transaction_id="txn_1",
        amount=3998,
        currency="USD",
        shipping_address=ADDRESS,
    ),
    order.OrderShipped(**_sale, **_carried, shipping_address=ADDRESS),
    order.OrderCompleted(**_sale, delivery_time="2026-11-25T10:30:00Z"),
    order.OrderCancelRequested(order_id=ORDER, reason="changed_mind"),
    order.OrderCancelled(**_sale, reason="changed_mind", paid=True, total_amount=3998, currency="USD"),
    order.OrderReturnReceived(order_id=ORDER, return_id=RETURN, items=(_back,), amount=3998, currency="USD"),
    order.OrderOfferOpened(variant_id=VARIANT, product_id=PRODUCT, sku="MUG-1"),
    payment.PaymentAuthorized(**_money),
    payment.PaymentRequiresAction(**_money, action_url="https://bank.example/3ds/1"),
    payment.PaymentCaptured(**_money, transaction_id="txn_1", payment_method="sim_success"),
    payment.PaymentFailed(order_id=OTHER_ORDER, payment_id=PAYMENT, reason="card_declined"),
    payment.PaymentVoided(**_money),
    payment.PaymentRefunded(**_money, refund_id=REFUND, cause=f"return:{RETURN}", return_id=RETURN),
    shipping.ShippingCreated(**_parcel, **_carried),
    shipping.ShippingCancelled(**_parcel),
    shipping.ShippingDispatched(**_parcel, **_carried, shipping_address=ADDRESS),
    shipping.ShippingTracked(
        **_parcel, status="in_transit", at="2026-11-24T09:00:00Z", location="Leeds", description="Sorted"
    ),
    shipping.ShippingDelivered(**_parcel, at="2026-11-25T10:30:00Z"),
    notification.NotificationSent(**_letter),
    notification.NotificationFailed(**_letter, reason="mailbox_full"),
    payment.PaymentRefundFailed(
        **_money,
        refund_id=REFUND,
        cause=f"return:{RETURN}",
        reason="declined_by_bank",
        was_refunded=True,
        refunded_total=0,
        return_id=RETURN,
    ),
    payment.PaymentRefundWaived(
        order_id=ORDER, payment_id=PAYMENT, reason="nothing_left", return_id=RETURN, refund_id=REFUND
    ),
)


def published(fact: Fact) -> Raw:
    """`fact` as it would lie in its publisher's log; ids and times are fixed by its place in `FACTS`."""
    place = FACTS.index(fact) + 1
    return Raw(
        position=place,
        id=_id(0x1000 + place),
        type=fact.type,
        key=fact.key,
        slot=slot_of(fact.key),
        sequence=1,
        time=BEGIN + timedelta(seconds=place),
        correlation_id=_id(0x2000),
        causation_id=_id(0x1000 + place - 1),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data=msgspec.json.encode(fact).decode(),
    )


def golden(type_name: str) -> Path:
    """Where the golden envelope of a type lies."""
    return GOLDEN / f"{type_name}.json"


if __name__ == "__main__":
    for fact in FACTS:
        if not golden(fact.type).exists():
            body = encode(fact.publisher(), published(fact))
            golden(fact.type).write_bytes(msgspec.json.format(body, indent=2) + b"\n")
