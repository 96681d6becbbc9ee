"""What PostgreSQL writes for an order with its whole sale: rows, index entries, WAL and transactions, at 100 orders a
second and as many as it takes. Little of it depends on the neighbours; the tables that it goes to are told on the way.
Entries are those of indexes on all rows; partial ones, which leave most of them out, keep no count.

python -m bench.writes [--quick] [--runs 3]
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bench import load
from bench.figures import Figure, Size, command, note
from bench.shop import Shop, filled_shop, run_name

RATE: Final = 100.0  # orders a second
WARM_UP_S: Final = 3.0
REPORT_S: Final = 11.0  # until idle sessions have reported what they did
SHOWN: Final = 0.05  # rows an order from which on a table is told

_TABLES: Final = """
SELECT schemaname || '.' || regexp_replace(relname, '_[0-9]+(_[0-9]+)*$', '') AS name,
       sum(n_tup_ins)::float8 AS inserted, sum(n_tup_upd)::float8 AS updated, sum(n_tup_hot_upd)::float8 AS hot,
       sum(n_tup_del)::float8 AS deleted,
       sum((n_tup_ins + n_tup_upd - n_tup_hot_upd)
           * (SELECT count(*) FROM pg_index WHERE indrelid = relid AND indpred IS NULL))::float8 AS entries
FROM pg_stat_user_tables GROUP BY 1
"""
_WAL: Final = """
SELECT wal_bytes::float8 AS bytes, wal_records::float8 AS records, wal_fpi::float8 AS pages,
       (SELECT sum(xact_commit)::float8 FROM pg_stat_database) AS transactions FROM pg_stat_wal
"""


@dataclass(frozen=True)
class Written:
    """What was written up to a moment, or between two for each order."""

    tables: Mapping[str, Mapping[str, float]]
    wal: Mapping[str, float]

    def since(self, before: "Written", orders: int) -> "Written":
        def difference(now: Mapping[str, float], then: Mapping[str, float]) -> Mapping[str, float]:
            return {name: (value - then.get(name, 0)) / orders for name, value in now.items()}

        tables = {name: difference(row, before.tables.get(name, {})) for name, row in self.tables.items()}
        return Written(tables, difference(self.wal, before.wal))

    def total(self, kind: str) -> float:
        return sum(row[kind] for row in self.tables.values())


def measure(size: Size) -> list[Figure]:
    with filled_shop() as shop:
        _orders(shop, WARM_UP_S, RATE)
        return [*_figures("writes.at_100", shop, size.of(20, 4), RATE), *_figures("writes.full", shop, size.seconds)]


def _figures(name: str, shop: Shop, seconds: float, rate: float | None = None) -> Iterator[Figure]:
    before = _written(shop)
    orders = _orders(shop, seconds, rate)
    each = _written(shop).since(before, orders)
    note(f"{name}: {orders} orders, and for each")
    for table, row in sorted(each.tables.items(), key=lambda one: -one[1]["entries"]):
        if row["inserted"] + row["updated"] + row["deleted"] >= SHOWN:
            note("  " + f"{table:<34}" + ", ".join(f"{kind} {value:.2f}" for kind, value in row.items() if value))
    rows = {kind: each.total(kind) for kind in ("inserted", "updated", "hot", "deleted", "entries")}
    yield Figure(f"{name}_rows", rows["inserted"] + rows["updated"] + rows["deleted"], rows)
    wal = {kind: each.wal[kind] for kind in ("records", "pages", "transactions")}
    yield Figure(f"{name}_wal_kb", each.wal["bytes"] / 1000, wal)


def _orders(shop: Shop, seconds: float, rate: float | None) -> int:
    """Place them and wait until all of them are delivered, with all messages; how many."""
    since = time.time()
    rates = [] if rate is None else [(seconds, rate)]
    load.run(load.Plan(shop.ports, shop.orders(), seconds, warm_up_s=0.0, rates=rates, keys=run_name())).only(201)
    shop.settle()
    return shop.counts(since).placed


def _written(shop: Shop) -> Written:
    """By now."""
    time.sleep(REPORT_S)
    tables = {
        row["name"]: {kind: value for kind, value in row.items() if kind != "name"} for row in shop.fetch(_TABLES)
    }
    return Written(tables, dict(shop.fetch(_WAL)[0]))


if __name__ == "__main__":
    command(__doc__, measure)
