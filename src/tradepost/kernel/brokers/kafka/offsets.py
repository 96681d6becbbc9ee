"""Where a group goes on in each partition: rows in its own database, ours while nobody claims them anew."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tradepost.kernel.brokers.port import Unit
from tradepost.kernel.log.cursor import Fenced

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx

_STORED: Final = 'SELECT source, partition, next FROM kafka_offset WHERE "group" = $1'
_BEGIN: Final = """
INSERT INTO kafka_offset (source, "group", partition, next)
SELECT source, $1, partition, next FROM unnest($2::text[], $3::int[], $4::bigint[]) AS new (source, partition, next)
ON CONFLICT DO NOTHING
"""
_CLAIM: Final = """
WITH free AS (
    SELECT source, partition FROM kafka_offset
    WHERE "group" = $1 AND (owner IS NULL OR owner = $4 OR owner <> ALL ($5::text[]))
      AND (source, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
    ORDER BY source, partition FOR UPDATE
)
UPDATE kafka_offset AS o SET owner = $4, fence = fence + 1 FROM free
WHERE o."group" = $1 AND o.source = free.source AND o.partition = free.partition
RETURNING o.source, o.partition, next, fence
"""
_OURS: Final = """
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS our (source, partition, fence, next)
WHERE o."group" = $1 AND o.source = our.source AND o.partition = our.partition AND o.fence = our.fence
"""
_MOVE: Final = f"UPDATE kafka_offset AS o SET next = our.next {_OURS}"
_RELEASE: Final = """
UPDATE kafka_offset SET owner = NULL
WHERE "group" = $1 AND (source, partition) IN (SELECT * FROM unnest($2::text[], $3::int[])) AND owner = $4
"""


@dataclass(frozen=True, slots=True)
class Held:
    """The offset of the next record to take, under the fence of whoever holds the partition."""

    next: int
    fence: int


async def stored(db: "Database", group: str) -> dict[Unit, int]:
    """The offset that comes next in each partition that has one."""
    return {Unit(row["source"], row["partition"]): row["next"] for row in await db.fetch(_STORED, group)}


async def begin(tx: "Tx", group: str, at: Mapping[Unit, int]) -> None:
    """Where the group begins in the partitions that have no offset yet."""
    await tx.execute(_BEGIN, group, *_columns(at), list(at.values()))


async def claim(
    tx: "Tx", group: str, units: Iterable[Unit], owner: str, others: Collection[str]
) -> Mapping[Unit, Held]:
    """Take over those of `units` that none of the `others` holds, who are alive, and fence whoever had them."""
    rows = await tx.fetch(_CLAIM, group, *_columns(list(units)), owner, list(others))
    return {Unit(row["source"], row["partition"]): Held(row["next"], row["fence"]) for row in rows}


def move(tx: "Tx", group: str, to: Mapping[Unit, Held]) -> None:
    """With the last of what is written. The transaction ends with Fenced when one of the partitions has another owner,
    or no offset any more."""
    otherwise = Fenced(f"{group} has another owner for some of {', '.join(f'{u.source}/{u.number}' for u in to)}")
    tx.last(_MOVE, group, *_ours(to), rows=len(to), otherwise=otherwise)


async def release(tx: "Tx", group: str, units: Collection[Unit], owner: str) -> None:
    """Leave the partitions to whoever comes; nothing where they are another's already. Not by their fences: one whose
    claim was cut off does not know them."""
    await tx.execute(_RELEASE, group, *_columns(units), owner)


def _columns(units: Collection[Unit]) -> tuple[list[str], list[int]]:
    return [unit.source for unit in units], [unit.number for unit in units]


def _ours(held: Mapping[Unit, Held]) -> tuple[list[str], list[int], list[int], list[int]]:
    return *_columns(held), [h.fence for h in held.values()], [h.next for h in held.values()]
