"""In whatever order an order's facts arrive, and however often: a cancelled one holds nothing and has taken nothing."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.services.inventory.warehouse import CAUSE
from tradepost.contracts.inventory import InventoryRejected, InventoryReleased, InventoryReserved
from tradepost.services.inventory.domain.order import Book, Cancellation, Sale, Step, carry_out
from tradepost.services.inventory.domain.reservation import Demand, Status
from tradepost.services.inventory.domain.shelf import Shelf
from tradepost.services.inventory.domain.stock import Stock

UNITS = 3
CREATED = Demand(order_id="order", units={"MUG": 2, "CUP": 1}, cause=CAUSE)
PAID = Sale(order_id="order", cause=CAUSE)
CANCELLED = Cancellation(order_id="order", paid=False, cause=CAUSE)
STOPPED = Cancellation(order_id="order", paid=True, cause=CAUSE)
OTHER = Demand(order_id="other", units={"MUG": 1}, cause=CAUSE)

# How orders go; what is told of one may come in any order and more than once.
LIVES: Sequence[list[Step]] = ([CREATED, CANCELLED], [CREATED, PAID, STOPPED], [CREATED, PAID], [CREATED])
arrivals = st.sampled_from(LIVES).flatmap(
    lambda life: st.lists(st.sampled_from([*life, OTHER]), max_size=4).flatmap(
        lambda more: st.permutations([*life, *more])
    )
)


def hear(arrived: Sequence[Step], cuts: Sequence[bool]) -> tuple[Book, Shelf]:
    """All of it in batches; a new one begins where `cuts` says so."""
    shelf = Shelf(Stock(sku=sku, on_hand=UNITS, reserved=0, version=1, events=1) for sku in ("MUG", "CUP"))
    book: Book = {}
    batch: list[Step] = []
    for step, cut in zip(arrived, cuts, strict=False):
        if cut:
            book |= {one.order_id: one for one in carry_out(batch, book, shelf)}
            batch = []
        batch.append(msgspec.structs.replace(step))  # what comes again is another event
    return book | {one.order_id: one for one in carry_out(batch, book, shelf)}, shelf


@given(arrivals, st.lists(st.booleans(), min_size=8, max_size=8))
def test_a_cancelled_order_holds_nothing_and_every_order_is_answered_once(
    arrived: list[Step], cuts: list[bool]
) -> None:
    book, shelf = hear(arrived, cuts)

    mine = book["order"]
    told = [note.fact for note in shelf.notes if getattr(note.fact, "order_id", "") == "order"]
    answers = [fact for fact in told if isinstance(fact, InventoryReserved | InventoryRejected)]
    released = [fact for fact in told if isinstance(fact, InventoryReleased)]
    others = 1 if OTHER in arrived else 0
    assert len(answers) == 1
    assert dict(mine.lines) == CREATED.units
    assert [note.sequence for note in shelf.notes if note.fact in told] == list(range(1, len(told) + 1))
    if CANCELLED in arrived or STOPPED in arrived:
        assert mine.status in (Status.REJECTED, Status.RELEASED, Status.RESTOCKED)
        assert len(released) == (mine.status is not Status.REJECTED)
        assert all(fact.restocked is (STOPPED in arrived) for fact in released)
        assert [(shelf.stock(sku).on_hand, shelf.stock(sku).reserved) for sku in ("CUP", "MUG")] == [
            (3, 0),
            (3, others),
        ]
    moved = {sku: sum(one.quantity for one in shelf.movements if one.sku == sku) for sku in ("MUG", "CUP")}
    assert {sku: shelf.stock(sku).on_hand - UNITS for sku in moved} == moved
