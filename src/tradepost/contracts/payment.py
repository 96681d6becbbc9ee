"""What the payment service publishes."""

from typing import ClassVar

from tradepost.kernel.events import Fact


class _AboutPayment(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "order_id"

    order_id: str
    payment_id: str


class _Money(_AboutPayment, frozen=True, kw_only=True):
    amount: int
    currency: str


class PaymentAuthorized(_Money, frozen=True, kw_only=True):
    """The provider holds the money for us."""

    type: ClassVar[str] = "payment.authorized"


class PaymentRequiresAction(_Money, frozen=True, kw_only=True):
    """The buyer must confirm with the bank (3-D Secure) before anything goes on."""

    type: ClassVar[str] = "payment.requires_action"

    action_url: str


class PaymentCaptured(_Money, frozen=True, kw_only=True):
    """The money is ours."""

    type: ClassVar[str] = "payment.captured"

    transaction_id: str
    payment_method: str


class PaymentFailed(_AboutPayment, frozen=True, kw_only=True):
    """The money can't be had; `reason` is the decline code."""

    type: ClassVar[str] = "payment.failed"

    reason: str


class PaymentVoided(_Money, frozen=True, kw_only=True):
    """A payment was given up before any money was ours."""

    type: ClassVar[str] = "payment.voided"


class PaymentRefunded(_Money, frozen=True, kw_only=True):
    """Money went back; `cause` is the refund's key, `return_id` the return that it is for. `refunded_total` is what has
    gone back of the payment in all, this included."""

    type: ClassVar[str] = "payment.refunded"

    refund_id: str
    cause: str
    return_id: str | None = None
    refunded_total: int | None = None


class PaymentRefundFailed(_Money, frozen=True, kw_only=True):
    """A refund did not go through, and the money is the shop's; `reason` is the bank's code. With `was_refunded` it had
    been told as refunded, and was sent back. `refunded_total` is what has gone back of the payment without it."""

    type: ClassVar[str] = "payment.refund_failed"

    refund_id: str
    cause: str
    reason: str
    was_refunded: bool
    refunded_total: int
    return_id: str | None = None


class PaymentRefundWaived(_AboutPayment, frozen=True, kw_only=True):
    """Nothing goes back: for a return because it is worth nothing or all has gone back already, for a refund that
    failed because staff closed it."""

    type: ClassVar[str] = "payment.refund_waived"

    reason: str
    return_id: str | None = None
    refund_id: str | None = None
