"""RabbitMQ as a transport of the log: every event confirmed on disk by a quorum of nodes, and kept for each group.

A server that was upgraded from before 3.9 needs `rabbitmqctl enable_feature_flag all`: without the flag `stream_queue`
it moves dead letters at most once. One that was new at 3.10 has it."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tradepost.kernel.brokers.port import Broker, Intake, Moved, Topology, Unit, nothing
from tradepost.kernel.brokers.rabbitmq import letters, reception, resharding
from tradepost.kernel.brokers.rabbitmq.link import Link, Server
from tradepost.kernel.brokers.rabbitmq.publisher import RabbitPublisher
from tradepost.kernel.brokers.rabbitmq.reception import Inlet
from tradepost.kernel.brokers.rabbitmq.topology import (
    LIMITS,
    Limits,
    dead_queue_of,
    declare,
    exchange_of,
    queue_of,
    standings,
)
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.settings import BrokerSettings

__all__ = ["Limits", "RabbitMQ", "open_broker"]


class RabbitMQ:
    """Has a connection for each publisher and each reception; both declare what they need when they open it. `skipped`
    counts what came in another publisher's name, by exchange; those that are not ours together."""

    kind = "rabbitmq"
    together = False

    def __init__(self, url: str, topology: Topology, shards: int = 1, limits: Limits = LIMITS) -> None:
        self._server, self._topology = Server(url), topology
        self._shards, self._limits = shards, limits
        self._prepared: set[str] = set()  # groups
        self.skipped = Counter(dict.fromkeys([*map(exchange_of, topology.publishers), reception.OTHERS], 0))

    async def declare(self) -> None:
        """All exchanges, queues and bindings. Errors: BrokerError."""
        async with self._visit() as link:
            await self._declare(link, self._topology)

    async def units(self, group: Group) -> Sequence[Unit]:  # noqa: ARG002
        """Its queues."""
        return [Unit("", shard) for shard in range(self._shards)]

    async def begin(self, group: Group, *, fresh: bool = False) -> Moved:
        """From here on its queues keep what is published for it, and of a `fresh` one nothing else. Errors:
        BrokerError."""
        async with self._visit() as link:
            await self._declare(link, _of(group))
            if fresh:
                for shard in range(self._shards):
                    await link.empty(queue_of(group.name, shard))
        return nothing

    def publisher(self) -> RabbitPublisher:
        """Declares the whole topology, since what it publishes must find all queues."""
        return RabbitPublisher(self._server, self._topology, self._open)

    async def receive(self, units: Sequence[Unit], intake: Intake) -> None:
        """Take in what comes. Of all that consume a queue one gets its messages, until its connection ends."""
        async with self._visit(f"tradepost {intake.group.name}") as link:
            await self._declare(link, _of(intake.group))
            async with self._server.asked(f"subscribing {intake.group.name}"):
                inlet = await link.channel(Inlet)
                for unit in units:
                    await inlet.consume(queue_of(intake.group.name, unit.number))
            await reception.receive(link, inlet, intake, self.skipped)

    async def release(self, units: Sequence[Unit], intake: Intake) -> None:
        """With its connection a reception has left its queues."""

    async def depth(self, group: Group) -> int:
        """Messages that wait in its queues to be delivered. Errors: BrokerError."""
        async with self._visit() as link:
            queues = [queue_of(group.name, shard) for shard in range(self._shards)]
            return sum(standing.messages for standing in (await standings(link, queues)).values())

    async def dead(self, group: Group) -> int:
        """How many dead letters it has. Errors: BrokerError."""
        async with self._visit() as link:
            return sum(standing.messages for standing in (await standings(link, [dead_queue_of(group.name)])).values())

    async def redrive(self, group: Group) -> int:
        """Send its dead letters back, in order; how many went. Errors: BrokerError."""
        async with self._visit() as link:
            return await letters.redrive(link, group.name, self._shards)

    async def reset(self) -> None:
        """Drop all messages that are in its queues: for a shop that was restored. Errors: BrokerError."""
        async with self._visit() as link:
            await resharding.empty(link, self._topology)

    async def close(self) -> None:
        """Publishers and receptions have let go of theirs."""

    async def _declare(self, link: Link, topology: Topology) -> None:
        for group in topology.groups:
            if group.name not in self._prepared:
                await resharding.prepare(link, group, self._shards)
                self._prepared.add(group.name)
        await declare(link, topology, self._shards, self._limits)

    async def _open(self) -> Link:
        link = await self._server.connect("tradepost relay")
        try:
            await self._declare(link, self._topology)
        except BaseException:
            await link.close()
            raise
        return link

    @asynccontextmanager
    async def _visit(self, name: str = "tradepost") -> AsyncIterator[Link]:
        link = await self._server.connect(name)
        try:
            yield link
        finally:
            await link.close()


def _of(group: Group) -> Topology:
    return Topology(group.sources(), (group,))


def open_broker(settings: "BrokerSettings", topology: Topology) -> Broker:
    """RabbitMQ at the URL of the settings. Errors: SettingsError when that isn't one."""
    for library in ("aiormq", "aio_pika"):  # they tell each failure at length, and we tell it in a line
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return RabbitMQ(settings.rabbitmq_url, topology, settings.shards)
