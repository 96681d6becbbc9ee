"""`tradepost events`: what was published, the story of an order, and reading again."""

import asyncio
import re
from collections import Counter
from pathlib import Path

import asyncpg
import msgspec
import pytest

from tests import databases
from tests.console import story as stories
from tests.console.calling import tradepost
from tests.console.story import Story
from tests.shop import open_shop
from tradepost.console.events.facts import plain
from tradepost.console.events.following import Follower

NODE = re.compile(r"^([\s│├└─]*)\+(\d[\d,]*) ms  (\S+)")
INSERT = """
INSERT INTO "order".event (event_id, type, key, slot, sequence, at, correlation_id, bytes, data)
VALUES (gen_random_uuid(), 'order.created', $1, 0, 1, now(), 'c', 2, '{}')
"""


def nested(out: str) -> list[tuple[int, str]]:
    """Depth and type of each event of a tree."""
    found = [NODE.match(line) for line in out.splitlines()]
    return [(len(match[1]) // 4, match[3]) for match in found if match]


def test_the_story_of_an_order_is_told_below_its_causes(story: Story) -> None:
    told = tradepost(story.url, "events", "trace", story.number)
    tree = nested(told.out)

    assert told.code == 0, told.err
    assert told.out.splitlines()[0] == f"order {story.number}  {story.order_id}"
    assert tree[0] == (1, "order.created")
    assert Counter(type_ for _, type_ in tree) == {
        "order.created": 1, "inventory.reserved": 1, "inventory.low": 1, "order.payment_requested": 1,
        "payment.captured": 1, "order.paid": 1, "shipping.created": 1, "shipping.dispatched": 1, "order.shipped": 1,
        "shipping.delivered": 1, "order.completed": 1, "notification.sent": 4,
    }  # fmt: skip
    depth = {type_: depth for depth, type_ in tree if type_ != "notification.sent"}
    chain = ("order.created", "inventory.reserved", "order.payment_requested", "payment.captured", "order.paid",
             "shipping.delivered", "order.completed")  # fmt: skip
    assert [depth[type_] for type_ in chain] == [1, 2, 3, 4, 5, 6, 7]
    assert (depth["shipping.created"], depth["order.shipped"], depth["inventory.low"]) == (6, 7, 2)


def test_a_tree_names_amounts_and_who_parked_an_event_or_has_yet_to_take_it_in(story: Story) -> None:
    stories.done(story.url, stories.ASK_TO_STOP)

    out = tradepost(story.url, "events", "trace", story.order_id).out

    assert "order.created  10.00 USD, 2 x MUG-1, number" in out
    assert "inventory.low  sku MUG-1, available 4, threshold 5" in out
    lines = out.splitlines()
    completed = next(at for at, line in enumerate(lines) if "order.completed" in line)
    assert "notification parked it: CheckViolationError: " in lines[completed + 1]
    asked = next(at for at, line in enumerate(lines) if "order.cancel_requested" in line)
    assert lines[asked + 1].endswith("shipping has yet to take it in")
    assert out.count("parked it") == out.count("yet to take") == 1


async def test_the_story_is_told_across_databases(server: str, database_url: str, tmp_path: Path) -> None:
    other = await databases.create(server)
    names = ("payment", "notification")
    environment = {f"TRADEPOST_{name.upper()}_DATABASE_URL": other for name in names}
    async with open_shop(database_url, tmp_path, apart=dict.fromkeys(names, other)) as shop:
        await shop.product("MUG-1", stock=6)
        placed = await shop.buy(shop.staff, "MUG-1", guest={"email": "a@b.cd", "name": "A"})
        waited = await asyncio.to_thread(tradepost, database_url, "log", "lag", "--wait", "60", **environment)
    told = await asyncio.to_thread(tradepost, database_url, "events", "trace", placed.json["number"], **environment)
    await databases.drop(server, other)

    assert waited.code == 0, waited.err
    tree = nested(told.out)
    assert {"order.created", "inventory.reserved", "payment.captured", "notification.sent"} <= {
        name for _, name in tree
    }
    assert [depth for depth, name in tree if name == "payment.captured"] == [4]


def test_an_order_that_is_not_there_is_told_in_one_line(story: Story) -> None:
    for order in ("77", "0193b2f0-7c1e-7000-8000-000000000001", "MUG-1"):
        told = tradepost(story.url, "events", "trace", order)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)


def test_an_event_is_shown_whole_with_its_cause_and_what_became_of_it(story: Story) -> None:
    told = tradepost(story.url, "events", "show", story.last)
    envelope, _, after = told.out.partition("\n\ncaused by\n")
    shown = msgspec.json.decode(tradepost(story.url, "events", "show", story.last, "--json").out)

    assert told.code == 0, told.err
    event = msgspec.json.decode(envelope)
    assert (event["type"], event["subject"], event["data"]["number"]) == (
        "order.completed", story.order_id, story.number,
    )  # fmt: skip
    assert after.splitlines()[0].split()[0] == "shipping.delivered"
    assert "notification: parked: CheckViolationError" in after
    assert shown["event"] == event
    assert shown["cause"]["id"] == event["causationid"]
    assert [(one["group"], one["state"]) for one in shown["groups"]] == [("notification", "parked")]
    cause = msgspec.json.decode(tradepost(story.url, "events", "show", event["causationid"], "--json").out)
    assert [one["id"] for one in cause["led_to"]] == [story.last]
    assert [(one["group"], one["state"]) for one in cause["groups"]] == [("order", "taken in")]


@pytest.mark.parametrize("text", ["x\n2026-11-30 order.paid", "\x1b]52;c;cm0=\x07", "\x9b31m", "a\rb", "\u202eb"])
def test_what_a_customer_writes_commands_no_terminal_and_forges_no_line(text: str) -> None:
    shown = plain(f"reason {text}")
    assert shown.isprintable()
    assert shown.startswith("reason ")
    assert plain("reason: Größe 42 – falsch") == "reason: Größe 42 – falsch"


def test_an_event_that_no_log_holds_is_told_in_one_line(story: Story) -> None:
    for event_id in ("0193b2f0-7c1e-7000-8000-000000000001", "7a0ccb7e-34b9-4a3c-8f3b-0a5c3f4b2c11", "x"):
        told = tradepost(story.url, "events", "show", event_id)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)


def test_the_tail_is_the_newest_of_all_logs_or_of_what_is_asked_for(story: Story) -> None:
    whole = tradepost(story.url, "events", "tail", "-n", "1000").out.splitlines()
    last = tradepost(story.url, "events", "tail", "-n", "3").out.splitlines()
    of_order = tradepost(story.url, "events", "tail", "--publisher", "order", "--key", story.order_id).out
    created = tradepost(story.url, "events", "tail", "--type", "order.created", "--json").out

    assert last == whole[-3:]
    assert [line[:23] for line in whole] == sorted(line[:23] for line in whole)
    assert [line.split()[3] for line in of_order.splitlines()] == [
        "order.created", "order.payment_requested", "order.paid", "order.shipped", "order.completed",
    ]  # fmt: skip
    assert msgspec.json.decode(created)["data"]["items"][0]["sku"] == "MUG-1"
    assert tradepost(story.url, "events", "tail", "--type", "order.creatd").code == 2
    assert tradepost(story.url, "events", "tail", "--publisher", "orders").code == 2


async def test_following_misses_no_event_whose_transaction_commits_late_and_shows_none_twice(
    database_url: str, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    slow, reader = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    seen: list[str] = []
    try:
        follower = Follower({"order": reader, "user": reader}, ["order", "user"])
        await superuser.execute(INSERT, "before")
        async with slow.transaction():
            await slow.execute(INSERT, "late")
            async with follower.begun():
                await superuser.execute(INSERT, "first")
            for key in ("second", "third"):
                await superuser.execute(INSERT, key)
                seen += [one.event.key for one in await follower.news(lambda _one: True)]
        await superuser.execute("SELECT log.open_epoch()")
        seen += [one.event.key for one in await follower.news(lambda _one: True)]
        await superuser.execute(INSERT, "new epoch")
        seen += [one.event.key for one in await follower.news(lambda one: one.event.key != "first")]
        assert await follower.news(lambda _one: True) == []
    finally:
        await slow.close()
        await reader.close()
    assert seen == ["first", "second", "third", "late", "new epoch"]


def test_only_what_can_be_built_anew_reads_again(story: Story) -> None:
    refused = tradepost(story.url, "events", "replay", "order")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "tradepost: order has effects that can't be taken back: it must not read again\n"

    done = tradepost(story.url, "events", "replay", "product.availability")
    assert done.code == 0, done.err
    lag = tradepost(story.url, "log", "lag", "--wait", "0")
    assert lag.err.startswith("tradepost: after 0 s still behind: product.availability on inventory by ")
