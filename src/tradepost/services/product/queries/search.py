"""Which products a list shows, and in which order: filters, full text, spelling that is nearly right, cursors."""

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from tradepost.kernel.database import Database
from tradepost.kernel.http.body import page
from tradepost.services.product.queries.mark import MARK

Sort = Literal["newest", "price", "-price", "name", "relevance"]

SKU_RANK: Final = 10  # a SKU that begins as asked for is above all words

_EXACTLY: Final = re.compile(r'"|(^|\s)-')  # who writes `"tea mug"` or `mug -tea` wants no guesses

_KEYS: Final = {
    "newest": "product.id",
    "price": "product.price",
    "-price": "product.price",
    "name": "lower(product.name)",
    "relevance": "hit.rank",
}
_DESCENDING: Final = frozenset({"newest", "-price", "relevance"})

# What is spelt nearly so counts only where nothing at all is spelt so.
_HITS: Final = """
WITH exact AS (
    SELECT id, max(rank) AS rank FROM (
        SELECT id, ts_rank(search, query) AS rank
        FROM product, websearch_to_tsquery('search', {q}) AS query WHERE search @@ query
        UNION ALL
        SELECT product_id, {sku_rank} FROM variant
        WHERE upper(sku) LIKE upper({prefix}) ESCAPE '!' OR barcode = {q}
    ) AS found GROUP BY id
), hit AS (
    SELECT id, rank FROM exact
    UNION ALL
    SELECT id, rank FROM alike({q}) WHERE {may_guess} AND NOT EXISTS (SELECT FROM exact)
)
"""
_CATEGORY: Final = """product.category_id = ANY (ARRAY(
    WITH RECURSIVE below AS (
        SELECT id FROM category WHERE id = {category}
        UNION ALL
        SELECT category.id FROM category JOIN below ON category.parent_id = below.id
    )
    SELECT id FROM below))"""
_IN_STOCK: Final = """EXISTS (
    SELECT FROM variant JOIN availability ON availability.sku = variant.sku
    WHERE variant.product_id = product.id AND availability.available > 0)"""
_SKU: Final = "product.id = (SELECT product_id FROM variant WHERE sku = {sku})"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to list. `status` None is all statuses; `after` and `before` are ids of products, `limit` of a page."""

    limit: int
    q: str | None = None
    category: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    currency: str | None = None
    vendor: str | None = None
    tags: Sequence[str] = ()
    handle: str | None = None
    sku: str | None = None
    status: str | None = "active"
    in_stock: bool | None = None
    sort: Sort | None = None
    after: str | None = None
    before: str | None = None


class Found(NamedTuple):
    """The ids of a page, and the catalogue's mark when they were found."""

    mark: str
    ids: Sequence[str]
    has_more: bool


async def search(db: Database, wanted: Wanted) -> Found:
    """The products of one page."""
    statement = _Statement(wanted)
    row = await db.fetchrow(statement.sql, *statement.arguments)
    assert row is not None
    ids = page(row["ids"], wanted.limit, backwards=wanted.before is not None)
    return Found(row["mark"], ids.data, ids.has_more)


class _Statement:
    """One statement and its arguments."""

    def __init__(self, wanted: Wanted) -> None:
        self.arguments: list[object] = []
        self._named: dict[str, str] = {}
        self._wanted = wanted
        hits, source = self._hits(wanted.q) if wanted.q else ("", "product")
        sort = wanted.sort if wanted.sort and (wanted.q or wanted.sort != "relevance") else None
        sort = sort or ("relevance" if wanted.q else "newest")
        key, down = _KEYS[sort], (sort in _DESCENDING) != (wanted.before is not None)
        limit = self._argument("limit", wanted.limit + 1)
        self.sql = (
            f"{hits} SELECT {MARK} AS mark, ARRAY(SELECT product.id::text FROM {source}"
            f" WHERE {' AND '.join([*self._filters(), *self._cursor(key, source, down)]) or 'TRUE'}"
            f" ORDER BY {key} {_order(down)}, product.id {_order(down)} LIMIT {limit}) AS ids"
        )

    def _hits(self, q: str) -> tuple[str, str]:
        escaped = "".join(f"!{letter}" if letter in "!%_" else letter for letter in q)
        hits = _HITS.format(
            q=f"{self._argument('q', q)}::text",
            prefix=self._argument("prefix", escaped + "%"),
            may_guess=_EXACTLY.search(q) is None,
            sku_rank=SKU_RANK,
        )
        return hits, "hit JOIN product ON product.id = hit.id"

    def _filters(self) -> list[str]:
        wanted = self._wanted
        found = [
            (wanted.status, "product.status = {status}", "status"),
            (wanted.currency, "product.currency = {currency}", "currency"),
            (wanted.min_price, "product.price >= {min_price}", "min_price"),
            (wanted.max_price, "product.price <= {max_price}", "max_price"),
            (wanted.vendor, "product.vendor = {vendor}", "vendor"),
            (list(wanted.tags) or None, "product.tags @> {tags}", "tags"),
            (wanted.handle, "product.handle = {handle}", "handle"),
            (wanted.sku, _SKU, "sku"),
            (wanted.category, _CATEGORY, "category"),
        ]
        filters = [sql.format(**{name: self._argument(name, value)}) for value, sql, name in found if value is not None]
        if wanted.in_stock is not None:
            filters.append(_IN_STOCK if wanted.in_stock else f"NOT {_IN_STOCK}")
        return filters

    def _cursor(self, key: str, source: str, down: bool) -> list[str]:
        place = self._wanted.before or self._wanted.after
        if place is None:
            return []
        at = f"(SELECT {key}, product.id FROM {source} WHERE product.id = {self._argument('place', place)})"
        return [f"({key}, product.id) {'<' if down else '>'} {at}"]

    def _argument(self, name: str, value: object) -> str:
        if name not in self._named:
            self.arguments.append(value)
            self._named[name] = f"${len(self.arguments)}"
        return self._named[name]


def _order(down: bool) -> str:
    return "DESC" if down else "ASC"
