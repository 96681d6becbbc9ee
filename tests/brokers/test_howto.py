"""The programs in the how-tos do what the pages say: they are cut out of the page and run as they stand."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.contracts.sale import golden
from tests.patience import PATIENCE_S

PAGES: Final = Path(__file__).parents[2] / "docs" / "howto"
CREATED: Final = golden("order.created").read_bytes()
ORDER: Final = json.loads(CREATED)["subject"]
RABBITMQ: Final = "amqp://guest:guest@127.0.0.1:5672/"
LONGEST_PROGRAM: Final = 20  # lines
PAUSE_S: Final = 0.1


def program_of(page: str, instead: Mapping[str, str]) -> str:
    """The one program of a page, with the addresses of this test instead of those of the page."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", (PAGES / page).read_text(), re.M | re.S)
    for text, other in instead.items():
        assert text in program
        program = program.replace(text, other)
    return str(program)


@asynccontextmanager
async def running(program: str) -> AsyncIterator[Process]:
    """The program, stopped at the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    """The next line that it prints; what it complained about when it ended instead."""
    assert process.stdout
    assert process.stderr
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
    assert line, (await process.stderr.read()).decode()
    return line.decode().rstrip()


async def declare_exchange(url: str) -> None:
    """What Tradepost does when it starts."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("order_events", aio_pika.ExchangeType.TOPIC, durable=True)


async def publish(url: str, body: bytes) -> None:
    """An event, confirmed. Errors: DeliveryError when no queue takes it."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("order_events")
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await exchange.publish(message, json.loads(body)["type"], mandatory=True, timeout=PATIENCE_S)


async def publish_when_bound(url: str, body: bytes) -> None:
    """Again and again until a queue is bound to take it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await publish(url, body)
            except DeliveryError:
                await asyncio.sleep(PAUSE_S)


async def publish_to_topic(bootstrap: str, topic: str, types: Sequence[str]) -> None:
    """The golden events of these types, keyed by subject, into a new topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for name in types:
            body = golden(name).read_bytes()
            await producer.send_and_wait(topic, body, key=json.loads(body)["subject"].encode())


@pytest.mark.parametrize("page", ["read-events-from-rabbitmq.md", "read-events-from-kafka.md"])
def test_a_program_has_at_most_twenty_lines(page: str) -> None:
    assert len([line for line in program_of(page, {}).splitlines() if line]) <= LONGEST_PROGRAM


async def test_the_program_for_rabbitmq_prints_the_items_of_an_order(rabbitmq_vhost_url: str) -> None:
    await declare_exchange(rabbitmq_vhost_url)
    program = program_of("read-events-from-rabbitmq.md", {RABBITMQ: rabbitmq_vhost_url})

    async with running(program) as process:
        await publish_when_bound(rabbitmq_vhost_url, CREATED)
        assert await line_of(process) == f"{ORDER} 2 MUG-1"


async def test_what_comes_while_the_program_for_rabbitmq_is_down_is_kept_for_it(rabbitmq_vhost_url: str) -> None:
    await declare_exchange(rabbitmq_vhost_url)
    program = program_of("read-events-from-rabbitmq.md", {RABBITMQ: rabbitmq_vhost_url})
    async with running(program) as process:
        await publish_when_bound(rabbitmq_vhost_url, CREATED)
        await line_of(process)

    await publish(rabbitmq_vhost_url, CREATED.replace(b'"quantity": 2', b'"quantity": 3'))
    async with running(program) as process:
        seen = [await line_of(process)]
        if seen == [f"{ORDER} 2 MUG-1"]:  # killed before it acknowledged, it gets this one again
            seen.append(await line_of(process))
        assert seen[-1] == f"{ORDER} 3 MUG-1"


async def test_the_queue_for_rabbitmq_takes_nothing_but_its_routing_key(rabbitmq_vhost_url: str) -> None:
    await declare_exchange(rabbitmq_vhost_url)
    program = program_of("read-events-from-rabbitmq.md", {RABBITMQ: rabbitmq_vhost_url})

    async with running(program):
        await publish_when_bound(rabbitmq_vhost_url, CREATED)
        with pytest.raises(DeliveryError):
            await publish(rabbitmq_vhost_url, golden("order.paid").read_bytes())


async def test_the_program_for_kafka_prints_the_items_of_an_order(kafka_bootstrap: str, kafka_prefix: str) -> None:
    topic, group = kafka_prefix + "order_events", kafka_prefix + "newsletter"
    ours = {"127.0.0.1:9092": kafka_bootstrap, "order_events": topic, "newsletter": group}
    program = program_of("read-events-from-kafka.md", ours)

    await publish_to_topic(kafka_bootstrap, topic, ["order.paid", "order.created", "order.shipped"])
    async with running(program) as process:
        assert await line_of(process) == f"{ORDER} 2 MUG-1"
