"""What staff and other systems do to stock."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Conflict, NotFound
from tradepost.kernel.events import Cause
from tradepost.services.inventory import repository
from tradepost.services.inventory.domain import sync as syncing
from tradepost.services.inventory.domain.movement import Reason, StaffReason, check_direction
from tradepost.services.inventory.domain.shelf import Shelf
from tradepost.services.inventory.domain.stock import Stock


class UnknownProduct(NotFound):
    """No SKU of such a product is known."""

    code: ClassVar[str] = "unknown_product"


class SeveralVariants(Conflict):
    """One number can't be the stock of several SKUs."""

    code: ClassVar[str] = "several_variants"


async def move(
    tx: Tx, sku: str, quantity: int, reason: StaffReason, reference: str | None, cause: Cause, at: datetime
) -> tuple[str, Stock]:
    """The movement's id, and the stock after it. Errors: WrongSign, UnknownSku, StockReserved, InsufficientStock."""
    check_direction(reason, quantity)
    shelf = await repository.lock(tx, [sku])
    shelf.adjust(sku, quantity, Reason(reason), cause, reference)
    (movement_id,) = repository.save(tx, shelf, at)
    return movement_id, shelf.stock(sku)


async def set_threshold(
    tx: Tx, sku: str, threshold: int | None, require_version: Callable[[int], None], cause: Cause, at: datetime
) -> Stock:
    """The stock after it. A stock that is below its new threshold is low at once. Errors: UnknownSku, Stale."""
    shelf = await repository.lock(tx, [sku])
    require_version(shelf.stock(sku).version)
    shelf.watch(sku, threshold, cause)
    repository.save(tx, shelf, at)
    return shelf.stock(sku)


async def set_sellable(
    tx: Tx, product_id: str, available: int, require_version: Callable[[int], None], cause: Cause, at: datetime
) -> Stock:
    """Make `available` units of the product's only variant sellable: on hand becomes this plus what is reserved. The
    stock after it. Errors: UnknownProduct, SeveralVariants, Stale."""
    stocks = await repository.lock_product(tx, product_id)
    stock = _only(stocks)
    require_version(stock.version)
    if delta := available - stock.available:
        shelf = Shelf(stocks)
        stock = shelf.adjust(stock.sku, delta, Reason.CORRECTION, cause)
        repository.save(tx, shelf, at)
    return stock


async def sync(tx: Tx, lines: Sequence[syncing.Line], cause: Cause, at: datetime) -> Sequence[syncing.Outcome]:
    """What came of each line, in their order; a line that is refused leaves the others alone."""
    shelf = await repository.lock(tx, {line.sku for line in lines})
    outcomes = [syncing.apply(line, shelf, cause) for line in lines]
    repository.save(tx, shelf, at)
    return outcomes


def _only(stocks: Sequence[Stock]) -> Stock:
    if not stocks:
        raise UnknownProduct("No stock is known of this product; a new one is known a moment later.")
    if len(stocks) > 1:
        skus = [stock.sku for stock in stocks]
        detail = f"The product has several variants; set the stock of each SKU by itself: {', '.join(skus)}."
        raise SeveralVariants(detail, extra={"skus": skus})
    return stocks[0]
