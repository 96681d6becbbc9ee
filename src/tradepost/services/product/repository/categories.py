"""The tree of categories."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.ids import new_id
from tradepost.services.product.domain.category import (
    SEPARATOR,
    CategoryNameTaken,
    CategoryNotEmpty,
    CategoryUnknown,
)

Path = tuple[str, ...]

# Two moves at once could make a ring of two halves: whoever changes the shape of the tree does so alone.
_LOCK: Final = "LOCK TABLE category IN SHARE ROW EXCLUSIVE MODE"

_READ: Final = """
SELECT id::text AS id, name, parent_id::text AS parent_id, version FROM category WHERE id = $1 FOR NO KEY UPDATE
"""
_INSERT: Final = "INSERT INTO category (id, parent_id, name) VALUES ($1, $2, $3)"
_UPDATE: Final = "UPDATE category SET name = $2, parent_id = $3, version = version + 1 WHERE id = $1"
_DELETE: Final = "DELETE FROM category WHERE id = $1"

_UPWARDS: Final = """
WITH RECURSIVE upwards AS (
    SELECT id, parent_id FROM category WHERE id = $1
    UNION ALL
    SELECT category.id, category.parent_id FROM category JOIN upwards ON category.id = upwards.parent_id
)
SELECT id::text AS id FROM upwards
"""
_HEIGHT: Final = """
WITH RECURSIVE downwards AS (
    SELECT id, 1 AS level FROM category WHERE id = $1
    UNION ALL
    SELECT category.id, level + 1 FROM category JOIN downwards ON category.parent_id = downwards.id
)
SELECT max(level) FROM downwards
"""
_FIND: Final = """
SELECT asked.place::int - 1 AS place, category.id::text AS id
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS asked (parent_id, name, place)
JOIN category ON lower(category.name) = lower(asked.name) AND category.parent_id IS NOT DISTINCT FROM asked.parent_id
"""
_ADD: Final = """
INSERT INTO category (id, parent_id, name)
SELECT id, parent_id, name FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new (id, parent_id, name)
ORDER BY parent_id, lower(name)
ON CONFLICT DO NOTHING
"""
_PATHS: Final = """
WITH RECURSIVE upwards AS (
    SELECT id AS of, parent_id, ARRAY[name] AS names FROM category WHERE id = ANY ($1::uuid[])
    UNION ALL
    SELECT upwards.of, category.parent_id, category.name || upwards.names
    FROM category JOIN upwards ON category.id = upwards.parent_id
)
SELECT of::text AS id, names FROM upwards WHERE parent_id IS NULL
"""


async def lock_tree(tx: Tx) -> None:
    """Nobody else changes the tree until the commit."""
    await tx.execute(_LOCK)


async def read(tx: Tx, category_id: str) -> Row | None:
    """`id, name, parent_id, version`, locked."""
    return await tx.fetchrow(_READ, category_id)


async def insert(tx: Tx, category_id: str, name: str, parent_id: str | None) -> None:
    """Errors: CategoryNameTaken, CategoryUnknown."""
    with _refusals():
        await tx.execute(_INSERT, category_id, parent_id, name)


async def update(tx: Tx, category_id: str, name: str, parent_id: str | None) -> None:
    """Errors: CategoryNameTaken, CategoryUnknown."""
    with _refusals():
        await tx.execute(_UPDATE, category_id, name, parent_id)


async def delete(tx: Tx, category_id: str) -> None:
    """Errors: CategoryNotEmpty."""
    try:
        await tx.execute(_DELETE, category_id)
    except asyncpg.ForeignKeyViolationError as error:
        raise CategoryNotEmpty("Move or remove what is in the category first.") from error


async def upwards(tx: Tx, category_id: str) -> Sequence[str]:
    """The ids from the category up to its root; none when it does not exist."""
    return [row["id"] for row in await tx.fetch(_UPWARDS, category_id)]


async def height(tx: Tx, category_id: str) -> int:
    """Levels of the tree below and with the category."""
    return await tx.fetchval(_HEIGHT, category_id) or 0


async def ids_of(tx: Tx, paths: Collection[Path], *, create: bool) -> Mapping[Path, str]:
    """The categories at these paths, level by level; those that are missing are made, or only given an id."""
    found: dict[Path, str] = {}
    for level in range(1, max(map(len, paths), default=0) + 1):
        wanted = sorted({path[:level] for path in paths if len(path) >= level})
        await _find(tx, wanted, found)
        missing = {path: new_id() for path in wanted if path not in found}
        if missing and create:
            names = [path[-1] for path in missing]
            await tx.execute(_ADD, list(missing.values()), [found.get(path[:-1]) for path in missing], names)
            await _find(tx, list(missing), found)
        found = {**missing, **found}
    return found


async def paths_of(db: Database, ids: Collection[str]) -> Mapping[str, str]:
    """`Home > Kitchen > Mugs` for each of these categories."""
    return {row["id"]: SEPARATOR.join(row["names"]) for row in await db.fetch(_PATHS, list(ids))}


async def _find(tx: Tx, wanted: Sequence[Path], found: dict[Path, str]) -> None:
    parents = [found.get(path[:-1]) for path in wanted]
    for row in await tx.fetch(_FIND, parents, [path[-1] for path in wanted]):
        found[wanted[row["place"]]] = row["id"]


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise CategoryNameTaken("A category beside it has this name.") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise CategoryUnknown("/parent_id") from error
