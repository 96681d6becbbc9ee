"""Writing events: one statement for all events of a transaction, or a part of one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from zlib import crc32

from tradepost.kernel.clock import now
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id

SLOTS: Final = 16

COPIED: Final = 16  # events from which on COPY, which takes one more round trip, is the cheaper way

COLUMNS: Final = (
    "event_id",
    "type",
    "key",
    "slot",
    "sequence",
    "at",
    "correlation_id",
    "causation_id",
    "traceparent",
    "bytes",
    "data",
)
_INSERT: Final = f"""
INSERT INTO event ({", ".join(COLUMNS)})
SELECT {", ".join(COLUMNS[:-1])}, data::json
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::text[],
            $8::uuid[], $9::text[], $10::int[], $11::text[]) WITH ORDINALITY AS new ({", ".join(COLUMNS)}, position)
ORDER BY position
"""


class Pending(NamedTuple):
    """An event that waits for its transaction's end; `data` is JSON."""

    type: str
    key: str
    sequence: int
    data: bytes
    cause: Cause


def slot_of(key: str) -> int:
    """The slot of a key, 0 to 15: how consumers share the work."""
    return crc32(key.encode()) % SLOTS


def insertion(events: Sequence[Pending]) -> tuple[str, *tuple[object, ...]]:
    """The statement that inserts `events` in their order, and its arguments; their ids are drawn by it, after the rows
    that they are about were locked."""
    at = now()
    return _INSERT, *zip(*(_row(event, at) for event in events), strict=True)


async def copy(connection: Any, events: Sequence[Pending]) -> None:
    """The same by COPY."""
    at = now()
    await connection.copy_records_to_table("event", records=[_row(event, at) for event in events], columns=COLUMNS)


def _row(event: Pending, at: datetime) -> tuple[object, ...]:
    type_, key, sequence, data, cause = event
    return (
        new_id(),
        type_,
        key,
        slot_of(key),
        sequence,
        at,
        cause.correlation_id,
        cause.causation_id,
        cause.traceparent,
        len(data),
        data.decode(),
    )
