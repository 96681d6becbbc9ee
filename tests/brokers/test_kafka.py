"""Kafka's own: topics as declared, offsets that move with the effects and are fenced, what a lost topic is told by."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import DefaultPartitioner
from msgspec.structs import replace
from structlog.testing import capture_logs

from brokers.node import Node
from tests.brokers import kafka_probing
from tests.brokers.kafka_probing import (
    PARTITIONS,
    Shop,
    begin,
    intake,
    owners,
    receiving,
    records,
    send,
    serving,
    shop_on,
    taken,
)
from tests.kernel.log.probing import effects, record, until
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.envelope import decode
from tradepost.kernel.brokers.kafka.publisher import CONFIRM_S, partition_of
from tradepost.kernel.brokers.port import BrokerError, Unit
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.log.cursor import Fenced
from tradepost.kernel.log.effects import take_effect

KEYS: Final = ("a", "b", "c", "d", "e", "f")
WEEK_MS: Final = 7 * 24 * 3_600_000


async def described(shop: Shop) -> tuple[int, dict[str, str]]:
    """How many partitions the topic has, and its configuration."""
    admin = AIOKafkaAdminClient(bootstrap_servers=shop.bootstrap)
    await admin.start()
    [topic] = await admin.describe_topics([shop.topic])
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, shop.topic)])
    await admin.close()
    return len(topic["partitions"]), {key: value for key, value, *_ in answer.resources[0][4]}


async def made_by_hand(shop: Shop, partitions: int, **configuration: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=shop.bootstrap)
    await admin.start()
    configs = {key.replace("_", "."): value for key, value in configuration.items()}
    await admin.create_topics([NewTopic(shop.topic, partitions, 1, topic_configs=configs)])
    await admin.close()


async def test_a_topic_is_declared_for_large_events_and_a_week(shop: Shop) -> None:
    partitions, configuration = await described(shop)

    assert partitions == PARTITIONS
    assert configuration["max.message.bytes"] == str(4 * 1024 * 1024)
    assert configuration["retention.ms"] == str(WEEK_MS)
    assert configuration["retention.bytes"] == "-1"
    assert configuration["cleanup.policy"] == "delete"
    assert configuration["min.insync.replicas"] == "1", "of one broker"


async def test_declaring_again_changes_and_tells_nothing(shop: Shop) -> None:
    await shop.publish("a")
    with capture_logs() as lines:
        await shop.kafka.declare()

    assert lines == []
    assert len(await records(shop, 1)) == 1


async def test_a_topic_that_is_other_than_wanted_is_told_and_left(kafka_bootstrap: str) -> None:
    shop = shop_on(kafka_bootstrap)
    await made_by_hand(shop, 2, retention_ms="60000", retention_bytes="1000", cleanup_policy="compact")
    with capture_logs() as lines:
        await shop.kafka.declare()

    assert {line["why"] for line in lines} == {
        "it has 2 partitions, not 3",
        "its cleanup.policy is compact, not delete",
        "its retention.bytes is 1000, not -1",
        f"its retention.ms is 60000, less than {WEEK_MS}",
    }
    assert (await described(shop))[0] == 2
    assert await shop.kafka.units(shop.group) == [Unit(shop.source, 0), Unit(shop.source, 1)]
    await shop.kafka.reset()


async def test_after_a_reset_the_topics_are_gone_until_they_are_declared(shop: Shop) -> None:
    await shop.publish("a")
    await shop.kafka.reset()
    with pytest.raises(BrokerError, match=f"no topic {shop.topic}"):
        await shop.kafka.units(shop.group)

    await shop.kafka.reset()
    await shop.kafka.declare()
    assert len(await shop.kafka.units(shop.group)) == PARTITIONS


async def test_other_clients_find_an_event_by_its_key_and_know_what_it_is(shop: Shop) -> None:
    events = [shop.event(f"thing-{n}") for n in range(50)]
    publisher = shop.kafka.publisher()
    await publisher.publish(shop.source, events)
    await publisher.close()

    read = await records(shop, 50)
    assert {decode(r.value)[1].id for r in read} == {event.id for event in events}
    numbers = list(range(PARTITIONS))
    assert [r.partition for r in read] == [DefaultPartitioner()(r.key, numbers, numbers) for r in read]
    assert {r.headers for r in read} == {(("content-type", b"application/cloudevents+json"),)}


def test_a_key_of_any_length_lies_where_other_clients_look_for_it() -> None:
    keys = [bytes(range(250, 250 - length, -1)) for length in range(40)]
    numbers = list(range(7))
    assert [partition_of(key, 7) for key in keys] == [DefaultPartitioner()(key, numbers, numbers) for key in keys]


async def test_a_wave_larger_than_a_batch_and_an_event_of_two_megabytes_arrive_in_order(shop: Shop) -> None:
    large = [shop.event("a", f'{{"thing":"a","text":"{"x" * size}"}}') for size in (2_000_000, 10, 600_000, 600_000)]
    publisher = shop.kafka.publisher()
    await publisher.publish(shop.source, large)
    await publisher.close()

    assert [decode(r.value)[1].sequence for r in await records(shop, 4)] == [1, 2, 3, 4]


async def test_each_key_keeps_its_order_from_where_the_group_began(shop: Shop, database: Database) -> None:
    await shop.publish("a", "b")
    units = await begin(shop, database)
    await shop.publish(*KEYS, *KEYS, *KEYS)

    async with receiving(shop, units, intake(shop, database, "one")):
        got = await effects(database, 18)
    first = {"a": 2, "b": 2}
    for key in KEYS:
        start = first.get(key, 1)
        assert [sequence for k, sequence in got if k == key] == [start, start + 1, start + 2]
    assert await taken(database) == 20


async def test_a_group_whose_offsets_were_forgotten_begins_at_the_beginning(shop: Shop, database: Database) -> None:
    await shop.publish("a", "b", "c")

    async with receiving(shop, await shop.kafka.units(shop.group), intake(shop, database, "one")):
        assert sorted(await effects(database, 3)) == [("a", 1), ("b", 1), ("c", 1)]


async def test_depth_counts_the_records_before_the_group(shop: Shop, database: Database) -> None:
    await shop.publish("a", "b")
    assert await shop.kafka.depth(shop.group, database) == 2, "nothing is stored: all are before it"
    units = await begin(shop, database)
    assert await shop.kafka.depth(shop.group, database) == 0
    await shop.publish(*KEYS)
    assert await shop.kafka.depth(shop.group, database) == 6

    async with receiving(shop, units, intake(shop, database, "one")):
        await effects(database, 6)
    assert await shop.kafka.depth(shop.group, database) == 0


async def test_an_event_that_was_published_twice_takes_effect_once(shop: Shop, database: Database) -> None:
    units = await begin(shop, database)
    events = [shop.event(key) for key in KEYS]
    publisher = shop.kafka.publisher()
    await publisher.publish(shop.source, events)

    async with serving(shop, database, units):
        await effects(database, 6)
        await publisher.publish(shop.source, events)
        await until(lambda: _has_taken(database, 12))
    await publisher.close()
    assert len(await effects(database, 6)) == 6


async def test_what_is_not_for_the_group_takes_no_transaction_and_the_place_is_noted_soon(
    shop: Shop, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = await begin(shop, database)
    publisher = shop.kafka.publisher()
    took: list[int] = []

    async def counted(*arguments: Any) -> None:
        took.append(1)
        await take_effect(*arguments)

    monkeypatch.setattr("tradepost.kernel.brokers.receiver.take_effect", counted)
    async with serving(shop, database, units):
        await publisher.publish(shop.source, [replace(shop.event(key), type=f"{shop.source}.unheard") for key in KEYS])
        await until(lambda: _has_taken(database, 6))
        assert took == []

        await publisher.publish(shop.source, [shop.event("a")])
        assert await effects(database, 1) == [("a", 2)]
    assert await taken(database) == 7
    await publisher.close()


async def test_what_fails_moves_no_offset_and_is_tried_again(kafka_bootstrap: str, database: Database) -> None:
    broken = asyncio.Event()

    async def fails_once(tx: Tx, events: Sequence[Any]) -> None:
        await record(tx, events)
        if not broken.is_set():
            broken.set()
            raise ConnectionError("lost")

    shop = shop_on(kafka_bootstrap, fails_once)
    await shop.kafka.declare()
    units = await begin(shop, database)
    await shop.publish("a")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionError, match="lost"):
            await shop.kafka.receive(units, intake(shop, database, "one"))
    assert await taken(database) == 0
    assert await database.fetchval("SELECT count(*) FROM effect") == 0

    async with receiving(shop, units, intake(shop, database, "one")):
        assert await effects(database, 1) == [("a", 1)]
    assert await taken(database) == 1
    await shop.kafka.reset()


async def test_what_is_no_event_is_told_and_passed_over(shop: Shop, database: Database) -> None:
    units = await begin(shop, database)
    other = shop_on(shop.bootstrap)
    [foreign] = [other.event("a")]
    await send(shop, b"{}", b"a")
    await send(shop, kafka_probing.encoded(other, foreign), b"a")
    await shop.publish("a")
    await send(shop, b"nonsense", b"b")

    with capture_logs() as lines:
        async with receiving(shop, units, intake(shop, database, "one")):
            await until(lambda: _has_taken(database, 4))
    assert await effects(database, 1) == [("a", 1)]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["not_an_event"] * 3
    assert shop.kafka.skipped == {shop.topic: 3}


async def test_a_paused_process_that_wakes_up_late_changes_nothing(shop: Shop, database: Database) -> None:
    units = await begin(shop, database)
    await shop.publish("a", "b")
    asleep = asyncio.Event()
    async with receiving(shop, units, intake(shop, database, "paused", gate=asleep)) as paused:
        await until(lambda: _owned(database, {"paused"}))
        async with receiving(shop, units, intake(shop, database, "awake")):
            assert len(await effects(database, 2)) == 2

            asleep.set()
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(Fenced):
                    await paused
            assert await _owned(database, {"awake"}), "it must not release what is another's"
    assert len(await effects(database, 2)) == 2
    assert await taken(database) == 2


async def test_who_comes_gets_what_is_free_and_later_what_is_released(shop: Shop, database: Database) -> None:
    units = await begin(shop, database)
    async with receiving(shop, units[:2], intake(shop, database, "first")):
        await until(lambda: _owned(database, {"first", None}))
        async with receiving(shop, units, intake(shop, database, "second", ["first"])):
            await until(lambda: _owned(database, {"first", "second"}))
            assert list((await owners(database)).values()) == ["first", "first", "second"]
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(Fenced):
                    await shop.kafka.receive(units, intake(shop, database, "third", ["first", "second"]))
            await shop.publish(*KEYS)
            await effects(database, 6)
    assert await _owned(database, {None})


async def test_what_a_process_releases_is_taken_over_by_one_that_holds_others(shop: Shop, database: Database) -> None:
    units = await begin(shop, database)
    async with receiving(shop, units[:2], intake(shop, database, "first")) as first:
        await until(lambda: _owned(database, {"first", None}))
        async with receiving(shop, units, intake(shop, database, "second", ["first"])):
            await until(lambda: _owned(database, {"first", "second"}))
            first.cancel()
            await until(lambda: _owned(database, {"second"}))
            await shop.publish(*KEYS, *KEYS)
            assert len(await effects(database, 12)) == 12
    assert await taken(database) == 12


async def test_a_topic_that_was_made_anew_stops_the_group_and_says_what_to_do(shop: Shop, database: Database) -> None:
    units = await begin(shop, database)
    await shop.publish("a")
    async with receiving(shop, units, intake(shop, database, "one")):
        await effects(database, 1)
    await shop.kafka.reset()
    await shop.kafka.declare()

    async with serving(shop, database, units) as receiver:
        await until(lambda: _stopped(receiver))
    assert receiver.stopped
    assert receiver.stopped.startswith(f"recorder goes on at record 1 of {shop.topic}/")
    assert "from 0 up to 0: they expired, or the topic was emptied or made anew" in receiver.stopped
    assert "run `tradepost log recover`" in receiver.stopped
    assert await taken(database) == 1


async def test_what_is_published_while_the_broker_is_killed_arrives_when_it_is_back(
    own_kafka: Node, database: Database
) -> None:
    shop = shop_on(own_kafka.address)
    await shop.kafka.declare()
    units = await begin(shop, database)
    publisher = shop.kafka.publisher()
    waves = [[shop.event(key) for key in KEYS] for _ in range(3)]

    async with serving(shop, database, units) as receiver:
        await publisher.publish(shop.source, waves[0])
        await effects(database, 6)
        own_kafka.kill()
        with pytest.raises(BrokerError):
            async with asyncio.timeout(CONFIRM_S + PATIENCE_S):
                await publisher.publish(shop.source, waves[1])
        assert _senders() == [], "what it gave up is not tried any more"

        await asyncio.to_thread(own_kafka.start)
        for wave in waves[1:]:
            await publisher.publish(shop.source, wave)
        got = await effects(database, 18)
        assert receiver.stopped is None
    await publisher.close()
    for key in KEYS:
        assert [sequence for k, sequence in got if k == key] == [1, 2, 3]


async def test_a_silent_broker_ends_publishing_and_receiving_in_time(own_kafka: Node, database: Database) -> None:
    shop = shop_on(own_kafka.address)
    await shop.kafka.declare()
    units = await begin(shop, database)
    publisher = shop.kafka.publisher()
    await publisher.publish(shop.source, [shop.event("a")])

    async with receiving(shop, units, intake(shop, database, "one")) as reception:
        await effects(database, 1)
        own_kafka.pause()
        try:
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(BrokerError):
                    await publisher.publish(shop.source, [shop.event("a")])
                with pytest.raises(BrokerError, match="does not answer"):
                    await reception
        finally:
            own_kafka.resume()
    assert await _owned(database, {None})


async def _has_taken(db: Database, count: int) -> bool:
    return await taken(db) >= count


async def _owned(db: Database, by: set[str | None]) -> bool:
    return set((await owners(db)).values()) == by


async def _stopped(receiver: Any) -> bool:
    return receiver.stopped is not None


def _senders() -> list[Any]:
    """What producers have at work."""
    return [task for task in asyncio.all_tasks() if "Sender" in task.get_coro().__qualname__]  # type: ignore[union-attr]
