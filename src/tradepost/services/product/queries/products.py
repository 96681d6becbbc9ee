"""Reads of products, with stock and category in the same statement."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from tradepost.kernel.database import Database, Tx
from tradepost.services.product.domain.product import NoSuchProduct
from tradepost.services.product.queries.mark import MARK
from tradepost.services.product.queries.views import ProductView, StoredProduct

# One JSON text a product, for msgspec to read.
SHOWN: Final = """
SELECT (SELECT to_json(one) FROM (SELECT
    product.id, product.handle, product.name, product.currency, product.description, product.vendor, product.type,
    product.tags, product.status, product.category_id, product.options, product.images, product.seo_title,
    product.seo_description, product.gift_card, product.metadata, product.version, product.created_at,
    product.updated_at,
    (SELECT json_build_object('id', category.id, 'name', category.name, 'parent_id', category.parent_id)
     FROM category WHERE category.id = product.category_id) AS category,
    (SELECT json_agg(each) FROM (
        SELECT variant.id, variant.sku, variant.options, variant.price, variant.compare_at_price, variant.cost,
               variant.barcode, variant.grams, variant.weight_unit, variant.requires_shipping, variant.taxable,
               variant.continue_selling, variant.image_url, COALESCE(availability.available, 0) AS stock,
               offer.variant_id IS NOT NULL AS orderable
        FROM variant
        LEFT JOIN availability ON availability.sku = variant.sku
        LEFT JOIN offer ON offer.variant_id = variant.id
        WHERE variant.product_id = product.id ORDER BY variant.position
    ) AS each) AS variants
) AS one)::text AS product
"""
_READ: Final = f"{SHOWN} FROM product WHERE id = $1"
_ASKED: Final = f"""{SHOWN}, product.id::text AS id, staff, {MARK} AS mark
FROM unnest($1::uuid[], $2::boolean[]) AS asked (product_id, staff)
JOIN product ON product.id = asked.product_id AND (product.status = 'active' OR staff)
"""

_stored: Final = msgspec.json.Decoder(StoredProduct)
_encode: Final = msgspec.json.Encoder().encode


class Asked(NamedTuple):
    """A product, and whether staff ask for it, who see the others, too, and more."""

    product_id: str
    staff: bool


class Shown(NamedTuple):
    """A `ProductView`, encoded, and its version; the catalogue's mark and the stock of the SKUs that it was made of."""

    json: bytes
    version: int
    mark: str
    skus: tuple[str, ...]
    stock: Sequence[int]


async def read_products(db: Database, asked: Sequence[Asked]) -> Mapping[Asked, Shown]:
    """Those of the products that are there for who asks."""
    rows = await db.fetch(_ASKED, [one.product_id for one in asked], [one.staff for one in asked])
    return {
        Asked(row["id"], row["staff"]): _shown(_stored.decode(row["product"]), row["mark"], staff=row["staff"])
        for row in rows
    }


async def read_stored(db: Database | Tx, product_id: str) -> StoredProduct:
    """The product with everything around it. Errors: NoSuchProduct."""
    row = await db.fetchrow(_READ, product_id)
    if row is None:
        raise NoSuchProduct("There is no product of this id.")
    return _stored.decode(row["product"])


async def read_product(tx: Tx, product_id: str) -> ProductView:
    """As this transaction leaves it, and staff see it. Errors: NoSuchProduct."""
    return ProductView.of(await read_stored(tx, product_id), staff=True)


def _shown(product: StoredProduct, mark: str, *, staff: bool) -> Shown:
    variants = product.variants
    return Shown(
        _encode(ProductView.of(product, staff=staff)),
        product.version,
        mark,
        tuple(variant.sku for variant in variants),
        [variant.stock for variant in variants],
    )
