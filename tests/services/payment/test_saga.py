"""What orders ask of payment, and what comes of it with each of the cards."""

import pytest

from tests.services.payment.till import BUYER, Till, requested, returned
from tradepost.kernel.ids import new_id
from tradepost.services.payment import jobs
from tradepost.services.payment.domain.report import ChargeState
from tradepost.services.payment.simulator.cards import CARDS

FOUND = ("captured", 2_000, 0, 0)


async def test_a_requested_payment_is_captured_once_and_entered_in_the_ledger(till: Till) -> None:
    order_id = await till.pay()

    assert await till.payment(order_id) == FOUND
    assert await till.published(order_id) == ["captured"]
    captured = await till.data(order_id, "captured")
    reference = (await till.payment(order_id, "reference"))[0]
    assert captured == {
        "order_id": order_id,
        "payment_id": await till.payment_id(order_id),
        "amount": 2_000,
        "currency": "USD",
        "transaction_id": reference,
        "payment_method": "pm_card_visa",
    }
    assert await till.history(order_id) == [("capture", "succeeded", 2_000)]
    assert await till.balances() == {"provider_receivable": 2_000, "sales": -2_000}
    assert await till.bank(order_id) == ("captured", 0)
    assert str((await till.payment(order_id, "user_id"))[0]) == BUYER


async def test_the_same_request_again_changes_nothing(till: Till) -> None:
    order_id = await till.pay()

    await till.request_all([requested(order_id), requested(order_id)])
    await till.work()

    assert await till.published(order_id) == ["captured"]
    assert await till.db.fetchval("SELECT count(*) FROM payment") == 1


async def test_an_order_of_nothing_is_paid_without_the_provider(till: Till) -> None:
    order_id = await till.request(amount=0)

    assert await till.payment(order_id) == ("captured", 0, 0, 0)
    assert (await till.data(order_id, "captured"))["transaction_id"] == "free"
    await till.cancel(order_id)
    await till.work()
    assert await till.published(order_id) == ["captured"]
    assert await till.bank(order_id) is None
    assert await till.balances() == {}


async def test_a_declined_card_fails_the_payment_with_the_decline_code(till: Till) -> None:
    reasons = {
        "pm_card_chargeDeclined": "generic_decline",
        "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
        "pm_card_chargeDeclinedLostCard": "lost_card",
        "pm_card_chargeDeclinedStolenCard": "stolen_card",
        "pm_card_chargeDeclinedExpiredCard": "expired_card",
        "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc",
        "pm_card_chargeDeclinedProcessingError": "processing_error",
        "pm_card_radarBlock": "fraudulent",
        "tok_of_nobody": "payment_method_unknown",
    }
    orders = {new_id(): method for method in reasons}
    await till.request_all([requested(order_id, method=method) for order_id, method in orders.items()])
    await till.work()
    await till.cancel(*orders)
    await till.work()

    for order_id, method in orders.items():
        assert await till.published(order_id) == ["failed"]
        assert (await till.data(order_id, "failed"))["reason"] == reasons[method]
        assert await till.history(order_id) == [("authorization", "failed", 2_000)]
    assert await till.balances() == {}


async def test_every_card_that_is_good_at_once_captures(till: Till) -> None:
    good = [
        name
        for name, card in CARDS.items()
        if card.state is ChargeState.CAPTURED and card.answers and card.answer is None
    ]
    orders = {new_id(): name for name in good}
    await till.request_all([requested(order_id, method=name) for order_id, name in orders.items()])

    await till.work()

    assert len(good) >= 11
    for order_id in orders:
        assert await till.published(order_id) == ["captured"]


async def test_a_hundred_payments_take_as_many_statements_as_one_but_that_their_events_go_apart(till: Till) -> None:
    async def statements(count: int) -> int:
        before = till.db.statements
        await till.request_all([requested(new_id()) for _ in range(count)])
        await jobs.send(till.desk)
        return till.db.statements - before

    assert await statements(1) == await statements(100) - 1
    assert await till.db.fetchval("SELECT count(*) FROM payment WHERE status = 'captured'") == 101


async def test_three_d_secure_asks_the_buyer_and_goes_on_when_the_bank_tells(till: Till) -> None:
    order_id = await till.pay("pm_card_threeDSecure2Required")

    assert await till.published(order_id) == ["requires_action"]
    action_url = (await till.data(order_id, "requires_action"))["action_url"]
    charge_id = action_url.removeprefix("/payment/simulator/confirm/")
    await till.desk.simulator.confirm(charge_id, approve=True)
    await till.work()

    assert await till.published(order_id) == ["requires_action", "authorized", "captured"]
    assert await till.payment(order_id) == FOUND
    assert [line[:2] for line in await till.history(order_id)] == [
        ("authorization", "pending"),
        ("authorization", "succeeded"),
        ("capture", "succeeded"),
    ]


async def test_three_d_secure_can_end_in_a_decline_and_the_first_decision_counts(till: Till) -> None:
    disapproved = await till.pay("pm_card_threeDSecure2Required")
    poor = await till.pay("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")

    for order_id, approve in ((disapproved, False), (disapproved, True), (poor, True), (poor, False)):
        await till.desk.simulator.confirm((await till.payment(order_id, "reference"))[0], approve=approve)
    await till.work()

    for order_id, reason in ((disapproved, "authentication_failed"), (poor, "insufficient_funds")):
        assert await till.published(order_id) == ["requires_action", "failed"]
        assert (await till.data(order_id, "failed"))["reason"] == reason


async def test_an_order_cancelled_before_its_charge_is_sent_is_voided_at_once(till: Till) -> None:
    order_id = await till.request()

    await till.cancel(order_id, new_id())
    await till.work()

    assert await till.published(order_id) == ["voided"]
    assert await till.bank(order_id) is None


async def test_an_order_cancelled_while_its_charge_is_under_way_is_refunded_once(till: Till) -> None:
    order_id = await till.request("pm_sim_timeoutAfterCharge")
    await jobs.send(till.desk)
    await till.cancel(order_id)
    await till.cancel(order_id)
    assert await till.published(order_id) == []

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["captured", "refunded"]
    assert await till.refunds(order_id) == [("cancel-refund", 2_000, "succeeded")]
    assert (await till.data(order_id, "refunded"))["cause"] == f"order:{order_id}:cancel-refund"
    assert await till.bank(order_id) == ("captured", 2_000)
    assert await till.balances() == {"provider_receivable": 0, "sales": -2_000, "refunds": 2_000}


@pytest.mark.parametrize("method", ["pm_card_threeDSecure2Required", "pm_sim_captureLater"])
async def test_a_cancelled_order_is_voided_at_the_provider_while_nothing_is_captured(till: Till, method: str) -> None:
    order_id = await till.pay(method)
    begun = await till.published(order_id)

    await till.cancel(order_id)
    await till.work()
    await till.wait()
    await till.work()

    assert await till.published(order_id) == [*begun, "voided"]
    assert await till.bank(order_id) == ("voided", 0)
    assert (await till.history(order_id))[-1] == ("void", "succeeded", 2_000)


async def test_a_capture_that_overtakes_the_void_is_refunded(till: Till) -> None:
    order_id = await till.pay("pm_card_threeDSecure2Required")
    await till.desk.simulator.confirm((await till.payment(order_id, "reference"))[0], approve=True)

    await till.cancel(order_id)
    await till.work()

    assert await till.published(order_id) == ["requires_action", "captured", "refunded"]
    assert await till.payment(order_id) == ("captured", 2_000, 0, 2_000)


async def test_a_cancelled_order_gets_back_what_was_not_refunded_yet(till: Till) -> None:
    order_id = await till.pay()
    return_id = new_id()
    await till.take_back(returned(order_id, 500, return_id))

    await till.cancel(order_id)
    await till.work()

    assert await till.refunds(order_id) == [
        (f"return:{return_id}", 500, "succeeded"),
        ("cancel-refund", 1_500, "succeeded"),
    ]
    assert await till.payment(order_id) == ("captured", 2_000, 0, 2_000)
    assert await till.published(order_id) == ["captured", "refunded", "refunded"]


async def test_a_return_that_is_worth_nothing_is_told_to_give_nothing_back(till: Till) -> None:
    order_id = await till.pay()

    await till.take_back(returned(order_id, 0, "gift"))
    await till.work()

    assert await till.published(order_id) == ["captured", "refund_waived"]
    assert await till.data(order_id, "refund_waived") == {
        "order_id": order_id,
        "payment_id": await till.payment_id(order_id),
        "reason": "worth_nothing",
        "return_id": "gift",
        "refund_id": None,
    }
    assert await till.payment(order_id) == FOUND
    assert await till.refunds(order_id) == []


async def test_returns_are_refunded_once_each_and_never_above_what_is_left(till: Till) -> None:
    order_id = await till.pay()
    first, second, third, fourth = (new_id() for _ in range(4))

    await till.take_back(returned(order_id, 500, first), returned(order_id, 500, first))
    await till.take_back(returned(order_id, 500, first), returned(order_id, 600, second), returned(new_id(), 7))
    await till.take_back(returned(order_id, 1_500, third), returned(order_id, 1, fourth))
    await till.work()

    assert await till.refunds(order_id) == [
        (f"return:{first}", 500, "succeeded"),
        (f"return:{second}", 600, "succeeded"),
        (f"return:{third}", 900, "succeeded"),
    ]
    rows = await till.db.fetch("SELECT data ->> 'return_id' AS id FROM event WHERE type = 'payment.refunded'")
    assert {row["id"] for row in rows} == {first, second, third}
    waived = await till.data(order_id, "refund_waived")
    assert (waived["return_id"], waived["reason"]) == (fourth, "nothing_left")
    assert await till.bank(order_id) == ("captured", 2_000)
