"""A broker for a whole shop: how services, commands and plain clients find it, and how it loses what it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiokafka import AIOKafkaConsumer

from tests.brokers import vhosts
from tests.console.calling import Called, tradepost
from tradepost.kernel.brokers.opening import open_broker
from tradepost.kernel.brokers.port import Topology
from tradepost.main import SERVICES
from tradepost.settings import BrokerSettings

NAMES = tuple(service.name for service in SERVICES)
EXCHANGES = tuple(f"{name}_events" for name in NAMES)  # and topics


class Place:
    """One of the brokers, with nothing on it that is ours."""

    def __init__(self, kind: str, address: str) -> None:
        self.kind, self.address = kind, address

    def broker(self) -> Any:
        groups = tuple(group for service in SERVICES for group in service.groups)
        settings = BrokerSettings(self.kind, rabbitmq_url=self.address, kafka_bootstrap=self.address)
        return open_broker(settings, Topology(NAMES, groups))

    @property
    def settings(self) -> dict[str, str]:
        variable = {"rabbitmq": "TRADEPOST_RABBITMQ_URL", "kafka": "TRADEPOST_KAFKA_BOOTSTRAP"}[self.kind]
        return {"TRADEPOST_BROKER": self.kind, variable: self.address}

    async def call(self, database_url: str, *words: str) -> Called:
        return await asyncio.to_thread(tradepost, database_url, *words, **self.settings)

    async def lose_everything(self) -> None:
        """As if it was set up anew."""
        if self.kind == "rabbitmq":
            self.address = vhosts.create(self.address.rpartition("/")[0])
        else:
            await self.broker().reset()

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[list[bytes]]:
        """What a plain client gets of everything that is published."""
        got: list[bytes] = []
        async with (self._rabbitmq if self.kind == "rabbitmq" else self._kafka)(got):
            yield got

    @asynccontextmanager
    async def _rabbitmq(self, got: list[bytes]) -> AsyncIterator[None]:
        async def take(message: AbstractIncomingMessage) -> None:
            got.append(message.body)

        async with await aio_pika.connect(self.address) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            for exchange in EXCHANGES:
                await queue.bind(exchange, "#")
            await queue.consume(take, no_ack=True)
            yield

    @asynccontextmanager
    async def _kafka(self, got: list[bytes]) -> AsyncIterator[None]:
        async def take(consumer: AIOKafkaConsumer) -> None:
            while True:
                got.append((await consumer.getone()).value or b"")

        async with AIOKafkaConsumer(
            *EXCHANGES, bootstrap_servers=self.address, auto_offset_reset="earliest"
        ) as consumer:
            taking = asyncio.create_task(take(consumer))
            yield
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
