"""Another number of shards than before: only while nothing is under way, or events of a key would overtake others."""

from collections.abc import Mapping
from itertools import count

from aiormq.channel import Channel

from tradepost.kernel.brokers.port import BrokerError, Topology
from tradepost.kernel.brokers.rabbitmq.link import Link
from tradepost.kernel.brokers.rabbitmq.topology import (
    DEAD_LETTERS,
    Standing,
    dead_queue_of,
    exchange_of,
    queue_of,
    shards_of,
    standings,
)
from tradepost.kernel.log.subscription import Group


async def prepare(link: Link, topology: Topology, shards: int) -> None:
    """Take away what deals a group's messages out to another number of queues. Errors: BrokerError when some of them
    are under way."""
    for group in topology.groups:
        found = await standings(link, (queue_of(group.name, shard) for shard in count()))
        if found and len(found) != shards:
            _must_rest(link, group, found, shards)
            await _dismantle(link, group, len(found), shards)


async def delete(link: Link, topology: Topology, shards: int) -> None:
    """All that was ever declared for the topology."""
    for group in topology.groups:
        found = await standings(link, (queue_of(group.name, shard) for shard in count()))
        async with link.server.asked(f"deleting the queues of {group.name}"):
            channel = await link.channel(Channel)
            for queue in (*found, dead_queue_of(group.name)):
                await channel.queue_delete(queue)
            for number in {len(found), shards} - {0, 1}:
                await channel.exchange_delete(shards_of(group.name, number))
            await channel.close()
    async with link.server.asked("deleting exchanges"):
        channel = await link.channel(Channel)
        for exchange in (*(exchange_of(source) for source in topology.publishers), DEAD_LETTERS):
            await channel.exchange_delete(exchange)
        await channel.close()


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
