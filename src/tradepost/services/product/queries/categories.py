"""Reads of the tree of categories."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.http.body import ListOf, page
from tradepost.services.product.domain.category import NoSuchCategory

_DOWN: Final = """
    UNION ALL
    SELECT place, category.id, category.parent_id, category.name, category.version, tree.path || category.name
    FROM category JOIN tree ON category.parent_id = tree.id
)
SELECT id::text AS id, parent_id::text AS parent_id, name, version, path
FROM tree ORDER BY place, cardinality(path), lower(name), id
"""
_ROOTS: Final = (
    """
WITH RECURSIVE root AS (
    SELECT id, parent_id, name, version FROM category WHERE parent_id IS NULL AND {place}
    ORDER BY lower(name) {order}, id {order} LIMIT $1
), tree AS (
    SELECT row_number() OVER (ORDER BY lower(name) {order}, id {order}) AS place,
           id, parent_id, name, version, ARRAY[name] AS path
    FROM root
"""
    + _DOWN
)
_AT: Final = "(lower(name), id) {than} (SELECT lower(name), id FROM category WHERE id = $2)"
_ONE: Final = (
    """
WITH RECURSIVE upwards AS (
    SELECT id, parent_id, name, version, ARRAY[name] AS path, parent_id AS above FROM category WHERE id = $1
    UNION ALL
    SELECT upwards.id, upwards.parent_id, upwards.name, upwards.version, category.name || path, category.parent_id
    FROM upwards JOIN category ON category.id = upwards.above
), tree AS (
    SELECT 1 AS place, id, parent_id, name, version, path FROM upwards WHERE above IS NULL
"""
    + _DOWN
)


class CategoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A category with all that lies below it; `path` are the names from the root down to it."""

    id: str
    name: str
    parent_id: str | None
    path: Sequence[str]
    version: int
    children: Sequence["CategoryView"]


async def read_category(db: Database | Tx, category_id: str) -> CategoryView:
    """Errors: NoSuchCategory."""
    rows = await db.fetch(_ONE, category_id)
    if not rows:
        raise NoSuchCategory("There is no category of this id.")
    return _trees(rows)[0]


async def list_categories(db: Database, *, limit: int, after: str | None, before: str | None) -> ListOf[CategoryView]:
    """The trees of a page of roots, by name."""
    backwards = before is not None
    place = _AT.format(than="<" if backwards else ">") if before or after else "$2::uuid IS NULL"
    order = "DESC" if backwards else "ASC"
    rows = await db.fetch(_ROOTS.format(place=place, order=order), limit + 1, before or after)
    return page(_trees(rows), limit, backwards=backwards)


def _trees(rows: Sequence[Row]) -> list[CategoryView]:
    """The categories whose parent is not among `rows`, each with what lies below it; parents come first."""
    roots: list[CategoryView] = []
    children: dict[str | None, list[CategoryView]] = {}
    for row in rows:
        below = children[row["id"]] = []
        children.get(row["parent_id"], roots).append(CategoryView(**row, children=below))
    return roots
