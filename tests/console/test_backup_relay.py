"""After a restore the relays publish again what a broker had under way, and inboxes recognise the rest."""

from collections.abc import AsyncIterator
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
from tradepost.kernel.log.lag import RELAY, behind
from tradepost.services.inventory import service as inventory

GROUP = next(group for group in inventory.groups if "order" in group.sources())
TYPES = list(GROUP.of("order"))
OLD_DAY = """
DO $$
DECLARE day date := current_date - 20;
BEGIN
    EXECUTE format('CREATE TABLE inventory.inbox_%s PARTITION OF inventory.inbox FOR VALUES FROM (%L) TO (%L)',
                   to_char(day, 'YYYYMMDD'), log.first_id(day), log.first_id(day + 1));
    INSERT INTO inventory.inbox VALUES (log.first_id(day), 'long ago');
END $$
"""
OLD_TAKEN = "SELECT count(*) FROM inventory.inbox WHERE \"group\" = 'long ago'"


@pytest.fixture
async def served(server: str, tmp_path: Path) -> AsyncIterator[str]:
    """A database in which RabbitMQ serves inventory, and had one event of order under way."""
    url = await databases.create(server)
    async with open_shop(url, tmp_path / "shop") as shop:
        await shop.product("MUG-1", stock=50)
        for _ in range(5):
            await shop.buy(shop.client(new_id()), "MUG-1")
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT log.tick()")
    await connection.execute("INSERT INTO inventory.intake VALUES ('order', $1, 'rabbitmq', 0)", GROUP.name)
    await connection.execute(
        'INSERT INTO inventory.inbox (event_id, "group") SELECT event_id, $1 FROM "order".event'
        " WHERE type = ANY ($2) ORDER BY id DESC OFFSET 1",
        GROUP.name,
        TYPES,
    )
    await connection.execute(
        'INSERT INTO "order".cursor (source, "group", tick, tick_uuid)'
        " SELECT 'order', $1, id, uuid FROM log.tick ORDER BY id DESC LIMIT 1",
        RELAY,
    )
    await connection.execute(OLD_DAY)
    await connection.execute("INSERT INTO inventory.kafka_offset VALUES ('order', $1, 0, 17)", GROUP.name)
    await connection.close()
    yield url
    await databases.drop(server, url)


async def test_a_relay_goes_back_to_what_an_inbox_lacks_and_not_further(served: str, tmp_path: Path) -> None:
    elsewhere = postgres.start(tmp_path / "elsewhere", fsync=False)
    try:
        (url,) = await empty_databases(elsewhere.url, "again")
        urls, lines = dict.fromkeys(NAMES, url), list[str]()
        await backup(room(tmp_path / "data", dict.fromkeys(NAMES, served)), tmp_path / "backup", told)

        await restore(room(tmp_path / "again", urls), tmp_path / "backup", lines.append)

        connection = await asyncpg.connect(url)
        try:
            await is_set_back(connection)
            assert await connection.fetchval("SELECT count(*) FROM inventory.kafka_offset") == 0
            assert await connection.fetchval(OLD_TAKEN) == 1
        finally:
            await connection.close()
        assert any("events were carried by rabbitmq" in line for line in lines)
        assert any("EMPTY broker" in line for line in lines)
    finally:
        elsewhere.stop()


async def is_set_back(connection: Any) -> None:
    """The relay has to publish the missing event, and of what came before it at most what shares its tick."""
    wanted = await behind(connection, connection, "order", "inventory", GROUP.name, TYPES, thorough=True)
    assert (wanted.events, wanted.how) == (1, "rabbitmq")
    again = await behind(connection, connection, "order", "order", RELAY, None)
    published = await connection.fetchval('SELECT count(*) FROM "order".event')
    assert again.stands
    assert 1 <= again.events < published / 2
