"""Stock, its thresholds and its alerts."""

import msgspec

from tradepost.kernel.clock import now
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.http.body import Body, Cursor, ListOf, ListQuery, Units
from tradepost.kernel.http.endpoint import Answer, Request
from tradepost.services.inventory import commands, queries
from tradepost.services.inventory.queries import AlertView, StockView


class StockQuery(ListQuery, frozen=True, kw_only=True):
    """A list in SKU order, whose cursors are SKUs. `low` says which ones only; `sku`, repeated, names them."""

    low: bool | None = None
    sku: tuple[str, ...] = ()
    starting_after: Cursor | None = None
    ending_before: Cursor | None = None


class SetThreshold(Body, frozen=True, kw_only=True):
    """Alert when available falls below this; null for never."""

    threshold: Units | None


class SetStock(Body, frozen=True, kw_only=True):
    """Units that can be sold from now on."""

    stock: Units


class StockSet(msgspec.Struct, frozen=True, kw_only=True):
    """Units that can be sold."""

    stock: int


async def read_stock(request: Request[None, None], db: Database) -> Answer[StockView]:
    """Errors: UnknownSku."""
    stock = await queries.read_stock(db, request.path["sku"])
    return Answer(stock, etag=str(stock.version))


async def list_stock(request: Request[None, StockQuery], db: Database) -> ListOf[StockView]:
    """In SKU order."""
    query = request.query
    return await queries.list_stock(
        db,
        low=query.low,
        skus=query.sku,
        limit=query.limit,
        after=query.starting_after,
        before=query.ending_before,
    )


async def set_threshold(request: Request[SetThreshold, None], _db: Database, tx: Tx) -> Answer[StockView]:
    """Errors: UnknownSku, Stale."""
    sku, threshold = request.path["sku"], request.body.threshold
    stock = await commands.set_threshold(tx, sku, threshold, request.require_version, request.cause, now())
    return Answer(StockView.of(stock), etag=str(stock.version))


async def set_sellable(request: Request[SetStock, None], _db: Database, tx: Tx) -> Answer[StockSet]:
    """Set the units that can be sold; the `ETag` is the one of the SKU's stock, not of the product.
    Errors: UnknownProduct, SeveralVariants, Stale."""
    product_id, units = request.path["product_id"], request.body.stock
    stock = await commands.set_sellable(tx, product_id, units, request.require_version, request.cause, now())
    return Answer(StockSet(stock=stock.available), etag=str(stock.version))


async def list_alerts(request: Request[None, ListQuery], db: Database) -> ListOf[AlertView]:
    """Newest first."""
    query = request.query
    return await queries.list_alerts(db, limit=query.limit, after=query.starting_after, before=query.ending_before)
