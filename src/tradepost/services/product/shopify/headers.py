"""The two header dialects of a Shopify product file, and the one row that both are read into."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final

import msgspec

from tradepost.kernel.errors import FieldError, Invalid


class CsvError(Invalid):
    """The file as a whole cannot be read. `error` is `csv_empty`, `csv_not_utf8`, `csv_malformed` or `csv_headers`."""

    code = "csv_malformed"


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record's cells, trimmed, under their canonical names; `""` too where the file has no such column."""

    line: int
    handle: str
    title: str
    description: str
    vendor: str
    category: str
    type: str
    tags: str
    published: str
    status: str
    sku: str
    barcode: str
    option1_name: str
    option1_value: str
    option2_name: str
    option2_value: str
    option3_name: str
    option3_value: str
    price: str
    compare_at_price: str
    cost: str
    taxable: str
    quantity: str
    continue_selling: str
    grams: str
    weight_unit: str
    requires_shipping: str
    image_url: str
    image_position: str
    image_alt: str
    variant_image_url: str
    gift_card: str
    seo_title: str
    seo_description: str


FIELDS: Final = Row.__struct_fields__[1:]

CURRENT: Final[Mapping[str, str]] = {
    "Title": "title",
    "URL handle": "handle",
    "Description": "description",
    "Vendor": "vendor",
    "Product category": "category",
    "Type": "type",
    "Tags": "tags",
    "Published on online store": "published",
    "Status": "status",
    "SKU": "sku",
    "Barcode": "barcode",
    "Option1 name": "option1_name",
    "Option1 value": "option1_value",
    "Option2 name": "option2_name",
    "Option2 value": "option2_value",
    "Option3 name": "option3_name",
    "Option3 value": "option3_value",
    "Price": "price",
    "Compare-at price": "compare_at_price",
    "Cost per item": "cost",
    "Charge tax": "taxable",
    "Inventory quantity": "quantity",
    "Continue selling when out of stock": "continue_selling",
    "Weight value (grams)": "grams",
    "Weight unit for display": "weight_unit",
    "Requires shipping": "requires_shipping",
    "Product image URL": "image_url",
    "Image position": "image_position",
    "Image alt text": "image_alt",
    "Variant image URL": "variant_image_url",
    "Gift card": "gift_card",
    "SEO title": "seo_title",
    "SEO description": "seo_description",
}
"""The dialect since 2024, in the order of Shopify's template; the one that is written."""

LEGACY: Final[Mapping[str, str]] = {
    "Handle": "handle",
    "Body (HTML)": "description",
    "Published": "published",
    "Variant SKU": "sku",
    "Variant Barcode": "barcode",
    "Variant Price": "price",
    "Variant Compare At Price": "compare_at_price",
    "Variant Taxable": "taxable",
    "Variant Inventory Qty": "quantity",
    "Variant Inventory Policy": "continue_selling",
    "Variant Grams": "grams",
    "Variant Weight Unit": "weight_unit",
    "Variant Requires Shipping": "requires_shipping",
    "Image Src": "image_url",
    "Variant Image": "variant_image_url",
}
"""The older dialect where it differs by more than capitals."""

_FIELD_OF: Final = {name.lower(): field for name, field in {**CURRENT, **LEGACY}.items()}
_HEADER_OF: Final = {field: name for name, field in CURRENT.items()}
_MAX_LISTED: Final = 40  # headers named in a message


class Columns(msgspec.Struct, frozen=True):
    """How this file's records become rows: `pick` takes the cells, with one `""` after the last, in `FIELDS` order."""

    count: int
    pick: Callable[[Sequence[str]], tuple[str, ...]]
    ignored: tuple[str, ...]


def columns(names: Sequence[str]) -> Columns:
    """Matches headers by name, whatever their capitals, order and outer spaces. Raises `CsvError`."""
    fields = [_FIELD_OF.get(" ".join(name.split()).lower()) for name in names]
    _refuse_missing(fields, names)
    _refuse_repeated(fields, names)
    at = {field: index for index, field in enumerate(fields) if field}
    return Columns(
        count=len(names),
        pick=itemgetter(*(at.get(field, len(names)) for field in FIELDS)),
        ignored=tuple(name.strip() for name, field in zip(names, fields, strict=True) if name.strip() and not field),
    )


def listed(names: Sequence[str]) -> str:
    """The names for a message, clipped."""
    shown = ", ".join(repr(name.strip()[:80]) for name in names[:_MAX_LISTED])
    return f"{shown} and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else shown


def _refuse_missing(fields: Sequence[str | None], names: Sequence[str]) -> None:
    wanted = {"title": ("/Title", "'Title'"), "handle": ("/URL handle", "'URL handle' (or 'Handle')")}
    missing = {pointer: header for field, (pointer, header) in wanted.items() if field not in fields}
    if missing:
        hint = "; columns must be separated by commas" if len(names) == 1 else ""
        told = f"no column {' and no column '.join(missing.values())}; seen: {listed(names)}{hint}"
        errors = [FieldError(pointer, f"no column {header}") for pointer, header in missing.items()]
        raise CsvError(told, code="csv_headers", errors=errors)


def _refuse_repeated(fields: Sequence[str | None], names: Sequence[str]) -> None:
    """Two columns for one field: taking either would be a guess."""
    for field in filter(None, fields):
        same = [name for name, other in zip(names, fields, strict=True) if other == field]
        if len(same) > 1:
            told = f"several columns mean the same: {listed(same)}"
            raise CsvError(told, code="csv_headers", errors=[FieldError(f"/{_HEADER_OF[field]}", told)])
