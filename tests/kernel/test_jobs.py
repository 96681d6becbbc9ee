"""A job is done again at once while it says that more waits, and after a rest when it was woken."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.patience import PATIENCE_S
from tradepost.kernel.runtime import _repeat
from tradepost.kernel.service import Job

NEVER_S = 86_400.0
LONG_S = 86_400.0


class Rounds:
    """Counts, wakes itself each time as a busy shop would, and is full for the first `full` rounds."""

    def __init__(self, full: int = 0) -> None:
        self.count = 0
        self.woken = asyncio.Event()
        self._full = full

    async def run(self, _desk: object) -> bool:
        self.count += 1
        self.woken.set()
        await asyncio.sleep(0)
        return self.count <= self._full


async def done(rounds: Rounds, rest_s: float, enough: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """The job at work, until that is so or the time is over."""
    task = asyncio.create_task(_repeat(Job("job", rounds.run, NEVER_S, rest_s), None, rounds.woken))
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
