"""Products and their variants; saving also appends the facts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
import msgspec

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Cause
from tradepost.services.product.domain.category import CategoryUnknown
from tradepost.services.product.domain.product import Product, Published, Variant

# Taken by each transaction that writes many products, so that two of them don't wait for one another's keys.
_LOCK_MANY: Final = "SELECT pg_advisory_xact_lock(hashtextextended('product.import', 0))"

_LOCK_ONE: Final = "SELECT FROM product WHERE id = $1 FOR UPDATE"
_LOCK_HANDLES: Final = "SELECT FROM product WHERE handle = ANY ($1) ORDER BY id FOR UPDATE"
_LOCK_NEXT: Final = "SELECT id FROM product WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE"

_PRODUCT_FIELDS: Final[Mapping[str, str]] = {
    "id": "uuid",
    "handle": "text",
    "name": "text",
    "currency": "text",
    "price": "bigint",
    "description": "text",
    "vendor": "text",
    "type": "text",
    "tags": "text[]",
    "status": "text",
    "category_id": "uuid",
    "options": "text[]",
    "images": "jsonb",
    "seo_title": "text",
    "seo_description": "text",
    "gift_card": "boolean",
    "metadata": "jsonb",
    "version": "bigint",
}
_VARIANT_FIELDS: Final[Mapping[str, str]] = {
    "id": "uuid",
    "product_id": "uuid",
    "position": "int",
    "sku": "text",
    "options": "text[]",
    "price": "bigint",
    "compare_at_price": "bigint",
    "cost": "bigint",
    "barcode": "text",
    "grams": "bigint",
    "weight_unit": "text",
    "requires_shipping": "boolean",
    "taxable": "boolean",
    "continue_selling": "boolean",
    "image_url": "text",
}


def _listed(fields: Mapping[str, str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name}" for name in fields)


def _records(fields: Mapping[str, str]) -> str:
    """Rows out of a JSON array, since `unnest` would flatten the arrays in them."""
    return f"json_to_recordset($1::json) AS new ({', '.join(f'{name} {kind}' for name, kind in fields.items())})"


# One JSON text a product, for msgspec to read.
_READ: Final = f"""
SELECT (SELECT to_json(one) FROM (SELECT {_listed(_PRODUCT_FIELDS, "product.")}, (
    SELECT json_agg(each) FROM (
        SELECT {_listed(_VARIANT_FIELDS)} FROM variant WHERE product_id = product.id ORDER BY position
    ) AS each) AS variants) AS one)::text AS product
FROM product
"""
_READ_ONE: Final = f"{_READ} WHERE id = $1"
_READ_SOME: Final = f"{_READ} WHERE id = ANY ($1) ORDER BY id"
_READ_HANDLES: Final = f"{_READ} WHERE handle = ANY ($1)"
_READ_NEXT: Final = f"{_READ} WHERE id > $1 AND ($3::text IS NULL OR currency = $3) ORDER BY id LIMIT $2"

_OWNERS: Final = """
SELECT variant.sku, product.handle FROM variant JOIN product ON product.id = variant.product_id
WHERE variant.sku = ANY ($1)
"""
_TAKEN_HANDLES: Final = "SELECT handle FROM product WHERE handle = ANY ($1)"
_AVAILABLE: Final = "SELECT sku, available FROM availability WHERE sku = ANY ($1)"

_INSERT: Final = f"""
INSERT INTO product ({_listed(_PRODUCT_FIELDS)})
SELECT {_listed(_PRODUCT_FIELDS)} FROM {_records(_PRODUCT_FIELDS)} ORDER BY id
"""
_UPDATE: Final = f"""
UPDATE product SET ({_listed(_PRODUCT_FIELDS)}) = ROW ({_listed(_PRODUCT_FIELDS, "new.")}), updated_at = now()
FROM {_records(_PRODUCT_FIELDS)} WHERE product.id = new.id
"""
_DELETE_VARIANTS: Final = """
WITH gone AS (DELETE FROM variant WHERE id = ANY ($1::uuid[]) RETURNING id)
DELETE FROM offer USING gone WHERE offer.variant_id = gone.id
"""
_INSERT_VARIANTS: Final = f"""
INSERT INTO variant ({_listed(_VARIANT_FIELDS)})
SELECT {_listed(_VARIANT_FIELDS)} FROM {_records(_VARIANT_FIELDS)} ORDER BY sku
"""
_UPDATE_VARIANTS: Final = f"""
UPDATE variant SET ({_listed(_VARIANT_FIELDS)}) = ROW ({_listed(_VARIANT_FIELDS, "new.")})
FROM {_records(_VARIANT_FIELDS)} WHERE variant.id = new.id
"""
_TOLD: Final = "UPDATE product SET version = version + 1 WHERE id = ANY ($1)"
# What is asked for is shown until inventory tells of the SKU: every fact of inventory's has a version above 0.
_OPEN_STOCK: Final = """
INSERT INTO availability (sku, available, version)
SELECT sku, available, 0 FROM unnest($1::text[], $2::bigint[]) AS new (sku, available) ORDER BY sku
ON CONFLICT (sku) DO NOTHING
"""

_product: Final = msgspec.json.Decoder(Product)


class Raced(Conflict):
    """Another transaction took a handle or a SKU after this one had looked."""

    code = "taken_meanwhile"


async def lock_many(tx: Tx, handles: Collection[str]) -> Mapping[str, Product]:
    """The stored products by these handles, for a transaction that writes many."""
    await tx.execute(_LOCK_MANY)
    await tx.execute(_LOCK_HANDLES, list(handles))
    rows = await tx.fetch(_READ_HANDLES, list(handles))  # a statement of its own: the lock may have waited
    return {product.handle: product for product in (_product.decode(row["product"]) for row in rows)}


async def lock(tx: Tx, product_id: str) -> Product | None:
    """The product, nobody else's until the commit."""
    await tx.execute(_LOCK_ONE, product_id)
    row = await tx.fetchrow(_READ_ONE, product_id)
    return _product.decode(row["product"]) if row else None


async def lock_next(tx: Tx, after: str, limit: int) -> Sequence[Product]:
    """Products in the order of their ids, nobody else's until the commit."""
    await tx.execute(_LOCK_MANY)
    ids = [row["id"] for row in await tx.fetch(_LOCK_NEXT, after, limit)]
    return [_product.decode(row["product"]) for row in await tx.fetch(_READ_SOME, ids)]


async def read_next(db: Database, after: str, limit: int, currency: str | None) -> Sequence[Product]:
    """Products in the order of their ids."""
    return [_product.decode(row["product"]) for row in await db.fetch(_READ_NEXT, after, limit, currency)]


async def owners_of(tx: Tx, skus: Collection[str]) -> dict[str, str]:
    """The handles of the products that have these SKUs."""
    return {row["sku"]: row["handle"] for row in await tx.fetch(_OWNERS, list(skus))}


async def taken_handles(tx: Tx, handles: Collection[str]) -> Collection[str]:
    """Those of `handles` that products have."""
    return {row["handle"] for row in await tx.fetch(_TAKEN_HANDLES, list(handles))}


async def available(db: Database, skus: Collection[str]) -> Mapping[str, int]:
    """Units of these SKUs that can be sold."""
    return {row["sku"]: row["available"] for row in await db.fetch(_AVAILABLE, list(skus))}


async def save(tx: Tx, changes: Sequence[Published], cause: Cause) -> None:
    """Write what has changed, and append its facts. Those that existed are locked. Errors: Raced, CategoryUnknown."""
    created = [change.after for change in changes if change.before is None]
    edited = [change.after for change in changes if change.before is not None]
    with _refusals():
        await _write(tx, _INSERT, [_product_row(product) for product in created])
        await _write(tx, _UPDATE, [_product_row(product) for product in edited])
        await _save_variants(tx, changes)
    _append(tx, changes, cause)


async def count_told(tx: Tx, told: Sequence[Published], cause: Cause) -> None:
    """Append the fact of each, where nothing else has changed."""
    await tx.execute(_TOLD, [one.after.id for one in told])
    _append(tx, told, cause)


def _append(tx: Tx, changes: Sequence[Published], cause: Cause) -> None:
    for change in changes:
        first = change.after.version - len(change.facts) + 1
        for sequence, fact in enumerate(change.facts, first):
            tx.append(fact, sequence=sequence, cause=cause)


async def _save_variants(tx: Tx, changes: Sequence[Published]) -> None:
    gone: list[str] = []
    new: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    opening: dict[str, int] = {}
    for change in changes:
        before = dict(_rows(change.before)) if change.before else {}
        after = dict(_rows(change.after))
        gone += before.keys() - after.keys()
        new += [row for key, row in after.items() if key not in before]
        other += [row for key, row in after.items() if before.get(key, row) != row]
        opening |= {row["sku"]: change.opening.get(key, 0) for key, row in after.items() if key not in before}
    if gone:
        await tx.execute(_DELETE_VARIANTS, gone)
    await _write(tx, _UPDATE_VARIANTS, other)
    await _write(tx, _INSERT_VARIANTS, new)
    if opening:
        await tx.execute(_OPEN_STOCK, list(opening), list(opening.values()))


async def _write(tx: Tx, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await tx.execute(sql, msgspec.json.encode(rows).decode())


def _product_row(product: Product) -> dict[str, Any]:
    return {**msgspec.structs.asdict(product), "price": product.price, "variants": None}


def _rows(product: Product) -> Iterator[tuple[str, dict[str, Any]]]:
    for position, variant in enumerate(product.variants):
        yield variant.id, _variant_row(product, position, variant)


def _variant_row(product: Product, position: int, variant: Variant) -> dict[str, Any]:
    return {**msgspec.structs.asdict(variant), "product_id": product.id, "position": position}


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Raced(f"{error.detail} Send the request again.") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise CategoryUnknown("/category_id") from error
