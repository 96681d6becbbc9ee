"""What the notification service publishes."""

from typing import ClassVar

from tradepost.kernel.events import Fact


class _AboutDelivery(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "delivery_id"

    delivery_id: str
    channel: str
    template: str
    order_id: str | None = None


class NotificationSent(_AboutDelivery, frozen=True, kw_only=True):
    """The message was handed over."""

    type: ClassVar[str] = "notification.sent"


class NotificationFailed(_AboutDelivery, frozen=True, kw_only=True):
    """The message could not be handed over, and no further try is made."""

    type: ClassVar[str] = "notification.failed"

    reason: str
