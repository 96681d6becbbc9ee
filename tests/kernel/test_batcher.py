"""Requests that arrive together commit together, and each gets its own verdict."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from tests import databases
from tests.patience import PATIENCE_S
from tradepost.kernel import batcher as module
from tradepost.kernel.batcher import BYTES_WAITING, ITEMS_WAITING, Batcher, Known
from tradepost.kernel.database import CommitUnknown, Database, Tx, connect
from tradepost.kernel.errors import Conflict, Refusal, Unavailable
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.right_of_way import RightOfWay

KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'tradepost probe'
AND datname = current_database()
"""


class Shop:
    """Counts how often each key was really done: `thing.version`; keeps the batches it was called with, and whether it
    looked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.looked: list[bool] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def began(self, batches: int) -> None:
        """Until so many have."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.batches) < batches:
                await asyncio.sleep(0)

    async def run(self, tx: Tx, items: Sequence[str], looks: bool) -> Sequence[str | Refusal]:
        self.batches.append(list(items))
        self.looked.append(looks)
        await self.gate.wait()
        found = {row["key"] for row in await tx.fetch("SELECT key FROM thing WHERE key = ANY ($1)", list(items))}
        if found and not looks:
            raise Known
        fresh = [item for item in items if item not in found and not item.startswith("no-")]
        for item in fresh:
            if item.startswith("bad-"):
                raise asyncpg.CheckViolationError(item)
            if item.startswith("big-"):
                await tx.fetchval("SELECT $1::int", 2**40)
        await tx.execute("INSERT INTO thing SELECT unnest($1::text[]), 1", fresh)
        return [
            Conflict("no", code="said_no")
            if item.startswith("no-")
            else f"{'again' if item in found else 'done'} {item}"
            for item in items
        ]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def batcher(database: Database, shop: Shop) -> AsyncIterator["Batcher[str, str]"]:
    batcher: Batcher[str, str] = Batcher(database, shop.run, batch_items=8)
    yield batcher
    shop.gate.set()
    await batcher.close()


async def busy(shop: Shop, batcher: "Batcher[str, str]") -> "asyncio.Task[str]":
    """One item is under way and waits; what comes now will wait behind it."""
    shop.gate.clear()
    task = asyncio.create_task(batcher.submit("first", caller="first", key="first"))
    await shop.began(1)
    return task


def ask(batcher: "Batcher[str, str]", *items: str, caller: str = "me", key: str = "") -> "list[asyncio.Task[str]]":
    return [asyncio.create_task(batcher.submit(item, caller=caller, key=key or item)) for item in items]


async def done(db: Database) -> dict[str, int]:
    return {row["key"]: row["version"] for row in await db.fetch("SELECT key, version FROM thing")}


async def test_one_leaves_at_once_and_those_that_come_meanwhile_together(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    first = await busy(shop, batcher)
    others = ask(batcher, "a", "b", "c")
    await asyncio.sleep(0)
    shop.gate.set()
    assert await asyncio.gather(first, *others) == ["done first", "done a", "done b", "done c"]
    assert shop.batches == [["first"], ["a", "b", "c"]]


async def test_a_refusal_spares_the_others(database: Database, shop: Shop, batcher: "Batcher[str, str]") -> None:
    first = await busy(shop, batcher)
    others = ask(batcher, "a", "no-b", "c")
    await asyncio.sleep(0)
    shop.gate.set()
    verdicts = await asyncio.gather(first, *others, return_exceptions=True)
    assert isinstance(verdicts[2], Conflict)
    assert [verdicts[1], verdicts[3], len(shop.batches)] == ["done a", "done c", 2]
    assert await done(database) == {"first": 1, "a": 1, "c": 1}


@pytest.mark.parametrize(("culprit", "error"), [("bad-c", asyncpg.CheckViolationError), ("big-c", asyncpg.DataError)])
async def test_a_batch_that_fails_is_halved_until_the_culprit_is_alone(
    database: Database, shop: Shop, batcher: "Batcher[str, str]", culprit: str, error: type[Exception]
) -> None:
    first = await busy(shop, batcher)
    others = ask(batcher, "a", "b", culprit, "d")
    await asyncio.sleep(0)
    shop.gate.set()
    verdicts = await asyncio.gather(first, *others, return_exceptions=True)
    assert [v for v in verdicts if isinstance(v, str)] == ["done first", "done a", "done b", "done d"]
    assert isinstance(verdicts[3], error)
    assert shop.batches[1:] == [["a", "b", culprit, "d"], ["a", "b"], [culprit, "d"], [culprit], ["d"]]
    assert await done(database) == {"first": 1, "a": 1, "b": 1, "d": 1}


async def test_a_duplicate_waits_for_the_first_of_its_key(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    first = await busy(shop, batcher)
    same = [ask(batcher, "a", caller=f"caller-{n}")[0] for n in range(3)]
    again = ask(batcher, "first", caller="another")
    await asyncio.sleep(0)
    shop.gate.set()
    verdicts = await asyncio.gather(first, *same, *again)
    assert sorted(verdicts) == ["again a", "again a", "again first", "done a", "done first"]
    assert all(len(set(batch)) == len(batch) for batch in shop.batches)


async def test_two_workers_never_have_one_key_at_once(database: Database, shop: Shop) -> None:
    batcher: Batcher[str, str] = Batcher(database, shop.run, workers=2)
    shop.gate.clear()
    tasks = ask(batcher, "a", caller="one")
    await shop.began(1)
    tasks += ask(batcher, "a", caller="two") + ask(batcher, "b", caller="three")
    await shop.began(2)
    await asyncio.sleep(0.05)
    assert shop.batches == [["a"], ["b"]]
    shop.gate.set()
    verdicts = await asyncio.gather(*tasks)
    assert verdicts == ["done a", "again a", "done b"]
    await batcher.close()


async def test_what_waits_is_taken_in_turn_from_each_caller(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    first = await busy(shop, batcher)
    tasks = ask(batcher, *(f"many-{n}" for n in range(20)), caller="many")
    tasks += ask(batcher, "x-1", "x-2", caller="x") + ask(batcher, "y-1", caller="y")
    await asyncio.sleep(0)
    shop.gate.set()
    await asyncio.gather(first, *tasks)
    assert shop.batches[1] == ["many-0", "x-1", "y-1", "many-1", "x-2", "many-2", "many-3", "many-4"]
    assert [item for batch in shop.batches for item in batch if item.startswith("many")] == [
        f"many-{n}" for n in range(20)
    ]


async def test_too_much_waiting_is_refused_and_told_when_to_return(database: Database, shop: Shop) -> None:
    batcher: Batcher[str, str] = Batcher(database, shop.run)
    first = await busy(shop, batcher)
    large = asyncio.create_task(batcher.submit("large", caller="l", key="large", size=BYTES_WAITING))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await batcher.submit("more", caller="m", key="more", size=1)
    assert (refused.value.error, refused.value.retry_after_s) == ("overloaded", 1)
    tasks = ask(batcher, *(f"item-{n}" for n in range(ITEMS_WAITING - 1)))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batcher.submit("one-more", caller="m", key="one-more")
    shop.gate.set()
    assert list(await asyncio.gather(first, large)) == ["done first", "done large"]
    assert len(set(await asyncio.gather(*tasks))) == ITEMS_WAITING - 1
    await batcher.close()


async def test_a_caller_that_goes_away_cancels_neither_its_item_nor_the_others(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    first = await busy(shop, batcher)
    gone, stays = ask(batcher, "gone", "stays")
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    shop.gate.set()
    assert await stays == "done stays"
    assert await done(database) == {"first": 1, "gone": 1, "stays": 1}


async def test_a_commit_whose_answer_was_lost_is_looked_up_not_done_again(
    database: Database, shop: Shop, batcher: "Batcher[str, str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOST_PAUSE_S", 0.0)
    lost = [True]

    def lose(_names: object = None) -> None:
        if lost and lost.pop():
            raise CommitUnknown("the answer was lost")

    async def run(tx: Tx, items: Sequence[str], looks: bool) -> Sequence[str | Refusal]:
        tx.wake("x")
        return await shop.run(tx, items, looks)

    database.on_wake = lose
    batcher._run = run
    assert await batcher.submit("a", caller="me", key="a") == "again a"
    assert await done(database) == {"a": 1}


async def test_items_are_taken_for_new_until_one_is_not(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    for key in ("a", "b", "a"):
        answer = await batcher.submit(key, caller="me", key=key)
    assert answer == "again a"
    assert shop.looked == [False, False, False, True]

    shop.looked.clear()
    for n in range(module.LOOKING + 1):
        await batcher.submit(f"new-{n}", caller="me", key=f"new-{n}")
    assert shop.looked == [True] * module.LOOKING + [False]
    assert set((await done(database)).values()) == {1}


async def test_a_connection_lost_before_the_commit_is_tried_again(
    database_url: str, shop: Shop, superuser: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOST_PAUSE_S", 0.05)
    async with connect(url_as(database_url, role_of("probe"), databases.SECRET), "probe") as db:
        batcher: Batcher[str, str] = Batcher(db, shop.run)
        first = await busy(shop, batcher)
        assert await superuser.fetchval(KILL) >= 1
        shop.gate.set()
        assert await first == "done first"
        assert len(shop.batches) == 2
        await batcher.close()
    assert await superuser.fetchval("SELECT version FROM probe.thing WHERE key = 'first'") == 1


async def test_a_database_that_stays_away_fails_the_batch_and_not_the_worker(
    database: Database, shop: Shop, batcher: "Batcher[str, str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOST_PAUSE_S", 0.0)
    run, away = batcher._run, [ConnectionResetError("away")] * module.LOST_TRIES

    async def fail(tx: Tx, items: Sequence[str], looks: bool) -> Sequence[str | Refusal]:
        if away:
            raise away.pop()
        return await run(tx, items, looks)

    batcher._run = fail
    with pytest.raises(ConnectionResetError):
        await batcher.submit("a", caller="me", key="a")
    assert await batcher.submit("a", caller="me", key="a") == "done a"


async def test_too_few_verdicts_are_an_error_of_each_item_and_nothing_is_done(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    async def forgetful(tx: Tx, items: Sequence[str], looks: bool) -> Sequence[str | Refusal]:
        return (await shop.run(tx, items, looks))[1:]

    run, batcher._run = batcher._run, forgetful
    with pytest.raises(ValueError, match="0 verdicts for 1 items"):
        await batcher.submit("a", caller="me", key="a")
    assert await done(database) == {}
    batcher._run = run
    assert await batcher.submit("a", caller="me", key="a") == "done a"


async def test_closing_finishes_what_waits_and_refuses_what_comes_later(
    database: Database, shop: Shop, batcher: "Batcher[str, str]"
) -> None:
    first = await busy(shop, batcher)
    others = ask(batcher, "a", "b")
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="stopped"):
        await batcher.submit("late", caller="me", key="late")
    shop.gate.set()
    await closing
    assert await asyncio.gather(first, *others) == ["done first", "done a", "done b"]


async def test_whoever_waits_is_counted_once_however_it_ends(database: Database, shop: Shop) -> None:
    way = RightOfWay()
    batcher: Batcher[str, str] = Batcher(database, shop.run, way, batch_items=8)
    first = await busy(shop, batcher)
    names = ("done", "no-thing", "bad-thing", "gone")
    others = [asyncio.create_task(batcher.submit(name, caller=name, key=name)) for name in names]
    await asyncio.sleep(0)
    assert way.waiting == 5
    others[-1].cancel()
    await asyncio.sleep(0)
    assert way.waiting == 4
    shop.gate.set()
    ended = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(one) for one in ended] == [str, str, Conflict, asyncpg.CheckViolationError, asyncio.CancelledError]
    await asyncio.sleep(0)
    assert way.waiting == 0
    await batcher.close()
