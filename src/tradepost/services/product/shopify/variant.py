"""What one row says about a variant and about an image."""

from typing import Final

from tradepost.services.product.shopify import cells
from tradepost.services.product.shopify.cells import Bad, clip
from tradepost.services.product.shopify.drafts import MAX_LONG_TEXT, ImageDraft, VariantDraft, Warning_
from tradepost.services.product.shopify.headers import Row
from tradepost.services.product.shopify.product import is_default

_WEIGHT_UNITS: Final = frozenset({"", "g", "kg", "lb", "oz"})


def names_variant(row: Row) -> bool:
    """Whether the row is more than an extra image. Cells that Shopify also fills in on image rows do not count."""
    return bool(
        row.option1_value
        or row.price
        or row.sku
        or row.barcode
        or row.quantity
        or row.option2_value
        or row.option3_value
        or row.compare_at_price
        or row.cost
        or row.variant_image_url
    )


def variant_of(row: Row, options: tuple[str, ...], currency: str, warnings: list[Warning_]) -> VariantDraft:
    """Raises `Bad`; appends to `warnings`, which are only good if it did not."""
    values = _option_values(row, options)
    price = cells.amount(row.price, currency, "price")
    if price is None:
        raise Bad("price_missing", "the variant has no price; write 0 if it is free")
    return VariantDraft(
        options=values,
        price=price,
        sku=cells.short(row.sku, "SKU") or None,
        barcode=cells.barcode(row.barcode),
        compare_at_price=cells.amount(row.compare_at_price, currency, "compare_at_price"),
        cost=cells.amount(row.cost, currency, "cost"),
        quantity=_quantity(row, warnings),
        continue_selling=cells.continue_selling(row.continue_selling),
        grams=cells.grams(row.grams),
        weight_unit=_weight_unit(row, warnings),
        requires_shipping=cells.boolean(row.requires_shipping, "requires shipping", default=True),
        taxable=cells.boolean(row.taxable, "taxable", default=True),
        image_url=_variant_image(row, warnings),
        line=row.line,
    )


def image_of(row: Row, position: int, warnings: list[Warning_]) -> ImageDraft:
    """`position` is the one it gets if the row does not say. Raises `Bad`."""
    url = cells.url(row.image_url)
    alt = cells.short(row.image_alt, "image alt text", MAX_LONG_TEXT)
    given = cells.integer(row.image_position) if row.image_position else position
    if given is None or given < 1:
        detail = f"the image position {clip(row.image_position)} is not a whole number from 1"
        warnings.append(Warning_(row.line, row.handle.lower(), "image_position_invalid", detail))
        given = position
    return ImageDraft(url, given, alt)


def _option_values(row: Row, options: tuple[str, ...]) -> tuple[str, ...]:
    names = (row.option1_name, row.option2_name, row.option3_name)
    values = (row.option1_value, row.option2_value, row.option3_value)
    if not options and is_default(names[0] or "Title", values[0]):
        names, values = ("", *names[1:]), ("", *values[1:])
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        if index < len(options):
            _check_option(options[index], name, value)
        elif name or value:
            raise Bad("option_name_missing", f"{clip(value or name)} belongs to no option of the product's first row")
    return values[: len(options)]


def _check_option(option: str, name: str, value: str) -> None:
    if name and name.lower() != option.lower():
        raise Bad("option_name_differs", f"the option is called {clip(option)} in the first row, {clip(name)} here")
    if not value:
        raise Bad("option_value_missing", f"option {clip(option)} has no value")
    cells.short(value, "option value")


def _quantity(row: Row, warnings: list[Warning_]) -> int | None:
    units = cells.quantity(row.quantity)
    if units is not None and units < 0:
        detail = f"the quantity {units}, oversold, is taken as 0"
        warnings.append(Warning_(row.line, row.handle.lower(), "quantity_negative", detail))
        return 0
    return units


def _weight_unit(row: Row, warnings: list[Warning_]) -> str:
    unit = row.weight_unit.lower()
    if unit in _WEIGHT_UNITS:
        return unit
    detail = f"the weight unit {clip(row.weight_unit)} is none of g, kg, lb, oz"
    warnings.append(Warning_(row.line, row.handle.lower(), "weight_unit_unknown", detail))
    return ""


def _variant_image(row: Row, warnings: list[Warning_]) -> str | None:
    if not row.variant_image_url:
        return None
    try:
        return cells.url(row.variant_image_url)
    except Bad as bad:
        warnings.append(Warning_(row.line, row.handle.lower(), "image_dropped", f"variant image: {bad.detail}"))
        return None
