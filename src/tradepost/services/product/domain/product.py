"""The product with its variants, and the facts that a change of it publishes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from tradepost.contracts import product as contract
from tradepost.contracts.product import ProductArchived, ProductCreated, ProductPriceChanged, ProductUpdated
from tradepost.kernel.errors import Conflict, FieldError, Invalid, NotFound
from tradepost.kernel.events import Fact

Status = Literal["active", "draft", "archived"]
Scalar = str | int | float | bool


class NoSuchProduct(NotFound):
    """No product of this id, or none that the caller may see."""

    code = "product_not_found"


class SkuTaken(Conflict):
    """Another product has the SKU."""

    code = "sku_taken"


class HandleTaken(Conflict):
    """Another product has the handle."""

    code = "handle_taken"


class Image(msgspec.Struct, frozen=True):
    """Where a picture is, and what it shows."""

    url: str
    alt: str = ""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that can be bought. A variant is its SKU: another SKU makes another variant. `options` holds one value
    for each of the product's options; amounts are minor units of the product's currency."""

    id: str
    sku: str
    price: int
    options: tuple[str, ...] = ()
    compare_at_price: int | None = None
    cost: int | None = None
    barcode: str | None = None
    grams: int | None = None
    weight_unit: str = ""
    requires_shipping: bool = True
    taxable: bool = True
    continue_selling: bool = False
    image_url: str | None = None


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """`options` are names; `description` is harmless HTML; `version` counts the facts published so far."""

    id: str
    handle: str
    name: str
    currency: str
    variants: tuple[Variant, ...]
    description: str = ""
    vendor: str = ""
    type: str = ""
    tags: tuple[str, ...] = ()
    status: Status = "active"
    category_id: str | None = None
    options: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    seo_title: str = ""
    seo_description: str = ""
    gift_card: bool = False
    metadata: Mapping[str, Scalar] = {}
    version: int = 0

    @property
    def price(self) -> int:
        """The lowest of its variants'."""
        return min(variant.price for variant in self.variants)

    def name_of(self, variant: Variant) -> str:
        """`Shirt (M, red)`, or the product's name where there are no options."""
        return f"{self.name} ({', '.join(variant.options)})" if variant.options else self.name


class Change(msgspec.Struct, frozen=True):
    """A product before and after; `opening` is the stock of variants that are new with it, by their id."""

    before: Product | None
    after: Product
    opening: Mapping[str, int]


class Published(msgspec.Struct, frozen=True):
    """A change, `after` with its new version, and the facts about it, whose sequence ends there."""

    before: Product | None
    after: Product
    opening: Mapping[str, int]
    facts: Sequence[Fact]


_ARCHIVED: Final[Status] = "archived"


def archived(product: Product) -> Product:
    """The product, no longer sold."""
    return msgspec.structs.replace(product, status=_ARCHIVED)


def publish(change: Change) -> Published | None:
    """None when nothing has changed."""
    before, after = change.before, change.after
    if before is not None and msgspec.structs.replace(after, version=before.version) == before:
        return None
    facts = _created(change) if before is None else _changed(before, change)
    version = (before.version if before else 0) + len(facts)
    return Published(before, msgspec.structs.replace(after, version=version), change.opening, facts)


def announce(product: Product) -> Published:
    """The product as it is, told once more."""
    facts = [ProductUpdated(**_snapshot(Change(product, product, {})))]
    return Published(product, msgspec.structs.replace(product, version=product.version + len(facts)), {}, facts)


def _created(change: Change) -> list[Fact]:
    return [ProductCreated(**_snapshot(change))]


def _changed(before: Product, change: Change) -> list[Fact]:
    facts: list[Fact] = []
    after = change.after
    ends = after.status == _ARCHIVED != before.status
    if not ends or archived(before) != msgspec.structs.replace(after, version=before.version):
        facts.append(ProductUpdated(**_snapshot(change)))
    if repriced := _repriced(before, after):
        facts.append(ProductPriceChanged(product_id=after.id, currency=after.currency, variants=repriced))
    if ends:
        facts.append(ProductArchived(product_id=after.id))
    return facts


def _snapshot(change: Change) -> dict[str, Any]:
    product = change.after
    return {
        "product_id": product.id,
        "name": product.name,
        "status": product.status,
        "currency": product.currency,
        "variants": tuple(_told(product, variant, change.opening.get(variant.id)) for variant in product.variants),
    }


def _repriced(before: Product, after: Product) -> tuple[contract.Variant, ...]:
    """The variants that had another price before; a new one had none."""
    prices = {variant.id: (variant.price, before.currency) for variant in before.variants}
    return tuple(
        _told(after, variant)
        for variant in after.variants
        if prices.get(variant.id, (variant.price, after.currency)) != (variant.price, after.currency)
    )


def _told(product: Product, variant: Variant, opening: int | None = None) -> contract.Variant:
    return contract.Variant(
        variant_id=variant.id,
        sku=variant.sku,
        price=variant.price,
        name=product.name_of(variant),
        opening_stock=opening,
    )


def invalid(pointer: str, detail: str, code: str) -> Invalid:
    """A field that is refused by a rule rather than by its type."""
    return Invalid(detail, code=code, errors=[FieldError(pointer, detail)])
