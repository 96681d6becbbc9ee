"""A cancellation that comes before the payment: it is remembered, and nothing is charged that is not given back."""

from itertools import product
from typing import Final

from tests.services.payment.till import Till, cancelled, requested
from tradepost.kernel.ids import new_id
from tradepost.services.payment import consumers, jobs
from tradepost.services.payment.domain.keys import charge_key
from tradepost.services.payment.domain.request import ChargeRequest

REQUESTED, CANCELLED, SENT, BOTH = "requested", "cancelled", "sent", "both at once, the wrong way round"
METHODS: Final = ("pm_card_visa", "pm_sim_timeoutAfterCharge", "pm_sim_reorderedWebhooks", "pm_card_chargeDeclined")


async def remembered(till: Till) -> int:
    return int(await till.db.fetchval("SELECT count(*) FROM overtaken_order"))


async def test_an_order_whose_cancellation_came_first_is_looked_for_and_not_charged(till: Till) -> None:
    order_id = new_id()
    await till.cancel(order_id)
    await till.cancel(order_id)
    assert (await till.payment(order_id), await remembered(till)) == ((), 1)

    await till.request_all([requested(order_id), requested(order_id)])
    assert await till.payment(order_id, "status, cancelled, task") == ("processing", True, "find")
    await till.request_all([requested(order_id)])
    await till.work()
    await till.cancel(order_id)
    await till.request_all([requested(order_id)])

    assert await till.payment(order_id, "status, cancelled, captured") == ("voided", True, 0)
    assert await till.published(order_id) == ["voided"]
    assert await till.bank(order_id) is None
    assert await remembered(till) == 0


async def test_what_a_payment_that_we_forgot_had_charged_is_given_back(till: Till) -> None:
    """Our database was put back, the provider's was not."""
    order_id = new_id()
    charge = ChargeRequest(key=charge_key(order_id), amount=2_000, currency="USD", method="pm_card_visa")
    await till.desk.provider.charge([charge])

    await till.cancel(order_id)
    await till.request_all([requested(order_id)])
    await till.work()

    assert await till.published(order_id) == ["captured", "refunded"]
    assert await till.bank(order_id) == ("captured", 2_000)


async def test_an_order_of_nothing_whose_cancellation_came_first_costs_nothing(till: Till) -> None:
    order_id = new_id()
    await till.cancel(order_id)

    await till.request_all([requested(order_id, amount=0)])
    await till.work()

    assert await till.payment(order_id, "status, cancelled, captured, task") == ("captured", True, 0, None)
    assert await till.bank(order_id) is None


async def test_an_order_that_never_asked_for_its_money_leaves_nothing_behind(till: Till) -> None:
    async with till.db.transaction() as tx:
        await consumers.cancel(tx, [cancelled(new_id(), sequence=2) for _ in range(3)])

    assert await remembered(till) == 0


async def test_a_hundred_overtaken_orders_take_as_many_statements_as_one(till: Till) -> None:
    async def statements(count: int) -> tuple[int, int]:
        ids, before = [new_id() for _ in range(count)], till.db.statements
        await till.cancel(*ids)
        between = till.db.statements
        await till.request_all([requested(order_id) for order_id in [*ids, new_id()]])
        return between - before, till.db.statements - between

    assert await statements(1) == await statements(100)
    assert await till.db.fetchval("SELECT count(*) FROM payment WHERE cancelled AND task = 'find'") == 101
    assert await till.db.fetchval("SELECT count(*) FROM payment WHERE task = 'charge'") == 2


async def test_in_any_order_and_however_often_nothing_stays_charged(till: Till) -> None:
    """Every sequence of four steps in which both facts are, for each of the cards, side by side."""
    both = {REQUESTED, CANCELLED}
    stories = [
        story for story in product((REQUESTED, CANCELLED, SENT, BOTH), repeat=4) if both <= {*story} or BOTH in story
    ]
    cases = {new_id(): (story, method) for story in stories for method in METHODS}

    for step in range(4):
        await _happen(till, step, cases)
    for _ in range(3):
        await till.work()
        await till.wait()

    kept = await till.db.fetch("SELECT order_id::text AS id FROM payment WHERE captured > refunded OR NOT cancelled")
    assert [cases[row["id"]] for row in kept] == []
    charged = await till.db.fetch("SELECT key FROM simulator_charge WHERE state = 'captured' AND refunded < amount")
    assert charged == []
    assert await till.db.fetchval("SELECT count(*) FROM payment WHERE task IS NOT NULL") == 0
    assert await till.db.fetchval("SELECT count(*) FROM payment") == len(cases)
    assert await remembered(till) == 0


async def _happen(till: Till, step: int, cases: dict[str, tuple[tuple[str, ...], str]]) -> None:
    def of(kind: str) -> list[tuple[str, str]]:
        return [(order_id, method) for order_id, (story, method) in cases.items() if story[step] == kind]

    async with till.db.transaction() as tx:
        await consumers.cancel(tx, [cancelled(order_id) for order_id, _ in of(BOTH)])
        await consumers.request(tx, [requested(order_id, method=method) for order_id, method in of(BOTH)])
    await till.request_all([requested(order_id, method=method) for order_id, method in of(REQUESTED)])
    await till.cancel(*(order_id for order_id, _ in of(CANCELLED)))
    await _only(till, [order_id for order_id, _ in of(SENT)])


async def _only(till: Till, order_ids: list[str]) -> None:
    """The sender comes by while of all payments only these are due."""
    async with till.db.transaction() as tx:
        away = "claimed_until = CASE WHEN order_id = ANY ($1::uuid[]) THEN NULL ELSE 'infinity'::timestamptz END"
        await tx.execute(f"UPDATE payment SET {away}", order_ids)
    while await jobs.send(till.desk):
        pass
    async with till.db.transaction() as tx:
        await tx.execute("UPDATE payment SET claimed_until = NULL WHERE claimed_until = 'infinity'")
