"""Exports: all products as a Shopify product file that can be imported again."""

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Final

from tradepost.kernel.database import Database
from tradepost.kernel.http.body import Currency, Query
from tradepost.kernel.http.endpoint import Request, Streamed
from tradepost.kernel.ids import LOWEST_ID
from tradepost.services.product.desk import Desk
from tradepost.services.product.domain.filing import draft_of
from tradepost.services.product.domain.product import Product
from tradepost.services.product.repository import categories, products
from tradepost.services.product.shopify import ProductDraft, write

PAGE: Final = 200  # products in one statement


class ExportQuery(Query, frozen=True, kw_only=True):
    """All products, or those priced in `currency`: a file has amounts but no currencies."""

    currency: Currency | None = None


async def export_products(request: Request[None, ExportQuery], desk: Desk) -> Streamed:
    """Export products, drafts and archived ones too, in Shopify's current dialect."""
    headers = {"content-disposition": 'attachment; filename="products.csv"'}
    return Streamed(_file(desk.db, request.query.currency), "text/csv; charset=utf-8", headers=headers)


async def _file(db: Database, currency: str | None) -> AsyncIterator[bytes]:
    yield _text(write(()))
    last = LOWEST_ID
    while page := await products.read_next(db, last, PAGE, currency):
        yield _text(islice(write(await _drafts(db, page)), 1, None))
        last = page[-1].id


async def _drafts(db: Database, page: Sequence[Product]) -> list[ProductDraft]:
    paths = await categories.paths_of(db, {product.category_id for product in page if product.category_id})
    available = await products.available(db, [variant.sku for product in page for variant in product.variants])
    return [draft_of(product, paths.get(product.category_id or "", ""), available) for product in page]


def _text(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode()
