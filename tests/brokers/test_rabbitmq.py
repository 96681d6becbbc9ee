"""RabbitMQ's own: what is declared, what confirmed means, order and hand-over of a queue, dead letters, shards."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import aio_pika
import msgspec
import pytest
from msgspec import structs
from structlog.testing import capture_logs

from brokers.node import Node
from tests.brokers import own
from tests.brokers.proxy import Proxy
from tests.brokers.rabbitmq_probing import (
    SOURCE,
    STORE,
    Things,
    before,
    definitions,
    door,
    next_of,
    once_each,
    plain_channel,
    post,
    publish,
    publishing,
    rabbit,
    receiving,
)
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.envelope import decode, encode
from tradepost.kernel.brokers.port import BrokerError
from tradepost.kernel.brokers.rabbitmq import Limits, open_broker, publisher
from tradepost.kernel.brokers.rabbitmq.frames import Arrived
from tradepost.kernel.brokers.rabbitmq.reception import Inlet
from tradepost.kernel.database import Database
from tradepost.settings import BrokerSettings

MEGABYTE: Final = 1_048_576
QUEUE: Final = "store_queue"


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
async def proxy(rabbitmq_vhost_url: str) -> AsyncIterator[Proxy]:
    made = Proxy(int(rabbitmq_vhost_url.split(":")[-1].split("/")[0]))
    await made.start()
    yield made
    await made.stop()


def bindings(url: str) -> set[tuple[str, str, str]]:
    return {(b["source"], b["routing_key"], b["destination"]) for b in definitions(url)["bindings"]}


async def test_a_group_has_a_quorum_queue_with_one_consumer_at_a_time_and_limits(rabbitmq_vhost_url: str) -> None:
    await rabbit(rabbitmq_vhost_url).declare()

    declared = definitions(rabbitmq_vhost_url)
    queues = {queue["name"]: queue for queue in declared["queues"]}
    assert all(queue["durable"] for queue in queues.values())
    assert queues[QUEUE]["arguments"] == {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": 1_000,
        "x-dead-letter-exchange": "dead_letters",
        "x-dead-letter-routing-key": "store_dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": 1_000_000,
        "x-max-length-bytes": 4_294_967_296,
    }
    assert queues["store_dead"]["arguments"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000_000,
        "x-overflow": "reject-publish",
        "x-max-length": 1_000_000,
        "x-max-length-bytes": 4_294_967_296,
    }
    assert len(queues) == 2


async def test_exchanges_are_durable_and_bound_by_what_the_group_subscribes_to(rabbitmq_vhost_url: str) -> None:
    await rabbit(rabbitmq_vhost_url).declare()

    declared = definitions(rabbitmq_vhost_url)["exchanges"]
    assert {(e["name"], e["type"], e["durable"]) for e in declared} == {
        ("thing_events", "topic", True),
        ("dead_letters", "direct", True),
    }
    assert bindings(rabbitmq_vhost_url) == {
        ("thing_events", "thing.moved", QUEUE),
        ("thing_events", "thing.painted", QUEUE),
        ("dead_letters", "store_dead", "store_dead"),
    }


async def test_declaring_again_changes_and_loses_nothing(rabbitmq_vhost_url: str, things: Things) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    await broker.declare()
    declared = definitions(rabbitmq_vhost_url)
    await publish(broker, things.events(3))

    await broker.declare()

    assert definitions(rabbitmq_vhost_url) == declared
    assert await broker.depth(STORE) == 3


async def test_a_queue_that_was_declared_otherwise_is_told_in_a_line_and_left(rabbitmq_vhost_url: str) -> None:
    async with plain_channel(rabbitmq_vhost_url) as channel:
        await channel.declare_queue(QUEUE, durable=True)

    with pytest.raises(BrokerError, match=r"the queue store_queue was declared otherwise before .* delete it") as told:
        await rabbit(rabbitmq_vhost_url).declare()
    assert "\n" not in str(told.value)
    [queue] = [queue for queue in definitions(rabbitmq_vhost_url)["queues"] if queue["name"] == QUEUE]
    assert queue["arguments"] == {}


async def test_a_group_that_begins_has_its_events_kept_from_then_on(rabbitmq_vhost_url: str, things: Things) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    await broker.begin(STORE)

    async with plain_channel(rabbitmq_vhost_url) as channel:
        exchange = await channel.get_exchange("thing_events")
        await exchange.publish(aio_pika.Message(b"{}"), "thing.painted", mandatory=True)
    assert await broker.depth(STORE) == 1


async def test_a_fresh_group_begins_without_what_its_queue_held(rabbitmq_vhost_url: str, things: Things) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    await publish(broker, things.events(5))
    await broker.begin(STORE)
    assert await broker.depth(STORE) == 5

    await broker.begin(STORE, fresh=True)
    assert await broker.depth(STORE) == 0


async def test_other_clients_see_what_an_event_is_without_reading_it(rabbitmq_vhost_url: str, things: Things) -> None:
    event = things.event("mug", "thing.painted")
    await publish(rabbit(rabbitmq_vhost_url), [event])

    message = await next_of(rabbitmq_vhost_url, QUEUE)
    assert decode(message.body) == ("thing", event)
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.content_type == "application/cloudevents+json"
    assert (message.message_id, message.type, message.correlation_id) == (event.id, "thing.painted", "test")
    assert message.timestamp == event.time.replace(microsecond=0)
    assert message.headers == {"subject": "mug"}
    assert (message.exchange, message.routing_key) == ("thing_events", "thing.painted")


async def test_an_event_of_a_megabyte_and_a_long_correlation_arrive_whole(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    large = msgspec.structs.replace(things.event("mug", text="x" * MEGABYTE), correlation_id="ä" * 200)
    broker, at = rabbit(rabbitmq_vhost_url), door(database)
    await publish(broker, [large, *things.events(2)])

    async with receiving(broker, at):
        assert (await at.count(3))[0] == large


async def test_a_type_that_no_group_wants_is_published_to_nobody(rabbitmq_vhost_url: str, things: Things) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    await publish(broker, [things.event("mug", "thing.noticed"), things.event("mug")])
    assert await broker.depth(STORE) == 1


async def test_a_wanted_type_without_a_queue_is_an_error_and_then_declared_anew(
    rabbitmq_vhost_url: str, things: Things
) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    events = [*things.events(3), things.event("mug", "thing.noticed")]
    async with publishing(broker) as publisher:
        await publisher.publish(SOURCE, events)
        async with plain_channel(rabbitmq_vhost_url) as channel:
            await channel.queue_delete(QUEUE)

        with pytest.raises(BrokerError, match=r"no queue takes thing\.moved, which a group must get"):
            await publisher.publish(SOURCE, events)
        await publisher.publish(SOURCE, events)
    assert await broker.depth(STORE) == 3


async def test_a_full_queue_refuses_and_nothing_is_lost_by_publishing_again(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, at = rabbit(rabbitmq_vhost_url, limits=Limits(messages=10)), door(database)
    async with publishing(broker) as publisher:
        confirmed = 0

        async def fill() -> None:
            nonlocal confirmed
            for event in things.events(100):
                await publisher.publish(SOURCE, [event])
                confirmed += 1

        with pytest.raises(BrokerError, match="events of thing wait: a queue is full"):
            await fill()
        assert 10 <= confirmed < 100
        assert await broker.depth(STORE) >= confirmed

        async with receiving(broker, at):
            await at.count(confirmed)
            await publisher.publish(SOURCE, [things.event("other")])
            assert (await at.count(confirmed + 1))[-1].key == "other"
    assert [event.sequence for event in once_each(at.events)][:confirmed] == list(range(1, confirmed + 1))


async def test_a_connection_cut_while_publishing_is_an_error_and_the_next_try_succeeds(
    rabbitmq_vhost_url: str, things: Things, proxy: Proxy
) -> None:
    broker = rabbit(before(proxy, rabbitmq_vhost_url))
    events = things.events(500)
    async with publishing(broker) as publisher:
        await publisher.publish(SOURCE, [things.event("first")])
        proxy.cut_after("up", 100_000)
        with pytest.raises(BrokerError, match="publishing events of thing"):
            await publisher.publish(SOURCE, events)
        await publisher.publish(SOURCE, events)

    assert await broker.depth(STORE) > 500


async def test_a_server_that_confirms_nothing_is_given_up_after_a_while(
    rabbitmq_vhost_url: str, things: Things, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = rabbit(before(proxy, rabbitmq_vhost_url))
    async with publishing(broker) as publishes:
        await publishes.publish(SOURCE, things.events(1))
        proxy.hold()
        with monkeypatch.context() as hurried:
            hurried.setattr(publisher, "CONFIRM_S", 0.5)
            with pytest.raises(BrokerError, match=r"no answer for 0\.5 s"):
                await publishes.publish(SOURCE, things.events(1))
        proxy.heal()
        await publishes.publish(SOURCE, things.events(1))


async def test_what_was_taken_and_not_committed_comes_again_first_and_in_order(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, closed, at = rabbit(rabbitmq_vhost_url), door(database, closed=True), door(database)
    events = things.events(300)
    await publish(broker, events[:200])
    async with receiving(broker, closed):
        await asyncio.wait_for(closed.knocked.wait(), PATIENCE_S)
        await publish(broker, events[200:])

    async with receiving(broker, at):
        assert await at.count(300) == events
    assert closed.events == []


async def test_what_was_committed_does_not_come_again(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, first, second = rabbit(rabbitmq_vhost_url), door(database), door(database)
    await publish(broker, things.events(200))
    async with receiving(broker, first):
        await first.count(200)
        await asyncio.sleep(0.2)  # the acknowledgement is not answered
    await publish(broker, [things.event("last")])

    async with receiving(broker, second):
        assert [event.key for event in await second.count(1)] == ["last"]
    assert len(first.events) == 200


async def test_order_survives_connections_that_are_cut_again_and_again(
    rabbitmq_vhost_url: str, things: Things, database: Database, proxy: Proxy
) -> None:
    broker, at = rabbit(before(proxy, rabbitmq_vhost_url)), door(database)
    events = things.events(3_000, keys=7)
    for start in range(0, 3_000, 500):
        await publish(rabbit(rabbitmq_vhost_url), events[start : start + 500])

    cuts = 0
    while cuts < 5:
        proxy.cut_after("down", 200_000)
        with pytest.raises(BrokerError):
            await broker.receive(await broker.units(STORE), at.intake)
        cuts += 1
    async with receiving(broker, at):
        await at.count(3_000)

    assert once_each(at.events) == events


async def test_what_has_arrived_meanwhile_is_taken_together(
    rabbitmq_vhost_url: str, things: Things, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, hold = 0, Inlet._hold

    async def count(inlet: Inlet, message: Arrived) -> None:
        nonlocal arrived
        arrived += 1
        await hold(inlet, message)

    monkeypatch.setattr(Inlet, "_hold", count)
    broker, at = rabbit(rabbitmq_vhost_url), door(database, closed=True)
    async with receiving(broker, at):
        await publish(broker, [things.event("first")])
        await asyncio.wait_for(at.knocked.wait(), PATIENCE_S)
        await publish(broker, things.events(400))
        async with asyncio.timeout(PATIENCE_S):
            while arrived < 401:
                await asyncio.sleep(0.01)
        at.opened.set()
        await at.count(401)

    assert [len(piece) for piece in at.pieces] == [1, 400]


async def test_a_slow_group_is_sent_no_more_than_a_thousand_events(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, at = rabbit(rabbitmq_vhost_url), door(database, closed=True)
    events = things.events(1_500, keys=1_500)
    await publish(broker, events)

    async with receiving(broker, at):
        await asyncio.wait_for(at.knocked.wait(), PATIENCE_S)
        await asyncio.sleep(0.5)
        assert await broker.depth(STORE) == 500
        at.opened.set()
        assert await at.count(1_500) == events
    assert max(len(piece) for piece in at.pieces) <= 1_000


async def test_a_slow_group_holds_no_more_of_large_events_than_two_pieces(
    rabbitmq_vhost_url: str, things: Things, database: Database, proxy: Proxy
) -> None:
    broker, at = rabbit(before(proxy, rabbitmq_vhost_url)), door(database, closed=True)
    for _ in range(8):
        await publish(rabbit(rabbitmq_vhost_url), [things.event("mug", text="x" * MEGABYTE) for _ in range(7)])

    async with receiving(broker, at):
        await asyncio.wait_for(at.knocked.wait(), PATIENCE_S)
        await asyncio.sleep(1)
        assert proxy.passed["down"] - proxy.unread() < 19 * MEGABYTE
        at.opened.set()
        assert [event.sequence for event in await at.count(56)] == list(range(1, 57))
    assert max(len(piece) for piece in at.pieces) <= 8


async def test_of_two_receptions_one_gets_everything_and_the_other_takes_over(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, one, two = rabbit(rabbitmq_vhost_url), door(database), door(database)
    await broker.declare()
    async with receiving(broker, one) as first:
        await consumed(rabbitmq_vhost_url)
        async with receiving(broker, two):
            await asyncio.sleep(1)  # one that only waits is not counted
            await publish(broker, things.events(100))
            await one.count(100)
            assert two.events == []

            first.cancel()
            await asyncio.wait([first])
            await publish(broker, things.events(100))
            await two.count(100)
    assert [event.sequence for event in once_each(one.events + two.events)] == list(range(1, 201))


async def consumed(url: str) -> None:
    """Waits until the queue has a consumer."""
    async with plain_channel(url) as channel, asyncio.timeout(PATIENCE_S):
        while not (await channel.declare_queue(QUEUE, passive=True)).declaration_result.consumer_count:
            await asyncio.sleep(0.05)


async def test_a_queue_that_is_deleted_ends_the_reception(rabbitmq_vhost_url: str, database: Database) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    await broker.declare()
    async with receiving(broker, door(database)) as reception:
        await consumed(rabbitmq_vhost_url)
        async with plain_channel(rabbitmq_vhost_url) as channel:
            await channel.queue_delete(QUEUE)
        with pytest.raises(BrokerError, match="was the queue deleted"):
            await asyncio.wait_for(reception, PATIENCE_S)


async def test_an_error_at_the_door_is_told_and_the_events_come_again(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    class Sealed(Exception):
        pass

    async def take(*_: Any) -> bool:
        raise Sealed

    broker, at = rabbit(rabbitmq_vhost_url), door(database)
    await publish(broker, things.events(20))
    sealed = type(at.intake)(STORE, database, "one", lambda: (), take)
    with pytest.raises(Sealed):
        await asyncio.wait_for(broker.receive(await broker.units(STORE), sealed), PATIENCE_S)
    async with receiving(broker, at):
        assert [event.sequence for event in await at.count(20)] == list(range(1, 21))


async def test_what_is_no_event_becomes_a_dead_letter_alone(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, at = rabbit(rabbitmq_vhost_url), door(database)
    await publish(broker, things.events(5))
    await post(rabbitmq_vhost_url, b"by hand")
    await publish(broker, things.events(5))

    with capture_logs() as lines:
        async with receiving(broker, at):
            assert [event.sequence for event in await at.count(10)] == list(range(1, 11))
            await dead(broker, 1)
    [line] = [line for line in lines if line["event"] == "dead_letter"]
    assert (line["log_level"], line["group"]) == ("error", "store")
    assert await broker.depth(STORE) == 0
    assert (await next_of(rabbitmq_vhost_url, "store_dead")).body == b"by hand"


async def test_what_is_spoken_in_anothers_name_is_passed_over(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, at = rabbit(rabbitmq_vhost_url), door(database)
    await broker.declare()
    forged = structs.replace(things.event("forged"), type="thong.moved")
    with capture_logs() as lines:
        async with receiving(broker, at):
            await post(rabbitmq_vhost_url, encode("thong", forged))
            async with asyncio.timeout(PATIENCE_S):
                while not any(line["event"] == "not_an_event" for line in lines):
                    await asyncio.sleep(0.01)
            await publish(broker, [things.event("next")])
            await at.count(1)  # so what was before it is acknowledged
        await publish(broker, [things.event("last")])
        async with receiving(broker, at):
            await at.count(2)
    (line,) = [line for line in lines if line["event"] == "not_an_event"]
    assert (line["log_level"], line["why"]) == ("error", "an event of thong, which does not publish to thing_events")
    assert broker.skipped == {"thing_events": 1, "others": 0}
    assert {event.key for event in at.events} == {"next", "last"}
    assert await broker.dead(STORE) == 0


async def dead(broker: Any, count: int) -> None:
    """Waits until so many are there: the server moves them by itself."""
    async with asyncio.timeout(PATIENCE_S):
        while await broker.dead(STORE) != count:
            await asyncio.sleep(0.05)


async def test_dead_letters_go_back_in_order_and_what_is_no_event_dies_again(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, closed, at = (
        rabbit(rabbitmq_vhost_url, limits=Limits(deliveries=2)),
        door(database, closed=True),
        door(database),
    )
    events = things.events(150)
    await publish(broker, events)
    await post(rabbitmq_vhost_url, b"by hand")
    for _ in range(3):
        closed.knocked.clear()
        async with receiving(broker, closed):
            await asyncio.wait_for(closed.knocked.wait(), PATIENCE_S)
            await asyncio.sleep(0.2)
    await dead(broker, 151)
    assert await broker.depth(STORE) == 0

    assert await broker.redrive(STORE) == 151
    assert (await broker.dead(STORE), await broker.depth(STORE)) == (0, 151)
    async with receiving(broker, at):
        assert await at.count(150) == events
        await dead(broker, 1)
    assert await broker.redrive(STORE) == 1
    assert set((await next_of(rabbitmq_vhost_url, QUEUE)).headers) <= {"x-delivery-count"}, "it died before"


async def test_a_group_that_was_never_declared_has_no_dead_letters(rabbitmq_vhost_url: str) -> None:
    broker = rabbit(rabbitmq_vhost_url)
    assert (await broker.dead(STORE), await broker.depth(STORE), await broker.redrive(STORE)) == (0, 0, 0)


async def test_shards_share_the_events_and_keep_a_key_on_one_queue_in_order(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker = rabbit(rabbitmq_vhost_url, shards=4)
    events = things.events(600, keys=60)
    await publish(broker, events)

    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for unit in await broker.units(STORE):
        async with plain_channel(rabbitmq_vhost_url) as channel:
            name = QUEUE if unit.number == 0 else f"{QUEUE}.{unit.number}"
            depth = (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0
        assert depth > 0
        at = door(database)
        async with receiving(broker, at, unit.number):
            for event in await at.count(depth):
                found[event.key].append((unit.number, event.sequence))
    assert len(found) == 60
    for shards_and_sequences in found.values():
        assert len({shard for shard, _ in shards_and_sequences}) == 1
        assert [sequence for _, sequence in shards_and_sequences] == list(range(1, 11))


async def test_dead_letters_of_a_shard_go_back_to_it(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker = rabbit(rabbitmq_vhost_url, shards=2, limits=Limits(deliveries=1))
    await publish(broker, things.events(50, keys=50))
    before_death = await depths(rabbitmq_vhost_url)
    for unit in await broker.units(STORE):
        for _ in range(2):
            closed = door(database, closed=True)
            async with receiving(broker, closed, unit.number):
                await asyncio.wait_for(closed.knocked.wait(), PATIENCE_S)
                await asyncio.sleep(0.2)
    await dead(broker, 50)

    assert await broker.redrive(STORE) == 50
    assert await depths(rabbitmq_vhost_url) == before_death


async def depths(url: str) -> list[int]:
    async with plain_channel(url) as channel:
        queues = [await channel.declare_queue(name, passive=True) for name in (QUEUE, f"{QUEUE}.1")]
        return [queue.declaration_result.message_count or 0 for queue in queues]


@pytest.mark.parametrize(("old", "new"), [(1, 3), (3, 1), (2, 4), (4, 2)])
async def test_the_number_of_shards_changes_only_while_nothing_is_under_way(
    rabbitmq_vhost_url: str, things: Things, old: int, new: int
) -> None:
    await publish(rabbit(rabbitmq_vhost_url, old), things.events(1))
    with pytest.raises(
        BrokerError, match=f"store has {old} queues with 1 messages .* set TRADEPOST_RABBITMQ_SHARDS={old}"
    ):
        await rabbit(rabbitmq_vhost_url, new).declare()

    async with plain_channel(rabbitmq_vhost_url) as channel:
        for queue in definitions(rabbitmq_vhost_url)["queues"]:
            await (await channel.get_queue(queue["name"])).purge()
    changed = rabbit(rabbitmq_vhost_url, new)
    await changed.declare()
    await publish(changed, things.events(100, keys=100))
    assert await changed.depth(STORE) == 100, "each in one queue"
    assert len(definitions(rabbitmq_vhost_url)["queues"]) == new + 1


async def test_a_reset_drops_all_messages_and_nothing_else(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, at = rabbit(rabbitmq_vhost_url, shards=3), door(database)
    await publish(broker, things.events(10))
    await post(rabbitmq_vhost_url, b"by hand")
    async with AsyncExitStack() as stack:
        for unit in await broker.units(STORE):
            await stack.enter_async_context(receiving(broker, at, unit.number))
        await at.count(10)
        await dead(broker, 1)
    await publish(broker, things.events(10))
    declared = definitions(rabbitmq_vhost_url)

    await broker.reset()

    assert (await broker.depth(STORE), await broker.dead(STORE)) == (0, 0)
    assert definitions(rabbitmq_vhost_url) == declared


async def test_a_reset_is_refused_while_a_group_is_at_work(
    rabbitmq_vhost_url: str, things: Things, database: Database
) -> None:
    broker, closed = rabbit(rabbitmq_vhost_url), door(database, closed=True)
    await publish(broker, things.events(10))
    async with receiving(broker, closed):
        await asyncio.wait_for(closed.knocked.wait(), PATIENCE_S)
        with pytest.raises(BrokerError, match="store is at work: stop all services first"):
            await broker.reset()
    async with asyncio.timeout(PATIENCE_S):
        while await broker.depth(STORE) != 10:
            await asyncio.sleep(0.05)


async def test_a_refused_password_is_told_in_a_line_without_it(rabbitmq_vhost_url: str) -> None:
    url = rabbitmq_vhost_url.replace("guest:guest", "guest:swordfish")
    with pytest.raises(BrokerError, match="connecting: ACCESS_REFUSED") as told:
        await rabbit(url).declare()
    assert "\n" not in str(told.value)
    assert "swordfish" not in str(told.value)


async def test_a_server_that_is_not_there_is_told_by_its_address(proxy: Proxy) -> None:
    await proxy.stop()
    with pytest.raises(BrokerError, match=f"RabbitMQ at 127.0.0.1:{proxy.port}: connecting: ") as told:
        await rabbit(f"amqp://guest:swordfish@127.0.0.1:{proxy.port}/").declare()
    assert "swordfish" not in str(told.value)


@pytest.mark.parametrize("url", ["http://guest:swordfish@host/", "amqp://guest:sword:fish@host:port/", "amqp:///"])
def test_a_url_that_is_none_of_rabbitmq_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="TRADEPOST_RABBITMQ_URL is not of the form amqp://") as told:
        open_broker(BrokerSettings("rabbitmq", url), rabbit("amqp://host/")._topology)
    assert "fish" not in str(told.value)


async def test_after_the_server_was_killed_publishing_resumes_and_nothing_is_lost(
    own_rabbitmq: Node, things: Things, database: Database
) -> None:
    broker, at = rabbit(own_rabbitmq.address), door(database)
    events = things.events(400)
    async with publishing(broker) as publishes:
        await publishes.publish(SOURCE, events[:200])
        await asyncio.sleep(own.DECLARED_S)
        own_rabbitmq.kill()
        with pytest.raises(BrokerError):
            await publishes.publish(SOURCE, events[200:])
        assert own_rabbitmq.start()
        await publishes.publish(SOURCE, events[200:])

    async with receiving(broker, at):
        await at.count(400)
    assert once_each(at.events) == events
    await broker.reset()


async def test_a_reception_ends_with_an_error_when_the_server_is_killed(own_rabbitmq: Node, database: Database) -> None:
    broker = rabbit(own_rabbitmq.address)
    await broker.declare()
    async with receiving(broker, door(database)) as reception:
        await consumed(own_rabbitmq.address)
        await asyncio.sleep(own.DECLARED_S)
        own_rabbitmq.kill()
        with pytest.raises(BrokerError, match="receiving"):
            await asyncio.wait_for(reception, PATIENCE_S)
    assert own_rabbitmq.start()
    await broker.reset()
