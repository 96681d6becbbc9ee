"""Whether a group has taken an event in, has it still before it, or has set it aside."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tradepost.console.databases import GROUPS, Connections
from tradepost.console.events.reading import Logged
from tradepost.kernel.log.lag import waiting

TAKEN: Final = "taken in"
WAITING: Final = "not yet"
PARKED: Final = "parked"

_PARKED: Final = """
SELECT position, error FROM "{schema}".parked WHERE source = $1 AND "group" = $2 AND position = ANY ($3::bigint[])
"""


class Taking(msgspec.Struct, frozen=True):
    """What became of an event in a group; `error` says why it is parked, in a line."""

    group: str
    state: str
    error: str | None = None


async def takings(connections: Connections, events: Sequence[Logged]) -> Mapping[str, Sequence[Taking]]:
    """By event id, what became of the event in each group that subscribes to its type."""
    found: defaultdict[str, list[Taking]] = defaultdict(list)
    for schema, group in GROUPS.values():
        for source in group.sources():
            ours = [one.event for one in events if one.source == source and one.event.type in group.of(source)]
            if not ours:
                continue
            ids = [event.position for event in ours]
            rows = await connections[schema].fetch(_PARKED.format(schema=schema), source, group.name, ids)
            errors = {row["position"]: row["error"] for row in rows}
            yet = await waiting(connections[source], connections[schema], source, schema, group.name, ids)
            for event in ours:
                found[event.id].append(_taking(group.name, errors.get(event.position), event.position in yet))
    return found


def _taking(group: str, error: str | None, is_waiting: bool) -> Taking:
    if error is not None:
        return Taking(group, PARKED, error.partition("\n")[0])
    return Taking(group, WAITING if is_waiting else TAKEN)
