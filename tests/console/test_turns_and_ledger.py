"""Whose turn it is, and what a cancellation is about."""

from datetime import datetime
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tradepost.console.simulate.ledger import Ledger
from tradepost.console.simulate.log import Invoice, Line
from tradepost.console.simulate.turns import Turns


def _invoice(number: str, customer: str | None) -> Invoice:
    return Invoice(number=number, at=datetime(2010, 12, 1), customer=customer, country="France", lines=())


def test_a_customers_next_invoice_waits_for_the_answer_to_the_one_before() -> None:
    first, second, other = _invoice("1", "a"), _invoice("2", "a"), _invoice("3", "b")
    turns = Turns([first, second, other])

    assert turns.next() is first
    assert turns.next() is other
    assert turns.next() is None
    assert turns.after(first) is second
    assert turns.after(second) is None


def test_guests_wait_for_nobody() -> None:
    first, second = _invoice("1", None), _invoice("2", None)
    turns = Turns([first, second])

    assert (turns.next(), turns.next(), turns.after(first), turns.next()) == (first, second, None, None)


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=30), st.randoms(use_true_random=False))
def test_everything_is_played_once_and_each_customers_in_order(customers: list[str | None], random: Random) -> None:
    invoices = [_invoice(str(at), customer) for at, customer in enumerate(customers)]
    turns = Turns(invoices)
    playing: list[Invoice] = []
    played: list[Invoice] = []
    while True:
        if len(playing) < 3 and (new := turns.next()) is not None:
            playing.append(new)
        elif playing:
            done = playing.pop(random.randrange(len(playing)))
            played.append(done)
            if (follower := turns.after(done)) is not None:
                playing.append(follower)
        else:
            break
        busy = [one.customer for one in playing if one.customer]
        assert len(busy) == len(set(busy))

    assert sorted(int(one.number) for one in played) == list(range(len(invoices)))
    for customer in "abc":
        mine = [int(one.number) for one in played if one.customer == customer]
        assert mine == sorted(mine)


def test_a_cancellation_of_everything_is_whole() -> None:
    ledger = Ledger()
    ledger.bought("a", "order-1", [Line("MUG", 6), Line("MUG", 4), Line("TIN", 1)])

    (found,), unmatched = ledger.match("a", [Line("TIN", 1), Line("MUG", 10)])

    assert (found.order.order_id, found.units, found.is_whole, unmatched) == ("order-1", {"TIN": 1, "MUG": 10}, True, 0)


def test_units_are_taken_from_the_newest_order_first_and_what_belongs_to_none_is_counted() -> None:
    ledger = Ledger()
    ledger.bought("a", "old", [Line("MUG", 3), Line("TIN", 1)])
    ledger.bought("a", "new", [Line("MUG", 2)])
    ledger.bought("b", "other", [Line("MUG", 9)])

    found, unmatched = ledger.match("a", [Line("MUG", 7)])

    assert [(back.order.order_id, back.units, back.is_whole) for back in found] == [
        ("new", {"MUG": 2}, True),
        ("old", {"MUG": 3}, False),
    ]
    assert unmatched == 2


def test_what_came_back_can_not_come_back_again_and_what_was_refused_can() -> None:
    ledger = Ledger()
    ledger.bought("a", "order-1", [Line("MUG", 3)])
    (first,), _ = ledger.match("a", [Line("MUG", 1)])
    (again,), _ = ledger.match("a", [Line("MUG", 1)])
    assert (first.units, again.units) == ({"MUG": 1}, {"MUG": 1})

    ledger.returned(first)
    (rest,), unmatched = ledger.match("a", [Line("MUG", 3)])
    assert (rest.units, rest.is_whole, unmatched) == ({"MUG": 2}, False, 1)

    ledger.cancelled("a", rest)
    assert ledger.match("a", [Line("MUG", 1)]) == ([], 1)


def test_a_cancellation_of_nobody_is_about_no_order() -> None:
    assert Ledger().match(None, [Line("MUG", 2)]) == ([], 2)
