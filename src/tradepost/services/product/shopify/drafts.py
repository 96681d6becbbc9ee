"""What a product file says, once understood: drafts of products, and remarks about the rows that are not in them."""

from typing import Final, Literal

import msgspec

Status = Literal["active", "draft", "archived"]

MAX_OPTIONS: Final = 3
MAX_VARIANTS: Final = 2048  # a product
MAX_IMAGES: Final = 250  # a product
MAX_ROWS: Final = 4096  # a product
MAX_TAGS: Final = 250  # a product
MAX_TEXT: Final = 255  # characters in a title, a name, an option, a tag, a SKU, a handle
MAX_LONG_TEXT: Final = 1024  # characters in a category, an alternative text, an SEO description
MAX_URL: Final = 2048  # characters
MAX_HTML: Final = 131_072  # characters; also what one cell may hold, so that an export can be read again
MAX_QUANTITY: Final = 2**31 - 1  # units of stock, or grams


class ImageDraft(msgspec.Struct, frozen=True, gc=False):
    """`position` counts from 1 without gaps."""

    url: str
    position: int
    alt: str = ""


class VariantDraft(msgspec.Struct, frozen=True):
    """Amounts are minor units of the product's currency. `sku` None: none was given, see `default_sku`.
    `quantity` None: not stated. `options` holds one value for each of the product's options."""

    options: tuple[str, ...]
    price: int
    sku: str | None = None
    barcode: str | None = None
    compare_at_price: int | None = None
    cost: int | None = None
    quantity: int | None = None
    continue_selling: bool = False
    grams: int | None = None
    weight_unit: str = ""
    requires_shipping: bool = True
    taxable: bool = True
    image_url: str | None = None
    line: int = 0


class ProductDraft(msgspec.Struct, frozen=True):
    """`line` is where the product begins; `lines` are the first lines of all rows that went into it, whole."""

    handle: str
    title: str
    currency: str
    variants: tuple[VariantDraft, ...]
    options: tuple[str, ...] = ()
    images: tuple[ImageDraft, ...] = ()
    description_html: str = ""
    vendor: str = ""
    category: str = ""
    type: str = ""
    tags: tuple[str, ...] = ()
    status: Status = "active"
    gift_card: bool = False
    seo_title: str = ""
    seo_description: str = ""
    line: int = 0
    lines: tuple[int, ...] = ()


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """A row that was left out. `reason` is a stable code, one of `REASONS`; `handle` None: could not be read."""

    line: int
    handle: str | None
    reason: str
    detail: str


class Warning_(msgspec.Struct, frozen=True, gc=False):
    """A row that was taken otherwise than it was written. `code` is one of `WARNINGS`."""

    line: int
    handle: str | None
    code: str
    detail: str


_AMOUNT_FAULTS: Final = ("malformed", "negative", "too_precise", "too_large")

REASONS: Final = frozenset(
    {
        *("invalid_utf8", "nul_byte", "row_too_long", "field_too_long"),
        *("wrong_columns", "unterminated_quote", "malformed_quotes"),
        *("handle_missing", "handle_invalid", "duplicate_handle", "product_row_rejected", "product_without_variants"),
        *("title_missing", "text_too_long", "description_too_long", "status_invalid", "boolean_invalid"),
        *("option_name_missing", "option_name_duplicate", "option_name_differs", "option_value_missing"),
        *("duplicate_options", "duplicate_sku", "quantity_invalid", "quantity_too_large", "weight_invalid"),
        *("image_url_invalid", "row_without_content", "too_many_rows", "too_many_variants", "too_many_images"),
        "price_missing",
        *(f"{field}_{fault}" for field in ("price", "compare_at_price", "cost") for fault in _AMOUNT_FAULTS),
    }
)

WARNINGS: Final = frozenset(
    {
        *("columns_ignored", "quantity_negative", "weight_unit_unknown", "status_unlisted", "tags_dropped"),
        *("image_dropped", "image_position_invalid"),
    }
)
