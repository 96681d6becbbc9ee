"""The shelf: the stock rows that a transaction has locked, and everything that it does to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from tradepost.contracts.inventory import InventoryAdjusted, InventoryAvailable, InventoryLow
from tradepost.kernel.events import Cause, Fact
from tradepost.services.inventory.domain import stock as rules
from tradepost.services.inventory.domain.movement import Movement, Reason
from tradepost.services.inventory.domain.stock import Stock, UnknownSku

ANNOUNCED: Final = "announced"


class Note(msgspec.Struct, frozen=True):
    """A fact to publish; `sequence` counts what was published under its key."""

    fact: Fact
    sequence: int
    cause: Cause


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Available fell below the threshold, or is back."""

    sku: str
    kind: Literal["low", "available"]
    available: int
    threshold: int


class Shelf:
    """Each change is made here first, in arrival order, and is saved with all others of its transaction at once."""

    def __init__(self, stocks: Iterable[Stock]) -> None:
        self._before: Final = {stock.sku: stock for stock in stocks}
        self._now = dict(self._before)
        self._causes: dict[str, Cause] = {}
        self.movements: Final[list[Movement]] = []
        self.notes: Final[list[Note]] = []

    def get(self, sku: str) -> Stock | None:
        """The stock as it is now, if there is any under this SKU."""
        return self._now.get(sku)

    def stock(self, sku: str) -> Stock:
        """The stock as it is now. Errors: UnknownSku."""
        if sku not in self._now:
            raise UnknownSku(sku)
        return self._now[sku]

    def skus(self) -> Sequence[str]:
        """Of everything on it, in order."""
        return sorted(self._now)

    def free(self, skus: Iterable[str]) -> Mapping[str, int]:
        """Available units of those of `skus` that are known."""
        return {sku: self._now[sku].available for sku in skus if sku in self._now}

    def hold(self, sku: str, quantity: int, cause: Cause) -> Stock:
        """Promise units to an order."""
        return self._put(rules.hold(self._now[sku], quantity), cause)

    def release(self, sku: str, quantity: int, cause: Cause) -> Stock:
        """Take a promise back."""
        return self._put(rules.release(self._now[sku], quantity), cause)

    def sell(self, sku: str, quantity: int, order_id: str, cause: Cause) -> Stock:
        """Let promised units leave, by a movement."""
        stock = self._put(rules.sell(self._now[sku], quantity), cause)
        self._record(stock, -quantity, Reason.SOLD, None, order_id)
        return stock

    def move(
        self,
        sku: str,
        delta: int,
        reason: Reason,
        cause: Cause,
        reference: str | None = None,
        order_id: str | None = None,
    ) -> Stock:
        """Units come or go, by a movement. Errors: UnknownSku, StockReserved, InsufficientStock."""
        stock = self._put(rules.move(self.stock(sku), delta), cause)
        self._record(stock, delta, reason, reference, order_id)
        return stock

    def adjust(
        self,
        sku: str,
        delta: int,
        reason: Reason,
        cause: Cause,
        reference: str | None = None,
        order_id: str | None = None,
    ) -> Stock:
        """As `move`, and tell everyone under the SKU's own key."""
        stock = self.move(sku, delta, reason, cause, reference, order_id)
        return self._publish(adjusted(stock, delta, reason, reference), cause)

    def watch(self, sku: str, threshold: int | None, cause: Cause) -> Stock:
        """Set the threshold. Errors: UnknownSku."""
        return self._put(rules.watch(self.stock(sku), threshold), cause)

    def announce(self, sku: str, cause: Cause) -> Stock:
        """Tell what there is: nothing changes but the version, so that whoever got it wrong takes it. Errors:
        UnknownSku."""
        stock = self._put(rules.announce(self.stock(sku)), cause)
        return self._publish(adjusted(stock, 0, ANNOUNCED), cause)

    def settle(self) -> Sequence[Alert]:
        """Compare what became of each SKU with its threshold, once, after all changes: what crossed it. A threshold
        that was taken away ends the watch in silence."""
        alerts = []
        for sku, cause in self._causes.items():
            stock = self._now[sku]
            if stock.is_below_threshold == stock.low:
                continue
            self._now[sku] = stock = msgspec.structs.replace(stock, low=not stock.low)
            if stock.threshold is not None:
                alerts.append(self._alert(stock, stock.threshold, cause))
        return alerts

    def changes(self) -> Sequence[tuple[Stock, Stock]]:
        """Before and after of each stock that changed."""
        return [(self._before[sku], self._now[sku]) for sku in self._causes]

    def _put(self, stock: Stock, cause: Cause) -> Stock:
        self._now[stock.sku] = stock
        self._causes[stock.sku] = cause
        return stock

    def _record(self, stock: Stock, delta: int, reason: Reason, reference: str | None, order_id: str | None) -> None:
        self.movements.append(
            Movement(
                sku=stock.sku,
                quantity=delta,
                reason=reason,
                on_hand=stock.on_hand,
                reference=reference,
                order_id=order_id,
            )
        )

    def _publish(self, fact: InventoryAdjusted | InventoryLow | InventoryAvailable, cause: Cause) -> Stock:
        before = self._now[fact.sku]
        self._now[fact.sku] = stock = msgspec.structs.replace(before, events=before.events + 1)
        self.notes.append(Note(fact, stock.events, cause))
        return stock

    def _alert(self, stock: Stock, threshold: int, cause: Cause) -> Alert:
        kind = InventoryLow if stock.low else InventoryAvailable
        fact = kind(
            sku=stock.sku,
            product_id=stock.product_id,
            variant_id=stock.variant_id,
            available=stock.available,
            threshold=threshold,
        )
        self._publish(fact, cause)
        name: Literal["low", "available"] = "low" if stock.low else "available"
        return Alert(sku=stock.sku, kind=name, available=stock.available, threshold=threshold)


def adjusted(stock: Stock, delta: int, reason: str, reference: str | None = None) -> InventoryAdjusted:
    """The fact that `stock` is what `delta` made of it."""
    return InventoryAdjusted(
        sku=stock.sku,
        product_id=stock.product_id,
        variant_id=stock.variant_id,
        delta=delta,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        version=stock.version,
        reason=reason,
        reference=reference,
    )
