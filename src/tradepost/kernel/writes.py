"""Writes that go together: as many as there are, one statement and one round trip."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

import asyncpg

from tradepost.kernel.wire import commit_with

NOT_ASSURED: Final = "TP001"

_PARAMETER: Final = re.compile(r"\$(\d+)")


class Write(NamedTuple):
    """An INSERT, UPDATE or DELETE without RETURNING. If it must write so many rows, `otherwise` is the error."""

    sql: str
    args: Sequence[object]
    rows: int | None = None
    otherwise: Exception | None = None


async def write(connection: Any, writes: Sequence[Write], *, commits: bool = False) -> None:
    """Do them in one statement, and so all or none; if it `commits`, that ends the transaction. None sees what another
    one does, and no two of them may write one row. Errors: the database's; `otherwise` of one that wrote another number
    of rows than it must."""
    sql = _together(tuple((one.sql, len(one.args), one.rows is not None) for one in writes))
    rows = (one.rows for one in writes if one.rows is not None)
    if commits:
        await commit_with(connection, sql)
    try:
        await connection.execute(sql, *chain.from_iterable(one.args for one in writes), *rows)
    except asyncpg.PostgresError as error:
        if error.sqlstate == NOT_ASSURED and (otherwise := writes[int(error.detail or 0)].otherwise):
            raise otherwise from error
        raise


@cache
def _together(writes: Sequence[tuple[str, int, bool]]) -> str:
    """The statement for these, each with so many arguments. Only one that must be sure how many rows it wrote returns
    them, to be counted."""
    parts, counts, before, after = [], [], 0, sum(count for _, count, _ in writes)
    for at, (sql, count, is_sure) in enumerate(writes):
        parts.append(f"write_{at} AS ({_moved(sql, before)}{' RETURNING 1' if is_sure else ''})")
        before += count
        if is_sure:
            after += 1
            counts.append(f"(SELECT assured(count(*), ${after}, {at}) FROM write_{at})")
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"


def _moved(sql: str, by: int) -> str:
    """The same with its parameters further back."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", sql)
