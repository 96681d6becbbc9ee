"""Dead letters: what was no event, or was delivered too often. They wait until somebody sends them back."""

from typing import Final

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from tradepost.kernel.brokers.port import BrokerError
from tradepost.kernel.brokers.rabbitmq.link import Link
from tradepost.kernel.brokers.rabbitmq.topology import dead_queue_of, queue_of, standings
from tradepost.kernel.brokers.rabbitmq.wave import Message, send

AT_ONCE: Final = 20  # the server drops acknowledgements of a channel that closes, but for the first 32
LIMIT_S: Final = 60  # for so many
DIED_IN: Final = "x-first-death-queue"
OF_A_DEATH: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


async def redrive(link: Link, group: str, shards: int) -> int:
    """How many went back to the end of the queue that they came from, in order. What dies again meanwhile stays dead.
    Errors: BrokerError; then those that did not go back are where they were."""
    dead = dead_queue_of(group)
    count = sum(standing.messages for standing in (await standings(link, [dead])).values())
    moved = 0
    async with link.server.asked("opening a channel"):
        channel = await link.channel(Channel, publisher_confirms=True)
    while moved < count:
        async with link.server.asked(f"sending dead letters of {group} back", LIMIT_S):
            letters = await _next(channel, dead, min(AT_ONCE, count - moved))
            if not letters:
                break
            await _send_back(link, channel, group, shards, letters)
        moved += len(letters)
    return moved


async def _next(channel: Channel, dead: str, count: int) -> list[DeliveredMessage]:
    letters: list[DeliveredMessage] = []
    while len(letters) < count:
        letter = await channel.basic_get(dead)
        if letter.delivery_tag is None:
            break
        letters.append(letter)
    return letters


async def _send_back(link: Link, channel: Channel, group: str, shards: int, letters: list[DeliveredMessage]) -> None:
    queues = [queue_of(group, shard) for shard in range(shards)]
    refused = await send(channel, [_as_before(nth, letter, queues) for nth, letter in enumerate(letters)])
    if refused:
        raise BrokerError(f"{link.server}: the queue of {group} takes no dead letters back: it is full or gone")
    await channel.basic_ack(letters[-1].delivery_tag or 0, multiple=True)


def _as_before(nth: int, letter: DeliveredMessage, queues: list[str]) -> Message:
    properties = letter.header.properties
    headers = dict(properties.headers or {})
    came_from = str(headers.get(DIED_IN))
    properties.headers = {name: value for name, value in headers.items() if not name.startswith(OF_A_DEATH)}
    properties.message_id = properties.message_id or str(nth)
    queue = came_from if came_from in queues else queues[0]
    return Message("", queue, properties.message_id, properties.marshal(), letter.body, mandatory=True)
