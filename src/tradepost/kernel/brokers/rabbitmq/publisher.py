"""Publishing: persistent, mandatory where a group must get it, and done when the server has confirmed all of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Final

from aiormq.channel import Channel

from tradepost.kernel.brokers.envelope import encode
from tradepost.kernel.brokers.port import BrokerError, Topology
from tradepost.kernel.brokers.rabbitmq import properties
from tradepost.kernel.brokers.rabbitmq.link import Link, Server
from tradepost.kernel.brokers.rabbitmq.topology import exchange_of
from tradepost.kernel.brokers.rabbitmq.wave import Message, send, unroutable
from tradepost.kernel.log.batch import Raw

CONFIRM_S: Final = 30  # for up to 1,000 events and 8 MiB


class RabbitPublisher:
    """Opens a connection and declares everything when there is something to publish, and again after a failure."""

    def __init__(self, server: Server, topology: Topology, opened: Callable[[], Awaitable[Link]]) -> None:
        self._server, self._opened = server, opened
        self._wanted = cache(topology.wanted)
        self._link: Link | None = None
        self._channel: Channel | None = None
        self._one_at_a_time = asyncio.Lock()

    async def publish(self, source: str, events: Sequence[Raw]) -> None:
        """Returns when the server has confirmed to have them all on disk. Errors: BrokerError."""
        async with self._one_at_a_time:
            try:
                channel = self._channel or await self._open()
                async with self._server.asked(f"publishing events of {source}", CONFIRM_S):
                    await self._publish(channel, source, events)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Leave the server."""
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            await link.close()

    async def _open(self) -> Channel:
        self._link = await self._opened()
        async with self._server.asked("opening a channel"):
            self._channel = await self._link.channel(Channel, publisher_confirms=True)
        return self._channel

    async def _publish(self, channel: Channel, source: str, events: Sequence[Raw]) -> None:
        wanted = self._wanted(source)
        refused = await send(channel, [message_of(source, event, event.type in wanted) for event in events])
        nowhere = {unroutable(refusal) for refusal in refused}
        if None in nowhere:
            raise BrokerError(f"{self._server}: events of {source} wait: a queue is full, or has no majority")
        if lost := sorted(wanted & nowhere):
            raise BrokerError(f"{self._server}: no queue takes {', '.join(lost)}, which a group must get")


def message_of(source: str, event: Raw, mandatory: bool) -> Message:
    """The event as a message that outlives the server's end."""
    return Message(
        exchange_of(source), event.type, event.id, properties.of_event(event), encode(source, event), mandatory
    )
