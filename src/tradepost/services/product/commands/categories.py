"""Staff make, move and remove categories."""

from collections.abc import Callable

from tradepost.kernel.database import Row, Tx
from tradepost.services.product.domain.category import (
    MAX_DEPTH,
    CategoryCycle,
    CategoryTooDeep,
    CategoryUnknown,
    NoSuchCategory,
)
from tradepost.services.product.repository import categories

CheckVersion = Callable[[int], None]


async def create(tx: Tx, category_id: str, name: str, parent_id: str | None) -> None:
    """Errors: CategoryUnknown, CategoryNameTaken, CategoryTooDeep."""
    if parent_id is not None:
        await categories.lock_tree(tx)
        await _refuse_misplaced(tx, category_id, parent_id, height=1)
    await categories.insert(tx, category_id, name, parent_id)


async def edit(
    tx: Tx, category_id: str, check: CheckVersion, name: str | None, parent_id: str | None, *, moves: bool
) -> None:
    """Another name, and with `moves` another parent. Errors: as for `create`, NoSuchCategory, CategoryCycle."""
    if moves:
        await categories.lock_tree(tx)
    before = await _read(tx, category_id, check)
    name = name or before["name"]
    parent_id = parent_id if moves else before["parent_id"]
    if (name, parent_id) == (before["name"], before["parent_id"]):
        return
    if moves and parent_id is not None:
        await _refuse_misplaced(tx, category_id, parent_id, height=await categories.height(tx, category_id))
    await categories.update(tx, category_id, name, parent_id)


async def delete(tx: Tx, category_id: str, check: CheckVersion) -> None:
    """Errors: NoSuchCategory, CategoryNotEmpty."""
    await _read(tx, category_id, check)
    await categories.delete(tx, category_id)


async def _read(tx: Tx, category_id: str, check: CheckVersion) -> Row:
    row = await categories.read(tx, category_id)
    if row is None:
        raise NoSuchCategory("There is no category of this id.")
    check(row["version"])
    return row


async def _refuse_misplaced(tx: Tx, category_id: str, parent_id: str, height: int) -> None:
    above = await categories.upwards(tx, parent_id)
    if not above:
        raise CategoryUnknown("/parent_id")
    if category_id in above:
        raise CategoryCycle("The new parent lies within the category itself.")
    if len(above) + height > MAX_DEPTH:
        raise CategoryTooDeep(f"The tree may have {MAX_DEPTH} levels.")
