"""The stock of one SKU and how it changes: every change is a new version."""

from typing import ClassVar

import msgspec

from tradepost.kernel.errors import Conflict, NotFound


class UnknownSku(NotFound):
    """No product has told inventory of this SKU."""

    code: ClassVar[str] = "unknown_sku"

    def __init__(self, sku: str) -> None:
        super().__init__(f"There is no stock under the SKU {sku!r}. A new product's SKU is known a moment later.")


class StockReserved(Conflict):
    """Units can't be taken away that orders hold."""

    code: ClassVar[str] = "stock_reserved"


class InsufficientStock(Conflict):
    """There are fewer units than are to be taken away."""

    code: ClassVar[str] = "insufficient_stock"


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """`version` counts the changes, `events` what was published under the SKU so far."""

    sku: str
    on_hand: int
    reserved: int
    version: int
    events: int
    threshold: int | None = None
    low: bool = False
    product_id: str | None = None
    variant_id: str | None = None

    @property
    def available(self) -> int:
        """Units that can be sold now."""
        return self.on_hand - self.reserved

    @property
    def is_below_threshold(self) -> bool:
        """Whether somebody wants to know."""
        return self.threshold is not None and self.available < self.threshold


def hold(stock: Stock, quantity: int) -> Stock:
    """Units are promised to an order."""
    return _changed(stock, 0, quantity)


def release(stock: Stock, quantity: int) -> Stock:
    """Units that were promised are free again."""
    return _changed(stock, 0, -quantity)


def sell(stock: Stock, quantity: int) -> Stock:
    """Units that were promised leave; what is available stays as it is."""
    return _changed(stock, -quantity, -quantity)


def move(stock: Stock, delta: int) -> Stock:
    """Units come or go outside of a reservation. Errors: StockReserved, InsufficientStock."""
    if stock.available + delta < 0:
        raise _refusal(stock, delta)
    return _changed(stock, delta, 0)


def watch(stock: Stock, threshold: int | None) -> Stock:
    """Another threshold, or none."""
    return msgspec.structs.replace(stock, threshold=threshold, version=stock.version + 1)


def announce(stock: Stock) -> Stock:
    """As it is, to be told once more."""
    return _changed(stock, 0, 0)


def _changed(stock: Stock, on_hand: int, reserved: int) -> Stock:
    return msgspec.structs.replace(
        stock, on_hand=stock.on_hand + on_hand, reserved=stock.reserved + reserved, version=stock.version + 1
    )


def _refusal(stock: Stock, delta: int) -> Conflict:
    numbers = {"on_hand": stock.on_hand, "reserved": stock.reserved, "available": stock.available}
    if stock.on_hand + delta < 0:
        return InsufficientStock(f"{-delta} units can't leave: {stock.on_hand} are on hand.", extra=numbers)
    detail = f"{stock.reserved} of {stock.on_hand} units are reserved by orders: take at most {stock.available}."
    return StockReserved(detail, extra=numbers)
