"""Publishing: a wave of events as one batch for each partition, over an idempotent producer."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tradepost.kernel.brokers.envelope import CONTENT_TYPE, encode
from tradepost.kernel.brokers.kafka.connection import Cluster, leave, told
from tradepost.kernel.brokers.kafka.topics import MESSAGE_BYTES, topic_of
from tradepost.kernel.log.batch import Raw

BATCH_BYTES: Final = 1024 * 1024  # a larger event goes in a batch of its own
CONFIRM_S: Final = 10.0
_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF
HEADERS: Final = [("content-type", CONTENT_TYPE.encode())]


class KafkaPublisher:
    """A producer, thrown away after any failure: what it had under way may have arrived or not."""

    def __init__(self, cluster: Cluster, declare: Callable[[], Awaitable[None]]) -> None:
        self._cluster, self._declare = cluster, declare
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, source: str, events: Sequence[Raw]) -> None:
        """Returns when all replicas in sync have all events. Errors: BrokerError."""
        try:
            with told(f"publish to {topic_of(source)}"):
                async with asyncio.timeout(CONFIRM_S):
                    await _send(await self._open(), source, events)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give up what is under way, and leave."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await leave(_give_up(producer), producer.client)

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._declare()  # else a broker that makes topics by itself makes ours otherwise than we want them
            self._producer = AIOKafkaProducer(
                **self._cluster.options(),
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=BATCH_BYTES,
                max_request_size=MESSAGE_BYTES,
            )
            await self._producer.start()
        return self._producer


def partition_of(key: bytes, count: int) -> int:
    """Where the default partitioner of all clients puts a key: by its MurmurHash2 of 32 bits. aiokafka's own takes
    nearly three times as long, and would be half of what publishing an event costs."""
    whole = len(key) & ~3
    hashed = _SEED ^ len(key)
    for word in struct.unpack(f"<{whole // 4}I", key[:whole]):
        mixed = word * _FACTOR & _WORD
        hashed = (hashed * _FACTOR ^ (mixed ^ mixed >> 24) * _FACTOR) & _WORD
    if whole < len(key):
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _WORD
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _WORD
    return ((hashed ^ hashed >> 15) & _WORD >> 1) % count


async def _give_up(producer: AIOKafkaProducer) -> None:
    """Stop. Its own way is to deliver first, for ever: the batches of an idempotent producer do not expire."""
    sending = producer._sender.sender_task
    if sending is not None:
        sending.cancel()
        await producer.client.close()  # what is under way fails now
        await asyncio.wait([sending])
    producer._message_accumulator.fail_all(KafkaError("given up"))
    await producer.stop()


async def _send(producer: AIOKafkaProducer, source: str, events: Sequence[Raw]) -> None:
    topic = topic_of(source)
    filled = _batches(producer, source, events, len(await producer.partitions_for(topic)))
    confirmed: list[asyncio.Future[Any]] = []
    try:
        for number, batch in filled:
            confirmed.append(await producer.send_batch(batch, topic, partition=number))
        await asyncio.gather(*confirmed)
    finally:
        for future in confirmed:
            future.cancel()


def _batches(producer: AIOKafkaProducer, source: str, events: Sequence[Raw], count: int) -> list[tuple[int, Any]]:
    """The events as batches, each with its partition; those of one partition in order."""
    filled: list[tuple[int, Any]] = []
    filling: dict[int, Any] = {}
    for event in events:
        key, value = event.key.encode(), encode(source, event)
        number = partition_of(key, count)
        batch = filling.get(number)
        if batch is None or batch.append(timestamp=None, key=key, value=value, headers=HEADERS) is None:
            batch = filling[number] = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value, headers=HEADERS)
            filled.append((number, batch))
    return filled
