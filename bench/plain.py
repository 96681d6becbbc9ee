"""The plain programs that `bench/brokers.py` compares with: aio-pika and aiokafka as one would write it."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tradepost.kernel.brokers.envelope import encode
from tradepost.kernel.clock import now
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.batch import Raw

RABBITMQ: Final = "amqp://guest:guest@127.0.0.1:5672/"
KAFKA: Final = "127.0.0.1:9092"
NAME: Final = "bench_plain"
WINDOW: Final = 500  # messages sent before their confirms are waited for; prefetched as well

Say = Callable[[str], None]


def bodies(events: int) -> list[tuple[str, bytes]]:
    """Key and body of each message, as our relay publishes them."""
    item = {"product_id": new_id(), "sku": "MUG-1", "quantity": 2, "price": 1999, "name": "A mug"}
    made = []
    for number in range(events):
        key = new_id()
        data = {"order_id": key, "user_id": new_id(), "total_amount": 3998, "currency": "USD", "items": [item, item]}
        text = msgspec.json.encode(data).decode()
        raw = Raw(number, new_id(), "bench.sold", key, 0, 1, now(), "bench", None, None, text)
        made.append((key, encode("bench", raw)))
    return made


async def produce(kind: str, events: int, safely: bool, say: Say) -> None:
    await (_rabbitmq_produce if kind == "rabbitmq" else _kafka_produce)(events, safely, say)


async def consume(kind: str, events: int, safely: bool, say: Say) -> None:
    await (_rabbitmq_consume if kind == "rabbitmq" else _kafka_consume)(events, safely, say)


async def _told() -> None:
    await asyncio.to_thread(sys.stdin.readline)


async def _rabbitmq_produce(events: int, safely: bool, say: Say) -> None:
    import aio_pika

    connection = await aio_pika.connect(os.environ.get("TRADEPOST_RABBITMQ_URL", RABBITMQ))
    channel = await connection.channel(publisher_confirms=safely)
    made = bodies(events)
    mode = aio_pika.DeliveryMode.PERSISTENT if safely else aio_pika.DeliveryMode.NOT_PERSISTENT
    say("ready")
    await _told()
    for start in range(0, events, WINDOW):
        await asyncio.gather(
            *(
                channel.default_exchange.publish(
                    aio_pika.Message(body, message_id=key, delivery_mode=mode), routing_key=NAME, mandatory=safely
                )
                for key, body in made[start : start + WINDOW]
            )
        )
    await _told()
    await connection.close()


async def _rabbitmq_consume(events: int, safely: bool, say: Say) -> None:
    import aio_pika

    connection = await aio_pika.connect(os.environ.get("TRADEPOST_RABBITMQ_URL", RABBITMQ))
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=WINDOW)
    queue = await channel.declare_queue(NAME, durable=True, arguments={"x-queue-type": "quorum"})
    await queue.purge()
    say("ready")
    count = 0
    async with queue.iterator(no_ack=not safely) as messages:
        async for message in messages:
            if safely:
                async with message.process():
                    msgspec.json.decode(message.body)
            else:
                msgspec.json.decode(message.body)
            count += 1
            if count == events:
                break
    say("done")
    await _told()
    await connection.close()


async def _kafka_produce(events: int, safely: bool, say: Say) -> None:
    import aiokafka

    acks: Any = "all" if safely else 0
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=os.environ.get("TRADEPOST_KAFKA_BOOTSTRAP", KAFKA), acks=acks, enable_idempotence=safely
    )
    await producer.start()
    made = bodies(events)
    say("ready")
    await _told()
    for start in range(0, events, WINDOW):
        sent = [await producer.send(NAME, body, key=key.encode()) for key, body in made[start : start + WINDOW]]
        await asyncio.gather(*sent)
    await _told()
    await producer.stop()


async def _kafka_consume(events: int, safely: bool, say: Say) -> None:
    import aiokafka
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    servers = os.environ.get("TRADEPOST_KAFKA_BOOTSTRAP", KAFKA)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    if NAME not in await admin.list_topics():
        await admin.create_topics([NewTopic(NAME, 6, 1)])
        await asyncio.sleep(1)
    await admin.close()
    consumer = aiokafka.AIOKafkaConsumer(
        NAME,
        bootstrap_servers=servers,
        group_id=f"{NAME}-{new_id()}",
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    await consumer.start()
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)
    say("ready")
    count = 0
    while count < events:
        batches = await consumer.getmany(timeout_ms=1000, max_records=WINDOW)
        for records in batches.values():
            for record in records:
                msgspec.json.decode(record.value)
            count += len(records)
        if safely and batches:
            await consumer.commit()
    say("done")
    await _told()
    await consumer.stop()
