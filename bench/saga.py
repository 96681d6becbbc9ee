"""The whole sale under a steady load: the highest rate whose orders are paid as fast as they come, held for minutes;
then the latency of placing at half of it. In an open loop: orders are due whatever the server does.

A first burst says what to try. Lag is bounded when at the end of the time as many orders wait for their fate as in its
middle, give or take two seconds' worth, and so of those that have not arrived yet, and nearly all answers are orders;
else 10 % less is tried.

python -m bench.saga [--quick] [--runs 3]
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bench import load
from bench.figures import Figure, Size, command, note
from bench.placing import place
from bench.shop import Shop, filled_shop, run_name

CONNECTIONS: Final = 256
START: Final = 0.95  # of what the burst came to
STEP: Final = 0.9
TRIES: Final = 6
WORTH_S: Final = 2.0
PLACED: Final = 0.99  # of what was due
LOOK_S: Final = 1.0
LOOKS: Final = 10  # at those that wait for their fate, until the next at all that have not arrived
BRIEF_S: Final = 60.0  # what nobody waits for gives way for a while (ADR 40), so in less its lag says nothing

Waiting = list[tuple[float, int]]  # at that second of the wall clock so many orders


@dataclass
class Steady:
    """Orders at a rate. `waiting` are the unsettled ones, `unfinished` those that have not arrived yet."""

    rate: float
    outcome: load.Outcome
    waiting: Waiting
    unfinished: Waiting

    @property
    def placed(self) -> int:
        return self.outcome.statuses[201]

    @property
    def is_bounded(self) -> bool:
        """Whether what is settled, and what arrives, keep up with what is placed."""
        is_all = self.placed >= PLACED * self.rate * self.outcome.seconds
        arrives = self.outcome.seconds < BRIEF_S or not self._grows(self.unfinished)
        return is_all and arrives and not self._grows(self.waiting)

    @property
    def most_waiting(self) -> int:
        return max(self._between(self.waiting, 0, 1))

    @property
    def most_unfinished(self) -> int:
        return max(self._between(self.unfinished, 0, 1))

    def _grows(self, waiting: Waiting) -> bool:
        thirds = self._between(waiting, 1 / 3, 2 / 3), self._between(waiting, 2 / 3, 1)
        return max(thirds[1]) > max(thirds[0]) + WORTH_S * self.rate

    def _between(self, waiting: Waiting, first: float, last: float) -> list[int]:
        began, seconds = self.outcome.began, self.outcome.seconds
        found = [n for at, n in waiting if began + first * seconds <= at <= began + last * seconds]
        return found or [0]


def hold(shop: Shop, rate: float, seconds: float) -> Steady:
    """Orders at this rate for so long, and until all are settled."""
    began = time.time()
    with _watching(shop, began) as watcher:
        plan = load.Plan(
            shop.ports,
            shop.orders(),
            seconds,
            connections=CONNECTIONS,
            warm_up_s=2.0,
            rates=[(seconds, rate)],
            keys=run_name(),
            watched=shop.watched,
        )
        outcome = load.run(plan)
    shop.settle()  # all of it, or the next would begin behind what is left
    return Steady(rate, outcome, watcher.waiting, watcher.unfinished)


def sustained(shop: Shop, size: Size, start: float) -> Steady:
    """The first rate from `start` downwards whose lag is bounded, first briefly and then for the whole time."""
    rate = start
    for _ in range(TRIES):
        for seconds in (size.of(20, 5), size.of(180, 20)):
            steady = hold(shop, rate, seconds)
            note(f"{rate:.0f} orders/s for {seconds:.0f} s: {told(steady)}")
            if not steady.is_bounded:
                break
        else:
            return steady
        rate *= STEP
    raise SystemExit(f"not even {rate / STEP:.0f} orders a second could be held")


def told(steady: Steady) -> str:
    bounded = "bounded" if steady.is_bounded else "not bounded"
    return (
        f"{steady.placed} placed, at most {steady.most_waiting} waited and {steady.most_unfinished} were on their way, "
        f"lag {bounded}"
    )


def measure(size: Size) -> list[Figure]:
    with filled_shop() as shop:
        note("a burst, to see what can be tried ...")
        place(shop, size.of(5, 2))
        burst = place(shop, size.of(10, 3))
        steady = sustained(shop, size, burst.settled_per_s * START)
        shop.settle()  # or placing would be measured behind what is still being delivered
        half = hold(shop, steady.rate / 2, size.of(60, 8))
    cpu = {name: steady.outcome.cpu_us(name) for name in ("application", "postgres")}
    beside = {
        "seconds": steady.outcome.seconds,
        "most_waiting": steady.most_waiting,
        "most_unfinished": steady.most_unfinished,
    }
    p50, p99 = (load.percentile(half.outcome.took, share) * 1000 for share in (0.5, 0.99))
    longest = max(half.outcome.took) * 1000
    return [
        Figure("saga.orders_per_s", steady.rate, {**beside, **{f"{name}_us": us for name, us in cpu.items()}}),
        Figure("saga.placing_p50_ms", p50, {"orders_per_s": half.rate}),
        Figure("saga.placing_p99_ms", p99, {"orders_per_s": half.rate, "longest_ms": longest}),
    ]


@dataclass
class _Watcher:
    shop: Shop
    since: float
    stop: threading.Event = field(default_factory=threading.Event)
    waiting: Waiting = field(default_factory=list)
    unfinished: Waiting = field(default_factory=list)

    def run(self) -> None:
        """What of the last minute's orders waits, and now and then what of all has not arrived."""
        while not self.stop.wait(LOOK_S):
            is_of_all = len(self.waiting) % LOOKS == 0
            counts = self.shop.counts(self.since if is_of_all else max(self.since, time.time() - 60))
            self.waiting.append((time.time(), counts.unsettled))
            if is_of_all:
                self.unfinished.append((time.time(), counts.unfinished))


@contextmanager
def _watching(shop: Shop, since: float) -> Iterator[_Watcher]:
    watcher = _Watcher(shop, since)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.stop.set()
        thread.join()


if __name__ == "__main__":
    command(__doc__, measure)
