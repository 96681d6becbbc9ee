"""Each read: SQL to a response."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tradepost.kernel.database import Database
from tradepost.kernel.http.body import ListOf, page
from tradepost.services.inventory.domain.stock import Stock, UnknownSku

MAIN: Final = "main"  # the one location
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Units in one place."""

    location: str
    on_hand: int


class StockView(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU's stock; `version` is what a sync may name as `if_version`."""

    sku: str
    on_hand: int
    reserved: int
    available: int
    threshold: int | None
    low: bool
    version: int
    product_id: str | None
    variant_id: str | None
    locations: tuple[Location, ...]

    @classmethod
    def of(cls, stock: Stock) -> "StockView":
        """The view of a stock at hand."""
        return cls(
            sku=stock.sku,
            on_hand=stock.on_hand,
            reserved=stock.reserved,
            available=stock.available,
            threshold=stock.threshold,
            low=stock.low,
            version=stock.version,
            product_id=stock.product_id,
            variant_id=stock.variant_id,
            locations=(Location(location=MAIN, on_hand=stock.on_hand),),
        )


class MovementView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger; `on_hand` is what there was after it."""

    id: str
    sku: str
    quantity: int
    reason: str
    reference: str | None
    order_id: str | None
    on_hand: int
    at: datetime


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """Available fell below the threshold (`low`), or is back (`available`)."""

    id: str
    sku: str
    kind: str
    available: int
    threshold: int
    at: datetime


_STOCK: Final = """
SELECT sku, on_hand, reserved, version, events, threshold, low,
       product_id::text AS product_id, variant_id::text AS variant_id
FROM stock WHERE
"""
_MOVEMENT: Final = """
SELECT id::text AS id, sku, quantity, reason, reference, order_id::text AS order_id, on_hand, at FROM movement WHERE
"""
_ALERT: Final = "SELECT id::text AS id, sku, kind, available, threshold, at FROM alert WHERE"


async def read_stock(db: Database, sku: str) -> StockView:
    """Errors: UnknownSku."""
    row = await db.fetchrow(f"{_STOCK} sku = $1", sku)
    if row is None:
        raise UnknownSku(sku)
    return StockView.of(Stock(**row))


async def list_stock(
    db: Database, *, low: bool | None, skus: Sequence[str], limit: int, after: str | None, before: str | None
) -> ListOf[StockView]:
    """In SKU order. `low` says which ones only, `skus` names them."""
    arguments: list[Any] = [limit + 1]
    wanted = ["TRUE" if low is None else "low" if low else "NOT low"]
    if skus:
        arguments.append(list(skus))
        wanted.append("sku = ANY ($2)")
    backwards = before is not None
    arguments.append(before if backwards else after or "")
    wanted.append(f"sku {'<' if backwards else '>'} ${len(arguments)}")
    order = "DESC" if backwards else "ASC"
    rows = await db.fetch(f"{_STOCK} {' AND '.join(wanted)} ORDER BY sku {order} LIMIT $1", *arguments)
    return page([StockView.of(Stock(**row)) for row in rows], limit, backwards=backwards)


async def list_movements(
    db: Database, *, sku: str | None, limit: int, after: str | None, before: str | None
) -> ListOf[MovementView]:
    """Newest first."""
    where = "TRUE" if sku is None else "sku = $3"
    named = () if sku is None else (sku,)
    rows = await db.fetch(f"{_MOVEMENT} {where} AND {_newest(before)}", limit + 1, before or after or LAST_ID, *named)
    return page([MovementView(**row) for row in rows], limit, backwards=before is not None)


async def list_alerts(db: Database, *, limit: int, after: str | None, before: str | None) -> ListOf[AlertView]:
    """Newest first."""
    rows = await db.fetch(f"{_ALERT} {_newest(before)}", limit + 1, before or after or LAST_ID)
    return page([AlertView(**row) for row in rows], limit, backwards=before is not None)


def _newest(before: str | None) -> str:
    """From the cursor $2 on, towards older rows, or with `before` towards newer ones; $1 of them."""
    return "id < $2 ORDER BY id DESC LIMIT $1" if before is None else "id > $2 ORDER BY id LIMIT $1"
