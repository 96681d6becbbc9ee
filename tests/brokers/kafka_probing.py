"""A publisher of a test's own, with a topic of its own; groups that note in `effect` what they get of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.kernel.log.probing import record
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.envelope import encode
from tradepost.kernel.brokers.kafka import Kafka, open_broker
from tradepost.kernel.brokers.kafka.topics import topic_of
from tradepost.kernel.brokers.port import Intake, Moved, Topology, Unit
from tradepost.kernel.brokers.receiver import Receiver
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Event, Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.effects import Pieces
from tradepost.kernel.log.roster import Roster
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.right_of_way import RightOfWay
from tradepost.kernel.tasks import end
from tradepost.settings import BrokerSettings

PARTITIONS = 3


@dataclass
class Shop:
    """One publisher on a broker, and a group that reads it."""

    source: str
    kafka: Kafka
    bootstrap: str
    group: Group
    sequences: Counter[str] = field(default_factory=Counter)
    positions: int = 0

    @property
    def topic(self) -> str:
        return topic_of(self.source)

    def event(self, key: str, data: str = "") -> Raw:
        """The next event of a key."""
        self.sequences[key] += 1
        self.positions += 1
        body = data or f'{{"thing":"{key}"}}'
        now = datetime.now(UTC)
        type_ = f"{self.source}.moved"
        sequence = self.sequences[key]
        return Raw(self.positions, new_id(), type_, key, slot_of(key), sequence, now, "test", None, None, body)

    async def publish(self, *keys: str) -> list[Raw]:
        events = [self.event(key) for key in keys]
        publisher = self.kafka.publisher()
        for event in events:
            await publisher.publish(self.source, [event])
        await publisher.close()
        return events


def shop_on(
    bootstrap: str, handler: Callable[[Tx, Sequence[Event[Any]]], Awaitable[None]] = record, **more: Any
) -> Shop:
    """A publisher that nobody else has; its group calls `handler`. `more` is for the settings."""
    source = f"test{uuid4().hex[:12]}"

    class Moved(Fact, frozen=True, kw_only=True):
        type: ClassVar[str] = f"{source}.moved"
        key_field: ClassVar[str] = "thing"
        thing: str
        poison: bool = False

    group = Group("recorder", (on(Moved, handler),))
    settings = BrokerSettings("kafka", kafka_bootstrap=bootstrap, partitions=PARTITIONS, **more)
    return Shop(source, open_broker(settings, Topology((source,), (group,))), bootstrap, group)


async def begin(shop: Shop, db: Database) -> list[Unit]:
    """Have the group read what is published from now on; its units."""
    begun = await shop.kafka.begin(shop.group)
    async with db.transaction() as tx:
        await begun(tx)
    return list(await shop.kafka.units(shop.group))


def intake(
    shop: Shop, db: Database, owner: str, others: Collection[str] = (), gate: asyncio.Event | None = None
) -> Intake:
    """A door without an inbox: nothing but offsets keeps an event from taking effect twice. With a `gate`, a process
    that pauses before it touches the database."""

    async def take(pieces: Pieces, moved: Moved) -> bool:
        if gate is not None:
            await gate.wait()
        async with db.transaction() as tx:
            await moved(tx)
            for source, events in pieces.items():
                for subscription in shop.group.of(source).values():
                    await subscription.handler(tx, [subscription.decode(event) for event in events])
        return True

    return Intake(shop.group, db, owner, lambda: others, take)


@asynccontextmanager
async def receiving(shop: Shop, units: Sequence[Unit], door: Intake) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(shop.kafka.receive(units, door))
    try:
        yield task
    finally:
        if not task.done():
            await end([task])


@asynccontextmanager
async def serving(shop: Shop, db: Database, units: Sequence[Unit], owner: str = "one") -> AsyncIterator[Receiver]:
    """A receiver, as a process has it."""
    clocks = Clocks({}, "", owner, frozenset())
    receiver = Receiver(db, clocks, shop.group, shop.kafka, units, Roster(db, "probe", owner), RightOfWay())
    task = asyncio.create_task(receiver.run())
    try:
        yield receiver
    finally:
        await end([task])


async def send(shop: Shop, value: bytes, key: bytes, partition: int | None = None) -> None:
    """By another client, as it comes."""
    async with AIOKafkaProducer(bootstrap_servers=shop.bootstrap, acks="all") as producer:
        await producer.send_and_wait(shop.topic, value, key=key, partition=partition)


async def records(shop: Shop, count: int) -> list[Any]:
    """All records of the topic, by another client, as soon as there are `count`."""
    consumer = AIOKafkaConsumer(bootstrap_servers=shop.bootstrap, auto_offset_reset="earliest")
    read: list[Any] = []
    async with consumer:
        consumer.assign([TopicPartition(shop.topic, number) for number in range(PARTITIONS)])
        async with asyncio.timeout(PATIENCE_S):
            while len(read) < count:
                for run in (await consumer.getmany(timeout_ms=200)).values():
                    read += run
    return read


async def owners(db: Database) -> dict[int, str | None]:
    rows = await db.fetch("SELECT partition, owner FROM kafka_offset ORDER BY partition")
    return {row["partition"]: row["owner"] for row in rows}


async def taken(db: Database) -> int:
    """The sum of all offsets."""
    return int(await db.fetchval("SELECT sum(next) FROM kafka_offset"))


def encoded(shop: Shop, event: Raw) -> bytes:
    """As it travels."""
    return encode(shop.source, event)
