"""A shop for one test: a publisher with its log, and any number of processes that carry and take in its events."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import asyncpg

from tests import databases
from tests.brokers.behaviour.part import Hooks, Part
from tests.brokers.behaviour.things import Facts, Handler, facts_of, recording
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.kafka import topics
from tradepost.kernel.brokers.kafka.connection import Cluster
from tradepost.kernel.database import Database, Tx, connect
from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.log.subscription import Group, later, on
from tradepost.kernel.migrate import password_of, role_of, url_as

_READING: Final = 'SELECT count(DISTINCT "group") FROM cursor WHERE "group" = ANY ($1)'
_SERVED: Final = f'SELECT (SELECT count(*) FROM intake WHERE "group" = ANY ($1)) - ({_READING})'
_STATE: Final = {
    "taken": 'SELECT "group", count(*) FROM effect GROUP BY 1',
    "cursor": 'SELECT "group", first_slot, last_slot, tick, toward, last_id, owner, until FROM cursor ORDER BY 1, 2',
    "kafka_offset": 'SELECT "group", partition, next, fence, owner FROM kafka_offset ORDER BY 1, 2',
    "member": "SELECT team, owner, now() - seen_at AS ago FROM member",
}
PROBE: Final = "probe"
POLL_S: Final = 0.02

_VERSIONS: Final = """
INSERT INTO thing (key, version) SELECT key, more FROM unnest($1::text[], $2::bigint[]) AS t (key, more) ORDER BY key
ON CONFLICT (key) DO UPDATE SET version = thing.version + excluded.version
RETURNING key, version
"""
_EFFECTS: Final = 'SELECT type, key, sequence, note FROM effect WHERE "group" = $1 ORDER BY at'
_TAKEN: Final = 'SELECT count(DISTINCT event_id) FROM effect WHERE "group" = $1 AND key <> ALL ($2)'


@dataclass
class Shop:
    """`url` is that of the database as its superuser, `name` the publisher's and its schema's."""

    kind: str
    url: str
    name: str
    broker: str  # its URL or address
    db: Database
    parts: list[Part] = field(default_factory=list)

    @property
    def facts(self) -> Facts:
        return facts_of(self.name)

    def group(
        self, name: str = "recorder", handler: Handler | None = None, *, unhurried: bool = False, **more: Any
    ) -> Group:
        """One that writes down what it was handed."""
        handle, take = handler or recording(name), later if unhurried else on
        return Group(name, (take(self.facts.moved, handle), take(self.facts.turned, handle)), **more)

    def part(self, *groups: Group, hooks: Hooks | None = None, kind: str | None = None, **how: Any) -> Part:
        """A process of the shop, not started yet, that takes in the events for `groups`."""
        part = Part(kind or self.kind, self.url, self.name, self.broker, groups, hooks or Hooks(), **how)
        self.parts.append(part)
        return part

    @asynccontextmanager
    async def running(self, *groups: Group, **how: Any) -> AsyncIterator[Part]:
        """One that works, has its groups read to the end of the log where they must, and ends in order."""
        part = self.part(*groups, **how)
        await part.start()
        if part.serves:
            await self.served(*(group.name for group in part.groups), kind=part.kind)
        yield part
        await part.stop()

    async def move(self, *things: str, **data: Any) -> None:
        """Move each of the things, in one transaction."""
        async with self.db.transaction() as tx:
            await self.moved(tx, things, **data)

    async def moved(self, tx: Tx, things: Sequence[str], **data: Any) -> None:
        """Move them in a transaction of the caller's."""
        await self.append(tx, things, lambda thing: self.facts.moved(thing=thing, **data))

    async def append(self, tx: Tx, things: Sequence[str], fact: Callable[[str], Fact]) -> None:
        """Publish a fact about each of the things, whose versions they raise."""
        often = Counter(things)
        rows = await tx.fetch(_VERSIONS, list(often), list(often.values()))
        version = {row["key"]: row["version"] - often[row["key"]] for row in rows}
        for thing in things:
            version[thing] += 1
            tx.append(fact(thing), sequence=version[thing], cause=Cause("test"))

    async def versions(self) -> Mapping[str, int]:
        """How many events of each thing there are."""
        return {row["key"]: row["version"] for row in await self.db.fetch("SELECT key, version FROM thing")}

    async def effects(self, group: str = "recorder") -> Mapping[str, Sequence[int]]:
        """The sequences of each thing's events, as the group has taken them."""
        seen: defaultdict[str, list[int]] = defaultdict(list)
        for row in await self.db.fetch(_EFFECTS, group):
            seen[row["key"]].append(row["sequence"])
        return dict(seen)

    async def took(self, count: int, group: str = "recorder") -> None:
        """Until the group has taken that many events in."""
        await until(lambda: self._has_taken(group, count), f"{group} takes {count} events in")

    async def took_all_once(self, group: str = "recorder", *, without: Sequence[str] = ()) -> None:
        """Until all that was published has taken effect: each event once, and those of each thing in order. One event
        more of each thing is published first, behind which whatever is under way twice would have come."""
        things = [thing for thing in await self.versions() if thing not in without]
        await self.move(*things)
        expected = {
            thing: list(range(1, version + 1))
            for thing, version in (await self.versions()).items()
            if thing not in without
        }
        count = sum(len(sequences) for sequences in expected.values())
        await until(lambda: self._has_taken(group, count, without), f"{group} takes everything in", self._state)
        seen = {thing: taken for thing, taken in (await self.effects(group)).items() if thing not in without}
        assert seen == expected

    async def parked(self, group: str = "recorder") -> Mapping[str, Sequence[int]]:
        """The sequences of each thing's events that were set aside."""
        rows = await self.db.fetch(
            "SELECT key, (event->>'sequence')::int AS sequence FROM parked WHERE \"group\" = $1 ORDER BY position",
            group,
        )
        seen: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            seen[row["key"]].append(row["sequence"])
        return dict(seen)

    async def notes(self, group: str = "recorder") -> Mapping[str, set[str]]:
        """What was noted with each thing's effects."""
        seen: defaultdict[str, set[str]] = defaultdict(set)
        for row in await self.db.fetch(_EFFECTS, group):
            seen[row["key"]].add(row["note"])
        return dict(seen)

    async def served(self, *groups: str, kind: str | None = None) -> None:
        """Until what is published from here on comes to the groups by the shop's kind, or by this."""
        await until(lambda: self._are_served(groups, kind or self.kind), "the groups are served")

    async def relayed(self, part: Part) -> None:
        """Until the relay has published all that was committed so far."""
        ticks = part.clocks[self.name]
        await ticks.pool.fetchval("SELECT log.tick()")
        newest = await ticks.last()
        await until(lambda: self._relay_is_beyond(newest.id), "the relay publishes everything", self._state)

    async def _relay_is_beyond(self, tick: int) -> bool:
        at = await self.db.fetch("SELECT tick >= $1 AS there FROM cursor WHERE \"group\" = 'relay'", tick)
        return bool(at) and all(row["there"] for row in at)

    async def _are_served(self, groups: Sequence[str], kind: str) -> bool:
        served = await self.db.fetchval(_READING if kind == "log" else _SERVED, list(groups))
        return bool(served == len(groups))

    async def _has_taken(self, group: str, count: int, without: Sequence[str] = ()) -> bool:
        return bool(await self.db.fetchval(_TAKEN, group, list(without)) >= count)

    async def _state(self) -> str:
        """Where everybody stands, for whoever has to find out why it did not go on."""
        shown = {table: [dict(row) for row in await self.db.fetch(sql)] for table, sql in _STATE.items()}
        return f"{shown}, workers {[(part.owner, part.workers) for part in self.parts]}"


async def until(
    holds: Callable[[], Awaitable[bool]], what: str, state: Callable[[], Awaitable[str]] | None = None
) -> None:
    """Waits. Errors: AssertionError that says what did not come true."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await holds():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what}; {await state() if state else ''}") from None


@asynccontextmanager
async def opened(kind: str, server: str, broker: str) -> AsyncIterator[Shop]:
    """A shop with a database of its own, all of whose parts are gone afterwards. On Kafka its publisher has a name of
    its own as well, since topics are shared."""
    url, name = await databases.create(server, [(PROBE, "tests.brokers.behaviour")]), PROBE
    if kind == "kafka":
        name = await _renamed(url)
    async with connect(url_as(url, role_of(name), databases.SECRET), name) as db:
        shop = Shop(kind, url, name, broker, db)
        try:
            yield shop
        finally:
            for part in shop.parts:
                await part.kill()
    await databases.drop(server, url)
    if name != PROBE:
        await _remove(server, name, broker)


async def _renamed(url: str) -> str:
    """Give the publisher another name; that name."""
    name = f"{PROBE}{uuid4().hex[:10]}"
    role = role_of(name)
    connection = await asyncpg.connect(url)
    await connection.execute(
        f"ALTER SCHEMA {PROBE} RENAME TO {name}; DELETE FROM log.source; SELECT log.add_source('{name}');"
        f"CREATE ROLE {role} LOGIN PASSWORD '{password_of(role, databases.SECRET)}';"
        f"GRANT {role_of(PROBE)} TO {role}"
    )
    await connection.close()
    return name


async def _remove(server: str, name: str, bootstrap: str) -> None:
    """What is left of a publisher outside of its database."""
    connection = await asyncpg.connect(server)
    await connection.execute(f"DROP ROLE {role_of(name)}")
    await connection.close()
    await topics.reset(Cluster(bootstrap), [name])
