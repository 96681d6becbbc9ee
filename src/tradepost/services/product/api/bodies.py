"""What staff send about products and their variants."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.http.body import LARGEST_INTEGER, Amount, Body, Currency, Id, ShortText, Units
from tradepost.kernel.money import CURRENCIES
from tradepost.services.product.domain.editing import Wish
from tradepost.services.product.domain.product import Image, Status, invalid
from tradepost.services.product.shopify.drafts import (
    MAX_HTML,
    MAX_IMAGES,
    MAX_LONG_TEXT,
    MAX_TAGS,
    MAX_TEXT,
    MAX_URL,
    MAX_VARIANTS,
)
from tradepost.services.product.shopify.sanitise import sanitise

Name = ShortText
Label = Annotated[str, Meta(max_length=MAX_TEXT)]
Long = Annotated[str, Meta(max_length=MAX_LONG_TEXT)]
Html = Annotated[str, Meta(max_length=MAX_HTML)]
Handle = Annotated[str, Meta(pattern=r'^[^\s/\\?#%"<>\x00-\x1f\x7f]+$', min_length=1, max_length=MAX_TEXT)]
Sku = Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$", max_length=MAX_TEXT)]
Tag = Annotated[str, Meta(pattern=r"^[^,]*[^,\s][^,]*$", max_length=MAX_TEXT)]
Url = Annotated[
    str, Meta(pattern=r'^[hH][tT][tT][pP][sS]?://[^\s/?#"<>\x00-\x1f][^\s"<>\x00-\x1f]*$', max_length=MAX_URL)
]
Grams = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=40)]
MetadataText = Annotated[str, Meta(max_length=500)]
MetadataInteger = Annotated[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]


class ImageBody(Body, frozen=True, kw_only=True):
    """A picture that lies somewhere else."""

    url: Url
    alt: Long = ""


class SeoBody(Body, frozen=True, kw_only=True):
    """What search engines are told."""

    title: Label | UnsetType = UNSET
    description: Long | UnsetType = UNSET


class VariantBody(Body, frozen=True, kw_only=True):
    """A variant. In a PATCH it is a stored one when its `id` or its `sku` is, and keeps what is not named; another
    `sku` makes another variant of it. `stock` is for new ones."""

    id: Id | None = None
    sku: Sku | None = None
    options: dict[Name, Name] | None = None
    stock: Units | None = None
    price: Amount | UnsetType = UNSET
    compare_at_price: Amount | UnsetType | None = UNSET
    cost: Amount | UnsetType | None = UNSET
    barcode: Label | UnsetType | None = UNSET
    grams: Grams | UnsetType | None = UNSET
    weight_unit: Literal["", "g", "kg", "lb", "oz"] | UnsetType = UNSET
    requires_shipping: bool | UnsetType = UNSET
    taxable: bool | UnsetType = UNSET
    continue_selling: bool | UnsetType = UNSET
    image_url: Url | UnsetType | None = UNSET

    def wish(self) -> Wish:
        """For the domain."""
        fields = dict(_named(self, _VARIANT_FIELDS))
        if "barcode" in fields:
            fields["barcode"] = (fields["barcode"] or "").strip() or None
        options = (
            {name.strip(): value.strip() for name, value in self.options.items()} if self.options else self.options
        )
        return Wish(id=self.id, sku=self.sku, options=options, stock=self.stock, fields=fields)


class _Fields(Body, frozen=True, kw_only=True):
    handle: Handle | UnsetType = UNSET
    description: Html | UnsetType | None = UNSET
    vendor: Label | UnsetType = UNSET
    type: Label | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)] | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    category_id: Id | UnsetType | None = UNSET
    images: Annotated[list[ImageBody], Meta(max_length=MAX_IMAGES)] | UnsetType = UNSET
    seo: SeoBody | UnsetType = UNSET
    gift_card: bool | UnsetType = UNSET
    metadata: dict[MetadataKey, MetadataText | MetadataInteger | float | bool | None] = {}  # noqa: RUF012 - msgspec copies it


class CreateProduct(_Fields, frozen=True, kw_only=True):
    """A product. `price` is that of variants without their own; `sku` and `stock` are for a product without
    `variants`, which has one."""

    name: Name
    currency: Currency
    price: Amount | None = None
    sku: Sku | None = None
    stock: Units | None = None
    variants: Annotated[list[VariantBody], Meta(max_length=MAX_VARIANTS)] = []  # noqa: RUF012 - msgspec copies it

    def wishes(self) -> Sequence[Wish]:
        """At least one. Errors: Invalid."""
        if not self.variants:
            if self.price is None:
                raise invalid("/price", "Give the product or each of its variants a price.", "price_required")
            return [Wish(sku=self.sku, stock=self.stock)]
        for name in ("sku", "stock"):
            if getattr(self, name) is not None:
                raise invalid(f"/{name}", f"Give each of the variants its {name}.", "variants_given")
        if any(variant.id is not None for variant in self.variants):
            raise invalid("/variants", "New variants get their ids from here.", "variant_unknown")
        return [variant.wish() for variant in self.variants]


class EditProduct(_Fields, frozen=True, kw_only=True):
    """The fields that change. `variants` are all that there are from now on; `price` becomes the price of each one
    that is not given its own. A key of `metadata` goes with null; those that are not named stay."""

    name: Name | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    price: Amount | None = None
    variants: Annotated[list[VariantBody], Meta(min_length=1, max_length=MAX_VARIANTS)] | None = None

    def wishes(self) -> Sequence[Wish] | None:
        """None when the variants stay."""
        return None if self.variants is None else [variant.wish() for variant in self.variants]


_PLAIN_FIELDS: Final = ("vendor", "type", "status", "category_id", "gift_card")
_VARIANT_FIELDS: Final = tuple(
    name for name in VariantBody.__struct_fields__ if name not in ("id", "sku", "options", "stock")
)


def fields_of(body: CreateProduct | EditProduct) -> dict[str, Any]:
    """The named fields as the product has them: trimmed, harmless, without repetitions. Errors: Invalid."""
    fields = {name: value.strip() if isinstance(value, str) else value for name, value in _named(body, _PLAIN_FIELDS)}
    if body.name is not UNSET:
        fields["name"] = body.name.strip()
    if body.currency is not UNSET:
        fields["currency"] = _currency(body.currency)
    if body.handle is not UNSET:
        fields["handle"] = body.handle.lower()
    if body.description is not UNSET:
        fields["description"] = _description(body.description or "")
    if body.tags is not UNSET:
        fields["tags"] = _tags(body.tags)
    if body.images is not UNSET:
        fields["images"] = tuple({image.url: Image(image.url, image.alt.strip()) for image in body.images}.values())
    if body.seo is not UNSET:
        fields |= {f"seo_{name}": text.strip() for name, text in _named(body.seo, ("title", "description"))}
    return fields


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise invalid("/currency", f"{code} is not an active ISO 4217 code.", "currency_unknown")
    return code


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Each once, as it was written first."""
    kept: dict[str, str] = {}
    for tag in tags:
        kept.setdefault(tag.strip().lower(), tag.strip())
    return tuple(kept.values())


def _description(html: str) -> str:
    clean = sanitise(html).strip()
    if len(clean) > MAX_HTML:
        raise invalid("/description", f"At most {MAX_HTML} characters.", "description_too_long")
    return clean


def _named(body: msgspec.Struct, names: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, value) for name in names if (value := getattr(body, name)) is not UNSET]
