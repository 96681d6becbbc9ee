"""Which instance is next, when one is put out, and how it comes back."""

import pytest

from tradepost.gateway import instances as module
from tradepost.gateway.budget import Budget
from tradepost.gateway.instances import Instance, Instances, Outcome, State
from tradepost.kernel.errors import Unavailable


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def ready(*names: str, clock: Clock | None = None) -> Instances:
    found = Instances(names, clock or Clock())
    for instance in found.all:
        instance.says(State.READY)
    return found


def test_the_one_with_the_fewest_calls_under_way_is_next() -> None:
    found = ready("a", "b", "c")
    for instance, calls in zip(found.all, (3, 1, 2), strict=True):
        instance.calls = calls

    chosen = []
    for _ in range(2):
        least = found.next((), is_stream=False)
        assert least is not None
        least.enter(is_stream=False)
        chosen.append((least.url, least.calls))

    assert chosen[0] == ("b", 2)
    assert chosen[1] in (("b", 3), ("c", 3))


def test_idle_ones_take_turns() -> None:
    found = ready("a", "b", "c")

    chosen = [one.url for one in (found.next((), is_stream=False) for _ in range(6)) if one]

    assert sorted(chosen) == ["a", "a", "b", "b", "c", "c"]


def test_only_one_that_is_ready_is_chosen_or_else_one_that_at_least_answers() -> None:
    found = ready("a", "b", "c", "d")
    a, b, c, d = found.all
    a.eject()
    b.says(State.STOPPING)
    c.says(State.UNREADY)

    assert {found.next((), is_stream=False) for _ in range(4)} == {d}
    assert found.next((d,), is_stream=False) is c
    assert found.next((c, d), is_stream=False) is None


def test_who_does_not_connect_is_out_at_once_and_who_fails_after_three_times_in_a_row() -> None:
    refused, failing, mixed = ready("a", "b", "c").all
    end(refused, Outcome.NOT_CONNECTED)
    for instance, outcomes in ((failing, [Outcome.BROKEN] * 3), (mixed, [Outcome.LATE, Outcome.ANSWERED] * 3)):
        for outcome in outcomes:
            end(instance, outcome)

    assert [one.state for one in (refused, failing, mixed)] == [State.OUT, State.OUT, State.READY]


def test_the_time_outside_doubles_up_to_a_limit_and_is_short_again_after_steady_service() -> None:
    clock = Clock()
    (instance,) = ready("a", clock=clock).all
    waits = []
    for _ in range(7):
        instance.eject()
        waits.append(until_back(instance, clock))
    clock.now += module.STEADY_S + 1
    instance.eject()

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert until_back(instance, clock) == 0.5


def test_beyond_the_limits_the_next_call_is_refused_and_streams_count_for_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALLS_LIMIT", 2)
    monkeypatch.setattr(module, "SERVICE_CALLS_LIMIT", 3)
    found = ready("a", "b")
    for _ in range(3):
        chosen = found.next((), is_stream=False)
        assert chosen is not None
        chosen.enter(is_stream=False)

    with pytest.raises(Unavailable) as refused:
        found.next((), is_stream=False)
    assert refused.value.error == "overloaded"
    assert found.next((), is_stream=True) is not None


def test_a_fifth_of_the_requests_may_be_repeated_beside_a_few() -> None:
    clock = Clock()
    budget = Budget(clock)
    for _ in range(100):
        budget.earn()

    assert sum(budget.take() for _ in range(100)) == 10 + 20
    clock.now += 3
    assert sum(budget.take() for _ in range(100)) == 3


def end(instance: Instance, outcome: Outcome) -> None:
    instance.enter(is_stream=False)
    instance.leave(outcome, is_stream=False)


def until_back(instance: Instance, clock: Clock) -> float:
    waited = 0.0
    while instance.state is State.OUT:
        clock.now += 0.5
        waited += 0.5
        instance.says(State.READY)
    return waited
