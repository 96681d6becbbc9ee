"""Each pair of (state, late fact): what it does to the order, and what it publishes."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tradepost.contracts.inventory import InventoryRejected, InventoryReserved, Shortage
from tradepost.contracts.order import OrderCancelled
from tradepost.contracts.payment import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundWaived,
    PaymentRequiresAction,
)
from tradepost.contracts.shipping import ShippingCancelled, ShippingDelivered, ShippingDispatched
from tradepost.kernel.events import Event, Fact
from tradepost.services.order.consumers import decide
from tradepost.services.order.domain import order as moves
from tradepost.services.order.domain.order import MOVES, Late, Order, Status, TooLateToCancel

NOW: Final = datetime(2026, 11, 23, 8, tzinfo=UTC)
ID: Final = "0193b2f0-0000-7000-8000-000000000001"

RESERVED: Final = InventoryReserved(order_id=ID, items=())
REJECTED: Final = InventoryRejected(
    order_id=ID, reason="insufficient_stock", missing=(Shortage(sku="MUG-1", requested=2, available=1),)
)
ACTION: Final = PaymentRequiresAction(order_id=ID, payment_id="p", amount=500, currency="USD", action_url="/confirm")
CAPTURED: Final = PaymentCaptured(
    order_id=ID, payment_id="p", amount=500, currency="USD", transaction_id="t", payment_method="pm_card_visa"
)
FAILED: Final = PaymentFailed(order_id=ID, payment_id="p", reason="card_declined")
REFUNDED: Final = PaymentRefunded(order_id=ID, payment_id="p", amount=500, currency="USD", refund_id="r", cause="c")
SENT_BACK: Final = PaymentRefundFailed(
    order_id=ID, payment_id="p", amount=500, currency="USD", refund_id="r", cause="c", reason="declined_by_bank",
    was_refunded=True, refunded_total=0,
)  # fmt: skip
WAIVED: Final = PaymentRefundWaived(order_id=ID, payment_id="p", reason="nothing_left")
DISPATCHED: Final = ShippingDispatched(order_id=ID, shipment_id="s", tracking_number="T1", carrier="local")
STOPPED: Final = ShippingCancelled(order_id=ID, shipment_id="s")
DELIVERED: Final = ShippingDelivered(order_id=ID, shipment_id="s", at="2026-11-23T08:00:00.000Z")

MONEY: Final = (REFUNDED, SENT_BACK, WAIVED)  # facts in any state
FACTS: Final = (RESERVED, REJECTED, ACTION, CAPTURED, FAILED, *MONEY, DISPATCHED, STOPPED, DELIVERED)
LATE: Final = "late"

# (state, fact) -> (state after, facts published); LATE goes on record and changes nothing.
TABLE: Final[dict[tuple[Status, type[Fact]], tuple[Status, list[str]] | str]] = {
    (Status.PENDING, InventoryReserved): (Status.RESERVED, ["order.payment_requested"]),
    (Status.PENDING, InventoryRejected): (Status.CANCELLED, ["order.cancelled"]),
    (Status.PENDING, PaymentRequiresAction): LATE,
    (Status.PENDING, PaymentCaptured): LATE,
    (Status.PENDING, PaymentFailed): LATE,
    (Status.PENDING, ShippingDispatched): LATE,
    (Status.PENDING, ShippingCancelled): LATE,
    (Status.PENDING, ShippingDelivered): LATE,
    (Status.RESERVED, InventoryReserved): LATE,
    (Status.RESERVED, InventoryRejected): LATE,
    (Status.RESERVED, PaymentRequiresAction): (Status.RESERVED, []),
    (Status.RESERVED, PaymentCaptured): (Status.PAID, ["order.paid"]),
    (Status.RESERVED, PaymentFailed): (Status.CANCELLED, ["order.cancelled"]),
    (Status.RESERVED, ShippingDispatched): LATE,
    (Status.RESERVED, ShippingCancelled): LATE,
    (Status.RESERVED, ShippingDelivered): LATE,
    (Status.PAID, InventoryReserved): LATE,
    (Status.PAID, InventoryRejected): LATE,
    (Status.PAID, PaymentRequiresAction): LATE,
    (Status.PAID, PaymentCaptured): LATE,
    (Status.PAID, PaymentFailed): LATE,
    (Status.PAID, ShippingDispatched): (Status.SHIPPED, ["order.shipped"]),
    (Status.PAID, ShippingCancelled): (Status.CANCELLED, ["order.cancelled"]),
    (Status.PAID, ShippingDelivered): LATE,
    (Status.SHIPPED, InventoryReserved): LATE,
    (Status.SHIPPED, InventoryRejected): LATE,
    (Status.SHIPPED, PaymentRequiresAction): LATE,
    (Status.SHIPPED, PaymentCaptured): LATE,
    (Status.SHIPPED, PaymentFailed): LATE,
    (Status.SHIPPED, ShippingDispatched): LATE,
    (Status.SHIPPED, ShippingCancelled): LATE,
    (Status.SHIPPED, ShippingDelivered): (Status.COMPLETED, ["order.completed"]),
    **{(Status.COMPLETED, type(fact)): LATE for fact in FACTS},
    **{(Status.CANCELLED, type(fact)): LATE for fact in FACTS},
    **{(status, type(fact)): (status, []) for status in Status for fact in MONEY},
}


def an_order(status: Status, **fields: Any) -> Order:
    return Order(
        id=ID, number="1001", user_id="u", guest=None, status=status, version=3, currency="USD", total_amount=500,
        payment_method="pm_card_visa", **fields,
    )  # fmt: skip


def an_event(fact: Fact) -> Event[Any]:
    return Event(
        position=1, id="e", type=fact.type, key=ID, sequence=1, time=NOW, correlation_id="c", causation_id=None,
        traceparent=None, data=fact,
    )  # fmt: skip


def test_the_table_has_a_row_for_each_pair() -> None:
    assert set(TABLE) == {(status, type(fact)) for status in Status for fact in FACTS}


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.type)
@pytest.mark.parametrize("status", Status)
def test_a_fact_moves_the_order_as_the_table_says(status: Status, fact: Fact) -> None:
    order, row = an_order(status), TABLE[status, type(fact)]
    if row == LATE:
        with pytest.raises(Late):
            decide(order, an_event(fact), NOW)
        return
    moved, published = decide(order, an_event(fact), NOW)
    assert (moved.status, [fact.type for fact in published]) == row
    assert moved.version == order.version + len(published)


def refunded(amount: int, total: int | None) -> PaymentRefunded:
    return replace(REFUNDED, amount=amount, refunded_total=total)


def sent_back(amount: int, total: int) -> PaymentRefundFailed:
    return replace(SENT_BACK, amount=amount, refunded_total=total)


@pytest.mark.parametrize(
    ("facts", "total"),
    [
        ([refunded(200, 200), sent_back(200, 0)], 0),
        ([refunded(200, 200), sent_back(200, 0), refunded(200, 200)], 200),  # and not 400
        ([refunded(200, None), refunded(100, None)], 300),  # told by an older version
        ([refunded(200, None), refunded(200, 200)], 200),  # an older one did not tell that the first came back
        ([refunded(300, 300), replace(sent_back(200, 300), was_refunded=False)], 300),
        ([refunded(300, 300), WAIVED], 300),
    ],
)
def test_what_went_back_is_what_the_last_fact_says(facts: list[Fact], total: int) -> None:
    order = an_order(Status.CANCELLED, cancel_reason="late")
    for fact in facts:
        order, _ = decide(order, an_event(fact), NOW)

    assert order.refunded == total


@pytest.mark.parametrize("status", [Status.PENDING, Status.RESERVED])
def test_cancelling_before_payment_is_final_at_once(status: Status) -> None:
    moved, published = moves.cancel(an_order(status), "changed my mind", NOW) or (None, ())
    assert moved == replace(
        an_order(status), status=Status.CANCELLED, version=4, cancel_reason="changed my mind", cancelled_at=NOW
    )
    assert [fact.type for fact in published] == ["order.cancelled"]


def test_cancelling_a_paid_order_asks_shipping_once() -> None:
    asked, published = moves.cancel(an_order(Status.PAID), "late", NOW) or (an_order(Status.PAID), ())
    assert (asked.status, asked.cancel_requested, asked.cancel_requested_at) == (Status.PAID, True, NOW)
    assert [fact.type for fact in published] == ["order.cancel_requested"]
    assert moves.cancel(asked, "again", NOW) is None


def test_a_request_to_cancel_is_refused_by_the_parcel_that_has_left() -> None:
    asked = an_order(Status.PAID, cancel_requested=True, cancel_reason="late")
    shipped, _ = decide(asked, an_event(DISPATCHED), NOW)
    assert (shipped.status, shipped.cancel_requested, shipped.cancel_reason) == (Status.SHIPPED, False, None)


def test_a_stopped_parcel_cancels_with_the_reason_that_was_given() -> None:
    asked = an_order(Status.PAID, cancel_requested=True, cancel_reason="late")
    cancelled, (fact,) = decide(asked, an_event(STOPPED), NOW)
    assert (cancelled.status, cancelled.cancel_reason) == (Status.CANCELLED, "late")
    assert isinstance(fact, OrderCancelled)
    assert fact.paid is True


@pytest.mark.parametrize("status", [Status.SHIPPED, Status.COMPLETED])
def test_what_has_left_can_not_be_cancelled(status: Status) -> None:
    with pytest.raises(TooLateToCancel):
        moves.cancel(an_order(status), "late", NOW)


@pytest.mark.parametrize("status", Status)
def test_only_unpaid_orders_time_out(status: Status) -> None:
    moved = moves.expire(an_order(status, cancel_reason="x"), NOW)
    assert (moved is not None) == (status in (Status.PENDING, Status.RESERVED))


@given(st.lists(st.sampled_from([*FACTS, "cancel", "expire"]), max_size=12))
def test_any_order_of_facts_leads_through_legal_moves_with_gapless_versions(facts: list[Any]) -> None:
    order = replace(an_order(Status.PENDING), version=1)
    published: list[Fact] = []
    for fact in facts:
        try:
            if fact == "cancel":
                moved = moves.cancel(order, "r", NOW)
            elif fact == "expire":
                moved = moves.expire(order, NOW)
            else:
                moved = decide(order, an_event(fact), NOW)
        except (Late, TooLateToCancel):
            continue
        if moved is None:
            continue
        after, told = moved
        assert after.status is order.status or after.status in MOVES[order.status]
        assert after.version == order.version + len(told)
        published += told
        order = after
    kinds = [fact.type for fact in published]
    assert all(kinds.count(kind) <= 1 for kind in ("order.paid", "order.cancelled", "order.shipped", "order.completed"))
    assert not {"order.cancelled", "order.shipped"} <= set(kinds)
