"""Large events, events that a newer version writes, and events that an older one wrote."""

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.brokers.behaviour.rig import Shop, until
from tests.brokers.behaviour.things import note
from tradepost.kernel.brokers.kafka.topics import MESSAGE_BYTES
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, on

MEGABYTE = 1_048_576
RELAY = "SELECT tick, toward, last_id FROM cursor WHERE \"group\" = 'relay'"


async def place_of(tx: Tx, events: Sequence[Event[Any]]) -> None:
    await note(tx, "recorder", events, [event.data.place for event in events])


async def test_an_event_of_a_megabyte_arrives_as_it_is_and_in_its_order(shop: Shop) -> None:
    text = "".join(chr(32 + n % 95) for n in range(MEGABYTE))

    async def same(tx: Tx, events: Sequence[Event[Any]]) -> None:
        await note(tx, "recorder", events, [str(event.data.text == text) for event in events])

    async with shop.running(shop.group(handler=same)):
        await shop.move("big", "small")
        await shop.move("big", text=text)
        await shop.move("big", "small")
        await shop.took_all_once()
    assert [row["note"] for row in await shop.db.fetch("SELECT note FROM effect WHERE key = 'big' ORDER BY at")] == [
        "False",
        "True",
        "False",
        "False",
    ]


@pytest.mark.parametrize("kind", ["log", "rabbitmq"], indirect=True)
async def test_an_event_above_what_kafka_takes_arrives_as_well(shop: Shop) -> None:
    async with shop.running(shop.group()):
        await shop.move("big", "small")
        await shop.move("big", text="x" * (MESSAGE_BYTES + 1))
        await shop.took_all_once()


@pytest.mark.parametrize("kind", ["kafka"], indirect=True)
async def test_an_event_that_kafka_does_not_take_is_told_of_and_waits_in_the_log_with_what_is_behind_it(
    shop: Shop,
) -> None:
    async with shop.running(shop.group()) as part:
        await shop.move("first")
        await shop.took(1)
        await shop.relayed(part)
        stood = await shop.db.fetch(RELAY)
        with capture_logs() as told:
            await shop.move("big", text="x" * (MESSAGE_BYTES + 1))
            await until(lambda: _waits(told), "the relay tells why it waits")
            told.clear()
            await shop.move("big", "other")
            await until(lambda: _waits(told), "the relay tells it again")
        assert await shop.db.fetch(RELAY) == stood
        assert {**await shop.effects(), "other": [1]} == {"first": [1], "other": [1]}  # which may be under way already
        assert await shop.parked() == {}


async def _waits(told: Sequence[Any]) -> bool:
    return any(line.get("group") == "relay" and "large" in line.get("why", "").lower() for line in told)


async def test_a_type_that_no_group_knows_is_carried_and_disturbs_nobody(shop: Shop) -> None:
    async with shop.running(shop.group()):
        for _ in range(3):
            async with shop.db.transaction() as tx:
                await shop.moved(tx, ["a", "b"])
                await shop.append(tx, ["ghost"], lambda thing: shop.facts.vanished(thing=thing))
        await shop.took_all_once(without=["ghost"])
    assert await shop.parked() == {}
    assert (await shop.effects()).keys() == {"a", "b"}


async def test_each_group_gets_the_types_that_it_subscribes_to(shop: Shop) -> None:
    turns = Group("turns", (on(shop.facts.turned, _turned),))
    async with shop.running(shop.group(), turns):
        async with shop.db.transaction() as tx:
            await shop.moved(tx, ["a", "b"])
            await shop.append(tx, ["a"], lambda thing: shop.facts.turned(thing=thing))
            await shop.moved(tx, ["a"])
        await shop.took(1, "turns")
        await shop.took_all_once()
    assert await shop.effects("turns") == {"a": [2]}


async def _turned(tx: Tx, events: Sequence[Event[Any]]) -> None:
    await note(tx, "turns", events, ["" for _ in events])


async def test_an_older_form_is_read_with_the_new_fields_default_and_a_newer_one_with_its_value(shop: Shop) -> None:
    new = Group("recorder", (on(shop.facts.moved_lately, place_of),))
    async with shop.running(new):
        await shop.move("old")
        async with shop.db.transaction() as tx:
            await shop.append(tx, ["new"], lambda thing: shop.facts.moved_lately(thing=thing, place="Rome"))
        await shop.took(2)
    assert await shop.notes() == {"old": {"unknown"}, "new": {"Rome"}}


async def test_who_knows_only_the_older_form_passes_over_the_fields_of_a_newer_one(shop: Shop) -> None:
    async with shop.running(shop.group()):
        async with shop.db.transaction() as tx:
            await shop.append(tx, ["new"], lambda thing: shop.facts.moved_lately(thing=thing, place="Rome"))
        await shop.took_all_once()
    assert await shop.parked() == {}
