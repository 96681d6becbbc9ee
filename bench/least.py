"""The least that PostgreSQL needs for the rows of an order, and what it leaves of two cores for the application.

An order that is placed: its three rows, 64 orders to a statement and a commit. A whole order: all its rows but the
idempotency key, as they are at its end, by COPY in pieces of a thousand orders (`bench/stored.py`). Nothing is looked
up or changed, and the application has stopped. The budget is what both cores have for an order at the floor's share of
the echo: too much where neighbours slow the echo down. What is left of it is without this and the client's CPU.

python -m bench.least [--quick] [--runs 3]
"""

import uvloop

from bench import pgbench, stored
from bench.echo import open_echo
from bench.figures import Figure, Size, command
from bench.million import PATTERN, fill, place_pattern
from bench.processes import usage
from bench.shop import Shop, open_shop
from bench.targets import CORES, TARGETS


def measure(size: Size) -> list[Figure]:
    pattern = round(size.of(PATTERN, 100))
    with open_shop() as shop, open_echo() as echo:
        fill(shop)
        other = pgbench.prepare(shop, ["order"])
        first = echo.measure(size.seconds)
        asked = place_pattern(shop, pattern)
        last = echo.measure(size.seconds)
        shop.stop()
        place_us = pgbench.run(shop, other, pgbench.ORDERS, 1, size.seconds).postgres_us / pgbench.BATCH
        whole_us = _copied_us(shop, pattern, round(size.of(26, 4)))
    base = {"echo_per_s": (first.per_s + last.per_s) / 2, "load_cpu_us": asked.own_us}
    return [
        Figure("least.place_us", place_us, {**base, **_left("place.share_of_echo", place_us, **base)}),
        Figure("least.whole_us", whole_us, _left("place.settled_share_of_echo", whole_us, **base)),
    ]


def _copied_us(shop: Shop, pattern: int, copies: int) -> float:
    """Microseconds of PostgreSQL's CPU per order in all copies but the first."""
    used: list[float] = []

    def told(_copies: int) -> None:
        used.append(usage([shop.postmaster]).total_s)

    uvloop.run(stored.multiply(shop.database_url, copies, told))
    return (used[-1] - used[0]) / ((copies - 1) * pattern) * 1e6


def _left(name: str, least_us: float, echo_per_s: float, load_cpu_us: float) -> dict[str, float]:
    """Of what the floor of this name gives an order."""
    share = TARGETS[name].floor
    assert share is not None
    budget_us = CORES * 1e6 / (share * echo_per_s)
    return {"budget_us": budget_us, "left_us": budget_us - load_cpu_us - least_us}


if __name__ == "__main__":
    command(__doc__, measure)
