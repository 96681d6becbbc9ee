"""Placing an order: which offer each item means, what it costs, and what speaks against it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from tradepost.contracts.order import Address, Guest, Line, OrderCreated
from tradepost.kernel.errors import Conflict, FieldError, Invalid
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import made_at
from tradepost.kernel.money import MAX_AMOUNT

RETRY_AFTER_S: Final = 1
NEWS_S: Final = 60  # for so long a product that we have not heard of may have been made just now


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What the buyer names: exactly one of the three, how many, and the price that was shown, to be held to it."""

    quantity: int
    product_id: str | None = None
    variant_id: str | None = None
    sku: str | None = None
    price: int | None = None


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """One request to place an order. `scope` and `key` identify it when it is sent again."""

    order_id: str
    scope: str
    key: str
    body_hash: bytes
    user_id: str | None
    guest: Guest | None
    items: tuple[Item, ...]
    currency: str | None
    shipping_address: Address | None
    payment_method: str
    cause: Cause
    now: datetime


class Offer(msgspec.Struct, frozen=True):
    """What can be bought. `active`: it is for sale; `stocked`: inventory knows its SKU."""

    variant_id: str
    product_id: str
    sku: str
    name: str
    price: int
    currency: str
    active: bool
    stocked: bool


class Offers:
    """The offers that a batch of placements names, found by each of their three names."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._by_variant = {offer.variant_id: offer for offer in offers}
        self._by_sku: dict[str, Offer] = {}
        self._by_product: dict[str, list[Offer]] = {}
        for offer in sorted(offers, key=lambda offer: offer.active):
            self._by_sku[offer.sku] = offer
            self._by_product.setdefault(offer.product_id, []).append(offer)

    def meant_by(self, item: Item, at: int, now: datetime) -> Offer:
        """The one offer that `item`, at index `at`, names. Errors: Invalid, Conflict `not_yet_available`."""
        pointer = f"/items/{at}"
        if sum(name is not None for name in (item.product_id, item.variant_id, item.sku)) != 1:
            raise _invalid(pointer, "name exactly one of product_id, variant_id and sku", "invalid_request")
        offer = self._find(item, pointer)
        if offer is None and _is_news(item, now):
            raise _not_yet("The product is not known here yet")
        if offer is None or not offer.active:
            raise _invalid(pointer, "there is no such product for sale", "unknown_product")
        if not offer.stocked:
            raise _not_yet(f"{offer.sku} is known but can not be ordered yet")
        return offer

    def _find(self, item: Item, pointer: str) -> Offer | None:
        if item.variant_id is not None:
            return self._by_variant.get(item.variant_id)
        if item.sku is not None:
            return self._by_sku.get(item.sku)
        offers = self._by_product.get(item.product_id or "", [])
        active = [offer for offer in offers if offer.active]
        if len(active) > 1:
            raise _invalid(pointer, "the product has several variants: name variant_id or sku", "variant_required")
        return next(iter(active or offers), None)


def place(placement: Placement, offers: Offers) -> tuple[tuple[Line, ...], str, int]:
    """The lines at the server's prices, their currency and total. Errors: Invalid, Conflict `price_changed`."""
    lines: list[Line] = []
    currencies: dict[str, None] = {}
    changed: list[Mapping[str, object]] = []
    for at, item in enumerate(placement.items):
        offer = offers.meant_by(item, at, placement.now)
        currencies[offer.currency] = None
        if item.price is not None and item.price != offer.price:
            changed.append({"sku": offer.sku, "price": offer.price, "currency": offer.currency})
        lines.append(
            Line(
                product_id=offer.product_id,
                variant_id=offer.variant_id,
                sku=offer.sku,
                quantity=item.quantity,
                price=offer.price,
                name=offer.name,
            )
        )
    if changed:
        raise Conflict("Prices have changed; look at them again.", code="price_changed", extra={"prices": changed})
    return tuple(lines), _one_currency(placement, list(currencies)), _total(lines)


def created(placement: Placement, number: str, lines: tuple[Line, ...], currency: str, total: int) -> OrderCreated:
    """The fact that starts the sale."""
    return OrderCreated(
        order_id=placement.order_id,
        number=number,
        user_id=placement.user_id,
        guest=placement.guest,
        total_amount=total,
        currency=currency,
        items=lines,
    )


def _one_currency(placement: Placement, currencies: list[str]) -> str:
    if len(currencies) > 1:
        raise _invalid(
            "/items", f"one order has one currency, not {' and '.join(sorted(currencies))}", "mixed_currencies"
        )
    if placement.currency not in (None, currencies[0]):
        raise _invalid("/currency", f"these products are sold in {currencies[0]}", "currency_mismatch")
    return currencies[0]


def _total(lines: Sequence[Line]) -> int:
    total = sum(line.quantity * line.price for line in lines)
    if total > MAX_AMOUNT:
        raise _invalid("/items", "the total is too large", "amount_too_large")
    return total


def _is_news(item: Item, now: datetime) -> bool:
    """Whether the item is named by an id that was made so lately that we may not have heard of it yet."""
    made = made_at(item.variant_id or item.product_id or "")
    return made is not None and abs(now.timestamp() - made) < NEWS_S


def _not_yet(why: str) -> Conflict:
    return Conflict(f"{why}; try again in a moment.", code="not_yet_available", retry_after_s=RETRY_AFTER_S)


def _invalid(pointer: str, detail: str, code: str) -> Invalid:
    return Invalid(f"{pointer}: {detail}.", code=code, errors=[FieldError(pointer, detail)])
