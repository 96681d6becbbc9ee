"""Messages published together: sent without a wait in between, and then all confirmed, or refused with the reason."""

import asyncio
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError
from pamqp import frame
from pamqp.commands import Basic

from tradepost.kernel.brokers.rabbitmq.link import end_of

AT_ONCE: Final = 50  # messages made into frames before others get a turn
HEADER_FRAME: Final = b"\x02"
BODY_FRAME: Final = b"\x03"
FRAME_END: Final = b"\xce"

_of_content: Final = Struct(">HHQ").pack  # class, weight, bytes of body


class Message(NamedTuple):
    exchange: str
    routing_key: str
    id: str  # as in its properties, and of no other of its wave
    properties: bytes
    body: bytes
    mandatory: bool  # comes back, whole, when no queue takes it


class Wave(asyncio.Future[None]):
    """Stands for the confirmation of each of `count` messages: a channel tells it of one after another."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count
        self.refused: list[DeliveryError] = []

    def set_result(self, _confirmed: object) -> None:
        self._left -= 1
        if self._left == 0 and not self.done():
            super().set_result(None)

    def set_exception(self, error: type[BaseException] | BaseException) -> None:
        """A message that was refused, or that no queue took."""
        if isinstance(error, DeliveryError):
            self.refused.append(error)
        self.set_result(None)


async def send(channel: Channel, messages: Sequence[Message]) -> Sequence[DeliveryError]:
    """Those that were refused (DeliveryError) or that no queue took (PublishError), when all others are confirmed.
    Errors: what ended the channel. After that, or when cancelled, it is good for nothing."""
    wave = Wave(len(messages))
    for message in messages:
        channel.delivery_tag += 1
        channel.confirmations[channel.delivery_tag] = wave
        channel.message_id_delivery_tag[message.id] = channel.delivery_tag
    ended = channel.closing
    for payload in _payloads(channel, messages):
        if ended.done():
            break
        await channel.write_queue.put(ChannelFrame(payload, should_close=False))
        await asyncio.sleep(0)
    if messages:
        await asyncio.wait((wave, ended), return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        raise end_of(ended)
    ended.cancel()  # it only looks on
    channel.message_id_delivery_tag.clear()
    return wave.refused


def unroutable(refusal: DeliveryError) -> str | None:
    """The routing key of a message that no queue took; None when a queue refused it."""
    return refusal.frame.routing_key if isinstance(refusal.frame, Basic.Return) else None


def _payloads(channel: Channel, messages: Sequence[Message]) -> Iterator[bytes]:
    number = channel.number.to_bytes(2, "big")
    methods: dict[tuple[str, str], bytes] = {}
    for at in range(0, len(messages), AT_ONCE):
        parts: list[bytes] = []
        for exchange, routing_key, _, properties, body, mandatory in messages[at : at + AT_ONCE]:
            method = methods.get((exchange, routing_key))
            if method is None:
                publish = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
                method = methods[exchange, routing_key] = frame.marshal(publish, channel.number)
            header = _of_content(Basic.frame_id, 0, len(body)) + properties
            parts += (method, HEADER_FRAME, number, len(header).to_bytes(4, "big"), header, FRAME_END)
            for start in range(0, len(body), channel.max_content_size):
                part = body[start : start + channel.max_content_size]
                parts += (BODY_FRAME, number, len(part).to_bytes(4, "big"), part, FRAME_END)
        yield b"".join(parts)
