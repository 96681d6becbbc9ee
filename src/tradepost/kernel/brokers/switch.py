"""What the log can do for groups that a broker serves: take them back, and bring what the broker has lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tradepost.kernel.brokers.relay import RELAY
from tradepost.kernel.log.inbox import HOLD_ALONE
from tradepost.kernel.log.lag import behind
from tradepost.kernel.log.roster import ALIVE
from tradepost.kernel.log.subscription import Group

_SERVED: Final = 'SELECT source, "group", broker FROM "{schema}".intake ORDER BY source, "group"'
_MEMBERS: Final = f'SELECT count(*) FROM "{{schema}}".member WHERE {ALIVE}'
_NEWEST: Final = "SELECT id, uuid FROM log.tick ORDER BY id DESC LIMIT 1"
_STAND: Final = """
INSERT INTO "{schema}".cursor (source, "group", tick, tick_uuid) VALUES ($1, $2, $3, $4)
"""
_NO_OFFSETS: Final = 'DELETE FROM "{schema}".kafka_offset WHERE source = $1 AND "group" = $2'
_UNSERVED: Final = 'DELETE FROM "{schema}".intake WHERE source = $1 AND "group" = $2'
_NOWHERE: Final = 'DELETE FROM "{schema}".cursor WHERE source = $1 AND "group" = $2'
# What is older was taken in long before, and the inbox forgets it after a week.
_EARLY: Final = """
SELECT id, uuid FROM log.tick
WHERE id = COALESCE((SELECT max(id) FROM log.tick WHERE at < now() - interval '6 days'), (SELECT min(id) FROM log.tick))
"""
_LOOK: Final = """
INSERT INTO "{schema}".cursor (source, "group", tick, tick_uuid, until) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
_FORGET: Final = 'DELETE FROM log.reader WHERE source = $1 AND "group" = $2'


class NotYet(RuntimeError):
    """The shop can't go back to the log now; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class Home:
    """A service's schema, the connection to its database as its owner, and its groups."""

    schema: str
    connection: Any
    groups: Sequence[Group]


async def back_to_log(homes: Mapping[str, Home]) -> Sequence[str]:
    """Have all groups read the logs from their ends on; the groups that did not before. Errors: NotYet while processes
    run, or while a group has not taken in everything."""
    for home in homes.values():
        if await home.connection.fetchval(_MEMBERS.format(schema=home.schema)):
            raise NotYet(f"processes of {home.schema} still run: stop all of them first")
    served = [(home, row) for home in homes.values() for row in await home.connection.fetch(_served(home))]
    for home, row in served:
        await _check(homes, home, row)
    for home, row in served:  # each on its own: what was left undone is done by the next try
        await _stand(homes[row["source"]].connection, home, row["source"], row["group"])
    for source in sorted({row["source"] for _, row in served}):
        log = homes[source].connection
        await log.execute(_NOWHERE.format(schema=source), source, RELAY)
        await log.execute(_FORGET, source, RELAY)
    return sorted({row["group"] for _, row in served})


async def look_again(homes: Mapping[str, Home]) -> Sequence[str]:
    """Have every group that a broker serves look through the logs of the last six days for what no message brought: the
    broker lost it, or was replaced by an empty one. Their inboxes tell what they have. The groups. Processes may run;
    one that has stopped for want of a message is to be started again."""
    served = [(home, row) for home in homes.values() for row in await home.connection.fetch(_served(home))]
    for home, row in served:
        source, group, log = row["source"], row["group"], homes[row["source"]].connection
        await log.fetchval("SELECT log.tick()")
        early, newest = await log.fetchrow(_EARLY), await log.fetchrow(_NEWEST)
        await log.fetchval("SELECT log.report($1, $2, 0::smallint, $3)", source, group, early["id"])
        async with home.connection.transaction():
            await home.connection.execute(HOLD_ALONE, group)
            look = _LOOK.format(schema=home.schema)
            await home.connection.execute(look, source, group, early["id"], early["uuid"], newest["id"])
            await home.connection.execute(_NO_OFFSETS.format(schema=home.schema), source, group)
    return sorted({row["group"] for _, row in served})


def _served(home: Home) -> str:
    return _SERVED.format(schema=home.schema)


async def _check(homes: Mapping[str, Home], home: Home, row: Any) -> None:
    (types,) = [list(group.of(row["source"])) for group in home.groups if group.name == row["group"]]
    log = homes[row["source"]].connection
    lag = await behind(log, home.connection, row["source"], home.schema, row["group"], types, thorough=True)
    if lag.events:
        raise NotYet(
            f"{row['group']} has yet to take in {lag.events} events of {row['source']}: start everything with "
            f"TRADEPOST_BROKER={row['broker']} again and stop it when `tradepost log lag --wait` returns"
        )


async def _stand(log: Any, home: Home, source: str, group: str) -> None:
    await log.fetchval("SELECT log.tick()")
    newest = await log.fetchrow(_NEWEST)
    await log.fetchval("SELECT log.report($1, $2, 0::smallint, $3)", source, group, newest["id"])
    async with home.connection.transaction():
        await home.connection.execute(_NOWHERE.format(schema=home.schema), source, group)  # one that caught up
        await home.connection.execute(_STAND.format(schema=home.schema), source, group, newest["id"], newest["uuid"])
        await home.connection.execute(_NO_OFFSETS.format(schema=home.schema), source, group)
        await home.connection.execute(_UNSERVED.format(schema=home.schema), source, group)
