"""What the product service publishes."""

from typing import ClassVar

import msgspec

from tradepost.kernel.events import Fact


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that can be bought. `opening_stock` counts only while its SKU has no movement."""

    variant_id: str
    sku: str
    price: int
    name: str = ""
    opening_stock: int | None = None


class _AboutProduct(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "product_id"

    product_id: str


class _Snapshot(_AboutProduct, frozen=True, kw_only=True):
    name: str
    status: str
    currency: str
    variants: tuple[Variant, ...]


class ProductCreated(_Snapshot, frozen=True, kw_only=True):
    """A product with all its variants; only one whose `status` is `active` can be bought."""

    type: ClassVar[str] = "product.created"


class ProductUpdated(_Snapshot, frozen=True, kw_only=True):
    """The product as it is now, with all the variants that it still has."""

    type: ClassVar[str] = "product.updated"


class ProductPriceChanged(_AboutProduct, frozen=True, kw_only=True):
    """New prices, beside the `product.updated` of the same change."""

    type: ClassVar[str] = "product.price_changed"

    currency: str
    variants: tuple[Variant, ...]


class ProductArchived(_AboutProduct, frozen=True, kw_only=True):
    """The product is no longer sold."""

    type: ClassVar[str] = "product.archived"
