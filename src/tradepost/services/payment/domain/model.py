"""A payment and its refunds as they stand, and a step: how they stand after a move, with all that comes of it."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from tradepost.kernel.events import Cause, Fact
from tradepost.services.payment.domain.ledger import Entry

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
FIND_AFTER_S: Final = 30.0  # not before a lease is over, so that nobody is asking any more
LOOK_AGAIN_S: Final = 300.0  # what was held up on its way to the provider has come by then


class Status(StrEnum):
    PENDING = "pending"  # nothing was sent
    PROCESSING = "processing"  # sent; the provider's word is awaited
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    FAILED = "failed"
    VOIDED = "voided"


STATUSES: Final[Mapping[str, Status]] = {status.value: status for status in Status}  # quicker than a call of Status


class RefundStatus(StrEnum):
    PENDING = "pending"  # nothing was sent
    PROCESSING = "processing"  # sent; the provider's word is awaited
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Closed(StrEnum):
    """What staff did about a refund that failed."""

    RETRIED = "retried"
    PAID_OUTSIDE = "paid_outside"
    WAIVED = "waived"


class Task(StrEnum):
    """What is to be asked of the provider next."""

    CHARGE = "charge"
    VOID = "void"
    REFUND = "refund"
    FIND = "find"  # how it stands, by its key


class RefundItem(msgspec.Struct, frozen=True, kw_only=True):
    """What a refund is for, as staff put it."""

    sku: str
    quantity: int
    amount: int | None = None


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back. `key` is what the provider is asked under; `closed` is for one that failed."""

    id: str
    key: str
    amount: int
    currency: str
    reason: str
    cause: Cause
    status: RefundStatus = RefundStatus.PENDING
    return_id: str | None = None
    items: tuple[RefundItem, ...] = ()
    reference: str | None = None
    failure: str | None = None
    closed: Closed | None = None
    attempts: int = 0

    @property
    def task(self) -> Task | None:
        if self.status not in (RefundStatus.PENDING, RefundStatus.PROCESSING):
            return None
        return Task.REFUND if self.reference is None else Task.FIND


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is to cost its buyer. `refunding` is the sum of the refunds under way; `version` counts the events
    published; `reference` is the provider's name of the charge. What is `doubtful` was voided as the provider did not
    know of it, and may have been on its way there."""

    id: str
    order_id: str
    amount: int
    currency: str
    method: str
    cause: Cause
    user_id: str | None = None
    status: Status = Status.PENDING
    cancelled: bool = False
    doubtful: bool = False
    captured: int = 0
    refunding: int = 0
    refunded: int = 0
    version: int = 0
    reference: str | None = None
    action_url: str | None = None
    failure: str | None = None
    attempts: int = 0

    @property
    def refundable(self) -> int:
        """What may still go back, in minor units."""
        return self.captured - self.refunded - self.refunding

    @property
    def task(self) -> Task | None:
        """A charge without an answer is asked for again under its key; one of a cancelled order is only looked for."""
        match self.status:
            case Status.PENDING:
                return Task.CHARGE
            case Status.PROCESSING:
                return Task.FIND if self.cancelled or self.reference is not None else Task.CHARGE
            case Status.REQUIRES_ACTION | Status.AUTHORIZED:
                return Task.VOID if self.cancelled else Task.FIND
            case Status.VOIDED:
                return Task.VOID if self.doubtful else None
            case _:
                return None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the payment's history: what became known of an authorization, capture, void or refund."""

    type: str
    status: str
    amount: int
    reference: str | None
    refund_id: str | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The payment after a move, and what the move leads to; `refunds` are those that are new or changed, by id."""

    payment: Payment
    facts: tuple[tuple[Fact, Cause], ...] = ()
    records: tuple[Record, ...] = ()
    entries: tuple[Entry, ...] = ()
    refunds: Mapping[str, Refund] = {}

    def then(self, move: "Callable[[Payment], Step]") -> "Step":
        """This step and the next in one."""
        after = move(self.payment)
        return Step(
            payment=after.payment,
            facts=self.facts + after.facts,
            records=self.records + after.records,
            entries=self.entries + after.entries,
            refunds={**self.refunds, **after.refunds},
        )


def pause_s(before: Task | None, after: Task | None, attempts: int, *, at_least_s: float = 0.0) -> float | None:
    """Seconds until `after` is due, None when there is nothing to ask: at once when it is new, later each time it is
    to be asked once more."""
    if after is None:
        return None
    again = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempts, 10)) if after is before else 0.0
    return max(FIND_AFTER_S if after is Task.FIND else at_least_s, again)
