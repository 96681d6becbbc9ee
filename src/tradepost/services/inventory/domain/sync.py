"""One line of a sync: what another system says of a SKU, and what came of it."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from tradepost.kernel.errors import Refusal, Stale
from tradepost.kernel.events import Cause
from tradepost.services.inventory.domain.movement import Reason
from tradepost.services.inventory.domain.shelf import Shelf
from tradepost.services.inventory.domain.stock import Stock, UnknownSku


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """`available` sets the units that can be sold, `delta` adds to them; either, not both. With `if_version` only
    while the stock is still at that version."""

    number: int
    sku: str
    available: int | None = None
    delta: int | None = None
    if_version: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a line: available units `before` and `after`, and the version to send as the next `if_version`."""

    line: int
    sku: str | None
    status: Literal["changed", "unchanged", "rejected"]
    before: int | None = None
    after: int | None = None
    version: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


def apply(line: Line, shelf: Shelf, cause: Cause) -> Outcome:
    """Do on the shelf what the line says, or tell why not."""
    stock = shelf.get(line.sku)
    if stock is None:
        return rejected(line.number, line.sku, UnknownSku(line.sku))
    if line.if_version not in (None, stock.version):
        stale = Stale(f"The current version is {stock.version}.")
        return rejected(line.number, line.sku, stale, stock)
    delta = line.delta if line.delta is not None else (line.available or 0) - stock.available
    if delta == 0:
        return _done(line, stock, stock)
    try:
        return _done(line, stock, shelf.adjust(line.sku, delta, Reason.SYNCED, cause))
    except Refusal as refusal:
        return rejected(line.number, line.sku, refusal, stock)


def rejected(line: int, sku: str | None, refusal: Refusal, stock: Stock | None = None) -> Outcome:
    """Nothing came of the line; `reason` is the refusal's code."""
    available = None if stock is None else stock.available
    return Outcome(
        line=line,
        sku=sku,
        status="rejected",
        before=available,
        after=available,
        version=UNSET if stock is None else stock.version,
        reason=refusal.error,
        detail=refusal.detail or UNSET,
    )


def _done(line: Line, before: Stock, after: Stock) -> Outcome:
    return Outcome(
        line=line.number,
        sku=after.sku,
        status="unchanged" if after is before else "changed",
        before=before.available,
        after=after.available,
        version=after.version,
    )
