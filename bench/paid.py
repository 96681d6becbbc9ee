"""From the answer 201 to `order.paid` at 100 orders a second, over the log, RabbitMQ and Kafka in one run.

The beginning is when the client has the whole answer, by this machine's clock; the end is PostgreSQL's commit timestamp
of the transaction that wrote the event `order.paid`. That is taken just before the commit is flushed, so the mean time
of a flush in this run stands beside. A broker that does not run is left out: `make rabbitmq kafka` starts them, and
what they hold for a shop is deleted.

python -m bench.paid [--quick] [--runs 3]
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import uvloop

from bench import load
from bench.figures import Figure, Size, command, note
from bench.shop import Shop, filled_shop, run_name
from brokers.__main__ import nodes
from tradepost.kernel.brokers.opening import open_broker
from tradepost.kernel.brokers.port import Topology
from tradepost.main import SERVICES
from tradepost.settings import BrokerSettings

KINDS: Final = ("log", "rabbitmq", "kafka")
RATE: Final = 100.0  # orders a second
QUICK_RATE: Final = 20.0
CONNECTIONS: Final = 256
_TIMED: Final = {"track_commit_timestamp": "on", "track_wal_io_timing": "on"}
_PAID: Final = """
SELECT key, extract(epoch FROM pg_xact_commit_timestamp(xid::xid))::float8 AS at
FROM "order".event WHERE type = 'order.paid' AND key = ANY ($1::text[])
"""
_FLUSHES: Final = """
SELECT sum(fsyncs)::float8 AS n, sum(fsync_time) AS ms FROM pg_stat_io WHERE object = 'wal' AND context = 'normal'
"""


class _Placed(msgspec.Struct, frozen=True):
    order_id: str


def measure(size: Size) -> list[Figure]:
    found: list[Figure] = []
    for kind in KINDS:
        settings = _broker(kind)
        if settings is None:
            note(f"{kind} does not run: left out (`make {kind}` starts it)")
            continue
        with filled_shop(_TIMED, **settings) as shop:
            found += _figures(kind, shop, size)
    return _beside_the_log(found)


def _figures(kind: str, shop: Shop, size: Size) -> list[Figure]:
    seconds, rate = size.of(60, 8), size.of(RATE, QUICK_RATE)
    plan = load.Plan(
        shop.ports,
        shop.orders(),
        seconds,
        warm_up_s=5.0,
        rates=[(seconds, rate)],
        connections=CONNECTIONS,
        keys=run_name(),
        bodies=True,
        watched=shop.watched,
    )
    before = _flushes(shop)
    outcome = load.run(plan).only(201)
    shop.settle(outcome.began - plan.warm_up_s)
    after = _flushes(shop)
    took = _took(shop, outcome)
    flush_ms = (after["ms"] - before["ms"]) / max(after["n"] - before["n"], 1)
    beside = {
        "orders": len(took),
        "orders_per_s": rate,
        "flush_ms": flush_ms,
        "application_us": outcome.cpu_us("application"),
    }
    return [Figure(f"paid.{kind}_p{share}_ms", load.percentile(took, share / 100) * 1000, beside) for share in (50, 99)]


def _took(shop: Shop, outcome: load.Outcome) -> list[float]:
    """Seconds from answer to commit, for each order; below zero when the answer came later."""
    answered = {
        msgspec.json.decode(body, type=_Placed).order_id: due + took
        for body, due, took in zip(outcome.bodies, outcome.due, outcome.took, strict=True)
    }
    paid = {row["key"]: row["at"] for row in shop.fetch(_PAID, list(answered))}
    if len(paid) != len(answered):
        raise SystemExit(f"{len(answered) - len(paid)} orders were not paid")
    return [paid[order_id] - at for order_id, at in answered.items()]


def _flushes(shop: Shop) -> Mapping[str, Any]:
    return dict(shop.fetch(_FLUSHES)[0])


def _beside_the_log(figures: list[Figure]) -> list[Figure]:
    """With how many times as long as over the log."""
    log = {figure.name.rpartition("_p")[2]: figure.value for figure in figures if figure.name.startswith("paid.log")}
    return [
        msgspec.structs.replace(
            figure, beside={"of_log": figure.value / log[figure.name.rpartition("_p")[2]], **figure.beside}
        )
        for figure in figures
    ]


def _broker(kind: str) -> dict[str, str] | None:
    """The variables of a shop on this broker, emptied; None when it does not run."""
    if kind == "log":
        return {}
    node = nodes()[kind]
    if not node.answers():
        return None
    settings = BrokerSettings(kind, rabbitmq_url=node.address, kafka_bootstrap=node.address)
    uvloop.run(_empty(settings))
    variable = {"rabbitmq": "TRADEPOST_RABBITMQ_URL", "kafka": "TRADEPOST_KAFKA_BOOTSTRAP"}[kind]
    return {"TRADEPOST_BROKER": kind, variable: node.address}


async def _empty(settings: BrokerSettings) -> None:
    groups = tuple(group for service in SERVICES for group in service.groups)
    broker: Any = open_broker(settings, Topology(tuple(service.name for service in SERVICES), groups))
    await broker.reset()
    await broker.close()


if __name__ == "__main__":
    command(__doc__, measure)
