"""Reading: the events between two stored snapshots, ordered by id. Nothing is lost, and one key keeps its order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

PIECE_EVENTS: Final = 1_000
PIECE_BYTES: Final = 8 * 1024 * 1024
TICKS_AT_ONCE: Final = 100

TICK_COLUMNS: Final = """id, uuid::text AS uuid, epoch, sources, snapshot::text AS snapshot,
    pg_snapshot_xmax(snapshot)::text::bigint AS xmax,
    ARRAY(SELECT pg_snapshot_xip(snapshot)::text::bigint) AS xip"""

RAW_COLUMNS: Final = """id, event_id::text AS event_id, type, key, slot, sequence, at, correlation_id,
       causation_id::text AS causation_id, traceparent, data"""
_WANTED: Final = """pg_visible_in_snapshot(xid, $5::text::pg_snapshot)
      AND id + 0 > $6 AND slot BETWEEN $7 AND $8 AND ($9::text[] IS NULL OR type = ANY ($9))"""

# What `cur` shows beyond what `prev` showed: rows of transactions begun since, and of those in flight then. They are
# two sets, since a snapshot's `xip` lie below its `xmax`; with OR between them a plan for all ticks can't use the xid.
# The index on ids must not be used for `after`, or it reads all that was ever written: hence the sum.
# Which they are comes first, and only those of the piece are read whole: who lags behind has many more before him.
_PIECE: Final = f"""
WITH fresh AS MATERIALIZED (
    SELECT id, bytes FROM {{schema}}.event
    WHERE epoch = $1 AND xid >= $2::text::xid8 AND xid < $3::text::xid8 AND {_WANTED}
    UNION ALL
    SELECT id, bytes FROM {{schema}}.event
    WHERE epoch = $1 AND xid = ANY ($4::text[]::xid8[]) AND {_WANTED}
), piece AS (
    SELECT id, row_number() OVER newest AS nth, sum(bytes) OVER newest AS size
    FROM (SELECT * FROM fresh ORDER BY id LIMIT $10) AS first WINDOW newest AS (ORDER BY id)
)
SELECT (SELECT count(*) FROM fresh) AS remaining, (SELECT max(id) FROM fresh) AS last, {RAW_COLUMNS}
FROM piece JOIN {{schema}}.event USING (id) WHERE nth = 1 OR size <= $11 ORDER BY id
"""

# What lies there within a range of ids, once it is known where it ends: so whoever has a million between two ticks does
# not look at all that are left with every piece. Without statistics the index on epochs would seem as good: hence the
# sum.
_RANGE: Final = f"""
SELECT {RAW_COLUMNS}
FROM (
    SELECT *, row_number() OVER newest AS nth, sum(bytes) OVER newest AS size
    FROM (
        SELECT * FROM {{schema}}.event
        WHERE id > $4 AND id <= $5 AND epoch + 0 = $1
          AND pg_visible_in_snapshot(xid, $3::text::pg_snapshot)
          AND NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
          AND slot BETWEEN $6 AND $7 AND ($8::text[] IS NULL OR type = ANY ($8))
        ORDER BY id LIMIT $9
    ) AS first WINDOW newest AS (ORDER BY id)
) AS shown
WHERE nth = 1 OR size <= $10 ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Tick:
    """A stored snapshot; `sources` have news since the tick before it."""

    id: int
    uuid: str
    epoch: int
    sources: frozenset[str]
    snapshot: str
    xmax: int
    xip: tuple[int, ...]

    @classmethod
    def of(cls, row: Any) -> "Tick":
        return cls(
            row["id"],
            row["uuid"],
            row["epoch"],
            frozenset(row["sources"]),
            row["snapshot"],
            row["xmax"],
            tuple(row["xip"]),
        )


class Raw(msgspec.Struct, frozen=True, gc=False):  # as a frozen dataclass it would take ten times as long to make
    """An event as it lies in the log; `data` is JSON."""

    position: int
    id: str
    type: str
    key: str
    slot: int
    sequence: int
    time: datetime
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    data: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Up to 1,000 events and 8 MiB of the `found` ones that lie between the two ticks, beyond what was read before.
    Their last has the id `last`."""

    events: Sequence[Raw]
    found: int
    last: int

    @property
    def complete(self) -> bool:
        """Whether nothing more lies there."""
        return len(self.events) == self.found

    def cut(self, most: int) -> tuple["Piece", "Piece"]:
        """Its first events, `most` of them, and the others."""
        first, others = self.events[:most], self.events[most:]
        return Piece(first, self.found, self.last), Piece(others, self.found - len(first), self.last)


NOTHING: Final = Piece([], 0, 0)


class Reach:
    """How many ticks to read at once: as many as have about a piece of events, since whoever reads the first piece of
    more looks at all of them."""

    def __init__(self) -> None:
        self.ticks = TICKS_AT_ONCE

    def went_too_far(self, prev: Tick, cur: Tick, piece: Piece) -> bool:
        """Learn from what was found from the one to the other, all of it new: whether it is better read again, and
        less of it. Never so where ticks were thinned out, and the next that is left is further than was asked for."""
        spanned, asked = cur.id - prev.id, self.ticks
        if piece.complete:
            if piece.found < PIECE_EVENTS // 2 and spanned >= asked:
                self.ticks = min(2 * asked, TICKS_AT_ONCE)
            return False
        self.ticks = max(1, min(spanned - 1, spanned * PIECE_EVENTS // piece.found))
        return self.ticks < spanned <= asked


async def read_piece(
    connection: Any,
    source: str,
    prev: Tick,
    cur: Tick,
    *,
    after: int,
    slots: tuple[int, int],
    types: Sequence[str] | None,
) -> Piece:
    """The next events of `source` that `cur` shows and `prev` does not, beyond id `after`, of `types` or of all. Read
    on the primary."""
    rows = await connection.fetch(
        _PIECE.format(schema=f'"{source}"'),
        prev.epoch,
        str(prev.xmax),
        str(cur.xmax),
        [str(xid) for xid in prev.xip],
        cur.snapshot,
        after,
        *slots,
        types,
        PIECE_EVENTS,
        PIECE_BYTES,
    )
    if not rows:
        return NOTHING
    return Piece([raw(row) for row in rows], rows[0]["remaining"], rows[0]["last"])


async def read_on(
    connection: Any,
    source: str,
    prev: Tick,
    cur: Tick,
    rest: Piece,
    *,
    after: int,
    slots: tuple[int, int],
    types: Sequence[str] | None,
) -> Piece:
    """The next events of `rest`, which were found between the two ticks and not read yet, beyond id `after`."""
    rows: Sequence[Any] = ()
    wide = max(1, (rest.last - after) * PIECE_EVENTS // rest.found)  # has a piece, if they lie evenly
    while not rows and after < rest.last:
        end = min(after + wide, rest.last)
        rows = await connection.fetch(
            _RANGE.format(schema=f'"{source}"'),
            prev.epoch,
            prev.snapshot,
            cur.snapshot,
            after,
            end,
            *slots,
            types,
            PIECE_EVENTS,
            PIECE_BYTES,
        )
        after, wide = end, 2 * wide
    return Piece([raw(row) for row in rows], rest.found, rest.last)


def raw(row: Any) -> Raw:
    """A row of `event` as a value."""
    return Raw(
        row["id"],
        row["event_id"],
        row["type"],
        row["key"],
        row["slot"],
        row["sequence"],
        row["at"],
        row["correlation_id"],
        row["causation_id"],
        row["traceparent"],
        row["data"],
    )
