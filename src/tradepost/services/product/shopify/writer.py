"""Products become a file in Shopify's current dialect."""

import csv
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Final

from tradepost.kernel.money import to_major
from tradepost.services.product.shopify.drafts import MAX_OPTIONS, ImageDraft, ProductDraft, VariantDraft
from tradepost.services.product.shopify.headers import CURRENT

_BOOLEAN: Final = {True: "TRUE", False: "FALSE"}


class _Echo:
    """A file for the csv module that hands back what it is given, so that records can be streamed."""

    def write(self, text: str) -> str:
        return text


def write(products: Iterable[ProductDraft]) -> Iterator[str]:
    """A line of headers, then each product's records, CRLF at the end of each; encode as UTF-8.

    Cells that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` first) are written as they are: a file read
    again must give the same products, and only Shopify's readers and ours are meant to open it.
    """
    emit = csv.writer(_Echo(), lineterminator="\r\n").writerow
    yield str(emit(CURRENT))
    for product in products:
        for record in _records(product):
            yield str(emit([record.get(field, "") for field in CURRENT.values()]))


def _records(product: ProductDraft) -> Iterator[dict[str, str]]:
    """Variants and images side by side, as many rows as the longer of the two."""
    fields = _product_fields(product)
    for variant, image in zip_longest(product.variants, product.images):
        yield {
            "handle": product.handle,
            **fields,
            **(_variant_fields(variant, product) if variant else {}),
            **(_image_fields(image) if image else {}),
        }
        fields = {}


def _product_fields(product: ProductDraft) -> dict[str, str]:
    names = product.options or ("Title",)
    return {
        "title": product.title,
        "description": product.description_html,
        "vendor": product.vendor,
        "category": product.category,
        "type": product.type,
        "tags": ", ".join(product.tags),
        "published": _BOOLEAN[product.status == "active"],
        "status": product.status,
        "gift_card": _BOOLEAN[product.gift_card],
        "seo_title": product.seo_title,
        "seo_description": product.seo_description,
        **{f"option{number}_name": name for number, name in enumerate(names[:MAX_OPTIONS], 1)},
    }


def _variant_fields(variant: VariantDraft, product: ProductDraft) -> dict[str, str]:
    values = variant.options if product.options else ("Default Title",)
    return {
        **{f"option{number}_value": value for number, value in enumerate(values[:MAX_OPTIONS], 1)},
        "sku": variant.sku or "",
        "barcode": variant.barcode or "",
        "price": to_major(variant.price, product.currency),
        "compare_at_price": _amount(variant.compare_at_price, product.currency),
        "cost": _amount(variant.cost, product.currency),
        "taxable": _BOOLEAN[variant.taxable],
        "quantity": _number(variant.quantity),
        "continue_selling": "CONTINUE" if variant.continue_selling else "DENY",
        "grams": _number(variant.grams),
        "weight_unit": variant.weight_unit,
        "requires_shipping": _BOOLEAN[variant.requires_shipping],
        "variant_image_url": variant.image_url or "",
    }


def _image_fields(image: ImageDraft) -> dict[str, str]:
    return {"image_url": image.url, "image_position": str(image.position), "image_alt": image.alt}


def _amount(amount: int | None, currency: str) -> str:
    return "" if amount is None else to_major(amount, currency)


def _number(number: int | None) -> str:
    return "" if number is None else str(number)
