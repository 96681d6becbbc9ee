"""One line of a sync: what another system says of a SKU, and what came of it."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Cause
from tradepost.kernel.http.body import Body, ShortText, Units
from tradepost.services.inventory.domain.movement import Reason
from tradepost.services.inventory.domain.shelf import Shelf
from tradepost.services.inventory.domain.stock import Stock, UnknownSku

Delta = Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)]  # units


class Row(Body, frozen=True, kw_only=True):
    """A line as sent: `available` sets the units that can be sold, `delta` adds to them; either, not both.
    With `if_version` only when the stock is still at that version."""

    sku: ShortText
    available: Units | None = None
    delta: Delta | None = None
    if_version: int | None = None

    def __post_init__(self) -> None:
        if (self.available is None) == (self.delta is None):
            raise ValueError("Send either `available` or `delta`")


class Line(msgspec.Struct, frozen=True):
    """A row that could be read, with the number of its line."""

    number: int
    row: Row


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
    row, stock = line.row, shelf.get(line.row.sku)
    if stock is None:
        return rejected(line.number, row.sku, UnknownSku(row.sku))
    if row.if_version not in (None, stock.version):
        detail = f"The current version is {stock.version}."
        return rejected(line.number, row.sku, Refusal(detail, code="stale_version"), stock)
    delta = row.delta if row.delta is not None else (row.available or 0) - stock.available
    if delta == 0:
        return _done(line, stock, stock)
    try:
        return _done(line, stock, shelf.adjust(row.sku, delta, Reason.SYNCED, cause))
    except Refusal as refusal:
        return rejected(line.number, row.sku, refusal, stock)


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
