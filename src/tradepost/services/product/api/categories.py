"""Categories: a tree that staff tend and everyone reads."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.database import Tx
from tradepost.kernel.http.body import Body, Id, ListOf, ListQuery
from tradepost.kernel.http.endpoint import Answer, Request
from tradepost.kernel.ids import new_id
from tradepost.services.product.api.versions import answer_with, version_check
from tradepost.services.product.commands import categories as commands
from tradepost.services.product.desk import Desk
from tradepost.services.product.queries import categories as queries
from tradepost.services.product.queries.categories import CategoryView

# `>` stands between the names of a path in product files.
Name = Annotated[str, Meta(pattern=r"^[^>]*[^>\s][^>]*$", max_length=200)]


class CreateCategory(Body, frozen=True, kw_only=True):
    """A category, at the root or below another."""

    name: Name
    parent_id: Id | None = None


class EditCategory(Body, frozen=True, kw_only=True):
    """Another name, or another parent; null is the root."""

    name: Name | UnsetType = UNSET
    parent_id: Id | UnsetType | None = UNSET


class CreatedCategory(CategoryView, frozen=True, kw_only=True):
    """The new category."""

    category_id: str


async def create_category(request: Request[CreateCategory, None], _desk: Desk, tx: Tx) -> Answer[CreatedCategory]:
    """Create a category. Errors: CategoryUnknown, CategoryNameTaken, CategoryTooDeep."""
    category_id, body = new_id(), request.body
    await commands.create(tx, category_id, body.name.strip(), body.parent_id)
    view = await queries.read_category(tx, category_id)
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return answer_with(CreatedCategory(category_id=category_id, **fields), view.version)


async def read_category(request: Request[None, None], desk: Desk) -> Answer[CategoryView]:
    """Read a category with all that lies below it. Errors: NoSuchCategory."""
    view = await queries.read_category(desk.db, request.path["category_id"])
    return answer_with(view, view.version)


async def list_categories(request: Request[None, ListQuery], desk: Desk) -> ListOf[CategoryView]:
    """Read the trees: a page counts roots, by name."""
    query = request.query
    return await queries.list_categories(
        desk.db, limit=query.limit, after=query.starting_after, before=query.ending_before
    )


async def edit_category(request: Request[EditCategory, None], _desk: Desk, tx: Tx) -> Answer[CategoryView]:
    """Rename or move a category. Errors: NoSuchCategory, Stale, CategoryCycle, and as for creating one."""
    category_id, body = request.path["category_id"], request.body
    await commands.edit(
        tx,
        category_id,
        version_check(request),
        None if body.name is UNSET else body.name.strip(),
        None if body.parent_id is UNSET else body.parent_id,
        moves=body.parent_id is not UNSET,
    )
    view = await queries.read_category(tx, category_id)
    return answer_with(view, view.version)


async def delete_category(request: Request[None, None], _desk: Desk, tx: Tx) -> None:
    """Remove an empty category. Errors: NoSuchCategory, Stale, CategoryNotEmpty."""
    await commands.delete(tx, request.path["category_id"], version_check(request))
