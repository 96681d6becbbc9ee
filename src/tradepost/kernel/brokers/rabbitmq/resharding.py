"""Another number of shards than before: only while nothing is under way, or events of a key would overtake others."""

import asyncio
import time
from collections.abc import Collection, Mapping
from itertools import count
from typing import Final

from aiormq.channel import Channel

from tradepost.kernel.brokers.port import BrokerError, Topology
from tradepost.kernel.brokers.rabbitmq.link import Link
from tradepost.kernel.brokers.rabbitmq.topology import (
    Standing,
    dead_queue_of,
    exchange_of,
    queue_of,
    shards_of,
    standings,
)
from tradepost.kernel.log.subscription import Group

NOTICED_S: Final = 3.0
LOOK_S: Final = 0.2


async def prepare(link: Link, group: Group, shards: int) -> None:
    """Take away what deals the group's messages out to another number of queues. Errors: BrokerError when some of them
    are under way."""
    found = await standings(link, (queue_of(group.name, shard) for shard in count()))
    if found and len(found) != shards:
        _must_rest(link, group, found, shards)
        await _dismantle(link, group, len(found), shards)


async def empty(link: Link, topology: Topology) -> None:
    """Drop all messages. Nothing is deleted: others may have bound queues of their own, and a quorum queue that is made
    again under its old name is lost if the server is killed within the three minutes until it writes its registry."""
    for group in topology.groups:
        for queue in await _at_rest(link, group):
            await link.empty(queue)


async def _at_rest(link: Link, group: Group) -> Collection[str]:
    """Its queues. Errors: BrokerError when they still have consumers after a while, in which a server that was killed
    and started again notices that those from before are gone."""
    until = time.monotonic() + NOTICED_S
    while True:
        found = await standings(link, (queue_of(group.name, shard) for shard in count()))
        found = {**found, **await standings(link, [dead_queue_of(group.name)])}
        if not any(standing.consumers for standing in found.values()):
            return found.keys()
        if time.monotonic() > until:
            raise BrokerError(f"{link.server}: {group.name} is at work: stop all services first")
        await asyncio.sleep(LOOK_S)


def _must_rest(link: Link, group: Group, found: Mapping[str, Standing], shards: int) -> None:
    messages = sum(standing.messages for standing in found.values())
    consumers = sum(standing.consumers for standing in found.values())
    if messages or consumers:
        raise BrokerError(
            f"{link.server}: {group.name} has {len(found)} queues with {messages} messages and {consumers} consumers, "
            f"which can't become {shards} now: set TRADEPOST_RABBITMQ_SHARDS={len(found)}, stop the relays, let the "
            "queues run empty, stop the services, and then change it"
        )


async def _dismantle(link: Link, group: Group, before: int, shards: int) -> None:
    async with link.server.asked(f"changing the shards of {group.name}"):
        channel = await link.channel(Channel)
        if before == 1:
            for source in group.sources():
                for type_ in group.of(source):
                    await channel.queue_unbind(queue_of(group.name), exchange_of(source), type_)
        else:
            await channel.exchange_delete(shards_of(group.name, before))
        for shard in range(shards, before):
            await channel.queue_delete(queue_of(group.name, shard))
        await channel.close()
