"""The rows of one handle become one product and remarks about the rows that did not fit into it."""

from collections.abc import Sequence

import msgspec

from tradepost.services.product.shopify.cells import Bad
from tradepost.services.product.shopify.drafts import (
    MAX_IMAGES,
    MAX_VARIANTS,
    ImageDraft,
    ProductDraft,
    Rejection,
    VariantDraft,
    Warning_,
)
from tradepost.services.product.shopify.headers import Row
from tradepost.services.product.shopify.product import product_of
from tradepost.services.product.shopify.variant import image_of, names_variant, variant_of

Note = Rejection | Warning_


class Gathering:
    """One product in the making: `rows` are taken in file order, `finish` gives what became of them."""

    def __init__(self, product: ProductDraft, skus: dict[int, int]) -> None:
        self._product = product
        self._skus = skus  # hash of each SKU of the file -> the line that has it
        self._variants: dict[tuple[str, ...], VariantDraft] = {}
        self._images: dict[str, ImageDraft] = {}
        self._lines: list[int] = []
        self._other: int | None = None  # line at which another product takes the handle
        self.notes: list[Note] = []

    def take(self, row: Row) -> None:
        try:
            self._refuse_other(row)
            self._add(row)
        except Bad as bad:
            self.notes.append(Rejection(row.line, self._product.handle, bad.reason, bad.detail))
        else:
            self._lines.append(row.line)

    def finish(self) -> list[ProductDraft | Note]:
        if not self._variants:
            detail = f"no variant of the product of line {self._product.line} could be taken"
            self.notes += rejected(self._lines, self._product.handle, "product_without_variants", detail)
            return sorted(self.notes, key=lambda note: note.line)
        images = sorted(self._images.values(), key=lambda image: image.position)
        numbered = (msgspec.structs.replace(image, position=at) for at, image in enumerate(images, 1))
        variants = tuple(self._variants.values())
        draft = msgspec.structs.replace(
            self._product, variants=variants, images=tuple(numbered), lines=tuple(self._lines)
        )
        return [draft, *self.notes]

    def _refuse_other(self, row: Row) -> None:
        if self._other is None and row.title and row.title != self._product.title:
            self._other = row.line
        if self._other is not None:
            line = self._product.line
            raise Bad("duplicate_handle", f"line {self._other} gives the handle of line {line} to another title")

    def _add(self, row: Row) -> None:
        if row.line == self._product.line:
            self._add_image_aside(row)  # the product's, even if the row's variant is refused
            self._add_variant(row)
        elif names_variant(row):
            self._add_variant(row)
            self._add_image_aside(row)
        elif row.image_url:
            self._add_image(row)
        else:
            raise Bad("row_without_content", "the row has neither a variant nor an image")

    def _add_variant(self, row: Row) -> None:
        warnings: list[Warning_] = []
        variant = variant_of(row, self._product.options, self._product.currency, warnings)
        if same := self._variants.get(variant.options):
            raise Bad(
                "duplicate_options", f"line {same.line} has the same options: {', '.join(same.options) or 'none'}"
            )
        if len(self._variants) >= MAX_VARIANTS:
            raise Bad("too_many_variants", f"a product has at most {MAX_VARIANTS} variants")
        self._claim(variant.sku, row.line)
        self._variants[variant.options] = variant
        self.notes += warnings

    def _claim(self, sku: str | None, line: int) -> None:
        if sku and (first := self._skus.setdefault(hash(sku), line)) != line:
            raise Bad("duplicate_sku", f"line {first} has the same SKU {sku!r}")

    def _add_image_aside(self, row: Row) -> None:
        """A bad image does not cost the variant that stands in the same row."""
        if not row.image_url:
            return
        try:
            self._add_image(row)
        except Bad as bad:
            self.notes.append(Warning_(row.line, self._product.handle, "image_dropped", bad.detail))

    def _add_image(self, row: Row) -> None:
        warnings: list[Warning_] = []
        image = image_of(row, len(self._images) + 1, warnings)
        if image.url not in self._images and len(self._images) >= MAX_IMAGES:
            raise Bad("too_many_images", f"a product has at most {MAX_IMAGES} images")
        self._images.setdefault(image.url, image)
        self.notes += warnings


def gather(
    rows: Sequence[Row | Rejection], handle: str, currency: str, skus: dict[int, int], orphaned_by: int | None
) -> list[ProductDraft | Note]:
    """`orphaned_by`: the line of an unreadable row just before these, which may have been their first."""
    first = rows[0]
    if isinstance(first, Rejection):
        return _reject_all(rows, first, orphaned_by=first.line)
    warnings: list[Warning_] = []
    try:
        product = product_of(first, handle, currency, warnings)
    except Bad as bad:
        if bad.reason != "title_missing":
            orphaned_by = None
        return _reject_all(rows, Rejection(first.line, handle, bad.reason, bad.detail), orphaned_by)
    gathering = Gathering(product, skus)
    gathering.notes += warnings
    for row in rows:
        if isinstance(row, Rejection):
            gathering.notes.append(row)
        else:
            gathering.take(row)
    return gathering.finish()


def rejected(lines: Sequence[int], handle: str, reason: str, detail: str) -> list[Rejection]:
    return [Rejection(line, handle, reason, detail) for line in lines]


def _reject_all(
    rows: Sequence[Row | Rejection], first: Rejection, orphaned_by: int | None
) -> list[ProductDraft | Note]:
    """The first row for its own reason, unless the row before is to blame; the others because of it."""
    detail = f"line {orphaned_by or first.line}, which should carry the product's fields, was rejected"
    if orphaned_by and orphaned_by != first.line:
        first = Rejection(first.line, first.handle, "product_row_rejected", detail)
    others = (
        row if isinstance(row, Rejection) else Rejection(row.line, first.handle, "product_row_rejected", detail)
        for row in rows[1:]
    )
    return [first, *others]
