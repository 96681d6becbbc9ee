"""Where every group and relay stands in every log that it reads."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

import msgspec

from tradepost.console.databases import GROUPS, Connections
from tradepost.kernel.log.lag import RELAY, behind
from tradepost.kernel.log.roster import ALIVE
from tradepost.main import SERVICES

_AT_WORK: Final = f"""
SELECT count(DISTINCT owner) FROM "{{schema}}".member WHERE (team = $1 OR team LIKE $1 || ' by %') AND {ALIVE}
"""  # a team that hears from a broker is called after it
_RELAYED: Final = 'SELECT EXISTS (SELECT FROM "{schema}".cursor WHERE source = $1 AND "group" = $2)'
_NEWEST: Final = 'SELECT COALESCE(max(id), 0) FROM "{source}".event'
_SINCE: Final = """
SELECT count(*) FROM "{source}".event WHERE id > $1 AND ($2::text[] IS NULL OR type = ANY ($2))
"""


class Reader(msgspec.Struct, frozen=True):
    """A group in one log, or a relay; with `types` None it reads everything."""

    group: str
    source: str
    schema: str
    types: tuple[str, ...] | None


class Standing(msgspec.Struct, frozen=True):
    """A reader's lag. `rate` is events taken in per second, where it was measured; `processes` are those at work."""

    group: str
    source: str
    how: str
    events: int
    seconds: float
    stands: bool
    processes: int
    rate: float | None = None


async def readers(connections: Connections) -> list[Reader]:
    """All groups in all logs that they subscribe to, and the relays that there are, as far as their databases are among
    the `connections`."""
    found = [
        Reader(group.name, source, service, tuple(group.of(source)))
        for service, group in GROUPS.values()
        for source in group.sources()
        if service in connections and source in connections
    ]
    for name in [service.name for service in SERVICES if service.name in connections]:
        if await connections[name].fetchval(_RELAYED.format(schema=name), name, RELAY):
            found += [Reader(RELAY, name, name, None)]
    return found


async def standings(connections: Connections, *, thorough: bool = False) -> list[Standing]:
    """Where everyone stands now."""
    return [await _standing(connections, reader, thorough=thorough) for reader in await readers(connections)]


async def measured(connections: Connections, seconds: float) -> list[Standing]:
    """Where everyone stands, and how fast they took in events during `seconds` before."""
    found = await readers(connections)
    before = [await _standing(connections, reader) for reader in found]
    newest = {reader.source: await _newest(connections, reader.source) for reader in found}
    began = monotonic()
    await asyncio.sleep(seconds)
    after = [await _standing(connections, reader) for reader in found]
    took = monotonic() - began
    come = [await _since(connections, reader, newest[reader.source]) for reader in found]
    return [
        msgspec.structs.replace(now, rate=max(0.0, then.events + more - now.events) / took)
        for then, now, more in zip(before, after, come, strict=True)
    ]


def late(standing: Sequence[Standing]) -> list[str]:
    """Who is behind, each in some words."""
    return [f"{one.group} on {one.source} by {one.events} events" for one in standing if one.events]


async def _standing(connections: Connections, reader: Reader, *, thorough: bool = False) -> Standing:
    publisher, consumer = connections[reader.source], connections[reader.schema]
    types = None if reader.types is None else list(reader.types)
    lag = await behind(publisher, consumer, reader.source, reader.schema, reader.group, types, thorough=thorough)
    team = RELAY if reader.group == RELAY else reader.schema
    at_work = await consumer.fetchval(_AT_WORK.format(schema=reader.schema), team)
    return Standing(reader.group, reader.source, lag.how, lag.events, lag.seconds, lag.stands, at_work)


async def _newest(connections: Connections, source: str) -> int:
    return int(await connections[source].fetchval(_NEWEST.format(source=source)))


async def _since(connections: Connections, reader: Reader, newest: int) -> int:
    sql = _SINCE.format(source=reader.source)
    return int(
        await connections[reader.source].fetchval(sql, newest, None if reader.types is None else list(reader.types))
    )
