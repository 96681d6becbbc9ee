"""What a run came to, in figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tradepost.console.simulate.log import OrderLog
from tradepost.console.simulate.play import Outcomes
from tradepost.console.simulate.settlement import Settlement

TROUBLES: Final = 5  # shown
MS: Final = 1000


def plan(log: OrderLog) -> str:
    """What is going to be played, in a line."""
    orders = len(log.orders)
    return (
        f"{orders} orders and {len(log.invoices) - orders} cancellations of {len(log.customers)} customers, "
        f"{len(log.products)} products; lines skipped: {_counts(log.skipped)}"
    )


def figures(outcomes: Outcomes, settlement: Settlement, set_up_s: float, retries: int) -> Iterator[tuple[str, str]]:
    """Names and values."""
    placed = len(outcomes.order_ids)
    yield "set-up", f"{set_up_s:.1f} s"
    yield (
        "orders accepted",
        f"{placed} in {outcomes.seconds:.1f} s, {placed / max(outcomes.seconds, 1e-9):.0f} a second",
    )
    yield "orders refused", _counts(outcomes.refused_orders)
    yield "answer to an order", _latencies(outcomes.latencies)
    yield "sent again", f"{retries} requests, under the same keys"
    yield "cancellations", f"{outcomes.cancelled} orders cancelled, {outcomes.returned} returns received"
    yield "cancellations refused", _counts(outcomes.refused_cancellations)
    yield "cancellations unmatched", f"{outcomes.unmatched_units} units of no order that we placed"
    yield "last order settled", _settled(settlement)
    yield "orders cancelled, why", _counts(settlement.cancelled)
    for trouble in outcomes.troubles[:TROUBLES]:
        yield "no outcome", trouble


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    at = max(-int(-share * len(sorted_values) // 1) - 1, 0)
    return sorted_values[at]


def _latencies(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p50, p99 = (percentile(ordered, share) * MS for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {ordered[-1] * MS:.1f} ms"


def _settled(settlement: Settlement) -> str:
    after = f"{settlement.seconds:.1f} s after the last answer"
    return f"not yet, {after}: at least {settlement.unsettled} wait" if settlement.unsettled else after


def _counts(counts: Mapping[str, int]) -> str:
    if not counts:
        return "none"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)
