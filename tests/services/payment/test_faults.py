"""A provider that is silent, repeats itself, and tells things in the wrong order."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.services.payment.till import Till, requested, returned
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.payment import commands, jobs
from tradepost.services.payment.domain.keys import order_of
from tradepost.services.payment.domain.model import FIND_AFTER_S, LOOK_AGAIN_S
from tradepost.services.payment.domain.report import ChargeState, Unknown
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest
from tradepost.services.payment.repository import claims


async def test_a_charge_without_an_answer_is_found_under_its_key(till: Till) -> None:
    order_id = await till.pay("pm_sim_timeoutAfterCharge")
    assert await till.payment(order_id, "status, task, attempts") == ("processing", "charge", 1)
    assert await till.published(order_id) == []

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["captured"]
    assert await till.db.fetchval("SELECT count(*) FROM simulator_charge") == 1


async def test_a_webhook_told_three_times_takes_effect_once(till: Till) -> None:
    order_id = await till.pay("pm_sim_duplicateWebhook")

    assert await till.published(order_id) == ["captured"]
    assert await till.history(order_id) == [("capture", "succeeded", 2_000)]
    assert await till.db.fetchval("SELECT count(*) FROM webhook") == 1
    assert await till.db.fetchval("SELECT count(*) FROM simulator_webhook") == 0


async def test_a_webhook_that_arrives_before_the_answer_is_enough(till: Till) -> None:
    order_id = await till.request("pm_sim_webhookFirst")
    async with till.db.transaction() as tx:
        charges, _ = await claims.to_send(tx)

    answers = await till.desk.provider.charge([charge for _, charge in charges])

    assert await till.published(order_id) == ["captured"]
    async with till.db.transaction() as tx:
        await commands.record(tx, answers)
    assert await till.published(order_id) == ["captured"]
    assert await till.balances() == {"provider_receivable": 2_000, "sales": -2_000}


async def test_webhooks_in_the_wrong_order_end_in_the_right_state(till: Till) -> None:
    order_id = await till.request("pm_sim_reorderedWebhooks")
    await jobs.send(till.desk)
    assert await till.payment(order_id, "status, task") == ("processing", "find")

    await jobs.deliver(till.desk)

    assert await till.published(order_id) == ["captured"]
    assert await till.db.fetchval("SELECT count(*) FROM webhook") == 2


async def test_an_authorization_is_told_apart_from_its_later_capture(till: Till) -> None:
    order_id = await till.pay("pm_sim_captureLater")
    assert await till.published(order_id) == ["authorized"]

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["authorized", "captured"]
    assert await till.bank(order_id) == ("captured", 0)


async def test_the_sweep_finds_what_no_webhook_told(till: Till) -> None:
    order_id = await till.request("pm_sim_reorderedWebhooks")
    await jobs.send(till.desk)
    async with till.db.transaction() as tx:
        await tx.execute("DELETE FROM simulator_webhook")
    await jobs.sweep(till.desk)
    assert await till.published(order_id) == []

    await till.wait()
    await jobs.sweep(till.desk)

    assert await till.published(order_id) == ["captured"]


async def test_a_sender_that_dies_leaves_a_lease_that_ends(till: Till) -> None:
    order_id = await till.request()
    async with till.db.transaction() as tx:
        charges, _ = await claims.to_send(tx)
    assert len(charges) == 1
    await till.desk.provider.charge([charge for _, charge in charges])

    assert not await jobs.send(till.desk)
    assert await till.published(order_id) == []
    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["captured"]
    assert await till.bank(order_id) == ("captured", 0)


async def test_a_cancelled_charge_that_never_reached_the_provider_is_voided(till: Till) -> None:
    order_id = await till.request()
    async with till.db.transaction() as tx:
        await claims.to_send(tx)
    await till.cancel(order_id)

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["voided"]
    assert await till.bank(order_id) is None


async def claimed_and_given_up(till: Till, method: str) -> Sequence[ChargeRequest]:
    """What a sender claimed before it fell asleep. Meanwhile its order was cancelled, and no charge was found."""
    order_id = await till.request(method)
    async with till.db.transaction() as tx:
        charges, _ = await claims.to_send(tx)
    await till.cancel(order_id)
    await till.wait()
    await jobs.sweep(till.desk)
    assert await till.published(order_id) == ["voided"]
    assert await till.db.fetchval("SELECT due_at - now() BETWEEN '4 min' AND '5 min' FROM payment WHERE task = 'void'")
    return [charge for _, charge in charges]


async def told_nothing(till: Till) -> None:
    async with till.db.transaction() as tx:
        await tx.execute("DELETE FROM simulator_webhook")


async def test_a_charge_that_comes_after_it_was_given_up_is_found_and_given_back(till: Till) -> None:
    charges = await claimed_and_given_up(till, "pm_card_visa")
    order_id = order_of(charges[0].key) or ""

    await till.desk.provider.charge(charges)
    await told_nothing(till)
    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["voided", "captured", "refunded"]
    assert await till.bank(order_id) == ("captured", 2_000)
    assert await till.payment(order_id, "task, doubtful") == (None, False)


@pytest.mark.parametrize("method", ["pm_card_threeDSecure2Required", "pm_sim_captureLater"])
async def test_a_charge_that_begins_after_it_was_given_up_is_voided_at_the_provider(till: Till, method: str) -> None:
    charges = await claimed_and_given_up(till, method)
    order_id = order_of(charges[0].key) or ""

    await till.desk.provider.charge(charges)
    await told_nothing(till)
    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["voided"]
    assert await till.bank(order_id) == ("voided", 0)
    assert await till.payment(order_id, "task, doubtful") == (None, False)


async def test_a_charge_that_was_given_up_is_looked_for_once_more_and_then_no_more(till: Till) -> None:
    charges = await claimed_and_given_up(till, "pm_card_visa")
    order_id = order_of(charges[0].key) or ""

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["voided"]
    assert await till.payment(order_id, "task, doubtful") == (None, False)


async def test_what_was_claimed_too_long_ago_is_not_asked_but_claimed_again(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of an answer begins with the claim: who stands still after it does not ask when the claim is over."""
    to_send = claims.to_send

    async def then_stand_still(db: Database | Tx) -> claims.Claimed:
        due = await to_send(db)
        await asyncio.sleep(0.1)
        return due

    order_id = await till.request()
    with monkeypatch.context() as patched:
        patched.setattr(claims, "to_send", then_stand_still)
        patched.setattr(jobs, "ANSWER_TIMEOUT_S", 0.05)
        await jobs.send(till.desk)

    assert await till.bank(order_id) is None
    assert await till.payment(order_id, "status, task, claimed_until") == ("processing", "charge", None)
    await till.wait()
    await till.work()
    assert await till.published(order_id) == ["captured"]


def test_nobody_asks_any_more_when_a_charge_is_looked_for() -> None:
    assert jobs.ANSWER_TIMEOUT_S < claims.LEASE_S <= FIND_AFTER_S < LOOK_AGAIN_S < claims.OVERDUE_MIN * 60


async def test_a_provider_that_is_down_is_asked_again_under_the_same_key(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_requests: object) -> None:
        raise ConnectionRefusedError("nobody there")

    order_id = await till.request()
    with monkeypatch.context() as patched:
        patched.setattr(till.desk.simulator, "charge", down)
        await till.work()
        assert await till.payment(order_id, "status, task, claimed_until") == ("processing", "charge", None)

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["captured"]


async def test_senders_and_webhooks_at_once_charge_once(till: Till) -> None:
    orders = [new_id() for _ in range(60)]
    methods = ["pm_card_visa", "pm_sim_webhookFirst", "pm_sim_duplicateWebhook", "pm_sim_reorderedWebhooks"]
    await till.request_all([requested(order, method=methods[n % 4]) for n, order in enumerate(orders)])

    await asyncio.gather(*(job(till.desk) for job in (jobs.send, jobs.deliver, jobs.sweep) for _ in range(2)))
    await till.work()

    for order_id in orders:
        assert await till.published(order_id) == ["captured"]
    assert await till.balances() == {"provider_receivable": 120_000, "sales": -120_000}


async def test_a_refund_without_an_answer_is_asked_for_again_under_its_key(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = await till.pay()
    refund = till.desk.simulator.refund

    async def lost_on_the_way_back(requests: Sequence[RefundRequest]) -> None:
        await refund(requests)
        raise TimeoutError

    await till.take_back(returned(order_id, 700))
    with monkeypatch.context() as patched:
        patched.setattr(till.desk.simulator, "refund", lost_on_the_way_back)
        await till.work()
    row = await till.db.fetchrow("SELECT status, claimed_until, attempts FROM refund")
    assert row is not None
    assert tuple(row.values()) == ("processing", None, 1)
    assert await till.published(order_id) == ["captured"]

    await till.wait()
    await till.work()

    assert await till.published(order_id) == ["captured", "refunded"]
    assert await till.bank(order_id) == ("captured", 700)


async def test_a_refund_that_takes_its_time_is_announced_when_it_arrived(till: Till) -> None:
    order_id = await till.pay("pm_card_refundPending")
    await till.take_back(returned(order_id, 700))
    await till.work()
    assert await till.payment(order_id) == ("captured", 2_000, 700, 0)
    assert await till.published(order_id) == ["captured"]

    await till.wait()
    await till.work()

    assert await till.payment(order_id) == ("captured", 2_000, 0, 700)
    assert await till.published(order_id) == ["captured", "refunded"]
    assert [line[:2] for line in await till.history(order_id)][1:] == [("refund", "pending"), ("refund", "succeeded")]


async def test_a_refund_that_comes_back_is_reversed_in_the_ledger_and_may_be_made_again(till: Till) -> None:
    order_id = await till.pay("pm_card_refundFail")
    await till.take_back(returned(order_id, 2_000))
    await till.work()
    assert await till.published(order_id) == ["captured", "refunded"]
    assert await till.balances() == {"provider_receivable": 0, "sales": -2_000, "refunds": 2_000}

    await till.wait()
    await till.work()

    assert await till.payment(order_id) == ("captured", 2_000, 0, 0)
    assert await till.balances() == {"provider_receivable": 2_000, "sales": -2_000, "refunds": 0}
    assert await till.bank(order_id) == ("captured", 0)
    assert [status for _, _, status in await till.refunds(order_id)] == ["failed"]
    assert await till.published(order_id) == ["captured", "refunded", "refund_failed"]
    told = await till.data(order_id, "refund_failed")
    assert (told["amount"], told["reason"], told["was_refunded"], told["refunded_total"]) == (
        2_000, "declined_by_bank", True, 0,
    )  # fmt: skip
    assert told["return_id"] == (await till.data(order_id, "refunded"))["return_id"]


@pytest.mark.parametrize("method", ["pm_sim_refundRefused", "pm_sim_refundPendingFail"])
async def test_a_refund_that_never_succeeded_is_told_as_failed_and_was_not_refunded(till: Till, method: str) -> None:
    order_id = await till.pay(method)
    await till.cancel(order_id)
    await till.work()
    await till.wait()
    await till.work()

    assert await till.payment(order_id) == ("captured", 2_000, 0, 0)
    assert await till.published(order_id) == ["captured", "refund_failed"]
    assert (await till.data(order_id, "refund_failed"))["was_refunded"] is False
    assert await till.balances() == {"provider_receivable": 2_000, "sales": -2_000}


async def failed_refunds(till: Till) -> float | None:
    """The figure, as the sweep has just taken it."""
    await jobs.sweep(till.desk)
    return FIGURES.get_sample_value("tradepost_refunds_failed")


async def test_refunds_that_failed_are_counted_until_the_money_has_gone_back_in_some_way(till: Till) -> None:
    orders = [await till.pay("pm_sim_refundRefused") for _ in range(4)]
    await till.cancel(*orders)
    await till.work()
    assert await failed_refunds(till) == 4

    async with till.db.transaction() as tx:
        await tx.execute("UPDATE simulator_charge SET method = 'pm_card_visa'")  # the banks have changed their minds
        retried = await tx.fetchval("SELECT id::text FROM refund WHERE starts_with(key, $1)", f"order:{orders[0]}:")
        await commands.retry(tx, retried, Cause("staff"))
    assert await failed_refunds(till) == 3
    async with till.db.transaction() as tx:
        await commands.refund_by_staff(
            tx, await till.payment_id(orders[1]), amount=None, reason="by hand", items=(), cause=Cause("staff")
        )
    for order_id, paid, left in ((orders[2], True, 1), (orders[3], False, 0)):
        assert await failed_refunds(till) == left + 1
        async with till.db.transaction() as tx:
            closed = await tx.fetchval("SELECT id::text FROM refund WHERE starts_with(key, $1)", f"order:{order_id}:")
            await commands.close(tx, closed, paid=paid, note="SEPA", cause=Cause("staff"))
        assert await failed_refunds(till) == left

    await till.work()
    assert [(await till.payment(order_id))[2:] for order_id in orders] == [(0, 2_000)] * 3 + [(0, 0)]
    assert await till.published(orders[0]) == ["captured", "refund_failed", "refunded"]


async def test_what_a_refund_beside_a_cancellation_failed_to_give_back_goes_back_when_it_is_sent_again(
    till: Till,
) -> None:
    order_id = await till.pay("pm_sim_refundRefused")
    async with till.db.transaction() as tx:
        await commands.refund_by_staff(
            tx, await till.payment_id(order_id), amount=500, reason="late", items=(), cause=Cause("staff")
        )
    await till.cancel(order_id)
    await till.work()
    assert [line[1:] for line in await till.refunds(order_id)] == [(500, "failed"), (1_500, "failed")]
    assert await failed_refunds(till) == 2

    async with till.db.transaction() as tx:
        await tx.execute("UPDATE simulator_charge SET method = 'pm_card_visa'")
        for row in await tx.fetch("SELECT id::text AS id FROM refund WHERE status = 'failed' ORDER BY refund.id"):
            await commands.retry(tx, row["id"], Cause("staff"))
    await till.work()

    assert await till.payment(order_id) == ("captured", 2_000, 0, 2_000)
    assert [key for key, _, status in await till.refunds(order_id) if status == "succeeded"][1] == "cancel-refund:2"
    assert await failed_refunds(till) == 0


async def test_the_provider_does_not_answer_a_key_that_comes_back_with_other_money(till: Till) -> None:
    asked = ChargeRequest(key="order:1:charge:1", amount=100, currency="USD", method="pm_card_visa")
    dearer = ChargeRequest(key="order:1:charge:1", amount=101, currency="USD", method="pm_card_visa")

    first, second = [(await till.desk.provider.charge([request]))[0] for request in (asked, dearer)]
    again = (await till.desk.provider.charge([asked]))[0]

    assert first == again
    assert not isinstance(first, Unknown)
    assert first.state is ChargeState.CAPTURED
    assert second == Unknown(key="order:1:charge:1", why="idempotency_key_reused")
    assert await till.db.fetchval("SELECT sum(amount) FROM simulator_charge") == 100
