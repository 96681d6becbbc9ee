"""What the project accepts of each figure at least, and what it is after: two cores, PostgreSQL and load among them."""

from dataclasses import dataclass
from typing import Final

CORES: Final = 2


@dataclass(frozen=True)
class Target:
    """One row of the table. `unit` is `%` for shares, which are measured as parts of one."""

    what: str
    unit: str
    floor: float | None = None
    goal: float | None = None
    less_is_better: bool = False

    def holds(self, value: float, limit: float) -> bool:
        """Whether the value is at least as good."""
        return value <= limit if self.less_is_better else value >= limit


def _least(what: str, unit: str, floor: float | None, goal: float | None) -> Target:
    return Target(what, unit, floor, goal)


def _most(what: str, unit: str, floor: float | None, goal: float | None) -> Target:
    return Target(what, unit, floor, goal, less_is_better=True)


TARGETS: Final = {
    "place.share_of_echo": _least("place an order, share of a bare echo", "%", 0.25, 0.5),
    "place.settled_share_of_echo": _least("the same by the time until the last is paid", "%", 0.12, 0.25),
    "place.of_pgbench": _least("place an order, against pgbench writing the same rows", "×", 0.6, 1.2),
    "place.cpu_us": _most("application CPU per order placed", "us", 350, 200),
    "shipped.cpu_us": _most("application CPU per order, to delivered with all messages", "us", 1000, 450),
    "least.place_us": _most("PostgreSQL's CPU for the rows of an order placed, at the very least", "us", None, None),
    "least.whole_us": _most("the same for all rows of an order", "us", None, None),
    "saga.orders_per_s": _least("whole sale, sustained with bounded lag", "orders/s", 800, 2000),
    "saga.placing_p50_ms": _most("placing at half of that rate, p50", "ms", 15, 5),
    "saga.placing_p99_ms": _most("placing at half of that rate, p99", "ms", 60, 25),
    "paid.log_p50_ms": _most("from 201 to paid at 100 orders/s, p50", "ms", 80, 25),
    "paid.log_p99_ms": _most("from 201 to paid at 100 orders/s, p99", "ms", 250, 80),
    "paid.rabbitmq_p50_ms": _most("the same over RabbitMQ, p50", "ms", None, None),
    "paid.rabbitmq_p99_ms": _most("the same over RabbitMQ, p99", "ms", None, None),
    "paid.kafka_p50_ms": _most("the same over Kafka, p50", "ms", None, None),
    "paid.kafka_p99_ms": _most("the same over Kafka, p99", "ms", None, None),
    "writes.at_100_rows": _most("rows written for an order at 100/s, to the last message", "", None, None),
    "writes.at_100_wal_kb": _most("WAL of it", "kB", None, None),
    "writes.full_rows": _most("rows written for an order, as many orders as it takes", "", None, None),
    "writes.full_wal_kb": _most("WAL of it", "kB", None, None),
    "hot_sku.of_update": _least("one hot SKU, against one UPDATE per order from C", "×", 10, 40),
    "year.s": _most("a year of real orders, to the last settled", "s", 120, 60),
    "million.placing": _least("placing with a million orders stored, share of empty", "%", 0.9, 0.98),
    "million.order": _least("reading an order then, share of empty", "%", None, None),
    "million.my_orders": _least("listing my orders then, share of empty", "%", None, None),
    "million.rss_mb": _most("memory of the application then", "MB", 300, 200),
    "cold_start.s": _most("cold start to the first order", "s", 5, 2),
    "second_start.s": _most("second start to the first order", "s", None, None),
    "read.order": _least("read an order, share of a bare echo", "%", 0.25, 0.5),
    "read.my_orders": _least("list my orders, share of a bare echo", "%", 0.25, 0.5),
    "read.product": _least("product detail, share of a bare echo", "%", 0.25, 0.5),
    "read.search": _least("search, share of a bare echo", "%", 0.25, 0.5),
    "scale.two_workers": _least("two workers against one", "×", None, None),
    "scale.two_workers_settled": _least("the same by the time until the last is paid", "×", None, None),
    "scale.behind_a_gateway": _least("two workers behind a gateway against one alone", "×", None, None),
    "overload.goodput": _least("goodput at three times capacity, share of the capacity", "%", 0.8, None),
    "overload.refused_p99_ms": _most("a refusal then, p99", "ms", None, None),
    "overload.memory_growth_mb": _most("memory that it takes", "MB", None, None),
    "overload.recovery_s": _most("recovery from it", "s", 5, None),
}
