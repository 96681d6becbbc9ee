"""The refund: never more than was captured, one per cause, and what the provider's word on it changes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tradepost.contracts.payment import PaymentRefunded, PaymentRefundFailed, PaymentRefundWaived
from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Cause
from tradepost.services.payment.domain import ledger
from tradepost.services.payment.domain.ledger import Entry
from tradepost.services.payment.domain.model import Payment, Record, Refund, RefundItem, RefundStatus, Step
from tradepost.services.payment.domain.report import RefundReport, RefundState

MOVES: Final[Mapping[RefundStatus, frozenset[RefundStatus]]] = {
    RefundStatus.PENDING: frozenset({RefundStatus.PROCESSING, RefundStatus.SUCCEEDED, RefundStatus.FAILED}),
    RefundStatus.PROCESSING: frozenset({RefundStatus.SUCCEEDED, RefundStatus.FAILED}),
    RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED}),  # the buyer's bank sends it back, days later
    RefundStatus.FAILED: frozenset(),
}


class RefundExceedsCaptured(Conflict):
    """More is to go back than is left of what was captured."""

    code = "refund_exceeds_captured"

    def __init__(self, payment: Payment) -> None:
        left = payment.refundable
        super().__init__(f"At most {left} {payment.currency} can still be refunded.", extra={"refundable": left})


def start(
    payment: Payment,
    *,
    refund_id: str,
    key: str,
    amount: int,
    reason: str,
    cause: Cause,
    return_id: str | None = None,
    items: tuple[RefundItem, ...] = (),
) -> Step:
    """A refund of `amount` minor units, to be sent. Errors: RefundExceedsCaptured."""
    if not 0 < amount <= payment.refundable:
        raise RefundExceedsCaptured(payment)
    refund = Refund(
        id=refund_id,
        key=key,
        amount=amount,
        currency=payment.currency,
        reason=reason,
        cause=cause,
        return_id=return_id,
        items=items,
    )
    changed = msgspec.structs.replace(payment, refunding=payment.refunding + amount)
    return Step(payment=changed, refunds={refund.id: refund})


def hear(payment: Payment, refund: Refund, report: RefundReport) -> Step:
    """The provider's word on the refund, early, late or repeated."""
    match report.state:
        case RefundState.PENDING:
            return _accepted(payment, refund, report)
        case RefundState.MISSING:
            return _not_found(payment, refund)
        case RefundState.SUCCEEDED:
            to = RefundStatus.SUCCEEDED
        case RefundState.FAILED:
            to = RefundStatus.FAILED
    if to not in MOVES[refund.status]:
        return Step(payment=payment)
    return _succeed(payment, refund, report) if to is RefundStatus.SUCCEEDED else _fail(payment, refund, report)


def _accepted(payment: Payment, refund: Refund, report: RefundReport) -> Step:
    if refund.status not in (RefundStatus.PENDING, RefundStatus.PROCESSING) or refund.reference is not None:
        return Step(payment=payment)
    moved = _moved(refund, RefundStatus.PROCESSING, report)
    return Step(payment=payment, records=(_record(moved, "pending"),), refunds={refund.id: moved})


def _not_found(payment: Payment, refund: Refund) -> Step:
    """What the provider does not know of is asked for again, under the same key."""
    if refund.status is not RefundStatus.PROCESSING or refund.reference is None:
        return Step(payment=payment)
    forgotten = msgspec.structs.replace(refund, reference=None)
    return Step(payment=payment, refunds={refund.id: forgotten})


def _succeed(payment: Payment, refund: Refund, report: RefundReport) -> Step:
    moved = _moved(refund, RefundStatus.SUCCEEDED, report)
    return arrive(payment, moved, ledger.refunded(refund.key, refund.amount, refund.currency))


def arrive(payment: Payment, refund: Refund, entry: Entry) -> Step:
    """The money is back with the buyer, by `refund` as it stands now."""
    changed = msgspec.structs.replace(
        payment,
        refunding=payment.refunding - refund.amount,
        refunded=payment.refunded + refund.amount,
        version=payment.version + 1,
    )
    fact = PaymentRefunded(
        order_id=payment.order_id,
        payment_id=payment.id,
        amount=refund.amount,
        currency=refund.currency,
        refund_id=refund.id,
        cause=refund.key,
        return_id=refund.return_id,
        refunded_total=changed.refunded,
    )
    return Step(
        payment=changed,
        facts=((fact, refund.cause),),
        records=(_record(refund, "succeeded"),),
        entries=(entry,),
        refunds={refund.id: refund},
    )


def _fail(payment: Payment, refund: Refund, report: RefundReport) -> Step:
    """The money is ours again, until staff have it sent once more or close the refund."""
    moved = _moved(refund, RefundStatus.FAILED, report, failure=report.reason or "refund_failed")
    was_refunded = refund.status is RefundStatus.SUCCEEDED
    changed = msgspec.structs.replace(
        payment,
        refunding=payment.refunding - (0 if was_refunded else refund.amount),
        refunded=payment.refunded - (refund.amount if was_refunded else 0),
        version=payment.version + 1,
    )
    fact = PaymentRefundFailed(
        order_id=payment.order_id,
        payment_id=payment.id,
        amount=refund.amount,
        currency=refund.currency,
        refund_id=refund.id,
        cause=refund.key,
        reason=moved.failure or "",
        was_refunded=was_refunded,
        refunded_total=changed.refunded,
        return_id=refund.return_id,
    )
    return Step(
        payment=changed,
        facts=((fact, refund.cause),),
        records=(_record(moved, "failed"),),
        entries=(ledger.refund_reversed(refund.key, refund.amount, refund.currency),) if was_refunded else (),
        refunds={refund.id: moved},
    )


def waive(
    payment: Payment, *, reason: str, cause: Cause, return_id: str | None = None, refund_id: str | None = None
) -> Step:
    """Nothing goes back for this return, or for this refund that failed."""
    fact = PaymentRefundWaived(
        order_id=payment.order_id, payment_id=payment.id, reason=reason, return_id=return_id, refund_id=refund_id
    )
    changed = msgspec.structs.replace(payment, version=payment.version + 1)
    return Step(payment=changed, facts=((fact, cause),))


def _moved(refund: Refund, to: RefundStatus, report: RefundReport, *, failure: str | None = None) -> Refund:
    reference = report.reference or refund.reference
    return msgspec.structs.replace(refund, status=to, reference=reference, failure=failure)


def _record(refund: Refund, status: str) -> Record:
    return Record(type="refund", status=status, amount=refund.amount, reference=refund.reference, refund_id=refund.id)
