"""`make bench-check`: what does not depend on the neighbours, against the committed figures of `bench/expected.json`.

Statements are counted exactly (`bench/counts.py`). CPU is the application's per request, less what it uses when idle,
as a multiple of the echo's in the same run: the best of three turns, 25 % more is still let through. Anything worse
ends with 1. After a change for the better, or one that is worth it, `--accept` writes what was measured; commit it
with the reason.

python -m bench.check [--accept] [--quick] [--measured FILE]
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from bench import counts, load, pgbench
from bench.echo import Echo, open_echo
from bench.figures import note, shown
from bench.placing import place
from bench.reads import KINDS, requests
from bench.shop import Shop, filled_shop, run_name
from tradepost.main import SERVICES

EXPECTED: Final = Path(__file__).with_name("expected.json")
TOLERANCE: Final = 1.25
TURNS: Final = 3
WARM_UP_CALLS: Final = 1_000
IDLE_S: Final = 5.0


class Measured(msgspec.Struct, frozen=True):
    """Statements by who sends them for a hundred orders, and CPU per request in echoes."""

    statements: dict[str, int]
    cpu_in_echoes: dict[str, float]


def compare(expected: Measured, measured: Measured) -> Iterator[str]:
    """What is worse than expected, line by line."""
    for name, count in measured.statements.items():
        limit = expected.statements.get(name)
        if limit is None:
            yield f"{name}: {count} statements, and none are expected: what is new in the sale? see --accept"
        elif count > limit:
            yield f"{name}: {count} statements, expected are {limit}"
    for name in expected.cpu_in_echoes.keys() - measured.cpu_in_echoes.keys():
        yield f"{name}: its CPU was not measured"
    for name, share in measured.cpu_in_echoes.items():
        limit_share = expected.cpu_in_echoes.get(name)
        if limit_share is None:
            yield f"{name}: no CPU is expected yet: see --accept"
        elif share > limit_share * TOLERANCE:
            yield f"{name}: {shown(share)} echoes of CPU a request, expected are {shown(limit_share)} (+25 %)"


def measure(*, quick: bool) -> Measured:
    """Both, on a shop of its own."""
    seconds = 2.0 if quick else 6.0
    with filled_shop() as shop, open_echo() as echo:
        url = pgbench.prepare(shop, [service.name for service in SERVICES])
        statements = uvloop.run(counts.count(url, shop.secret, shop.folder))
        note(f"{sum(statements.values())} statements for {counts.ORDERS} orders and two reads; now CPU ...")
        place(shop, seconds)
        return Measured(statements, _cpu(shop, echo, seconds))


def _cpu(shop: Shop, echo: Echo, seconds: float) -> dict[str, float]:
    idle = _idle(shop)
    asked = requests(shop)
    found: dict[str, list[float]] = {}
    for _ in range(TURNS):
        echo_us = echo.measure(seconds / 2).cpu_us("echo")
        for kind in ("place", *KINDS):
            plan = load.Plan(
                shop.ports,
                shop.orders() if kind == "place" else asked[kind],
                seconds,
                keys=run_name() if kind == "place" else None,
                warm_up_calls=WARM_UP_CALLS,
                watched=shop.watched,
            )
            outcome = load.run(plan).only(200, 201)
            used_s = outcome.cpu_s["application"].total_s - idle * outcome.seconds
            found.setdefault(kind, []).append(used_s / outcome.calls * 1e6 / echo_us)
            if kind == "place":
                shop.settle()
    return {kind: min(shares) for kind, shares in found.items()}


def _idle(shop: Shop) -> float:
    """CPU seconds a second of an application that nobody asks for anything."""
    shop.settle()
    before, began = shop.cpu()["application"], time.monotonic()
    time.sleep(IDLE_S)
    return (shop.cpu()["application"] - before).total_s / (time.monotonic() - began)


def main() -> None:
    """Exits with 1 when anything is worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="write what was measured to bench/expected.json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measured", type=Path, help="compare what this file says")
    given = parser.parse_args()
    if given.measured:
        measured = msgspec.json.decode(given.measured.read_bytes(), type=Measured)
    else:
        measured = measure(quick=given.quick)
    if given.accept:
        EXPECTED.write_bytes(msgspec.json.format(msgspec.json.encode(measured)) + b"\n")
        print(f"written to {EXPECTED.name}")
        return
    expected = msgspec.json.decode(EXPECTED.read_bytes(), type=Measured)
    for name, share in measured.cpu_in_echoes.items():
        print(f"{name:<12}{shown(share):>8} echoes of CPU, expected {shown(expected.cpu_in_echoes.get(name, 0))}")
    if worse := list(compare(expected, measured)):
        raise SystemExit("worse than bench/expected.json:\n" + "\n".join(f"  {line}" for line in worse))
    print("nothing is worse than bench/expected.json")


if __name__ == "__main__":
    main()
