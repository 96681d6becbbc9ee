"""The first page of a user's own orders: what most who list them want, again and again, and mostly unchanged."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.http.body import page
from tradepost.kernel.remembered import Remembered
from tradepost.services.order.views import COLUMNS, of_row

# `xmin` is the transaction that wrote a row last, so a page whose rows have the same ones has not changed.
_ROWS: Final = f"""
SELECT {COLUMNS}, most, mark
FROM unnest($1::uuid[], $2::int[]) AS asked (reader, most)
CROSS JOIN LATERAL (
    SELECT *, xmin::text AS mark FROM orders WHERE user_id = reader ORDER BY id DESC LIMIT most
) AS orders
ORDER BY orders.id DESC
"""
_MARKS: Final = """
SELECT reader::text AS user_id, most, COALESCE(mark, '') AS mark
FROM unnest($1::uuid[], $2::int[]) AS asked (reader, most)
CROSS JOIN LATERAL (
    SELECT string_agg(mark, ' ') AS mark
    FROM (SELECT xmin::text AS mark FROM orders WHERE user_id = reader ORDER BY id DESC LIMIT most) AS each
) AS marks
"""
_encode: Final = msgspec.json.Encoder().encode


class Newest(NamedTuple):
    """Whose, and how many at most."""

    user_id: str
    limit: int


class Shown(NamedTuple):
    """A page as it was sent, and the marks of the rows that it was made of."""

    mark: str
    json: bytes


class NewestOrders:
    """Reads first pages together, and makes only those anew that have changed."""

    def __init__(self) -> None:
        self._shown: Remembered[Newest, Shown] = Remembered()

    async def read(self, db: Database | Tx, asked: Sequence[Newest]) -> Mapping[Newest, bytes]:
        """A `ListOf[OrderView]` for each, encoded, as committed after it was asked for."""
        found = await self._unchanged(db, asked)
        return {**found, **await self._made(db, [one for one in asked if one not in found])}

    async def _unchanged(self, db: Database | Tx, asked: Sequence[Newest]) -> Mapping[Newest, bytes]:
        shown = {one: page for one in asked if (page := self._shown.get(one)) is not None}
        marks = await _read(db, _MARKS, list(shown))
        return {one: shown[one].json for one, (row,) in marks.items() if shown[one].mark == row["mark"]}

    async def _made(self, db: Database | Tx, asked: Sequence[Newest]) -> Mapping[Newest, bytes]:
        rows = await _read(db, _ROWS, asked)
        return {one: self._keep(one, rows[one]) for one in asked}

    def _keep(self, one: Newest, rows: Sequence[Row]) -> bytes:
        json = _encode(page([of_row(row) for row in rows], one.limit))
        self._shown.put(one, Shown(" ".join(row["mark"] for row in rows), json), len(json))
        return json


async def _read(db: Database | Tx, sql: str, asked: Sequence[Newest]) -> Mapping[Newest, Sequence[Row]]:
    """The rows for each; of one more order than its page has, to know whether there are more."""
    found: defaultdict[Newest, list[Row]] = defaultdict(list)
    if asked:
        for row in await db.fetch(sql, [one.user_id for one in asked], [one.limit + 1 for one in asked]):
            found[Newest(row["user_id"], row["most"] - 1)].append(row)
    return found
