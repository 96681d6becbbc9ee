"""Products as a product file has them, and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from tradepost.services.product.domain.naming import NOT_NAMED
from tradepost.services.product.domain.product import Change, Image, Product, Variant
from tradepost.services.product.shopify import ImageDraft, ProductDraft, VariantDraft

_SAME_FIELDS: Final = (
    *("price", "compare_at_price", "cost", "barcode", "grams", "weight_unit"),
    *("requires_shipping", "taxable", "continue_selling", "image_url"),
)


def filed(draft: ProductDraft, before: Product | None, category_id: str | None, new_id: Callable[[], str]) -> Change:
    """The product as its rows want it. A stored variant is known by its SKU, else by its options, and keeps its SKU
    where the file has none; those that the file does not name stay, unless the product has other options now.
    The file's quantity opens the stock of new variants only, and an empty category leaves the stored one."""
    stored = _Stored(before, draft)
    variants, opening = [], {}
    for wanted in draft.variants:
        same = stored.take(wanted)
        variant = _variant(wanted, same, new_id)
        variants.append(variant)
        if same is None and wanted.quantity is not None:
            opening[variant.id] = wanted.quantity
    product = Product(
        id=before.id if before else new_id(),
        handle=draft.handle,
        name=draft.title,
        currency=draft.currency,
        variants=(*variants, *stored.left()),
        description=draft.description_html,
        vendor=draft.vendor,
        type=draft.type,
        tags=draft.tags,
        status=draft.status,
        category_id=category_id or (before.category_id if before else None),
        options=draft.options,
        images=tuple(Image(image.url, image.alt) for image in draft.images),
        seo_title=draft.seo_title,
        seo_description=draft.seo_description,
        gift_card=draft.gift_card,
        metadata=before.metadata if before else {},
    )
    return Change(before, product, opening)


def draft_of(product: Product, category: str, available: Mapping[str, int]) -> ProductDraft:
    """What a file has of a product, with the units of each SKU that can be sold."""
    return ProductDraft(
        handle=product.handle,
        title=product.name,
        currency=product.currency,
        variants=tuple(_draft_variant(variant, available.get(variant.sku)) for variant in product.variants),
        options=product.options,
        images=tuple(ImageDraft(image.url, at, image.alt) for at, image in enumerate(product.images, 1)),
        description_html=product.description,
        vendor=product.vendor,
        category=category,
        type=product.type,
        tags=product.tags,
        status=product.status,
        gift_card=product.gift_card,
        seo_title=product.seo_title,
        seo_description=product.seo_description,
    )


class _Stored:
    """The stored variants of a product, taken one by one as the file names them."""

    def __init__(self, before: Product | None, draft: ProductDraft) -> None:
        self._left: dict[str, Variant] = {variant.id: variant for variant in before.variants} if before else {}
        self._by_sku = {variant.sku: variant for variant in self._left.values()}
        self._by_options = {variant.options: variant for variant in self._left.values()}
        self._named = {variant.sku for variant in draft.variants}
        self._replaced = {variant.options for variant in draft.variants}
        self._options = len(draft.options)

    def take(self, wanted: VariantDraft) -> Variant | None:
        """The stored variant that `wanted` is; None for a new one."""
        found = self._by_sku.get(wanted.sku) if wanted.sku else self._by_options.get(wanted.options)
        return self._left.pop(found.id, None) if found and not self._is_anothers(found, wanted) else None

    def left(self) -> Sequence[Variant]:
        """Those that the file does not name and that fit beside the others."""
        fitting = (variant for variant in self._left.values() if len(variant.options) == self._options)
        return [variant for variant in fitting if variant.options not in self._replaced]

    def _is_anothers(self, found: Variant, wanted: VariantDraft) -> bool:
        """Whether another row names the variant by its SKU."""
        return not wanted.sku and found.sku in self._named


def _variant(wanted: VariantDraft, same: Variant | None, new_id: Callable[[], str]) -> Variant:
    fields = {name: getattr(wanted, name) for name in ("options", *_SAME_FIELDS)}
    if same is not None:
        return msgspec.structs.replace(same, **fields)
    return Variant(id=new_id(), sku=wanted.sku or NOT_NAMED, **fields)


def _draft_variant(variant: Variant, available: int | None) -> VariantDraft:
    fields = {name: getattr(variant, name) for name in _SAME_FIELDS}
    return VariantDraft(options=variant.options, sku=variant.sku, quantity=available, **fields)
