"""What is declared: an exchange for each publisher; for each group its queues, and one for its dead letters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiormq.channel import Channel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from pamqp.common import FieldTable

from tradepost.kernel.brokers.port import BrokerError, Topology
from tradepost.kernel.brokers.rabbitmq.link import Link
from tradepost.kernel.log.subscription import Group

DEAD_LETTERS: Final = "dead_letters"  # the exchange from which each group's go to their queue
SUBJECT: Final = "subject"  # the header that says to which shard a message goes
DEAD_DELIVERIES: Final = 1_000_000  # behind a dead letter comes nothing: it is as good as never dropped


@dataclass(frozen=True)
class Limits:
    """On a group's queue. Full, it refuses what is published: the relay then waits, and the log keeps the events.
    A message is dead after `deliveries` that ended with the consumer's connection; handlers that fail don't count."""

    messages: int = 1_000_000
    size: int = 4 * 1024**3  # bytes
    deliveries: int = 1_000


LIMITS: Final = Limits()


@dataclass(frozen=True)
class Standing:
    """A queue as it stands: messages that wait, and consumers."""

    messages: int
    consumers: int


def exchange_of(source: str) -> str:
    return f"{source}_events"


def speaks_for(exchange: str, source: str) -> bool:
    """Whether an event of `source` may come by this exchange: its own, or the one without a name, by which letters come
    that were dead."""
    return exchange in ("", exchange_of(source))


def queue_of(group: str, shard: int = 0) -> str:
    return f"{group}_queue" if shard == 0 else f"{group}_queue.{shard}"


def dead_queue_of(group: str) -> str:
    return f"{group}_dead"


def shards_of(group: str, count: int) -> str:
    """The exchange that deals a group's messages out to `count` queues."""
    return f"{group}_shards.{count}"


def queue_arguments(group: str, limits: Limits) -> FieldTable:
    """Of each queue of a group."""
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": limits.deliveries,
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-routing-key": dead_queue_of(group),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": limits.messages,
        "x-max-length-bytes": limits.size,
    }


def dead_queue_arguments(limits: Limits) -> FieldTable:
    """Of a group's queue of dead letters: full, it leaves them where they are."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DEAD_DELIVERIES,
        "x-overflow": "reject-publish",
        "x-max-length": limits.messages,
        "x-max-length-bytes": limits.size,
    }


async def declare(link: Link, topology: Topology, shards: int, limits: Limits) -> None:
    """All of it. Errors: BrokerError, and what was declared otherwise before, told in one line."""
    async with link.server.asked("declaring"):
        channel = await link.channel(Channel)
        for source in topology.publishers:
            await _declare_exchange(link, channel, exchange_of(source), "topic")
        for group in topology.groups:
            await _declare_group(link, channel, group, shards, limits)
        await channel.close()


async def standings(link: Link, queues: Iterable[str]) -> Mapping[str, Standing]:
    """How the queues stand, up to the first that does not exist. Errors: BrokerError."""
    found: dict[str, Standing] = {}
    async with link.server.asked("looking at queues"):
        channel = await link.channel(Channel)
        for queue in queues:
            try:
                declared = await channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:
                return found
            found[queue] = Standing(declared.message_count or 0, declared.consumer_count or 0)
        await channel.close()
    return found


async def _declare_group(link: Link, channel: Channel, group: Group, shards: int, limits: Limits) -> None:
    dead = dead_queue_of(group.name)
    await _declare_exchange(link, channel, DEAD_LETTERS, "direct")
    await _declare_queue(link, channel, dead, dead_queue_arguments(limits))
    await channel.queue_bind(dead, DEAD_LETTERS, dead)
    for shard in reversed(range(shards)):  # the first one last: where it is, all of them are
        await _declare_queue(link, channel, queue_of(group.name, shard), queue_arguments(group.name, limits))
    if shards > 1:
        await _deal_out(link, channel, group.name, shards)
    for source in group.sources():
        for type_ in group.of(source):
            if shards == 1:
                await channel.queue_bind(queue_of(group.name), exchange_of(source), type_)
            else:
                await channel.exchange_bind(shards_of(group.name, shards), exchange_of(source), type_)


async def _deal_out(link: Link, channel: Channel, group: str, shards: int) -> None:
    """The events of one key all into the same queue."""
    exchange = shards_of(group, shards)
    by_subject: FieldTable = {"hash-header": SUBJECT}
    await _declare_exchange(link, channel, exchange, "x-consistent-hash", internal=True, arguments=by_subject)
    for shard in range(shards):
        await channel.queue_bind(queue_of(group, shard), exchange, "1")  # that is its weight


async def _declare_exchange(
    link: Link, channel: Channel, name: str, kind: str, *, internal: bool = False, arguments: FieldTable | None = None
) -> None:
    try:
        await channel.exchange_declare(name, exchange_type=kind, durable=True, internal=internal, arguments=arguments)
    except ChannelPreconditionFailed as error:
        raise _otherwise(link, "exchange", name, error) from error


async def _declare_queue(link: Link, channel: Channel, name: str, arguments: FieldTable) -> None:
    try:
        await channel.queue_declare(name, durable=True, arguments=arguments)
    except ChannelPreconditionFailed as error:
        raise _otherwise(link, "queue", name, error) from error


def _otherwise(link: Link, what: str, name: str, error: Exception) -> BrokerError:
    return BrokerError(
        f"{link.server}: the {what} {name} was declared otherwise before ({error}): "
        f"let the group's queues run empty, stop what uses it, delete it, and start again"
    )
