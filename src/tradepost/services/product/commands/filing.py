"""Products come out of a file: compare with what is stored, write the difference."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.services.product.domain import naming
from tradepost.services.product.domain.category import path_of
from tradepost.services.product.domain.filing import filed
from tradepost.services.product.domain.product import Change, Product, Published, publish
from tradepost.services.product.repository import categories, products
from tradepost.services.product.shopify import ProductDraft, Rejection

Status = Literal["created", "updated", "unchanged", "rejected"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a product of the file, and of `rows` of its rows; the others are rejected one by one."""

    handle: str
    status: Status
    rows: int
    rejections: Sequence[Rejection] = ()


async def file(tx: Tx, drafts: Sequence[ProductDraft], cause: Cause, *, dry_run: bool) -> Sequence[Outcome]:
    """Create, change or leave alone these products, whose handles differ. Errors: Raced."""
    stored = await products.lock_many(tx, [draft.handle for draft in drafts])
    at = await categories.ids_of(tx, {path_of(draft.category) for draft in drafts}, create=not dry_run)
    owners = await products.owners_of(tx, list(_skus(drafts)))
    for sku, handle in _claims(drafts):  # before any is given to a variant without one
        owners.setdefault(sku, handle)
    outcomes, changes = [], []
    for draft in drafts:
        outcome, published = _decide(draft, stored.get(draft.handle), at.get(path_of(draft.category)), owners)
        outcomes.append(outcome)
        changes += [published] if published else []
    if not dry_run:
        await products.save(tx, changes, cause)
    return outcomes


def _decide(
    draft: ProductDraft, before: Product | None, category_id: str | None, owners: dict[str, str]
) -> tuple[Outcome, Published | None]:
    kept, rejections = _acceptable(draft, before, owners)
    rows = len(draft.lines) - len(rejections)
    if not kept.variants:
        return Outcome(handle=draft.handle, status="rejected", rows=0, rejections=rejections), None
    change = filed(kept, before, category_id, new_id)
    product = naming.with_skus(change.after, owners)
    owners.update((variant.sku, product.handle) for variant in product.variants)
    published = publish(Change(before, product, change.opening))
    status: Status = "unchanged" if published is None else "updated" if before else "created"
    return Outcome(handle=draft.handle, status=status, rows=rows, rejections=rejections), published


def _acceptable(
    draft: ProductDraft, before: Product | None, owners: Mapping[str, str]
) -> tuple[ProductDraft, Sequence[Rejection]]:
    """The draft without the variants that can't be taken, and the rows that are rejected for it."""
    if before is not None and before.currency != draft.currency:
        detail = f"the product is priced in {before.currency}: send the file with currency={before.currency}"
        return _nothing(draft, {}, "currency_differs", detail)
    bad = {variant.line: variant.sku for variant in draft.variants if _is_taken(variant.sku, draft.handle, owners)}
    if not bad:
        return draft, ()
    if len(bad) == len(draft.variants):
        return _nothing(draft, bad, "product_without_variants", "no variant of the product could be taken", owners)
    kept = tuple(variant for variant in draft.variants if variant.line not in bad)
    return msgspec.structs.replace(draft, variants=kept), [_taken(draft, line, bad, owners) for line in sorted(bad)]


def _nothing(
    draft: ProductDraft, bad: Mapping[int, str | None], reason: str, detail: str, owners: Mapping[str, str] = {}
) -> tuple[ProductDraft, Sequence[Rejection]]:
    rejections = [
        _taken(draft, line, bad, owners) if line in bad else Rejection(line, draft.handle, reason, detail)
        for line in sorted(draft.lines)
    ]
    return msgspec.structs.replace(draft, variants=()), rejections


def _is_taken(sku: str | None, handle: str, owners: Mapping[str, str]) -> bool:
    return sku is not None and owners.get(sku, handle) != handle


def _taken(draft: ProductDraft, line: int, bad: Mapping[int, str | None], owners: Mapping[str, str]) -> Rejection:
    sku = bad[line] or ""
    return Rejection(line, draft.handle, "sku_taken", f"the SKU {sku!r} belongs to the product {owners[sku]!r}")


def _claims(drafts: Iterable[ProductDraft]) -> Iterator[tuple[str, str]]:
    for draft in drafts:
        yield from ((variant.sku, draft.handle) for variant in draft.variants if variant.sku)


def _skus(drafts: Iterable[ProductDraft]) -> Iterator[str]:
    for draft in drafts:
        for variant in draft.variants:
            yield from (variant.sku,) if variant.sku else naming.candidates(draft.handle, variant.options)
