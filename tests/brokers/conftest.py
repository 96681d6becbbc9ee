"""The brokers of a run: those that run already, shared by all workers, and nodes of a worker's own for faults."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import NoReturn
from uuid import uuid4

import pytest

from brokers import kafka, rabbitmq
from brokers.__main__ import nodes
from brokers.node import Node
from tests.brokers import own, vhosts
from tests.brokers.kafka_probing import Shop, shop_on


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that want a node of their own run on one worker, after one another, so that it is started once."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        words = {*getattr(item, "fixturenames", ()), *map(str, chosen.params.values() if chosen else ())}
        for kind in ("rabbitmq", "kafka"):
            if f"own_{kind}" in words or {"node", kind} <= words:
                item.add_marker(pytest.mark.xdist_group(f"own_{kind}"))


def without(reason: str) -> NoReturn:
    """Skips; where TRADEPOST_TEST_NO_SKIP is set, a missing broker is a failure."""
    if os.environ.get("TRADEPOST_TEST_NO_SKIP"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """Of the running RabbitMQ that all tests share: use a virtual host of your own there."""
    given = os.environ.get("TRADEPOST_TEST_RABBITMQ_URL")
    node = nodes()["rabbitmq"]
    if not given and not node.answers():
        without("RabbitMQ does not run; `make rabbitmq` starts it")
    return given or node.address


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """Of the running Kafka that all tests share: use topics of your own there."""
    given = os.environ.get("TRADEPOST_TEST_KAFKA_BOOTSTRAP")
    node = nodes()["kafka"]
    if not given and not node.answers():
        without("Kafka does not run; `make kafka` starts it")
    return given or node.address


@pytest.fixture
async def shop(kafka_bootstrap: str) -> AsyncIterator[Shop]:
    """A publisher on Kafka with a topic of its own, which is gone after the test."""
    made = shop_on(kafka_bootstrap)
    await made.kafka.declare()
    yield made
    await made.kafka.reset()


@pytest.fixture
def rabbitmq_vhost_url(rabbitmq_url: str) -> Iterator[str]:
    """The URL of an empty virtual host of this test's own."""
    url = vhosts.create(rabbitmq_url)
    yield url
    vhosts.drop(url)


@pytest.fixture
def kafka_prefix() -> str:
    """What the names of this test's topics and groups begin with."""
    return f"test-{uuid4().hex[:12]}-"


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A RabbitMQ of this worker's own."""
    if rabbitmq.program() is None:
        without("RabbitMQ is not installed; `make rabbitmq` does it")
    folder, port = tmp_path_factory.mktemp("own"), own.free_port()
    environment = {**os.environ, "TRADEPOST_BROKERS": str(folder), "RABBITMQ_PORT": str(port)}
    with own.held("rabbitmq", rabbitmq.node(folder / "rabbitmq", port), environment) as node:
        yield node


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Kafka of this worker's own."""
    jars = kafka.jars_in(nodes()["kafka"].folder.parent)
    if not kafka.is_installed(jars):
        without("Kafka is not installed; `make kafka` does it")
    folder, port = tmp_path_factory.mktemp("own"), own.free_port()
    environment = {**os.environ, "TRADEPOST_BROKERS": str(folder), "KAFKA_PORT": str(port)}
    with own.held("kafka", kafka.node(folder / "kafka", port, jars, own.LOGIN, kafka.BRIEF_MS), environment) as node:
        yield node


@pytest.fixture
def own_rabbitmq(rabbitmq_node: Node) -> Node:
    """A RabbitMQ that runs, and that a test may kill, pause and stop, and leave so."""
    return own.running(rabbitmq_node)


@pytest.fixture
def own_kafka(kafka_node: Node) -> Node:
    """A Kafka that runs, and that a test may kill, pause and stop, and leave so."""
    return own.running(kafka_node)
