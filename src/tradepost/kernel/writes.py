"""Writes that go together: as many as there are, one statement and one round trip."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

import asyncpg

NOT_ASSURED: Final = "TP001"

_PARAMETER: Final = re.compile(r"\$(\d+)")


class Write(NamedTuple):
    """An INSERT, UPDATE or DELETE without RETURNING. If it must write so many rows, `otherwise` is the error."""

    sql: str
    args: Sequence[object]
    rows: int | None = None
    otherwise: Exception | None = None


async def write(connection: Any, writes: Sequence[Write]) -> None:
    """Do them in one statement, and so all or none. None sees what another one does, and no two of them may write one
    row. Errors: the database's; `otherwise` of one that wrote another number of rows than it must."""
    sql = _together(tuple(one.sql for one in writes), tuple(len(one.args) for one in writes), _sure(writes))
    try:
        await connection.execute(sql, *chain.from_iterable(one.args for one in writes), *_rows(writes))
    except asyncpg.PostgresError as error:
        if error.sqlstate == NOT_ASSURED and (otherwise := writes[int(error.detail or 0)].otherwise):
            raise otherwise from error
        raise


def _sure(writes: Sequence[Write]) -> tuple[bool, ...]:
    return tuple(one.rows is not None for one in writes)


def _rows(writes: Sequence[Write]) -> list[int]:
    return [one.rows for one in writes if one.rows is not None]


@cache
def _together(sqls: Sequence[str], arguments: Sequence[int], sure: Sequence[bool]) -> str:
    """Only those that must be sure return what they wrote, to be counted."""
    parts, counts, before, after = [], [], 0, sum(arguments)
    for at, (sql, count, is_sure) in enumerate(zip(sqls, arguments, sure, strict=True)):
        parts.append(f"write_{at} AS ({_moved(sql, before)}{' RETURNING 1' if is_sure else ''})")
        before += count
        if is_sure:
            after += 1
            counts.append(f"(SELECT assured(count(*), ${after}, {at}) FROM write_{at})")
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"


def _moved(sql: str, by: int) -> str:
    """The same with its parameters further back."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", sql)
