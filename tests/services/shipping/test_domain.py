"""Tracking statuses and numbers: what may follow what, and what each move publishes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.services.shipping.conftest import ADDRESS
from tradepost.kernel.events import Fact
from tradepost.services.shipping.domain.shipment import (
    FOLLOWS,
    IllegalTrackingStatus,
    Report,
    Shipment,
    Status,
    Step,
    cancel,
    carry,
    hear,
    may_follow,
    next_move,
    track,
)
from tradepost.services.shipping.domain.tracking_number import (
    ALPHABET,
    CHANCE_BITS,
    read_tracking_number,
    tracking_number,
)

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
FINAL = (Status.DELIVERED, Status.CANCELLED)
KNOWS_NOTHING = {Status.PENDING, Status.CANCELLED, Status.UNKNOWN}
numbers = st.builds(tracking_number, st.integers(0, 2**41 - 1), st.integers(0, 2**CHANCE_BITS - 1))
statuses = st.sampled_from(Status)

Tells = Callable[[Shipment, Report], Step]


def shipment(status: Status = Status.PENDING, *, dispatched: bool = False) -> Shipment:
    later = NOW + timedelta(seconds=5)
    return Shipment(
        id="s",
        order_id="o",
        tracking_number="TP1",
        carrier="local",
        status=status,
        dispatched=dispatched,
        version=1,
        pick_up_at=later,
        deliver_at=later + timedelta(seconds=30),
        shipping_address=ADDRESS,
    )


def report(status: Status) -> Report:
    return Report(status=status, at=NOW)


def published(status: Status, *, dispatched: bool = False, before: Status = Status.PENDING) -> list[str]:
    return [fact.type for fact in track(shipment(before, dispatched=dispatched), report(status)).facts]


def test_a_pick_up_dispatches_and_a_delivery_delivers() -> None:
    assert published(Status.PICKED_UP) == ["shipping.dispatched"]
    assert published(Status.DELIVERED, before=Status.PICKED_UP, dispatched=True) == ["shipping.delivered"]
    assert published(Status.IN_TRANSIT, before=Status.PICKED_UP, dispatched=True) == ["shipping.tracked"]


def test_the_first_scan_that_shows_that_the_parcel_left_dispatches_it() -> None:
    assert published(Status.OUT_FOR_DELIVERY) == ["shipping.dispatched", "shipping.tracked"]
    assert published(Status.DELIVERED) == ["shipping.dispatched", "shipping.delivered"]
    assert published(Status.ON_HOLD) == ["shipping.tracked"]


@pytest.mark.parametrize("status", [Status.DELIVERY_DELAYED, Status.ON_HOLD])
def test_what_staff_put_off_may_be_here_and_what_the_carrier_does_it_has(status: Status) -> None:
    by_hand, by_carrier = track(shipment(), report(status)), hear(shipment(), report(status))

    assert [fact.type for fact in by_hand.facts] == ["shipping.tracked"]
    assert cancel(by_hand.shipment, NOW) is not None
    assert [fact.type for fact in by_carrier.facts] == ["shipping.dispatched", "shipping.tracked"]
    assert cancel(by_carrier.shipment, NOW) is None


def test_a_carrier_that_knows_nothing_does_not_have_the_parcel() -> None:
    step = hear(shipment(), report(Status.UNKNOWN))

    assert [fact.type for fact in step.facts] == ["shipping.tracked"]
    assert cancel(step.shipment, NOW) is not None


@pytest.mark.parametrize("status", sorted(set(Status) - KNOWS_NOTHING))
def test_a_cancelled_parcel_that_the_carrier_has_stays_cancelled_and_that_is_kept(status: Status) -> None:
    step = hear(shipment(Status.CANCELLED), report(status))

    assert step == Step(shipment(Status.CANCELLED), (report(status),), ())


@pytest.mark.parametrize("status", sorted(KNOWS_NOTHING))
def test_of_a_cancelled_parcel_that_the_carrier_does_not_have_nothing_is_kept(status: Status) -> None:
    with pytest.raises(IllegalTrackingStatus):
        hear(shipment(Status.CANCELLED), report(status))


@pytest.mark.parametrize("status", FINAL)
def test_nothing_follows_the_end(status: Status) -> None:
    assert FOLLOWS[status] == frozenset()
    for other in Status:
        with pytest.raises(IllegalTrackingStatus):
            track(shipment(status, dispatched=status is Status.DELIVERED), report(other))


def test_a_cancellation_is_never_a_report() -> None:
    with pytest.raises(IllegalTrackingStatus, match="Cancel the order instead"):
        track(shipment(), report(Status.CANCELLED))


def test_a_parcel_on_hold_can_be_picked_up_only_while_it_is_here() -> None:
    assert published(Status.PICKED_UP, before=Status.ON_HOLD) == ["shipping.dispatched"]
    with pytest.raises(IllegalTrackingStatus):
        track(shipment(Status.ON_HOLD, dispatched=True), report(Status.PICKED_UP))
    assert cancel(shipment(Status.ON_HOLD), NOW) is not None
    assert cancel(shipment(Status.ON_HOLD, dispatched=True), NOW) is None


@given(st.lists(st.tuples(statuses, st.sampled_from([track, hear])), max_size=12))
def test_whatever_is_reported_a_parcel_leaves_once_and_ends_once(reported: list[tuple[Status, Tells]]) -> None:
    now, facts = shipment(), list[Fact]()
    for status, tells in reported:
        if may_follow(now, status) and status is not Status.CANCELLED:
            step = tells(now, report(status))
            now, facts = step.shipment, [*facts, *step.facts]

    kinds = [fact.type for fact in facts]
    assert now.version == 1 + len(facts)
    assert kinds.count("shipping.dispatched") == now.dispatched
    assert kinds.count("shipping.delivered") == (now.status is Status.DELIVERED)
    assert "shipping.delivered" not in kinds or kinds.index("shipping.dispatched") < kinds.index("shipping.delivered")
    assert (cancel(now, NOW) is None) == now.dispatched


def test_the_carrier_comes_when_it_is_time_and_not_before() -> None:
    parcel = shipment()
    assert carry(parcel, NOW + timedelta(seconds=4.9)).facts == ()

    picked_up = carry(parcel, NOW + timedelta(seconds=5))
    assert (picked_up.shipment.status, picked_up.shipment.version) == (Status.PICKED_UP, 2)
    move = next_move(picked_up.shipment)
    assert move == Report(status=Status.DELIVERED, at=NOW + timedelta(seconds=35))

    both = carry(parcel, NOW + timedelta(hours=1))
    assert [fact.type for fact in both.facts] == ["shipping.dispatched", "shipping.delivered"]
    assert [one.at for one in both.reports] == [parcel.pick_up_at, parcel.deliver_at]
    assert both.shipment.version == 3


@pytest.mark.parametrize("status", [Status.ON_HOLD, Status.READY_FOR_PICKUP, Status.CANCELLED, Status.DELIVERED])
def test_the_carrier_leaves_alone_what_waits_for_somebody(status: Status) -> None:
    assert next_move(shipment(status)) is None


@given(numbers)
def test_a_tracking_number_is_read_as_people_write_it(number: str) -> None:
    assert len(number) == 18
    assert read_tracking_number(f" {number[:2]}-{number[2:10]} {number[10:]}".lower()) == number
    assert read_tracking_number(number.replace("0", "o").replace("1", "l")) == number


@given(numbers, st.integers(2, 17), st.sampled_from(ALPHABET))
def test_one_wrong_digit_is_found(number: str, place: int, digit: str) -> None:
    assume(number[place] != digit)
    assert read_tracking_number(number[:place] + digit + number[place + 1 :]) is None


@given(numbers, st.integers(2, 16))
def test_neighbours_that_changed_places_are_found(number: str, place: int) -> None:
    pair = number[place : place + 2]
    assume(pair[0] != pair[1] and set(pair) != {"0", "Z"})
    assert read_tracking_number(number[:place] + pair[::-1] + number[place + 2 :]) is None


@given(st.text(max_size=30))
def test_any_other_text_is_no_tracking_number(text: str) -> None:
    assert read_tracking_number(text) is None
