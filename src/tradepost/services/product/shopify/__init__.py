"""Shopify's product CSV: both header dialects in, the current one out. Pure: bytes to drafts, drafts to text."""

from tradepost.services.product.shopify.assemble import Assembled, Assembler, assemble
from tradepost.services.product.shopify.drafts import (
    REASONS,
    WARNINGS,
    ImageDraft,
    ProductDraft,
    Rejection,
    VariantDraft,
    Warning_,
)
from tradepost.services.product.shopify.headers import CsvError
from tradepost.services.product.shopify.reader import Read, Reader, read
from tradepost.services.product.shopify.sku import default_sku
from tradepost.services.product.shopify.writer import write

__all__ = [
    "REASONS",
    "WARNINGS",
    "Assembled",
    "Assembler",
    "CsvError",
    "ImageDraft",
    "ProductDraft",
    "Read",
    "Reader",
    "Rejection",
    "VariantDraft",
    "Warning_",
    "assemble",
    "default_sku",
    "read",
    "write",
]
