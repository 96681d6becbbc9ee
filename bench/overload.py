"""Overload: orders at three times what the shop can take, on thousands of connections, between two calm times at half
of it. What it can take are the orders of a burst by the time until the last of them was paid. How much is placed
meanwhile, how quickly the rest is refused, whether memory stays flat, and how soon after the end of it answers are as
quick as before.

Goodput counts the orders that are answered within the time of the overload. An order that finds no free connection
within two seconds is given up by the load. Recovered is the shop from the first second on after which nothing is
refused and each second's p99 is at most twice that of the calm before, or 50 ms more.

python -m bench.overload [--quick] [--runs 3]
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bench import load
from bench.figures import Figure, Size, command, note
from bench.placing import place
from bench.processes import memory
from bench.shop import Shop, filled_shop, run_name

CONNECTIONS: Final = 4_000  # many more than calls that may be under way
TIMES: Final = 3.0
CALM: Final = 0.5
BURST_CONNECTIONS: Final = 256  # below the limit of calls under way
PATIENCE_S: Final = 2.0
REFUSED: Final = (429, 503)
SLOWER: Final = 2.0
SLOWER_S: Final = 0.05
LOOK_S: Final = 0.25
MS: Final = 1000


def measure(size: Size) -> list[Figure]:
    with filled_shop() as shop:
        note("what it can take ...")
        place(shop, size.of(5, 2))
        capacity = place(shop, size.of(10, 5), connections=BURST_CONNECTIONS).settled_per_s
        phases = [
            (size.of(10, 4), CALM * capacity),
            (size.of(30, 10), TIMES * capacity),
            (size.of(20, 10), CALM * capacity),
        ]
        note(f"{capacity:.0f} orders/s; now {phases[1][1]:.0f} ...")
        held_mb = memory(shop.workers[0].pid).rss_mb
        with _most_memory(shop.workers[0].pid) as most_mb:
            outcome = load.run(_plan(shop, phases))
        shop.settle(outcome.began)
    return figures(outcome, [seconds for seconds, _ in phases], capacity, max(most_mb) - held_mb)


def _plan(shop: Shop, phases: Sequence[tuple[float, float]]) -> load.Plan:
    return load.Plan(
        shop.ports,
        shop.orders(),
        sum(seconds for seconds, _ in phases),
        connections=CONNECTIONS,
        warm_up_s=3.0,
        patience_s=PATIENCE_S,
        rates=phases,
        keys=run_name(),
        watched=shop.watched,
    )


def figures(outcome: load.Outcome, seconds: Sequence[float], capacity: float, grown_mb: float) -> list[Figure]:
    """Of the three phases."""
    start, end = seconds[0], seconds[0] + seconds[1]
    calm, storm = _between(outcome, 0, start), _between(outcome, start, end)
    placed = [took for _, took, _, status in storm if status == 201]
    done = [at + took for at, took, _, status in _between(outcome, 0, end) if status == 201]
    goodput = sum(start <= at < end for at in done) / seconds[1]
    refused = [took - late for _, took, late, status in storm if status in REFUSED]
    counts = {
        "capacity_per_s": capacity,
        "refused": len(refused),
        "unsent": sum(status == load.UNSENT for *_, status in storm),
        "failed": sum(status not in (201, load.UNSENT, *REFUSED) for *_, status in storm),
    }
    answered = {"placed_p99_ms": load.percentile(placed or [0.0], 0.99) * MS}
    p50, p99 = (load.percentile(refused or [0.0], share) * MS for share in (0.5, 0.99))
    limit = load.percentile([took for _, took, *_ in calm], 0.99)
    return [
        Figure("overload.goodput", goodput / capacity, {**counts, **answered}),
        Figure("overload.refused_p99_ms", p99, {"p50_ms": p50}),
        Figure("overload.memory_growth_mb", grown_mb),
        Figure(
            "overload.recovery_s",
            _recovery_s(_between(outcome, end, sum(seconds)), end, max(SLOWER * limit, limit + SLOWER_S)),
            {"calm_p99_ms": limit * MS},
        ),
    ]


Asked = tuple[float, float, float, int]  # when due, after the begin; how long it took; how much of it unsent; status


def _between(outcome: load.Outcome, start: float, end: float) -> list[Asked]:
    """What was due in these seconds."""
    asked = zip(outcome.due, outcome.took, outcome.late, outcome.status, strict=True)
    return [
        (due - outcome.began, took, late, status)
        for due, took, late, status in asked
        if start <= due - outcome.began < end
    ]


def _recovery_s(after: Sequence[Asked], end: float, limit: float) -> float:
    """Seconds until every later second is as it should be."""
    by_second: dict[int, list[Asked]] = {}
    for asked in after:
        by_second.setdefault(int(asked[0] - end), []).append(asked)
    bad = [
        second
        for second, each in by_second.items()
        if any(status != 201 for *_, status in each) or load.percentile([took for _, took, *_ in each], 0.99) > limit
    ]
    return max(bad, default=-1) + 1.0


@contextmanager
def _most_memory(pid: int) -> Iterator[list[float]]:
    """What is in memory, looked at all the time, in MB."""
    stop, seen = threading.Event(), [0.0]

    def look() -> None:
        while not stop.wait(LOOK_S):
            seen.append(memory(pid).rss_mb)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    command(__doc__, measure)
