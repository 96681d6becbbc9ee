"""Several logs restored as one: each reader has exactly the events before it that it had before, in the same order."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests import databases
from tests.console.test_backup import empty_databases, room, told
from tests.shop import open_shop
from tradepost.console.backup.make import backup
from tradepost.console.backup.restore import restore
from tradepost.console.instance import NAMES
from tradepost.kernel import postgres
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.lag import waiting
from tradepost.main import SERVICES

# A reader of the source: at a tick a third of the way, half of what lies between that and the next third done.
HALFWAY = """
WITH tick AS (SELECT *, ntile(3) OVER (ORDER BY id) AS third FROM log.tick),
     prev AS (SELECT * FROM tick WHERE third = 1 ORDER BY id DESC LIMIT 1),
     cur AS (SELECT * FROM tick WHERE third = 2 ORDER BY id DESC LIMIT 1)
SELECT prev.id AS tick, prev.uuid, cur.id AS toward,
       (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM "{source}".event
        WHERE pg_visible_in_snapshot(xid, cur.snapshot) AND NOT pg_visible_in_snapshot(xid, prev.snapshot)) AS last_id
FROM prev, cur
"""
PUT = """
UPDATE "{schema}".cursor SET tick = $1, tick_uuid = $2, toward = $3, last_id = $4 WHERE source = $5 AND "group" = $6
"""
PLACES = [
    (service.name, group.name, source) for service in SERVICES for group in service.groups for source in group.sources()
]
MOVED = [place for place in PLACES if place[2] in ("order", "payment")][::2]

Unread = Mapping[tuple[str, str, str], list[str]]


@pytest.fixture
async def apart(server: str, tmp_path: Path) -> AsyncIterator[Mapping[str, str]]:
    """Three databases of a shop that has sold, some readers of which are halfway between two ticks."""
    order, payment, others = made = [await databases.create(server) for _ in range(3)]
    urls = dict.fromkeys(NAMES, others) | {"order": order, "payment": payment}
    async with open_shop(others, tmp_path / "shop", apart=urls) as shop:
        await shop.product("MUG-1", stock=50)
        for _ in range(6):
            await shop.buy(shop.client(new_id()), "MUG-1")
    async with connected(urls) as at:
        for schema, group, source in MOVED:
            place = await at[source].fetchrow(HALFWAY.format(source=source))
            await at[schema].execute(PUT.format(schema=schema), *place.values(), source, group)
    yield urls
    for url in made:
        await databases.drop(server, url)


@asynccontextmanager
async def connected(urls: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        found = {}
        for name, url in urls.items():
            found[name] = await asyncpg.connect(url)
            stack.push_async_callback(found[name].close)
        yield found


async def unread(urls: Mapping[str, str]) -> Unread:
    """By place, the ids of the events that it has yet to read, in the order of the log."""
    async with connected(urls) as at:
        found = {}
        for schema, group, source in PLACES:
            rows = await at[source].fetch(f'SELECT id, event_id::text AS event_id FROM "{source}".event ORDER BY id')
            ahead = await waiting(at[source], at[schema], source, schema, group, [row["id"] for row in rows])
            found[schema, group, source] = [row["event_id"] for row in rows if row["id"] in ahead]
        return found


async def test_each_reader_goes_on_with_exactly_what_it_has_not_read(apart: Mapping[str, str], tmp_path: Path) -> None:
    before = await unread(apart)
    await backup(room(tmp_path / "data", apart), tmp_path / "backup", told)
    elsewhere = postgres.start(tmp_path / "elsewhere", fsync=False)
    try:
        one, two, three = await empty_databases(elsewhere.url, "one", "two", "three")
        whole = dict.fromkeys(NAMES, one)
        await restore(room(tmp_path / "whole", whole), tmp_path / "backup", told)
        assert await unread(whole) == before

        regrouped = dict.fromkeys(NAMES, two) | {"payment": three, "notification": three}
        await restore(room(tmp_path / "regrouped", regrouped), tmp_path / "backup", told)
        assert await unread(regrouped) == before
    finally:
        elsewhere.stop()
    async with connected(apart) as at:
        for place in MOVED:
            published = await at[place[2]].fetchval(f'SELECT count(*) FROM "{place[2]}".event')
            assert 0 < len(before[place]) < published, "the test needs readers that have read some"
