"""A million orders stored: placing and reading against an empty shop, in turns, and the application's memory.

Both shops have PostgreSQL servers of their own; one is left empty, into the other the past is loaded by COPY
(`bench/stored.py`), which takes some minutes and about 25 GB in the temporary folder.

python -m bench.million [--quick] [--runs 3]
"""

import time
from collections.abc import Callable
from statistics import mean
from typing import Any, Final

import asyncpg
import uvloop

from bench import load, reads, stored
from bench.figures import Figure, Size, command, note
from bench.processes import memory
from bench.shop import Shop, filled_shop, open_shop, run_name

PATTERN: Final = 1_000  # orders
TURNS: Final = 3
READ: Final = ("order", "my_orders")


def measure(size: Size) -> list[Figure]:
    pattern = round(size.of(PATTERN, 100))
    with filled_shop() as empty, open_shop() as full:
        count = _past(full, pattern, round(size.of(1_000_000 / PATTERN, 10)) - 1)
        note(f"{count} orders are stored")
        full.start()
        return _figures(empty, full, count, size)


def _past(shop: Shop, pattern: int, copies: int) -> int:
    """Fill the shop, and load its past; how many orders it has then."""
    fill(shop)
    place_pattern(shop, pattern)
    shop.stop()

    def told(done: int) -> None:
        if done and done % 50 == 0:
            note(f"{done * pattern} orders loaded")

    return uvloop.run(stored.multiply(shop.database_url, copies, told))


def fill(shop: Shop) -> None:
    """Start it and fill it, so that the orders that are placed next can be copied."""
    shop.start()
    uvloop.run(_with(shop, stored.number_from_here))  # before any is drawn, and kept for the next order
    shop.fill()


def place_pattern(shop: Shop, orders: int) -> load.Outcome:
    """So many orders, to their very end."""
    plan = load.Plan(shop.ports, shop.orders(), 600, warm_up_s=0.0, keys=run_name(), at_most=orders)
    outcome = load.run(plan).only(201)
    shop.settle()
    return outcome


def _figures(empty: Shop, full: Shop, count: int, size: Size) -> list[Figure]:
    placed: dict[str, list[float]] = {"empty": [], "full": []}
    read: dict[str, list[float]] = {f"{name}_{kind}": [] for name in placed for kind in READ}
    for shop in (empty, full):
        _place(shop, size.of(5, 1))
    for _ in range(TURNS):
        for name, shop in (("empty", empty), ("full", full)):
            placed[name].append(_place(shop, size.of(10, 2)))
            asked = reads.requests(shop)
            for kind in READ:
                read[f"{name}_{kind}"].append(reads.read(shop, asked[kind], size.of(4, 1)).per_s)
    held, held_empty = (memory(shop.workers[0].pid) for shop in (full, empty))
    shares = [
        Figure(
            f"million.{kind}",
            mean(read[f"full_{kind}"]) / mean(read[f"empty_{kind}"]),
            {"per_s": mean(read[f"full_{kind}"]), "empty_per_s": mean(read[f"empty_{kind}"])},
        )
        for kind in READ
    ]
    beside = {"orders": count, "per_s": mean(placed["full"]), "empty_per_s": mean(placed["empty"])}
    memories = {"pss_mb": held.pss_mb, "empty_rss_mb": held_empty.rss_mb}
    return [
        Figure("million.placing", mean(placed["full"]) / mean(placed["empty"]), beside),
        *shares,
        Figure("million.rss_mb", held.rss_mb, memories),
    ]


def _place(shop: Shop, seconds: float) -> float:
    """Orders a second; at this return all of them have arrived."""
    began = time.time()
    plan = load.Plan(shop.ports, shop.orders(), seconds, keys=run_name())
    outcome = load.run(plan).only(201)
    shop.settle(began, arrived=True)
    return outcome.per_s


async def _with(shop: Shop, work: Callable[[Any], Any]) -> None:
    connection = await asyncpg.connect(shop.database_url)
    try:
        await work(connection)
    finally:
        await connection.close()


if __name__ == "__main__":
    command(__doc__, measure)
