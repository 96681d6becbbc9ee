"""The reservation: what an order asked for, whether it got it, and what became of it."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from tradepost.contracts.inventory import Shortage
from tradepost.kernel.events import Cause

INSUFFICIENT: Final = "insufficient_stock"
UNKNOWN: Final = "unknown_sku"
CANCELLED: Final = "order_cancelled"


class Status(StrEnum):
    """How far the promise has come."""

    RESERVED = "reserved"
    REJECTED = "rejected"
    COMMITTED = "committed"  # paid: the units have left `on_hand`
    RELEASED = "released"  # cancelled before that
    RESTOCKED = "restocked"  # cancelled after that


MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.RESERVED: frozenset({Status.COMMITTED, Status.RELEASED}),
    Status.COMMITTED: frozenset({Status.RESTOCKED}),
    Status.REJECTED: frozenset(),
    Status.RELEASED: frozenset(),
    Status.RESTOCKED: frozenset(),
}


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """`version` counts what was published under the order."""

    order_id: str
    skus: tuple[str, ...]
    quantities: tuple[int, ...]
    status: Status
    version: int = 1

    @property
    def lines(self) -> Iterable[tuple[str, int]]:
        """Pairs of SKU and units."""
        return zip(self.skus, self.quantities, strict=True)

    def may(self, to: Status) -> bool:
        """Whether this move is in the table; late facts ask for others, and get nothing."""
        return to in MOVES[self.status]

    @property
    def is_overtaken(self) -> bool:
        """Whether its order was cancelled before it was heard of, and is still to come: any that came names units."""
        return self.status is Status.REJECTED and not self.skus


def overtaken(order_id: str) -> Reservation:
    """What is on record of an order whose cancellation came first: it is rejected as soon as it comes, which is then
    the first that is published about it."""
    return Reservation(order_id=order_id, skus=(), quantities=(), status=Status.REJECTED)


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What an order asks for: units by SKU, each SKU once."""

    order_id: str
    units: Mapping[str, int]
    cause: Cause


class Grant(msgspec.Struct, frozen=True):
    """The order gets everything that it asked for."""

    demand: Demand


class Rejection(msgspec.Struct, frozen=True):
    """The order gets nothing, because of what is missing."""

    demand: Demand
    reason: str
    missing: tuple[Shortage, ...]


def total(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Units by SKU, lines of one SKU summed."""
    units: dict[str, int] = {}
    for sku, quantity in lines:
        units[sku] = units.get(sku, 0) + quantity
    return units


def decide(demands: Sequence[Demand], free: Mapping[str, int]) -> list[Grant | Rejection]:
    """Who gets what is free, in arrival order, each order whole or not at all. An order that does not fit leaves
    everything to those behind it. A SKU that `free` lacks is unknown."""
    left = dict(free)
    verdicts: list[Grant | Rejection] = []
    for demand in demands:
        missing = tuple(
            Shortage(sku=sku, requested=quantity, available=left.get(sku, 0))
            for sku, quantity in demand.units.items()
            if sku not in left or quantity > left[sku]
        )
        if missing:
            verdicts.append(Rejection(demand, _reason(missing, free), missing))
            continue
        for sku, quantity in demand.units.items():
            left[sku] -= quantity
        verdicts.append(Grant(demand))
    return verdicts


def _reason(missing: Sequence[Shortage], free: Mapping[str, int]) -> str:
    return INSUFFICIENT if all(shortage.sku in free for shortage in missing) else UNKNOWN
