"""Placing orders: against a bare echo, against pgbench that writes the same rows, and what it costs in CPU.

All at 64 connections under the same load, in turns: echo, orders, echo, pgbench. "Settled" counts the orders by the
time until the last of them was paid; "shipped" is the CPU until every order is delivered, every event has taken effect
and every message was sent.

python -m bench.placing [--quick] [--runs 3]
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench import load, pgbench
from bench.echo import open_echo
from bench.figures import Figure, Size, command, note
from bench.processes import Usage
from bench.shop import Shop, filled_shop, run_name

CLIENTS: Final = 32  # of pgbench


@dataclass(frozen=True)
class Placed:
    """One load of orders to its very end: `settled_s` from its begin until the last was paid; CPU seconds of all that
    by process, for so many `orders`."""

    outcome: load.Outcome
    orders: int
    settled_s: float
    whole: dict[str, Usage]

    @property
    def settled_per_s(self) -> float:
        return self.orders / self.settled_s

    def whole_us(self, name: str) -> float:
        """Microseconds of CPU of a process per order, from request to delivered."""
        return self.whole[name].total_s / self.orders * 1e6


def place(shop: Shop, seconds: float, ports: Sequence[int] = (), connections: int = 64) -> Placed:
    """Orders as fast as they are answered, at all workers or only at these ports, and then everything that follows."""
    before, began = shop.cpu(), time.time()
    plan = load.Plan(ports or shop.ports, shop.orders(), seconds, connections, keys=run_name(), watched=shop.watched)
    outcome = load.run(plan).only(201)
    ended = shop.settle(began)
    orders = shop.counts(began).placed
    shop.settle()
    whole = {name: used - before[name] for name, used in shop.cpu().items()}
    return Placed(outcome, orders, ended - (outcome.began - plan.warm_up_s), whole)


def measure(size: Size) -> list[Figure]:
    with filled_shop() as shop, open_echo() as echo:
        other = pgbench.prepare(shop, ["order"])
        note("a first load, to warm up ...")
        place(shop, size.of(5, 1))
        first = echo.measure(size.seconds)
        placed = place(shop, size.seconds)
        last = echo.measure(size.seconds)
        beside = pgbench.run(shop, other, pgbench.ORDER, CLIENTS, size.seconds)
    return figures(placed, (first.per_s + last.per_s) / 2, (first.cpu_us("echo") + last.cpu_us("echo")) / 2, beside)


def figures(placed: Placed, echo_per_s: float, echo_us: float, beside: pgbench.Run) -> list[Figure]:
    """As shares of the baselines, which stand beside."""
    at_once = placed.outcome
    base = {"echo_per_s": echo_per_s, "load_cpu_us": at_once.own_us}
    cpu = {
        "echo_us": echo_us,
        "of_echo": at_once.cpu_us("application") / echo_us,
        "postgres_us": at_once.cpu_us("postgres"),
    }
    return [
        Figure("place.share_of_echo", at_once.per_s / echo_per_s, {"orders_per_s": at_once.per_s, **base}),
        Figure(
            "place.settled_share_of_echo", placed.settled_per_s / echo_per_s, {"orders_per_s": placed.settled_per_s}
        ),
        Figure(
            "place.of_pgbench",
            at_once.per_s / beside.per_s,
            {"pgbench_per_s": beside.per_s, "pgbench_postgres_us": beside.postgres_us},
        ),
        Figure("place.cpu_us", at_once.cpu_us("application"), cpu),
        Figure("shipped.cpu_us", placed.whole_us("application"), {"postgres_us": placed.whole_us("postgres")}),
    ]


if __name__ == "__main__":
    command(__doc__, measure)
