"""Staff create, change and archive products."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.services.product.domain import editing, naming
from tradepost.services.product.domain.editing import Wish
from tradepost.services.product.domain.product import (
    Change,
    HandleTaken,
    NoSuchProduct,
    Product,
    SkuTaken,
    archived,
    publish,
)
from tradepost.services.product.repository import products

CheckVersion = Callable[[int], None]


async def create(
    tx: Tx,
    name: str,
    handle: str | None,
    fields: Mapping[str, Any],
    wishes: Sequence[Wish],
    price: int | None,
    cause: Cause,
) -> str:
    """The new product's id. Errors: Invalid, HandleTaken, SkuTaken, Raced, CategoryUnknown."""
    product_id = new_id()
    handle = await _free_handle(tx, handle, name, product_id)
    change = editing.create(product_id, handle, {"name": name, **fields}, wishes, price, new_id)
    await _save(tx, change, cause)
    return product_id


async def edit(
    tx: Tx,
    product_id: str,
    check: CheckVersion,
    fields: Mapping[str, Any],
    metadata: Mapping[str, Any],
    wishes: Sequence[Wish] | None,
    price: int | None,
    cause: Cause,
) -> None:
    """`check` raises when the version is not the one that the caller knows. Errors: as for `create`, NoSuchProduct."""
    before = await _locked(tx, product_id, check)
    if "handle" in fields and fields["handle"] != before.handle:
        await _refuse_taken(tx, fields["handle"])
    if metadata:
        fields = {**fields, "metadata": editing.merged(before.metadata, metadata)}
    await _save(tx, editing.edit(before, fields, wishes, price, new_id), cause)


async def archive(tx: Tx, product_id: str, check: CheckVersion, cause: Cause) -> None:
    """Sell it no longer; nothing happens to one that is archived already. Errors: NoSuchProduct."""
    before = await _locked(tx, product_id, check)
    await _save(tx, Change(before, archived(before), {}), cause)


async def _locked(tx: Tx, product_id: str, check: CheckVersion) -> Product:
    product = await products.lock(tx, product_id)
    if product is None:
        raise NoSuchProduct("There is no product of this id.")
    check(product.version)
    return product


async def _save(tx: Tx, change: Change, cause: Cause) -> None:
    if change.before is None or change.after.variants != change.before.variants:
        change = await _with_skus(tx, change)
    published = publish(change)
    if published is not None:
        await products.save(tx, [published], cause)


async def _with_skus(tx: Tx, change: Change) -> Change:
    product = change.after
    owners = await products.owners_of(tx, list(naming.wanted_skus(product)))
    for variant in product.variants:
        if variant.sku and owners.get(variant.sku, product.handle) not in _handles(change):
            detail = f"The SKU {variant.sku} belongs to the product {owners[variant.sku]}."
            raise SkuTaken(detail, extra={"sku": variant.sku})
    return Change(change.before, naming.with_skus(product, owners), change.opening)


def _handles(change: Change) -> set[str]:
    """The product's, as stored and as it is going to be."""
    return {product.handle for product in (change.before, change.after) if product is not None}


async def _free_handle(tx: Tx, handle: str | None, name: str, product_id: str) -> str:
    if handle is not None:
        await _refuse_taken(tx, handle)
        return handle
    plain, other = naming.handles(name, product_id)
    return other if plain in await products.taken_handles(tx, [plain]) else plain


async def _refuse_taken(tx: Tx, handle: str) -> None:
    if await products.taken_handles(tx, [handle]):
        raise HandleTaken(f"Another product has the handle {handle}.")
