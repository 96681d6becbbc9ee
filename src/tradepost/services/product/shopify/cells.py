"""One cell at a time: text to a value, or `Bad` with the reason for rejecting its row."""

import re
from typing import Final

from tradepost.kernel.money import InvalidAmount, to_minor
from tradepost.services.product.shopify.drafts import MAX_QUANTITY, MAX_TEXT, MAX_URL

_TRUE: Final = frozenset({"true", "yes", "y", "1"})
_FALSE: Final = frozenset({"false", "no", "n", "0"})
_INTEGER: Final = re.compile(r"(-?[0-9]{1,18})(?:\.0*)?")
_WEIGHT: Final = re.compile(r"([0-9]{1,18})(?:\.([0-9]*))?")
_URL: Final = re.compile(r'https?://[^\s/?#"<>\x00-\x1f]+[^\s"<>\x00-\x1f]*', re.IGNORECASE)
_HANDLE: Final = re.compile(r'[^\s/\\?#%"<>\x00-\x1f\x7f]+')


class Bad(Exception):
    """`reason` is one of `REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def clip(text: str) -> str:
    """A cell as a message quotes it."""
    return repr(text if len(text) <= 80 else text[:80] + "…")


def handle(text: str) -> str:
    """Lower-cased, as it stands in URLs; nothing that would have to be escaped there but letters beyond ASCII."""
    if not text:
        raise Bad("handle_missing", "the row has no handle")
    if len(text) > MAX_TEXT or not _HANDLE.fullmatch(text):
        raise Bad("handle_invalid", f"{clip(text)} has spaces, slashes or quotes, or is longer than {MAX_TEXT}")
    return text.lower()


def short(text: str, column: str, limit: int = MAX_TEXT) -> str:
    if len(text) > limit:
        raise Bad("text_too_long", f"{column} has {len(text)} characters, at most {limit} are allowed")
    return text


def boolean(text: str, column: str, default: bool) -> bool:
    word = text.lower()
    if not word:
        return default
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Bad("boolean_invalid", f"{column} is {clip(text)}, not TRUE or FALSE")


def continue_selling(text: str) -> bool:
    word = text.lower()
    if word in ("deny", "continue"):
        return word == "continue"
    return boolean(text, "inventory policy", default=False)


def amount(text: str, currency: str, field: str) -> int | None:
    """Minor units; None for an empty cell."""
    if not text:
        return None
    try:
        return to_minor(text, currency)
    except InvalidAmount as error:
        raise Bad(field + error.error.removeprefix("amount"), str(error)) from error


def integer(text: str) -> int | None:
    """The number if the cell holds a whole one, else None. `3.0`, as spreadsheets write it, is whole."""
    match = _INTEGER.fullmatch(text)
    return int(match[1]) if match else None


def quantity(text: str) -> int | None:
    """Units of stock, negative where oversold; None for an empty cell."""
    if not text:
        return None
    units = integer(text)
    if units is None:
        raise Bad("quantity_invalid", f"the quantity {clip(text)} is not a whole number")
    if abs(units) > MAX_QUANTITY:
        raise Bad("quantity_too_large", f"the quantity {clip(text)} is beyond {MAX_QUANTITY}")
    return units


def grams(text: str) -> int | None:
    """To the nearest gram, halves up; None for an empty cell."""
    if not text:
        return None
    match = _WEIGHT.fullmatch(text)
    if match is None or int(match[1]) >= MAX_QUANTITY:
        raise Bad("weight_invalid", f"the weight {clip(text)} is not a number of grams")
    return int(match[1]) + ((match[2] or "0")[:1] >= "5")


def barcode(text: str) -> str | None:
    """Without the apostrophe that spreadsheets put before digits to keep their zeros."""
    digits = text[1:] if text[:1] == "'" and text[1:].isdigit() else text
    return short(digits, "barcode") or None


def url(text: str) -> str:
    if len(text) > MAX_URL or not _URL.fullmatch(text):
        raise Bad("image_url_invalid", f"{clip(text)} is not an http or https URL")
    return text
