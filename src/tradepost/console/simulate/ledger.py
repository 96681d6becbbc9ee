"""What each customer bought and still has, so that a cancellation finds the orders that it is about."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tradepost.console.simulate.log import Line


@dataclass(eq=False)
class Bought:
    """An order and how many units of each SKU have not come back."""

    order_id: str
    left: Counter[str]
    is_untouched: bool = True


@dataclass(frozen=True)
class GivenBack:
    """A part of a cancellation: units of one order; `is_whole` when these are all of it."""

    order: Bought
    units: Mapping[str, int]
    is_whole: bool


@dataclass
class Ledger:
    """By customer, oldest order first."""

    _orders: dict[str, list[Bought]] = field(default_factory=lambda: defaultdict(list))

    def bought(self, customer: str, order_id: str, lines: Iterable[Line]) -> None:
        """An order was accepted."""
        self._orders[customer].append(Bought(order_id, _units(lines)))

    def match(self, customer: str | None, lines: Iterable[Line]) -> tuple[Sequence[GivenBack], int]:
        """Which orders the lines of a cancellation are about, newest first; and how many units belong to none."""
        wanted = _units(lines)
        orders = self._orders.get(customer, []) if customer else []
        found = list(_matches(orders, wanted))
        return found, wanted.total()

    def cancelled(self, customer: str, back: GivenBack) -> None:
        """Nothing of that order can come back any more."""
        self._orders[customer].remove(back.order)

    def returned(self, back: GivenBack) -> None:
        """Those units are back."""
        back.order.left.subtract(back.units)
        back.order.is_untouched = False


def _matches(orders: Sequence[Bought], wanted: Counter[str]) -> Iterator[GivenBack]:
    """Takes off `wanted` what it finds."""
    for order in reversed(orders):
        units = {sku: taken for sku in wanted if (taken := min(wanted[sku], order.left[sku])) > 0}
        if units:
            wanted.subtract(units)
            yield GivenBack(order, units, order.is_untouched and units == order.left)


def _units(lines: Iterable[Line]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units
