"""What staff ask for becomes a product: a new one, or a stored one that is changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tradepost.services.product.domain.naming import NOT_NAMED
from tradepost.services.product.domain.product import Change, Product, Variant, invalid

MAX_OPTIONS: Final = 3
MAX_METADATA: Final = 50  # keys

_NO_CHANGES: Final[Mapping[str, Any]] = {}
_DEFAULT: Final = (("title", "default title"),)  # how Shopify writes that there are no options


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one variant, known by its `id` or its SKU; `fields` are those of Variant that were named."""

    id: str | None = None
    sku: str | None = None
    options: Mapping[str, str] | None = None
    stock: int | None = None
    fields: Mapping[str, Any] = _NO_CHANGES


def create(
    product_id: str,
    handle: str,
    fields: Mapping[str, Any],
    wishes: Sequence[Wish],
    price: int | None,
    new_id: Callable[[], str],
) -> Change:
    """A product with a variant per wish; `price` is that of variants without their own. Variants without a SKU still
    wait for one. Errors: Invalid."""
    bare = Product(id=product_id, handle=handle, variants=(), **fields)
    return _with_variants(None, bare, wishes, price, new_id)


def edit(
    before: Product,
    fields: Mapping[str, Any],
    wishes: Sequence[Wish] | None,
    price: int | None,
    new_id: Callable[[], str],
) -> Change:
    """The product with other `fields`. `wishes` are all the variants that it has from now on; `price` becomes that of
    each variant without one of its own among them. Errors: Invalid."""
    after = msgspec.structs.replace(before, **fields)
    if wishes is None:
        wishes = [Wish(id=variant.id) for variant in before.variants]
    if after.currency != before.currency and price is None and any("price" not in wish.fields for wish in wishes):
        raise invalid("/price", "In another currency every variant needs a new price.", "price_required")
    return _with_variants(before, after, wishes, price, new_id)


def merged(before: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata with the keys of `said` set, or removed where they are None. Errors: Invalid."""
    both = {key: value for key, value in {**before, **said}.items() if value is not None}
    if len(both) > MAX_METADATA:
        raise invalid("/metadata", f"A product may have {MAX_METADATA} keys of metadata.", "too_much_metadata")
    return both


def _with_variants(
    before: Product | None,
    after: Product,
    wishes: Sequence[Wish],
    price: int | None,
    new_id: Callable[[], str],
) -> Change:
    names = _option_names(wishes, after.options)
    workshop = _Workshop(before.variants if before else (), names, price, new_id)
    for index, wish in enumerate(wishes):
        workshop.add(f"/variants/{index}", wish)
    product = msgspec.structs.replace(after, options=names, variants=tuple(workshop.made))
    return Change(before, product, workshop.opening)


def _option_names(wishes: Sequence[Wish], known: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of the first wish that says them; as before, where they are the same."""
    said = next((_options(wish) for wish in wishes if wish.options is not None), None)
    if said is None or set(said) == set(known):
        return known
    if len(said) > MAX_OPTIONS:
        raise invalid("/variants/0/options", f"A product may have {MAX_OPTIONS} options.", "too_many_options")
    if len({name.lower() for name in said}) < len(said):
        raise invalid("/variants/0/options", "Two options have the same name.", "duplicate_options")
    return tuple(said)


def _options(wish: Wish) -> Mapping[str, str]:
    options = wish.options or {}
    lowered = tuple((name.lower(), value.lower()) for name, value in options.items())
    return {} if lowered == _DEFAULT else options


class _Workshop:
    """Makes one variant after the other, none like another."""

    def __init__(
        self,
        stored: Sequence[Variant],
        names: tuple[str, ...],
        price: int | None,
        new_id: Callable[[], str],
    ) -> None:
        self._by_id = {variant.id: variant for variant in stored}
        self._by_sku = {variant.sku: variant for variant in stored}
        self._names, self._price, self._new_id = names, price, new_id
        self._seen: set[object] = set()
        self.made: list[Variant] = []
        self.opening: dict[str, int] = {}

    def add(self, at: str, wish: Wish) -> None:
        stored = self._stored(at, wish)
        fields = dict(wish.fields)
        fields["options"] = self._values(at, wish, stored)
        if self._price is not None:
            fields.setdefault("price", self._price)
        variant = self._new(at, wish, fields, stored) if _is_new(wish, stored) else self._same(at, wish, fields, stored)
        self._refuse_repeated(at, variant)
        self.made.append(variant)

    def _stored(self, at: str, wish: Wish) -> Variant | None:
        if wish.id is None:
            return self._by_sku.get(wish.sku or NOT_NAMED)
        if wish.id not in self._by_id:
            raise invalid(f"{at}/id", "The product has no variant of this id.", "variant_unknown")
        return self._by_id[wish.id]

    def _values(self, at: str, wish: Wish, stored: Variant | None) -> tuple[str, ...]:
        if wish.options is None:
            values = stored.options if stored else ()
            if len(values) != len(self._names):
                raise invalid(f"{at}/options", f"Give a value for {', '.join(self._names)}.", "options_differ")
            return values
        options = _options(wish)
        if set(options) != set(self._names):
            detail = f"All variants have the same options; here: {', '.join(self._names) or 'none'}."
            raise invalid(f"{at}/options", detail, "options_differ")
        return tuple(options[name] for name in self._names)

    def _new(self, at: str, wish: Wish, fields: dict[str, Any], stored: Variant | None) -> Variant:
        if stored is None and "price" not in fields:
            raise invalid(f"{at}/price", "A new variant needs a price.", "price_required")
        identity = {"id": self._new_id(), "sku": wish.sku or NOT_NAMED}
        variant = Variant(**{**(msgspec.structs.asdict(stored) if stored else {}), **fields, **identity})
        if wish.stock is not None:
            self.opening[variant.id] = wish.stock
        return variant

    def _same(self, at: str, wish: Wish, fields: dict[str, Any], stored: Variant | None) -> Variant:
        if wish.stock is not None:
            detail = "Stock is told when a variant is new; later, PUT the product's stock or write a movement."
            raise invalid(f"{at}/stock", detail, "stock_not_opening")
        assert stored is not None
        return msgspec.structs.replace(stored, **fields)

    def _refuse_repeated(self, at: str, variant: Variant) -> None:
        if variant.sku != NOT_NAMED and variant.sku in self._seen:
            raise invalid(f"{at}/sku", "Two variants have the same SKU.", "duplicate_sku")
        if variant.options in self._seen:
            raise invalid(f"{at}/options", "Two variants have the same options.", "duplicate_options")
        self._seen |= {variant.sku, variant.options}


def _is_new(wish: Wish, stored: Variant | None) -> bool:
    return stored is None or wish.sku not in (None, stored.sku)
