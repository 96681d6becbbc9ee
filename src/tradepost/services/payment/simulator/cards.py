"""The test cards: what each token does. Names and meanings are Stripe's; `pm_sim_...` misbehave as providers do."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tradepost.services.payment.domain.report import ChargeState, RefundState

LATER_S: Final = 2.0  # until a bank has made up its mind


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """How a charge by this card begins and goes on. `told` are the states that webhooks tell at once, in that order,
    each `times` times; `later` is where it gets by itself; `confirmed` where its owner's approval leads."""

    state: ChargeState = ChargeState.CAPTURED
    reason: str | None = None
    answer: ChargeState | None = None  # said at first instead of the state
    told: tuple[ChargeState, ...] = ()
    times: int = 1
    told_first: bool = False  # webhooks arrive before the answer does
    answers: bool = True  # no first answer at all otherwise
    later: ChargeState | None = None
    confirmed: ChargeState = ChargeState.CAPTURED
    confirmed_reason: str | None = None
    refund: RefundState = RefundState.SUCCEEDED
    refund_later: RefundState | None = None


def _declined(reason: str) -> Card:
    return Card(state=ChargeState.DECLINED, reason=reason)


_GOOD: Final = Card()
_SECURE: Final = Card(state=ChargeState.REQUIRES_ACTION)
_SECURE_AND_POOR: Final = Card(
    state=ChargeState.REQUIRES_ACTION, confirmed=ChargeState.DECLINED, confirmed_reason="insufficient_funds"
)
_UNKNOWN: Final = _declined("payment_method_unknown")

CARDS: Final[Mapping[str, Card]] = {
    "pm_card_visa": _GOOD,
    "pm_card_visa_debit": _GOOD,
    "pm_card_mastercard": _GOOD,
    "pm_card_amex": _GOOD,
    "pm_card_discover": _GOOD,
    "pm_card_diners": _GOOD,
    "pm_card_jcb": _GOOD,
    "pm_card_unionpay": _GOOD,
    "pm_card_bypassPending": _GOOD,
    "pm_card_chargeDeclined": _declined("generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": _declined("insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": _declined("lost_card"),
    "pm_card_chargeDeclinedStolenCard": _declined("stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": _declined("expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": _declined("incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": _declined("processing_error"),
    "pm_card_chargeCustomerFail": _declined("generic_decline"),
    "pm_card_radarBlock": _declined("fraudulent"),
    "pm_card_threeDSecure2Required": _SECURE,
    "pm_card_authenticationRequired": _SECURE,
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": _SECURE_AND_POOR,
    "pm_card_refundPending": Card(refund=RefundState.PENDING, refund_later=RefundState.SUCCEEDED),
    "pm_card_refundFail": Card(refund=RefundState.SUCCEEDED, refund_later=RefundState.FAILED),
    "pm_sim_refundRefused": Card(refund=RefundState.FAILED),
    "pm_sim_refundPendingFail": Card(refund=RefundState.PENDING, refund_later=RefundState.FAILED),
    "pm_sim_captureLater": Card(state=ChargeState.AUTHORIZED, later=ChargeState.CAPTURED),
    "pm_sim_timeoutAfterCharge": Card(answers=False),
    "pm_sim_duplicateWebhook": Card(told=(ChargeState.CAPTURED,), times=3),
    "pm_sim_webhookFirst": Card(told=(ChargeState.CAPTURED,), told_first=True),
    "pm_sim_reorderedWebhooks": Card(
        answer=ChargeState.PROCESSING, told=(ChargeState.CAPTURED, ChargeState.AUTHORIZED)
    ),
}


def card_of(method: str) -> Card:
    """The card behind a token; Stripe writes some with the brand in their names."""
    return CARDS.get(method.replace("pm_card_visa_charge", "pm_card_charge"), _UNKNOWN)
