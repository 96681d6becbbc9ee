"""One page of a table, newest first, by the ids that stand for time."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.http.body import ListOf, ListQuery, page

T = TypeVar("T")

Condition = str | tuple[str, object]
"""SQL, or SQL with `{}` in the place of a value and that value."""


def given(*conditions: tuple[str, object]) -> list[Condition]:
    """Those with a value: a filter that nobody asked for is left out, since `$1 IS NULL OR` keeps its index from being
    used. Not for who may see what, unless None means everyone."""
    return [condition for condition in conditions if condition[1] is not None]


async def read_page(
    db: Database | Tx,
    table: str,
    columns: str,
    conditions: Sequence[Condition],
    query: ListQuery,
    of: Callable[[Row], T],
) -> ListOf[T]:
    """The page of `table` that `query` asks for, of the rows that meet all `conditions`; all SQL in them is ours."""
    backwards = query.ending_before is not None
    cursor = query.ending_before or query.starting_after
    if cursor is not None:
        conditions = [*conditions, (f"{table}.id {'>' if backwards else '<'} {{}}::uuid", cursor)]
    values = [condition[1] for condition in conditions if isinstance(condition, tuple)]
    places = iter(range(1, len(values) + 1))
    clauses = [c if isinstance(c, str) else c[0].format(f"${next(places)}") for c in conditions]
    rows = await db.fetch(
        f"SELECT {columns} FROM {table} WHERE {' AND '.join(clauses) or 'true'}"
        f" ORDER BY {table}.id {'ASC' if backwards else 'DESC'} LIMIT ${len(values) + 1}",
        *values,
        query.limit + 1,
    )
    return page([of(row) for row in rows], query.limit, backwards=backwards)
