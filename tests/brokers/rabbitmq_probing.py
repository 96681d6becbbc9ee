"""A publisher `thing` and a group `store` on a virtual host; what a plain client and the server itself say of it."""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from brokers.rabbitmq import management_port
from tests.brokers.proxy import Proxy
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.port import Intake, Moved, Topology, Unit
from tradepost.kernel.brokers.rabbitmq import Limits, RabbitMQ
from tradepost.kernel.brokers.rabbitmq.publisher import RabbitPublisher
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Event, Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.append import slot_of
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.effects import Pieces
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.tasks import end

SOURCE = "thing"


class ThingMoved(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = "thing.moved"
    key_field: ClassVar[str] = "thing"
    thing: str


class ThingPainted(Fact, frozen=True, kw_only=True):
    type: ClassVar[str] = "thing.painted"
    key_field: ClassVar[str] = "thing"
    thing: str


async def ignore(_tx: Tx, _events: Sequence[Event[Any]]) -> None:
    """These tests look at what comes to the group's door."""


STORE = Group("store", (on(ThingMoved, ignore), on(ThingPainted, ignore)))
TOPOLOGY = Topology((SOURCE,), (STORE,))


@dataclass
class Things:
    """Events as they would come out of the publisher's log."""

    sequences: Counter[str] = field(default_factory=Counter)
    positions: int = 0

    def event(self, key: str, type_: str = "thing.moved", text: str = "") -> Raw:
        """The next of its key."""
        self.sequences[key] += 1
        self.positions += 1
        body = json.dumps({"thing": key, "text": text} if text else {"thing": key})
        at = datetime.now(UTC)
        return Raw(
            self.positions, new_id(), type_, key, slot_of(key), self.sequences[key], at, "test", None, None, body
        )

    def events(self, count: int, keys: int = 1) -> list[Raw]:
        return [self.event(f"thing-{n % keys}") for n in range(count)]


def rabbit(url: str, shards: int = 1, limits: Limits | None = None) -> RabbitMQ:
    return RabbitMQ(url, TOPOLOGY, shards, limits or Limits())


def before(proxy: Proxy, url: str) -> str:
    """The URL that leads through the proxy."""
    return url.replace(f":{urlsplit(url).port}", f":{proxy.port}")


async def publish(broker: RabbitMQ, events: Sequence[Raw]) -> None:
    """In one wave, by a publisher of its own."""
    async with publishing(broker) as publisher:
        await publisher.publish(SOURCE, events)


@asynccontextmanager
async def publishing(broker: RabbitMQ) -> AsyncIterator[RabbitPublisher]:
    publisher = broker.publisher()
    try:
        yield publisher
    finally:
        await publisher.close()


@dataclass
class Door:
    """What came to a group's door, piece by piece; a closed one makes them wait there."""

    intake: Intake
    pieces: list[list[Raw]]
    opened: asyncio.Event
    knocked: asyncio.Event

    @property
    def events(self) -> list[Raw]:
        return [event for piece in self.pieces for event in piece]

    async def count(self, count: int) -> list[Raw]:
        """All events, as soon as so many different ones are there."""
        async with asyncio.timeout(PATIENCE_S):
            while len({event.id for event in self.events}) < count:
                await asyncio.sleep(0.01)
        return self.events


def door(db: Database, *, closed: bool = False) -> Door:
    pieces: list[list[Raw]] = []
    opened, knocked = asyncio.Event(), asyncio.Event()
    if not closed:
        opened.set()

    async def take(brought: Pieces, moved: Moved) -> bool:
        knocked.set()
        await opened.wait()
        async with db.transaction() as tx:
            await moved(tx)
        pieces.append([event for events in brought.values() for event in events])
        return True

    return Door(Intake(STORE, db, "one", lambda: (), take), pieces, opened, knocked)


@asynccontextmanager
async def receiving(broker: RabbitMQ, at: Door, shard: int = 0) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(broker.receive([Unit("", shard)], at.intake))
    try:
        yield task
    finally:
        if not task.done():
            await end([task])


def once_each(events: Sequence[Raw]) -> list[Raw]:
    """Without what came again: as an inbox would let it through."""
    return list({event.id: event for event in events}.values())


@asynccontextmanager
async def plain_channel(url: str) -> AsyncIterator[AbstractChannel]:
    """Of another client."""
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel()


async def post(url: str, body: bytes, type_: str = "thing.moved") -> None:
    """By another client: whatever it likes."""
    async with plain_channel(url) as channel:
        exchange = await channel.get_exchange("thing_events", ensure=False)
        await exchange.publish(aio_pika.Message(body), type_)


async def next_of(url: str, queue: str) -> AbstractIncomingMessage:
    """By another client, which takes it away."""
    async with plain_channel(url) as channel:
        found = await channel.get_queue(queue, ensure=False)
        async with found.iterator(timeout=PATIENCE_S) as messages:
            message = await anext(messages)
            await message.ack()
            return message


def definitions(url: str) -> dict[str, Any]:
    """What the server has declared on the virtual host."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", management_port(parts.port or 0), timeout=PATIENCE_S)
    credentials = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    vhost = quote(unquote(parts.path[1:]) or "/", safe="")
    connection.request("GET", f"/api/definitions/{vhost}", headers={"Authorization": f"Basic {credentials}"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer
