"""Who gets what is free: never more than there is, in arrival order, each order whole or not at all."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.services.inventory.warehouse import CAUSE
from tradepost.contracts.inventory import Shortage
from tradepost.services.inventory.domain.reservation import Demand, Grant, Rejection, decide, total

SKUS = ("A", "B", "C", "unknown")
units = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 5), min_size=1)
demands = st.lists(units, max_size=12).map(lambda asked: [demand(n, one) for n, one in enumerate(asked)])
shelves = st.fixed_dictionaries({sku: st.integers(0, 12) for sku in SKUS[:3]})


def demand(number: int, asked: Mapping[str, int]) -> Demand:
    return Demand(order_id=str(number), units=asked, cause=CAUSE)


def naive(asked: Sequence[Demand], free: Mapping[str, int]) -> list[str]:
    """One order at a time, one unit at a time, from piles that can run out; a failed order puts its units back."""
    piles = {sku: ["unit"] * count for sku, count in free.items()}
    granted = []
    for one in asked:
        basket = [sku for sku, count in one.units.items() for _ in range(count)]
        taken = [(sku, piles[sku].pop()) for sku in basket if piles.get(sku)]
        if len(taken) == len(basket):
            granted.append(one.order_id)
        else:
            for sku, unit in taken:
                piles[sku].append(unit)
    return granted


@given(demands, shelves)
def test_deciding_agrees_with_taking_units_one_by_one(asked: list[Demand], free: dict[str, int]) -> None:
    verdicts = decide(asked, free)

    assert [verdict.demand for verdict in verdicts] == asked
    assert [verdict.demand.order_id for verdict in verdicts if isinstance(verdict, Grant)] == naive(asked, free)


@given(demands, shelves)
def test_never_more_is_granted_than_is_free(asked: list[Demand], free: dict[str, int]) -> None:
    granted = [verdict.demand for verdict in decide(asked, free) if isinstance(verdict, Grant)]

    taken = total(line for one in granted for line in one.units.items())
    assert all(count <= free[sku] for sku, count in taken.items())


@given(demands, shelves)
def test_a_rejection_names_exactly_what_is_missing(asked: list[Demand], free: dict[str, int]) -> None:
    left = dict(free)
    for verdict in decide(asked, free):
        wanted = verdict.demand.units
        if isinstance(verdict, Grant):
            left = {sku: count - wanted.get(sku, 0) for sku, count in left.items()}
        else:
            lacking = {sku for sku, count in wanted.items() if count > left.get(sku, 0)}
            assert {shortage.sku for shortage in verdict.missing} == lacking
            assert (verdict.reason == "unknown_sku") == ("unknown" in wanted)


def test_a_big_early_order_that_does_not_fit_does_not_block_a_small_later_one() -> None:
    big, small = demand(1, {"A": 5, "B": 1}), demand(2, {"A": 2})

    assert decide([big, small], {"A": 4, "B": 9}) == [
        Rejection(big, "insufficient_stock", (Shortage(sku="A", requested=5, available=4),)),
        Grant(small),
    ]


def test_lines_of_one_sku_are_summed() -> None:
    assert total([("A", 2), ("B", 1), ("A", 3)]) == {"A": 5, "B": 1}
