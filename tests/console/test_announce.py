"""`tradepost events announce`: what is, told again, to readers that missed it or have it wrong."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.console.calling import Called, tradepost
from tests.console.story import Story, execute
from tests.kernel.http.driver import Client
from tests.shop import Shop, eventually, open_shop
from tradepost.console.events.announce import announce
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.service import Announcement

COMMAND: Any = sys.modules[announce.__module__]
UP_TO_DATE = ("product", "inventory", "user")
BROKEN = """
DELETE FROM product.availability WHERE sku = 'MUG-1';
UPDATE product.availability SET available = 77 WHERE sku = 'CUP-1';
UPDATE "order".offer SET price = 1, name = 'Nothing', active = NOT active;
UPDATE notification.contact SET email = 'wrong@example.com', name = 'Wrong' WHERE state = 'known';
DELETE FROM notification.contact WHERE state = 'erased';
"""
KNOWN = """
SELECT (SELECT json_agg(row (sku, available) ORDER BY sku) FROM product.availability)::text,
       (SELECT json_agg(row (sku, price, name, active, stocked, opened) ORDER BY sku) FROM "order".offer)::text,
       (SELECT json_agg(row (user_id, state, email, name) ORDER BY user_id) FROM notification.contact)::text
"""
TOLD = "SELECT type, count(*) AS n FROM {schema}.event WHERE id > $1 GROUP BY type ORDER BY type"


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """Two products that sell and one that does not; the administrator, two accounts and one that is gone."""
    async with open_shop(database_url, tmp_path) as shop:
        await shop.product("MUG-1", stock=6)
        await shop.product("CUP-1", stock=9, price=700)
        gone = await shop.product("OLD-1", stock=2)
        assert (await shop.staff.call("DELETE", f"/product/products/{gone}", [b""])).status == 204
        ada, _, eve = [await register(shop, name) for name in ("ada", "bob", "eve")]
        assert (await eve.call("DELETE", "/user/me", [b""])).status == 204
        assert (await shop.buy(ada, "MUG-1", 2)).json["status"] == "paid"
        yield shop


async def register(shop: Shop, name: str) -> Client:
    body = {"email": f"{name}@example.com", "name": name.title(), "password": "correct horse battery"}
    return shop.client((await shop.public.post("/user/register", body)).json["user_id"])


async def called(shop: Shop, *words: str) -> Called:
    return await asyncio.to_thread(tradepost, shop.database_url, *words)


async def known(shop: Shop) -> Sequence[Any]:
    connection = await asyncpg.connect(shop.database_url)
    try:
        return tuple(await connection.fetchrow(KNOWN) or ())
    finally:
        await connection.close()


async def test_readers_know_again_what_they_lost_or_had_wrong(shop: Shop) -> None:
    settled = await called(shop, "log", "lag", "--wait", "30")
    assert settled.code == 0, settled.out
    before = await known(shop)
    await execute(shop.database_url, BROKEN)
    assert await known(shop) != before

    told = [await called(shop, "events", "announce", publisher) for publisher in UP_TO_DATE]

    assert [one.code for one in told] == [0, 0, 0], told
    assert [one.out.split(" are now")[0] for one in told] == [
        "product has published what 3 of its own",
        "inventory has published what 3 of its own",
        "user has published what 4 of its own",
    ]
    await eventually(lambda: known(shop), lambda now: now == before)
    assert (await called(shop, "audit")).code == 0


async def test_who_knows_it_already_is_told_nothing_new_and_nobody_gets_a_message(shop: Shop) -> None:
    assert (await called(shop, "log", "lag", "--wait", "30")).code == 0
    seen, before = await shop.seen(), await known(shop)

    for publisher in UP_TO_DATE:
        assert (await called(shop, "events", "announce", publisher)).code == 0
    assert (await called(shop, "log", "lag", "--wait", "30")).code == 0

    assert await shop.seen() - seen == {
        "product.updated": 3, "inventory.adjusted": 3, "user.updated": 3, "user.erased": 1,
    }  # fmt: skip
    assert await known(shop) == before
    assert await shop.stock("MUG-1") == (4, 0)


async def test_one_that_was_cut_off_goes_on_where_it_ended(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Announcement = COMMAND.ANNOUNCEMENTS["inventory"]
    calls = 0

    async def tell(tx: Tx, after: str | None, limit: int, cause: Cause) -> Sequence[str]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError("the line is cut")
        return await real.tell(tx, after, limit, cause)

    before = (await shop.seen())["inventory.adjusted"]
    monkeypatch.setattr(COMMAND, "AT_ONCE", 1)
    monkeypatch.setitem(COMMAND.ANNOUNCEMENTS, "inventory", Announcement(real.table, tell))
    cut = await called(shop, "events", "announce", "inventory")
    rest = await called(shop, "events", "announce", "inventory", "--after", "MUG-1")

    assert (cut.code, cut.out) == (2, "")
    assert cut.err.splitlines() == [
        "tradepost: 2 were published; go on with `tradepost events announce inventory --after MUG-1`",
        "tradepost: the line is cut",
    ]
    assert (rest.code, rest.out.split(":")[0]) == (0, "inventory has published what 1 of its own are now")
    assert (await shop.seen())["inventory.adjusted"] == before + 3


def test_who_tells_only_what_happened_has_nothing_to_announce(story: Story) -> None:
    for name in ("order", "nobody"):
        told = tradepost(story.url, "events", "announce", name)
        assert (told.code, told.out) == (2, "")
        assert told.err == f"tradepost: {name!r} has nothing to announce; there are inventory, product, user\n"


def test_a_replay_says_who_has_to_tell_again_what_the_log_no_longer_holds(story: Story) -> None:
    whole = tradepost(story.url, "events", "replay", "product.availability")
    asyncio.run(execute(story.url, "DROP TABLE inventory.event_0"))
    cut = tradepost(story.url, "events", "replay", "product.availability")

    assert (whole.code, whole.out.count("\n")) == (0, 1), whole.err
    assert cut.out.splitlines()[1:] == [
        "inventory's oldest events are gone: `tradepost events announce inventory` tells what they told"
    ]
