"""The refund that failed: staff send it once more, pay it in another way, or waive it, and that is said once."""

from functools import partial

import msgspec

from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Cause
from tradepost.services.payment.domain import ledger
from tradepost.services.payment.domain.keys import retry_key
from tradepost.services.payment.domain.ledger import Account
from tradepost.services.payment.domain.model import Closed, Payment, Refund, RefundStatus, Step
from tradepost.services.payment.domain.refund import arrive, start, waive


class NotOpen(Conflict):
    """Nothing is to be done about this refund."""

    code = "refund_not_failed"

    def __init__(self, refund: Refund) -> None:
        state = refund.closed or refund.status
        super().__init__(f"The refund is {state}: only one that failed can be dealt with, once.")


def retry(payment: Payment, refund: Refund, *, refund_id: str, cause: Cause) -> Step:
    """Once more, under a key of its own: as much as may still go back. Errors: NotOpen, RefundExceedsCaptured."""
    return _again(payment, refund, refund_id, cause, Closed.RETRIED)


def pay_outside(payment: Payment, refund: Refund, *, refund_id: str, note: str, cause: Cause) -> Step:
    """The buyer got the money in another way, which `note` tells. Errors: NotOpen, RefundExceedsCaptured."""
    step = _again(payment, refund, refund_id, cause, Closed.PAID_OUTSIDE)
    made = step.refunds[refund_id]
    paid = msgspec.structs.replace(made, status=RefundStatus.SUCCEEDED, reference=f"outside: {note}")
    entry = ledger.refunded(made.key, made.amount, made.currency, Account.PAID_OUTSIDE)
    return step.then(partial(arrive, refund=paid, entry=entry))


def give_up(payment: Payment, refund: Refund, *, note: str, cause: Cause) -> Step:
    """Nothing is to go back for it, because of `note`. Errors: NotOpen."""
    closed = _close(refund, Closed.WAIVED)
    step = waive(payment, reason=note, cause=cause, return_id=refund.return_id, refund_id=refund.id)
    return msgspec.structs.replace(step, refunds={closed.id: closed})


def _again(payment: Payment, refund: Refund, refund_id: str, cause: Cause, how: Closed) -> Step:
    closed = _close(refund, how)
    step = start(
        payment,
        refund_id=refund_id,
        key=retry_key(refund.key),
        amount=min(refund.amount, payment.refundable),
        reason=refund.reason,
        cause=cause,
        return_id=refund.return_id,
        items=refund.items,
    )
    return msgspec.structs.replace(step, refunds={closed.id: closed, **step.refunds})


def _close(refund: Refund, how: Closed) -> Refund:
    if refund.status is not RefundStatus.FAILED or refund.closed is not None:
        raise NotOpen(refund)
    return msgspec.structs.replace(refund, closed=how)
