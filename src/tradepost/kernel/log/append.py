"""Writing events: one statement for all events of a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from tradepost.kernel.clock import now
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id

SLOTS: Final = 16

_INSERT: Final = """
INSERT INTO event (event_id, type, key, slot, sequence, at, correlation_id, causation_id, traceparent, bytes, data)
SELECT event_id, type, key, slot, sequence, $6, correlation_id, causation_id, traceparent, octet_length(data),
       data::json
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $7::text[], $8::uuid[], $9::text[],
            $10::text[])
     WITH ORDINALITY
     AS new (event_id, type, key, slot, sequence, correlation_id, causation_id, traceparent, data, position)
ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that waits for its transaction's end; `data` is JSON."""

    type: str
    key: str
    sequence: int
    data: str
    cause: Cause


def slot_of(key: str) -> int:
    """The slot of a key, 0 to 15: how consumers share the work."""
    return crc32(key.encode()) % SLOTS


async def append_all(connection: Any, events: Sequence[Pending]) -> None:
    """Insert `events` in their order; their ids are drawn here, after the rows that they are about were locked."""
    await connection.execute(
        _INSERT,
        [new_id() for _ in events],
        [event.type for event in events],
        [event.key for event in events],
        [slot_of(event.key) for event in events],
        [event.sequence for event in events],
        now(),
        [event.cause.correlation_id for event in events],
        [event.cause.causation_id for event in events],
        [event.cause.traceparent for event in events],
        [event.data for event in events],
    )
