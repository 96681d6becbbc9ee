"""What a product looks like from outside."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tradepost.services.product.domain.product import Image, Product, Scalar, Variant


class Seo(msgspec.Struct, frozen=True, kw_only=True):
    """What search engines are told."""

    title: str
    description: str


class CategoryRef(msgspec.Struct, frozen=True, kw_only=True):
    """The category that a product lies in."""

    id: str
    name: str
    parent_id: str | None


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which variants differ, and the values that there are."""

    name: str
    values: Sequence[str]


class StoredVariant(Variant, frozen=True, kw_only=True):
    """A row of the variant, and what other services tell of it."""

    stock: int
    orderable: bool


class StoredProduct(Product, frozen=True, kw_only=True):
    """A row of the product with everything around it."""

    variants: tuple[StoredVariant, ...]
    category: CategoryRef | None
    created_at: datetime
    updated_at: datetime


class VariantView(msgspec.Struct, frozen=True, kw_only=True):
    """`stock` is what can be sold now; `orderable` tells whether order accepts the variant yet. `cost` is for staff."""

    id: str
    sku: str
    name: str
    price: int
    compare_at_price: int | None
    cost: int | msgspec.UnsetType | None = msgspec.UNSET
    stock: int
    orderable: bool
    options: Mapping[str, str]
    barcode: str | None
    grams: int | None
    weight_unit: str
    requires_shipping: bool
    taxable: bool
    continue_selling: bool
    image_url: str | None

    @classmethod
    def of(cls, product: StoredProduct, variant: StoredVariant, *, staff: bool) -> "VariantView":
        """As staff or as everyone sees it."""
        fields = {name: getattr(variant, name) for name in _SAME_FIELDS}
        return cls(
            name=product.name_of(variant),
            cost=variant.cost if staff else msgspec.UNSET,
            options=dict(zip(product.options, variant.options, strict=True)),
            **fields,
        )


class ProductView(msgspec.Struct, frozen=True, kw_only=True):
    """`price` is the lowest of the variants', `stock` the sum of theirs."""

    id: str
    handle: str
    name: str
    description: str
    status: str
    price: int
    currency: str
    stock: int
    orderable: bool
    category: CategoryRef | None
    vendor: str
    type: str
    tags: Sequence[str]
    options: Sequence[Option]
    images: Sequence[Image]
    variants: Sequence[VariantView]
    seo: Seo
    gift_card: bool
    metadata: Mapping[str, Scalar]
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, product: StoredProduct, *, staff: bool) -> "ProductView":
        """As staff or as everyone sees it."""
        return cls(**shown(product, staff=staff))


_SAME_FIELDS: Final = tuple(name for name in VariantView.__struct_fields__ if name not in ("name", "cost", "options"))


def shown(product: StoredProduct, *, staff: bool) -> dict[str, Any]:
    """The fields of the product's view."""
    return {
        "id": product.id,
        "handle": product.handle,
        "name": product.name,
        "description": product.description,
        "status": product.status,
        "price": product.price,
        "currency": product.currency,
        "stock": sum(variant.stock for variant in product.variants),
        "orderable": product.status == "active" and all(variant.orderable for variant in product.variants),
        "category": product.category,
        "vendor": product.vendor,
        "type": product.type,
        "tags": product.tags,
        "options": _options(product),
        "images": product.images,
        "variants": [VariantView.of(product, variant, staff=staff) for variant in product.variants],
        "seo": Seo(title=product.seo_title, description=product.seo_description),
        "gift_card": product.gift_card,
        "metadata": product.metadata,
        "version": product.version,
        "created_at": product.created_at.astimezone(UTC),
        "updated_at": product.updated_at.astimezone(UTC),
    }


def _options(product: StoredProduct) -> list[Option]:
    """Each option with its values in the order in which variants have them first."""
    columns = zip(*(variant.options for variant in product.variants), strict=True)
    return [
        Option(name=name, values=tuple(dict.fromkeys(values)))
        for name, values in zip(product.options, columns, strict=True)
    ]
