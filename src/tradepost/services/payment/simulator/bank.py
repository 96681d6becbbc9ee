"""How the simulated bank decides: from a request to a charge or a refund, and what it says of it, when."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tradepost.kernel.ids import new_id
from tradepost.services.payment.domain.report import ChargeReport, ChargeState, RefundReport, RefundState, Unknown
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest
from tradepost.services.payment.simulator.cards import LATER_S, card_of

CONFIRM_PATH: Final = "/payment/simulator/confirm"
KEY_REUSED: Final = "idempotency_key_reused"


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as the simulator has it."""

    id: str
    key: str
    amount: int
    currency: str
    method: str
    state: ChargeState
    reason: str | None
    refunded: int = 0


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the simulator has it."""

    id: str
    key: str
    charge_key: str
    amount: int
    state: RefundState
    reason: str | None


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook will tell after `delay_s`, when it becomes true. Repetitions share the `event_id`."""

    event_id: str
    about: str  # charge, refund
    key: str
    reference: str
    state: str
    reason: str | None = None
    delay_s: float = 0.0
    position: int = 0


def charge_of(request: ChargeRequest) -> Charge:
    """What a request makes of its card, were its key new."""
    card = card_of(request.method)
    return Charge(
        id=new_id(),
        key=request.key,
        amount=request.amount,
        currency=request.currency,
        method=request.method,
        state=card.state,
        reason=card.reason,
    )


def refund_of(request: RefundRequest, charge: Charge | None) -> Refund:
    """What a request gets back of its charge, were its key new."""
    refused = _refusal(request, charge)
    state = RefundState.FAILED if refused or charge is None else card_of(charge.method).refund
    return Refund(
        id=new_id(),
        key=request.key,
        charge_key=request.charge_key,
        amount=request.amount,
        state=state,
        reason=refused,
    )


def _refusal(request: RefundRequest, charge: Charge | None) -> str | None:
    if charge is None or charge.state is not ChargeState.CAPTURED:
        return "charge_not_captured"
    return "refund_exceeds_charge" if request.amount > charge.amount - charge.refunded else None


def first_answer(charge: Charge) -> ChargeReport | Unknown:
    """What the shop hears when the charge is new; some cards keep silent, or say less than there is to know."""
    card = card_of(charge.method)
    if not card.answers:
        return Unknown(key=charge.key, why="timed out")
    return charge_report(msgspec.structs.replace(charge, state=card.answer) if card.answer else charge)


def repeated_answer(request: ChargeRequest, charge: Charge) -> ChargeReport | Unknown:
    """What the shop hears when it asks again; a key that comes back with other money is not answered."""
    if (request.amount, request.currency) != (charge.amount, charge.currency):
        return Unknown(key=charge.key, why=KEY_REUSED)
    return charge_report(charge)


def refund_answer(request: RefundRequest, refund: Refund) -> RefundReport | Unknown:
    """What the shop hears of a refund, first or again."""
    if (request.amount, request.charge_key) != (refund.amount, refund.charge_key):
        return Unknown(key=refund.key, why=KEY_REUSED)
    return refund_report(refund)


def charge_report(charge: Charge) -> ChargeReport:
    """How a charge stands."""
    action_url = f"{CONFIRM_PATH}/{charge.id}" if charge.state is ChargeState.REQUIRES_ACTION else None
    return ChargeReport(
        key=charge.key, state=charge.state, reference=charge.id, action_url=action_url, reason=charge.reason
    )


def refund_report(refund: Refund) -> RefundReport:
    """How a refund stands."""
    return RefundReport(key=refund.key, state=refund.state, reference=refund.id, reason=refund.reason)


def news_of_charge(charge: Charge) -> Iterator[News]:
    """What webhooks will tell of a new charge."""
    card = card_of(charge.method)
    for state in card.told:
        yield from [news(charge, state)] * card.times
    if card.later is not None:
        yield msgspec.structs.replace(news(charge, card.later), delay_s=LATER_S)


def news_of_refund(refund: Refund, charge: Charge | None) -> Iterator[News]:
    """What webhooks will tell of a new refund that is not refused."""
    later = card_of(charge.method).refund_later if charge is not None else None
    if later is not None and refund.reason is None:
        yield News(
            event_id=new_id(),
            about="refund",
            key=refund.key,
            reference=refund.id,
            state=later,
            reason="declined_by_bank" if later is RefundState.FAILED else None,
            delay_s=LATER_S,
        )


def news(charge: Charge, state: ChargeState, reason: str | None = None) -> News:
    """A piece of news about a charge."""
    return News(event_id=new_id(), about="charge", key=charge.key, reference=charge.id, state=state, reason=reason)


def confirmed(charge: Charge, *, approve: bool) -> Charge:
    """The charge after its owner's decision."""
    card = card_of(charge.method)
    if not approve:
        return msgspec.structs.replace(charge, state=ChargeState.DECLINED, reason="authentication_failed")
    return msgspec.structs.replace(charge, state=card.confirmed, reason=card.confirmed_reason)


def news_of_decision(charge: Charge) -> Iterator[News]:
    """What webhooks will tell of it: the bank's consent comes before the money."""
    if charge.state is ChargeState.CAPTURED:
        yield news(charge, ChargeState.AUTHORIZED)
    yield news(charge, charge.state, charge.reason)
