"""Published facts, one module per publisher: data only. `FACTS` lists every event type that can be on a log."""

from typing import Final

from tradepost.contracts.inventory import (
    InventoryAdjusted,
    InventoryAvailable,
    InventoryLow,
    InventoryRejected,
    InventoryReleased,
    InventoryReserved,
)
from tradepost.contracts.notification import NotificationFailed, NotificationSent
from tradepost.contracts.order import (
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderCreated,
    OrderOfferOpened,
    OrderPaid,
    OrderPaymentRequested,
    OrderReturnReceived,
    OrderShipped,
)
from tradepost.contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundWaived,
    PaymentRequiresAction,
    PaymentVoided,
)
from tradepost.contracts.product import ProductArchived, ProductCreated, ProductPriceChanged, ProductUpdated
from tradepost.contracts.shipping import (
    ShippingCancelled,
    ShippingCreated,
    ShippingDelivered,
    ShippingDispatched,
    ShippingTracked,
)
from tradepost.contracts.user import UserErased, UserRegistered, UserUpdated
from tradepost.kernel.events import Fact

FACTS: Final[tuple[type[Fact], ...]] = (
    UserRegistered, UserUpdated, UserErased,
    ProductCreated, ProductUpdated, ProductPriceChanged, ProductArchived,
    InventoryReserved, InventoryRejected, InventoryReleased, InventoryAdjusted, InventoryLow, InventoryAvailable,
    OrderCreated, OrderPaymentRequested, OrderPaid, OrderShipped, OrderCompleted, OrderCancelRequested, OrderCancelled,
    OrderReturnReceived, OrderOfferOpened,
    PaymentAuthorized, PaymentRequiresAction, PaymentCaptured, PaymentFailed, PaymentVoided, PaymentRefunded,
    PaymentRefundFailed, PaymentRefundWaived,
    ShippingCreated, ShippingCancelled, ShippingDispatched, ShippingTracked, ShippingDelivered,
    NotificationSent, NotificationFailed,
)  # fmt: skip
