"""Returns: goods that come back after they were shipped, never more than were bought."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from tradepost.contracts.order import Line
from tradepost.kernel.errors import Conflict, FieldError, Invalid


class ReturnStatus(StrEnum):
    """Where a return stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    RECEIVED = "received"
    REFUNDED = "refunded"


RETURN_MOVES: Final[Mapping[ReturnStatus, frozenset[ReturnStatus]]] = {
    ReturnStatus.REQUESTED: frozenset({ReturnStatus.APPROVED, ReturnStatus.REJECTED, ReturnStatus.RECEIVED}),
    ReturnStatus.APPROVED: frozenset({ReturnStatus.REJECTED, ReturnStatus.RECEIVED}),
    ReturnStatus.RECEIVED: frozenset({ReturnStatus.REFUNDED}),
    ReturnStatus.REJECTED: frozenset(),
    ReturnStatus.REFUNDED: frozenset(),
}


class ReturnLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU that come back; `restock` once they were looked at."""

    sku: str
    quantity: int
    restock: bool = True


def check_move(status: ReturnStatus, to: ReturnStatus) -> None:
    """Errors: Conflict `illegal_return_move`."""
    if to not in RETURN_MOVES[status]:
        raise Conflict(f"A return that is {status} can not become {to}.", code="illegal_return_move")


def check_quantities(bought: Sequence[Line], earlier: Iterable[ReturnLine], wanted: Sequence[ReturnLine]) -> None:
    """Errors: Invalid `not_in_order`, Conflict `return_exceeds_order` with what is left."""
    left = Counter({line.sku: 0 for line in bought})
    for line in bought:
        left[line.sku] += line.quantity
    for back in earlier:
        left[back.sku] -= back.quantity
    asked: Counter[str] = Counter()
    for back in wanted:
        asked[back.sku] += back.quantity
    if unknown := sorted(sku for sku in asked if sku not in left):
        faults = [f"/items/{at}/sku" for at, back in enumerate(wanted) if back.sku in unknown]
        errors = [FieldError(pointer, "The order does not hold it.") for pointer in faults]
        raise Invalid(f"The order does not hold {', '.join(unknown)}.", code="not_in_order", errors=errors)
    over = [{"sku": sku, "returnable": left[sku]} for sku, quantity in asked.items() if quantity > left[sku]]
    if over:
        raise Conflict("More than can still be returned.", code="return_exceeds_order", extra={"items": over})


def worth(bought: Sequence[Line], returned: Sequence[ReturnLine], already: Iterable[ReturnLine]) -> int:
    """What the returned units cost, in minor units. Where one SKU was bought at several prices, the units are taken in
    the order of the lines, after those that came back already."""
    runs: dict[str, list[tuple[int, int]]] = {}
    for line in bought:
        runs.setdefault(line.sku, []).append((line.quantity, line.price))
    for back in already:
        _take(runs[back.sku], back.quantity)
    return sum(_take(runs[back.sku], back.quantity) for back in returned)


def _take(runs: list[tuple[int, int]], quantity: int) -> int:
    """Take units off the front of runs of (quantity, price); what they cost."""
    cost = 0
    while quantity and runs:
        available, price = runs[0]
        taken = min(quantity, available)
        cost += taken * price
        quantity -= taken
        runs[:1] = [(available - taken, price)] if taken < available else []
    return cost
