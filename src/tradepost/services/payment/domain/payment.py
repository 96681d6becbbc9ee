"""The payment: its states, the moves between them, and what each move publishes and enters in the ledger."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tradepost.contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentRequiresAction,
    PaymentVoided,
)
from tradepost.kernel.events import Cause, Fact
from tradepost.services.payment.domain import ledger, refund
from tradepost.services.payment.domain.keys import cancel_refund_key, charge_key
from tradepost.services.payment.domain.ledger import Entry
from tradepost.services.payment.domain.model import Payment, Record, Status, Step
from tradepost.services.payment.domain.report import ChargeReport, ChargeState

FREE: Final = "free"  # the transaction of a payment of nothing
GIVEN_UP: Final = "voided_by_provider"

_ANSWERS: Final = frozenset({Status.REQUIRES_ACTION, Status.AUTHORIZED, Status.CAPTURED, Status.FAILED, Status.VOIDED})
_ENDS: Final = frozenset({Status.FAILED, Status.VOIDED})
_UNSETTLED: Final = frozenset({Status.PROCESSING, Status.REQUIRES_ACTION, Status.AUTHORIZED})

# What is not here is old news, or comes twice, and changes nothing. Money that came is a fact in any state.
MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: _ANSWERS | {Status.PROCESSING},
    Status.PROCESSING: _ANSWERS,
    Status.REQUIRES_ACTION: frozenset({Status.AUTHORIZED, Status.CAPTURED, Status.FAILED, Status.VOIDED}),
    Status.AUTHORIZED: frozenset({Status.CAPTURED, Status.FAILED, Status.VOIDED}),
    Status.CAPTURED: frozenset(),
    Status.FAILED: frozenset({Status.CAPTURED}),
    Status.VOIDED: frozenset({Status.CAPTURED}),
}
_TOWARD: Final[Mapping[ChargeState, Status]] = {
    ChargeState.REQUIRES_ACTION: Status.REQUIRES_ACTION,
    ChargeState.AUTHORIZED: Status.AUTHORIZED,
    ChargeState.CAPTURED: Status.CAPTURED,
    ChargeState.DECLINED: Status.FAILED,
    ChargeState.VOIDED: Status.VOIDED,
}


def request(payment: Payment) -> Step:
    """A payment that is asked for. What costs nothing is captured at once, without a provider. One of a cancelled order
    is not charged but looked for, as if it had been sent: it was, if our database was put back since."""
    if not payment.amount:
        report = ChargeReport(key=charge_key(payment.order_id), state=ChargeState.CAPTURED, reference=FREE)
        return _capture(payment, report)
    if payment.cancelled:
        return Step(payment=msgspec.structs.replace(payment, status=Status.PROCESSING))
    return Step(payment=payment)


def cancel(payment: Payment, cause: Cause, refund_id: str) -> Step:
    """Its order is cancelled: void what was not sent, give back what was captured, and remember it for the rest."""
    if payment.cancelled:
        return Step(payment=payment)
    cancelled = msgspec.structs.replace(payment, cancelled=True)
    if payment.status is Status.PENDING:
        return _give_up(cancelled, cause)
    if payment.status is Status.CAPTURED:
        return _give_back(cancelled, cause, refund_id)
    return Step(payment=cancelled)


def hear(payment: Payment, report: ChargeReport, refund_id: str) -> Step:
    """The provider's word on the charge, early, late or repeated. `refund_id` is for a refund that it may call for."""
    if report.state is ChargeState.MISSING:
        return _not_found(payment)
    if report.state is ChargeState.PROCESSING:
        return _accepted(payment, report)
    to = _TOWARD[report.state]
    if payment.doubtful and to in _ENDS:
        return _made_sure(payment)
    if to not in MOVES[payment.status]:
        return Step(payment=payment)
    if to is Status.CAPTURED:
        step = _capture(payment, report)
        return step.then(lambda paid: _give_back(paid, paid.cause, refund_id)) if payment.cancelled else step
    return _settle(payment, to, report)


def _settle(payment: Payment, to: Status, report: ChargeReport) -> Step:
    if to is Status.REQUIRES_ACTION:
        return _require_action(payment, report)
    if to is Status.AUTHORIZED:
        return _authorize(payment, report)
    if to is Status.VOIDED and payment.cancelled:
        return _give_up(payment, payment.cause, _record(payment, "void", "succeeded", report))
    return _fail(payment, report)


def _accepted(payment: Payment, report: ChargeReport) -> Step:
    if payment.status not in (Status.PENDING, Status.PROCESSING):
        return Step(payment=payment)
    return Step(payment=_moved(payment, Status.PROCESSING, report))


def _not_found(payment: Payment) -> Step:
    """What the provider never saw needs no undoing, but is looked for once more later; otherwise it is asked for again,
    under the same key. A charge that still turns up is given back."""
    if payment.doubtful:
        return _made_sure(payment)
    if payment.cancelled and payment.status in _UNSETTLED:
        return _give_up(msgspec.structs.replace(payment, doubtful=True), payment.cause)
    if payment.status is Status.PROCESSING:
        return Step(payment=msgspec.structs.replace(payment, reference=None))
    return Step(payment=payment)


def _made_sure(payment: Payment) -> Step:
    return Step(payment=msgspec.structs.replace(payment, doubtful=False))


def _require_action(payment: Payment, report: ChargeReport) -> Step:
    moved = _moved(payment, Status.REQUIRES_ACTION, report, action_url=report.action_url)
    record = _record(payment, "authorization", "pending", report)
    if payment.cancelled:  # nobody is to act any more
        return Step(payment=moved, records=(record,))
    fact = PaymentRequiresAction(**_money(payment), action_url=report.action_url or "")
    return _published(moved, fact, payment.cause, record)


def _authorize(payment: Payment, report: ChargeReport) -> Step:
    moved = _moved(payment, Status.AUTHORIZED, report, action_url=None)
    record = _record(payment, "authorization", "succeeded", report)
    return _published(moved, PaymentAuthorized(**_money(payment)), payment.cause, record)


def _capture(payment: Payment, report: ChargeReport) -> Step:
    moved = _moved(payment, Status.CAPTURED, report, captured=payment.amount, action_url=None, failure=None)
    fact = PaymentCaptured(
        **_money(payment), transaction_id=moved.reference or payment.id, payment_method=payment.method
    )
    record = _record(moved, "capture", "succeeded", report)
    if not payment.amount:
        return _published(moved, fact, payment.cause, record)
    entry = ledger.captured(charge_key(payment.order_id), payment.amount, payment.currency)
    return _published(moved, fact, payment.cause, record, entries=(entry,))


def _fail(payment: Payment, report: ChargeReport) -> Step:
    reason = report.reason or (GIVEN_UP if report.state is ChargeState.VOIDED else "declined")
    moved = _moved(payment, Status.FAILED, report, failure=reason, action_url=None)
    fact = PaymentFailed(order_id=payment.order_id, payment_id=payment.id, reason=reason)
    return _published(moved, fact, payment.cause, _record(payment, "authorization", "failed", report))


def _give_up(payment: Payment, cause: Cause, *records: Record) -> Step:
    moved = msgspec.structs.replace(payment, status=Status.VOIDED, action_url=None)
    return _published(moved, PaymentVoided(**_money(payment)), cause, *records)


def _give_back(payment: Payment, cause: Cause, refund_id: str) -> Step:
    """All that may still go back, under the one key of a cancelled order."""
    if not payment.refundable:
        return Step(payment=payment)
    return refund.start(
        payment,
        refund_id=refund_id,
        key=cancel_refund_key(payment.order_id),
        amount=payment.refundable,
        reason="cancelled",
        cause=cause,
    )


def _moved(payment: Payment, to: Status, report: ChargeReport, **changes: object) -> Payment:
    reference = report.reference or payment.reference
    return msgspec.structs.replace(payment, status=to, reference=reference, doubtful=False, **changes)


def _published(payment: Payment, fact: Fact, cause: Cause, *records: Record, entries: tuple[Entry, ...] = ()) -> Step:
    counted = msgspec.structs.replace(payment, version=payment.version + 1)
    return Step(payment=counted, facts=((fact, cause),), records=records, entries=entries)


def _record(payment: Payment, type_: str, status: str, report: ChargeReport) -> Record:
    return Record(type=type_, status=status, amount=payment.amount, reference=report.reference or payment.reference)


def _money(payment: Payment) -> dict[str, Any]:
    """The fields that most of a payment's facts have."""
    return {
        "order_id": payment.order_id,
        "payment_id": payment.id,
        "amount": payment.amount,
        "currency": payment.currency,
    }
