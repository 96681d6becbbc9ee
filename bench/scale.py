"""Two workers on two cores: `tradepost run all` twice on one database, against one; each gets half of the connections.
And the same two behind a gateway of its own, which adds a hop and a third process. PostgreSQL and the load share the
cores with them, so their CPU per order stands beside: it says what bounds the throughput.

python -m bench.scale [--quick] [--runs 3]
"""

from typing import Final

from bench.figures import Figure, Size, command, note
from bench.placing import Placed, place
from bench.shop import Shop, filled_shop
from tradepost.console.instance import NAMES

CONNECTIONS: Final = {"max_connections": "300"}  # of PostgreSQL


def measure(size: Size) -> list[Figure]:
    with filled_shop(CONNECTIONS) as shop:
        note("one worker ...")
        place(shop, size.of(5, 1))
        one = place(shop, size.seconds)
        note("two workers ...")
        shop.start()
        place(shop, size.of(5, 1))
        two = place(shop, size.seconds)
        note("two workers behind a gateway ...")
        behind = _behind_a_gateway(shop, size)
    return [
        Figure("scale.two_workers", two.outcome.per_s / one.outcome.per_s, _beside(one, two)),
        Figure("scale.two_workers_settled", two.settled_per_s / one.settled_per_s, {}),
        Figure("scale.behind_a_gateway", behind.outcome.per_s / one.outcome.per_s, _beside(one, behind)),
    ]


def _behind_a_gateway(shop: Shop, size: Size) -> Placed:
    urls = ",".join(f"http://127.0.0.1:{worker.port}" for worker in shop.workers)
    workers = list(shop.workers)
    gateway = shop.start("gateway", **{f"TRADEPOST_{name.upper()}_URLS": urls for name in NAMES})
    shop.workers = [gateway, *workers]
    return place(shop, size.seconds, ports=[gateway.port])


def _beside(one: Placed, more: Placed) -> dict[str, float]:
    """Orders a second and CPU per order of both."""
    return {
        "one_per_s": one.outcome.per_s,
        "per_s": more.outcome.per_s,
        "one_application_us": one.outcome.cpu_us("application"),
        "application_us": more.outcome.cpu_us("application"),
        "one_postgres_us": one.outcome.cpu_us("postgres"),
        "postgres_us": more.outcome.cpu_us("postgres"),
        "load_us": more.outcome.own_us,
    }


if __name__ == "__main__":
    command(__doc__, measure)
