"""Four ways to read an outbox, side by side: what each loses, and how often it breaks the order of one key.

python bench/log_readers.py [--seconds 10] [--url postgresql://owner@host/empty_database]
"""

import argparse
import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

import asyncpg

from tradepost.kernel import postgres
from tradepost.kernel.events import Cause
from tradepost.kernel.log.append import Pending, insertion
from tradepost.kernel.log.batch import TICK_COLUMNS, Tick, read_on, read_piece
from tradepost.kernel.migrate import migrate

SERVICE: Final = "inventory"  # any service: its log is used, and a table of our own beside it
WRITERS: Final = 10
KEYS: Final = 20
ROLLED_BACK: Final = 0.1
EARLY_XID: Final = 0.4
HOLD_S: Final = 0.02
POLL_S: Final = 0.01
LONG_TRANSACTION: Final = 0.4  # for which part of the run one stays open in another database
PATIENCE_S: Final = 120.0
TYPE: Final = "bench.moved"
THINGS: Final = """
CREATE TABLE IF NOT EXISTS bench_thing (key text PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE IF NOT EXISTS bench_scratch (n int);
"""
UPDATE: Final = """
INSERT INTO bench_thing VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET version = bench_thing.version + 1
RETURNING version
"""

Delivered = Sequence[tuple[int, str, int]]  # id, key, sequence


class Reader(Protocol):
    """Remembers where it stands; `poll` delivers what it takes to be new."""

    name: str

    async def poll(self, connection: Any) -> Delivered: ...


class ById:
    """The most copied one."""

    name = "id > last"
    condition = "true"

    def __init__(self) -> None:
        self._last = 0

    async def poll(self, connection: Any) -> Delivered:
        sql = f"SELECT id, key, sequence FROM event WHERE id > $1 AND {self.condition} ORDER BY id"
        rows = await connection.fetch(sql, self._last)
        self._last = rows[-1]["id"] if rows else self._last
        return [(row["id"], row["key"], row["sequence"]) for row in rows]


class ByIdBelowXmin(ById):
    """The most copied repair of it."""

    name = "id > last, xid < xmin"
    condition = "xid < pg_snapshot_xmin(pg_current_snapshot())"


class ByXidAndId:
    """The other one."""

    name = "(xid, id) > last, xid < xmin"
    sql = """SELECT xid::text AS shown, id, key, sequence FROM event
             WHERE (xid, id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
             ORDER BY xid, id"""

    def __init__(self) -> None:
        self._last = ("0", 0)

    async def poll(self, connection: Any) -> Delivered:
        rows = await connection.fetch(self.sql, *self._last)
        self._last = (rows[-1]["shown"], rows[-1]["id"]) if rows else self._last
        return [(row["id"], row["key"], row["sequence"]) for row in rows]


class ByTicks:
    """Ours: what lies between two stored snapshots, ordered by id."""

    name = "between ticks, by id"

    def __init__(self, source: str) -> None:
        self._source = source
        self._tick: Tick | None = None

    async def poll(self, connection: Any) -> Delivered:
        newest = f"SELECT {TICK_COLUMNS} FROM log.tick ORDER BY id"
        prev = self._tick or Tick.of(await connection.fetchrow(f"{newest} LIMIT 1"))
        await connection.fetchval("SELECT log.tick()")
        cur = Tick.of(await connection.fetchrow(f"{newest} DESC LIMIT 1"))
        self._tick = cur
        if cur.id == prev.id:
            return []
        piece = await read_piece(connection, self._source, prev, cur, after=0, slots=(0, 15), types=[TYPE])
        seen = list(piece.events)
        while not piece.complete:
            _, rest = piece.cut(len(piece.events))
            after = seen[-1].position
            piece = await read_on(connection, self._source, prev, cur, rest, after=after, slots=(0, 15), types=[TYPE])
            seen += piece.events
        return [(raw.position, raw.key, raw.sequence) for raw in seen]


@dataclass
class Tally:
    """What a reader has delivered so far."""

    reader: Reader
    seen: set[int] = field(default_factory=set)
    twice: int = 0
    reordered: int = 0
    _newest: dict[str, int] = field(default_factory=dict)

    async def poll(self, connection: Any) -> None:
        for id_, key, sequence in await self.reader.poll(connection):
            self.twice += id_ in self.seen
            self.reordered += sequence < self._newest.get(key, 0)
            self.seen.add(id_)
            self._newest[key] = max(sequence, self._newest.get(key, 0))


@dataclass(frozen=True)
class Verdict:
    """How one reader did."""

    reader: str
    lost: int
    reordered: int
    twice: int
    committed: int


@asynccontextmanager
async def opened(url: str, schema: str) -> AsyncIterator[Any]:
    """A connection whose unqualified names are those of `schema`."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        yield connection
    finally:
        await connection.close()


async def append(connection: Any, key: str) -> None:
    """Lock the thing, append its event, as every service does; the open transaction goes on."""
    sequence = await connection.fetchval(UPDATE, key)
    await connection.execute(*insertion([Pending(TYPE, key, sequence, b"{}", Cause("bench"))]))


# The three interleavings that random load meets by chance, written out.


async def late_commit(first: Any, second: Any, _reader: Any, poll: Callable[[], Awaitable[None]]) -> None:
    """The lower id is committed after the higher one was read."""
    async with first.transaction():
        await append(first, "late")
        async with second.transaction():
            await append(second, "soon")
        await poll()
    await poll()


async def crossed(first: Any, second: Any, reader: Any, poll: Callable[[], Awaitable[None]]) -> None:
    """The lower id belongs to the higher xid: the xmin lets the higher id through first."""
    async with second.transaction():
        async with first.transaction():
            early = await take_xid(first)
            await append(second, "crossed-a")
            await append(first, "crossed-b")
        await until_below_xmin(reader, early)
        await poll()
    await poll()


async def early_xid(first: Any, second: Any, _reader: Any, poll: Callable[[], Awaitable[None]]) -> None:
    """The transaction with the lower xid changes the thing second."""
    async with first.transaction():
        await take_xid(first)
        async with second.transaction():
            await append(second, "early")
        await poll()
        await append(first, "early")
    await poll()


SCRIPTS: Final = (late_commit, crossed, early_xid)


async def take_xid(connection: Any) -> int:
    """Write something else first, as so many transactions do."""
    await connection.execute("INSERT INTO bench_scratch VALUES (1)")
    return int(await connection.fetchval("SELECT pg_current_xact_id()::text::bigint"))


async def until_below_xmin(connection: Any, xid: int) -> None:
    """Other databases of the server hold the xmin back, too: wait until they don't."""
    async with asyncio.timeout(PATIENCE_S):
        while not await connection.fetchval(
            "SELECT $1::text::xid8 < pg_snapshot_xmin(pg_current_snapshot())", str(xid)
        ):
            await asyncio.sleep(POLL_S)


async def run_script(url: str, schema: str, script: Callable[..., Awaitable[None]]) -> list[Verdict]:
    """One interleaving, all four readers."""
    async with AsyncExitStack() as stack:
        first, second, reader = [await stack.enter_async_context(opened(url, schema)) for _ in range(3)]
        await reader.execute(THINGS)
        tallies = _tallies(schema)
        before = await _caught_up(reader, tallies)

        async def poll() -> None:
            for tally in tallies:
                await tally.poll(reader)

        await script(first, second, reader, poll)
        await _caught_up(reader, tallies)
        return await _verdicts(reader, tallies, before)


async def run_load(url: str, elsewhere: str, schema: str, seconds: float) -> list[Verdict]:
    """Random load for `seconds`, with a long transaction in the database at `elsewhere` for a part of it."""
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(opened(url, schema))
        other = await stack.enter_async_context(opened(elsewhere, "public"))
        await reader.execute(THINGS)
        tallies = _tallies(schema)
        before = await _caught_up(reader, tallies)
        until = monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_hold(other, seconds * LONG_TRANSACTION))
            for seed in range(WRITERS):
                tasks.create_task(_write(url, schema, seed, until))
            tasks.create_task(_poll(reader, tallies, until))
        await _caught_up(reader, tallies)
        return await _verdicts(reader, tallies, before)


class _RolledBack(Exception):
    pass


async def _write(url: str, schema: str, seed: int, until: float) -> None:
    chance = random.Random(seed)
    async with opened(url, schema) as connection:
        while monotonic() < until:
            with suppress(_RolledBack):
                await _write_once(connection, chance)


async def _write_once(connection: Any, chance: random.Random) -> None:
    keys = sorted({f"thing-{chance.randrange(KEYS)}" for _ in range(chance.randint(1, 2))})
    async with connection.transaction():
        if chance.random() < EARLY_XID:
            await take_xid(connection)
            await asyncio.sleep(chance.random() * HOLD_S)
        for key in keys:
            await append(connection, key)
            await asyncio.sleep(chance.random() * HOLD_S)  # the row stays locked
        if chance.random() < ROLLED_BACK:
            raise _RolledBack


async def _hold(connection: Any, seconds: float) -> None:
    async with connection.transaction():
        await connection.fetchval("SELECT pg_current_xact_id()")
        await asyncio.sleep(seconds)


async def _poll(connection: Any, tallies: Sequence[Tally], until: float) -> None:
    while monotonic() < until:
        for tally in tallies:
            await tally.poll(connection)
        await asyncio.sleep(POLL_S)


def _tallies(schema: str) -> list[Tally]:
    return [Tally(reader) for reader in (ById(), ByIdBelowXmin(), ByXidAndId(), ByTicks(schema))]


async def _caught_up(connection: Any, tallies: Sequence[Tally]) -> int:
    """Nobody writes: wait until the xmin has passed every event, and let everyone read what there is. The last id."""
    newest = await connection.fetchrow("SELECT max(id) AS id, max(xid)::text::bigint AS xid FROM event")
    if newest["id"] is not None:
        await until_below_xmin(connection, newest["xid"])
    for tally in tallies:
        await tally.poll(connection)
    return newest["id"] or 0


async def _verdicts(connection: Any, tallies: Sequence[Tally], before: int) -> list[Verdict]:
    committed = {row["id"] for row in await connection.fetch("SELECT id FROM event WHERE id > $1", before)}
    return [
        Verdict(tally.reader.name, len(committed - tally.seen), tally.reordered, tally.twice, len(committed))
        for tally in tallies
    ]


async def _bench(url: str, seconds: float) -> None:
    await migrate(url, [(SERVICE, f"tradepost.services.{SERVICE}")], "of-the-bench")
    async with opened(url, "public") as owner:
        await owner.execute("DROP DATABASE IF EXISTS bench_elsewhere")
        await owner.execute("CREATE DATABASE bench_elsewhere")
    head, _, query = url.partition("?")
    elsewhere = f"{head.rpartition('/')[0]}/bench_elsewhere" + (f"?{query}" if query else "")
    for script in SCRIPTS:
        _show(script.__doc__ or script.__name__, await run_script(url, SERVICE, script))
    _show(f"random load, {WRITERS} writers, {seconds:g} s", await run_load(url, elsewhere, SERVICE, seconds))


def _show(title: str, verdicts: Sequence[Verdict]) -> None:
    print(f"\n{title} ({verdicts[0].committed} events)")
    print(f"  {'reader':<32}{'lost':>16}{'order broken':>18}{'twice':>8}")
    for each in verdicts:
        lost, broken = (f"{n} ({n / each.committed:.1%})" for n in (each.lost, each.reordered))
        print(f"  {each.reader:<32}{lost:>16}{broken:>18}{each.twice:>8}")


def main() -> None:
    """Print the table; on a server of its own unless `--url` names an empty database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.url:
        asyncio.run(_bench(given.url, given.seconds))
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # as root the server runs under another account
        server = postgres.start(Path(folder, "data"))
        try:
            asyncio.run(_bench(server.url, given.seconds))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
