"""The parts themselves, with plain clients: what a broker has confirmed is there after it was killed."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import aio_pika
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import RecordMetadata
from pamqp.common import FieldTable

from brokers import processes, rabbitmq
from brokers.node import HOST, Node, NodeError, is_free
from tests.brokers import own, vhosts
from tests.patience import PATIENCE_S

MEGABYTE: Final = 1_048_576
BUSY: Final = 'print("on", flush=True)\nwhile True: pass'
ECHO: Final = """
import sys, threading
def echo():
    for line in sys.stdin:
        print(line, end="", flush=True)
worker = threading.Thread(target=echo)
worker.start()
worker.join()
"""
QUORUM: Final[FieldTable] = {"x-queue-type": "quorum"}


async def publish(url: str, queue: str, body: bytes) -> None:
    """Persistent, confirmed, into a durable quorum queue that is declared here."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(queue, durable=True, arguments=QUORUM)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, queue, mandatory=True, timeout=PATIENCE_S)


async def read(url: str, queue: str) -> bytes:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(queue, durable=True, arguments=QUORUM)
        message = await declared.get(timeout=PATIENCE_S)
        await message.ack()
        return message.body


async def send(bootstrap: str, topic: str, body: bytes) -> RecordMetadata:
    """Acknowledged, into a new topic of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=3 * MEGABYTE)
    await producer.start()
    try:
        return await producer.send_and_wait(topic, body)
    finally:
        await producer.stop()


async def fetch(bootstrap: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        record = await asyncio.wait_for(consumer.getone(), PATIENCE_S)
        assert isinstance(record.value, bytes)
        return record.value
    finally:
        await consumer.stop()


async def test_a_confirmed_message_is_read_back_from_rabbitmq(rabbitmq_vhost_url: str) -> None:
    await publish(rabbitmq_vhost_url, "order_queue", b"x" * MEGABYTE)
    assert await read(rabbitmq_vhost_url, "order_queue") == b"x" * MEGABYTE


async def test_a_queue_of_one_virtual_host_is_not_in_another(rabbitmq_vhost_url: str, rabbitmq_url: str) -> None:
    other = vhosts.create(rabbitmq_url)
    await publish(rabbitmq_vhost_url, "order_queue", b"mine")
    await publish(other, "order_queue", b"another's")

    assert await read(rabbitmq_vhost_url, "order_queue") == b"mine"
    vhosts.drop(other)
    assert other.rpartition("/")[2] not in vhosts.names(rabbitmq_url)


async def test_an_acknowledged_record_is_read_back_from_kafka(kafka_bootstrap: str, kafka_prefix: str) -> None:
    sent = await send(kafka_bootstrap, f"{kafka_prefix}order", b"x" * 2 * MEGABYTE)
    assert (sent.partition, sent.offset) == (0, 0)
    assert await fetch(kafka_bootstrap, f"{kafka_prefix}order") == b"x" * 2 * MEGABYTE


async def test_kafka_makes_no_topic_that_nobody_declared(kafka_bootstrap: str, kafka_prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    [described] = await admin.describe_topics([f"{kafka_prefix}unknown"])
    assert f"{kafka_prefix}unknown" not in await admin.list_topics()
    assert described["error_code"] == 3  # unknown topic or partition
    await admin.close()


async def test_a_quorum_queue_keeps_what_it_confirmed_when_the_node_is_killed(own_rabbitmq: Node) -> None:
    await publish(own_rabbitmq.address, "kept", b"earlier")
    await asyncio.sleep(own.DECLARED_S)
    await publish(own_rabbitmq.address, "kept", b"confirmed a moment ago")

    own_rabbitmq.kill()
    assert not own_rabbitmq.answers()
    assert own_rabbitmq.start()

    assert await read(own_rabbitmq.address, "kept") == b"earlier"
    assert await read(own_rabbitmq.address, "kept") == b"confirmed a moment ago"


async def test_a_topic_keeps_what_it_acknowledged_when_the_node_is_killed(own_kafka: Node) -> None:
    await send(own_kafka.address, "kept", b"acknowledged")

    own_kafka.kill()
    assert not own_kafka.answers()
    assert own_kafka.start()

    assert await fetch(own_kafka.address, "kept") == b"acknowledged"


@pytest.mark.parametrize("broker", ["own_rabbitmq", "own_kafka"])
def test_a_paused_node_is_there_and_silent_until_it_is_resumed(broker: str, request: pytest.FixtureRequest) -> None:
    node: Node = request.getfixturevalue(broker)
    before = node.pid

    node.pause()
    assert not node.answers()
    node.resume()

    assert not node.start(), "it ran, so there was nothing to start"
    assert processes.wait_until(node.answers, PATIENCE_S)
    assert node.pid == before


def test_a_frozen_process_does_nothing_more_on_cores_that_are_busy() -> None:
    """SIGSTOP goes to one thread, which waits for its turn on a core before it stops the others."""
    with ExitStack() as stack:
        for _ in range(4):
            assert _told(stack.enter_context(_python(BUSY))) == b"on\n"
        echo = stack.enter_context(_python(ECHO))
        for number in range(10):
            processes.send(echo.pid, signal.SIGSTOP)
            assert processes.wait_until(lambda: processes.is_frozen(echo.pid), PATIENCE_S)
            assert echo.stdin is not None
            assert echo.stdout is not None
            echo.stdin.write(b"%d\n" % number)
            echo.stdin.flush()
            assert not select.select([echo.stdout], [], [], 0.1)[0], "answered although frozen"
            processes.send(echo.pid, signal.SIGCONT)
            assert _told(echo) == b"%d\n" % number
            assert not processes.is_frozen(echo.pid)


def test_a_stopped_node_leaves_no_process(own_rabbitmq: Node) -> None:
    assert own_rabbitmq.stop()
    first = own_rabbitmq.ports[0]
    assert [port for port in range(first, first + 4) if not is_free(port)] == []
    assert not own_rabbitmq.stop(), "it did not run"


def test_a_node_does_not_outlive_the_run_that_holds_it(own_kafka: Node) -> None:
    """The run's end, whichever it is, closes its pipe to the holder."""
    environment = {**os.environ, "TRADEPOST_BROKERS": str(own_kafka.folder.parent)}
    command = [sys.executable, "-m", "brokers", "kafka", "hold"]
    with subprocess.Popen(command, cwd=own.ROOT, env=environment, stdin=subprocess.PIPE) as holder:
        assert processes.wait_until(own_kafka.answers, PATIENCE_S)
    assert holder.returncode == 0
    assert own_kafka.pid is None


def test_a_node_whose_port_is_taken_says_so_and_starts_nothing(tmp_path: Path) -> None:
    port = own.free_port()
    node = rabbitmq.node(tmp_path, port)
    with socket.create_server((HOST, port)), pytest.raises(NodeError, match=f"RabbitMQ needs port {port} of 127.0.0.1"):
        node.start()
    assert node.pid is None


def test_a_pid_that_something_else_has_by_now_is_neither_running_nor_killed(tmp_path: Path) -> None:
    node = rabbitmq.node(tmp_path, own.free_port())
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (tmp_path / "pid").write_text(str(bystander.pid))
        assert node.pid is None
        node.kill()
        assert not node.stop()
        assert bystander.poll() is None
        bystander.send_signal(signal.SIGTERM)


def test_a_process_in_mid_exec_is_alive(tmp_path: Path) -> None:
    """RabbitMQ's is a script that becomes another and that a program, and Linux shows no arguments while one does."""
    script = tmp_path / "again"
    script.write_text('#!/bin/sh\nexec "$0" "$@"\n')
    script.chmod(0o755)
    with subprocess.Popen([script, "-Dmark"]) as process:
        try:
            assert all(processes.is_alive(process.pid, "-Dmark") for _ in range(100))
            assert not processes.is_alive(process.pid, "-Danother")
        finally:
            process.kill()
    assert not processes.is_alive(process.pid, "-Dmark")


def test_a_dead_process_that_nobody_has_collected_is_not_alive() -> None:
    with _python(BUSY) as process:
        assert _told(process) == b"on\n"
        assert processes.is_alive(process.pid, "-c")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.is_alive(process.pid, "-c")


@contextmanager
def _python(source: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _told(process: subprocess.Popen[bytes]) -> bytes:
    """The process's next line."""
    assert process.stdout is not None
    return process.stdout.readline()
