"""Dead letters: what was no event, or was delivered too often. They wait until somebody sends them back."""

from typing import Final

import structlog
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from tradepost.kernel.brokers.envelope import NotAnEvent, decode
from tradepost.kernel.brokers.port import BrokerError
from tradepost.kernel.brokers.rabbitmq.link import Link
from tradepost.kernel.brokers.rabbitmq.topology import check_source, dead_queue_of, queue_of, standings
from tradepost.kernel.brokers.rabbitmq.wave import Message, send

AT_ONCE: Final = 20  # the server drops acknowledgements of a channel that closes, but for the first 32
LIMIT_S: Final = 60  # for so many
DIED_IN: Final = "x-first-death-queue"
CAME_BY: Final = "x-first-death-exchange"
OF_A_DEATH: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")

logger = structlog.get_logger()


async def redrive(link: Link, group: str, shards: int) -> int:
    """How many went back to the end of the queue that they came from, in order. What dies again meanwhile stays dead,
    and so does what somebody else spoke in a publisher's name: afterwards nobody could tell it from the others.
    Errors: BrokerError; then those that did not go back are where they were."""
    dead = dead_queue_of(group)
    count = sum(standing.messages for standing in (await standings(link, [dead])).values())
    seen = moved = 0
    async with link.server.asked("opening a channel"):
        channel = await link.channel(Channel, publisher_confirms=True)
    while seen < count:
        async with link.server.asked(f"sending dead letters of {group} back", LIMIT_S):
            letters = await _next(channel, dead, min(AT_ONCE, count - seen))
            if not letters:
                break
            honest = [letter for letter in letters if _is_honest(group, letter)]
            await _send_back(link, channel, group, shards, honest)
        seen += len(letters)
        moved += len(honest)
    await channel.close()  # those that stay are there again
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
    for letter in letters:
        await channel.basic_ack(letter.delivery_tag or 0)


def _is_honest(group: str, letter: DeliveredMessage) -> bool:
    """Whether its publisher published it, or it is no event at all."""
    try:
        source, _ = decode(letter.body)
    except NotAnEvent:
        return True
    try:
        check_source(str((letter.header.properties.headers or {}).get(CAME_BY, "")), source)
    except NotAnEvent as error:
        logger.error("dead_letter_stays", group=group, why=str(error))
        return False
    return True


def _as_before(nth: int, letter: DeliveredMessage, queues: list[str]) -> Message:
    properties = letter.header.properties
    headers = dict(properties.headers or {})
    came_from = str(headers.get(DIED_IN))
    properties.headers = {name: value for name, value in headers.items() if not name.startswith(OF_A_DEATH)}
    properties.message_id = properties.message_id or str(nth)
    queue = came_from if came_from in queues else queues[0]
    return Message("", queue, properties.message_id, properties.marshal(), letter.body, mandatory=True)
