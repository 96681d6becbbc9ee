"""A job is done again at once while it says that more waits, and after a rest when it was woken."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.patience import PATIENCE_S
from tradepost.kernel import runtime
from tradepost.kernel.runtime import _repeat
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import FIGURES

NEVER_S = 86_400.0
LONG_S = 86_400.0


class Rounds:
    """Counts, wakes itself each time as a busy shop would, fails for the first `failing` rounds and is full for the
    first `full`."""

    def __init__(self, full: int = 0, failing: int = 0) -> None:
        self.count = 0
        self.woken = asyncio.Event()
        self._full, self._failing = full, failing

    async def run(self, _desk: object) -> bool:
        self.count += 1
        self.woken.set()
        await asyncio.sleep(0)
        if self.count <= self._failing:
            raise ValueError("not today")
        return self.count <= self._full


def failures() -> float:
    """Rounds of `job` that failed, as `/metrics` has them."""
    return FIGURES.get_sample_value("tradepost_job_failures_total", {"name": "job"}) or 0.0


async def done(
    rounds: Rounds, rest_s: float, enough: Callable[[], bool], seconds: float = PATIENCE_S, after_s: float = 0.0
) -> None:
    """The job at work, until that is so or the time is over."""
    task = asyncio.create_task(_repeat(Job("job", rounds.run, NEVER_S, rest_s, after_s), None, rounds.woken))
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not enough():
                await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_woken_job_is_done_again_at_once() -> None:
    rounds = Rounds()
    await done(rounds, 0.0, lambda: rounds.count >= 10)
    assert rounds.count >= 10


async def test_one_that_nobody_waits_for_rests_however_often_it_is_woken() -> None:
    rounds = Rounds()
    await done(rounds, LONG_S, lambda: rounds.count > 1, seconds=1.0)
    assert rounds.count == 1


async def test_one_that_has_more_to_do_does_not_rest() -> None:
    rounds = Rounds(full=9)
    await done(rounds, LONG_S, lambda: rounds.count >= 10)
    assert rounds.count == 10


async def test_what_woke_it_during_the_rest_is_not_forgotten() -> None:
    rounds = Rounds()
    await done(rounds, 0.05, lambda: rounds.count >= 3)
    assert rounds.count >= 3


async def test_one_that_lets_others_go_first_is_not_woken_before_its_time() -> None:
    rounds = Rounds()
    rounds.woken.set()
    await done(rounds, 0.0, lambda: rounds.count > 0, seconds=1.0, after_s=LONG_S)
    assert rounds.count == 0
    await done(rounds, 0.0, lambda: rounds.count > 0, after_s=0.05)
    assert rounds.count > 0


async def test_a_round_that_fails_is_counted_and_one_that_does_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "TRY_AGAIN_S", 0.0)
    rounds, before = Rounds(failing=3), failures()
    await done(rounds, 0.0, lambda: rounds.count >= 10)
    assert failures() == before + 3


async def test_a_job_that_never_failed_is_on_the_page() -> None:
    rounds = Rounds()
    await done(rounds, 0.0, lambda: rounds.count >= 1)
    assert FIGURES.get_sample_value("tradepost_job_failures_total", {"name": "job"}) is not None
