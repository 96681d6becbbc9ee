"""How a group comes to be served by a broker: what lies in the log so far it reads there, and the rest comes as
messages. Both are noted in its inbox, so where they overlap nothing happens twice."""

from typing import TYPE_CHECKING, Final

from tradepost.kernel.brokers.port import Broker, WrongBroker
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx
    from tradepost.kernel.log.clocks import Clocks
    from tradepost.kernel.log.ticks import Ticks

_SERVED: Final = 'SELECT source, broker FROM intake WHERE "group" = $1'
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))"  # of several processes that start at once
_SERVE: Final = """
INSERT INTO intake (source, "group", broker, since_id) SELECT $1, $2, $3,
    CASE WHEN EXISTS (SELECT FROM cursor WHERE source = $1 AND "group" = $2) THEN $4::bigint ELSE 0 END
"""
_UNTIL: Final = 'UPDATE cursor SET until = $3, fence = fence + 1 WHERE source = $1 AND "group" = $2'
_FROM_FIRST: Final = """
INSERT INTO cursor (source, "group", tick, tick_uuid, until) SELECT $1, $2, $3, $4, $5
WHERE NOT EXISTS (SELECT FROM cursor WHERE source = $1 AND "group" = $2)
"""


async def enrol(db: "Database", clocks: "Clocks", group: Group, broker: Broker) -> None:
    """Have the broker serve the group, from here on. Errors: BrokerError; UnknownDatabase and whatever says that a
    publisher's database isn't there, since a new group reads its log first."""
    if set(group.sources()) <= (await served_by(db, group)).keys():
        return
    async with db.transaction() as tx:
        await tx.execute(_ALONE, group.name)
        served = {row["source"] for row in await tx.fetch(_SERVED, group.name)}
        begun = await broker.begin(group, fresh=not served)
        # After that: what is published by now lies before the tick that is the newest from here on.
        for source in set(group.sources()) - served:
            await _take_over(tx, await clocks.of(source), group, source, broker.kind)
            await begun(tx)


async def check(db: "Database", group: Group, broker: Broker | None) -> None:
    """Errors: WrongBroker when another than `broker` serves the group: what it did would be done again."""
    for source, kind in (await served_by(db, group)).items():
        if broker is None or broker.kind != kind:
            raise _wrong(group, source, kind)


async def served_by(db: "Database", group: Group) -> dict[str, str]:
    """The broker that serves the group, by publisher."""
    return {row["source"]: row["broker"] for row in await db.fetch(_SERVED, group.name)}


async def _take_over(tx: "Tx", ticks: "Ticks", group: Group, source: str, kind: str) -> None:
    await ticks.pool.fetchval("SELECT log.hand_over($1)", source)  # the relay starts there, and we end beyond it
    newest_id = await ticks.pool.fetchval("SELECT log.newest_id($1)", source)
    await ticks.pool.fetchval("SELECT log.tick()")
    first, until = await ticks.first(), await ticks.last()
    await tx.execute(_SERVE, source, group.name, kind, newest_id)
    await tx.execute(_UNTIL, source, group.name, until.id)
    if await tx.execute(_FROM_FIRST, source, group.name, first.id, first.uuid, until.id) == "INSERT 0 1":
        await ticks.report(source, group.name, 0, first.id)  # before the place exists, so that retention minds it


def _wrong(group: Group, source: str, kind: str) -> WrongBroker:
    return WrongBroker(
        f"{group.name} gets the events of {source} by {kind}: set TRADEPOST_BROKER={kind}, "
        "or stop everything and run `tradepost log switch` to have them travel by the log again"
    )
