"""Handles and SKUs for products and variants that came without one."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tradepost.services.product.domain.product import Product
from tradepost.services.product.shopify import default_sku

MAX_SLUG: Final = 100  # characters
NOT_NAMED: Final = ""  # the SKU of a variant that waits for one

_SEPARATORS: Final = re.compile(r"[\W_]+")


def slug(name: str) -> str:
    """`name` as it can stand in a URL: `Crème brûlée, 2 pcs` is `creme-brulee-2-pcs`. Other scripts stay."""
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _SEPARATORS.sub("-", bare.lower()).strip("-")[:MAX_SLUG].rstrip("-") or "product"


def handles(name: str, product_id: str) -> tuple[str, str]:
    """The handle made of a name, and the one to take instead when that is taken."""
    plain = slug(name)
    return plain, f"{plain}-{product_id[-8:]}"


def candidates(handle: str, options: Sequence[str]) -> tuple[str, str]:
    """The SKU for a variant without one, and the one to take instead when that is taken."""
    return default_sku(handle, options), default_sku(handle, options, distinct=True)


def wanted_skus(product: Product) -> Iterator[str]:
    """All SKUs that the product's variants have or might be given."""
    for variant in product.variants:
        yield from (variant.sku,) if variant.sku else candidates(product.handle, variant.options)


def with_skus(product: Product, owners: Mapping[str, str]) -> Product:
    """The product with a SKU for each variant; `owners` are those that are taken."""
    if all(variant.sku for variant in product.variants):
        return product
    used = {*owners, *(variant.sku for variant in product.variants)}
    named = []
    for variant in product.variants:
        if variant.sku == NOT_NAMED:
            free = (sku for sku in candidates(product.handle, variant.options) if sku not in used)
            variant = msgspec.structs.replace(variant, sku=next(free, variant.id))
            used.add(variant.sku)
        named.append(variant)
    return msgspec.structs.replace(product, variants=tuple(named))
