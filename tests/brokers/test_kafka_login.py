"""Over TLS and with a password: events arrive, and whoever isn't let in says so in one line that names no secret."""

import asyncio
from typing import Any

import pytest

from brokers.kafka import certificate
from brokers.node import HOST, Node
from tests.brokers.kafka_probing import begin, serving, shop_on
from tests.brokers.own import LOGIN
from tests.kernel.log.probing import effects
from tests.patience import PATIENCE_S
from tradepost.kernel.brokers.port import BrokerError
from tradepost.kernel.database import Database
from tradepost.settings import KafkaLogin


@pytest.fixture
def secured(own_kafka: Node) -> dict[str, Any]:
    """The settings of who is let in."""
    return {
        "bootstrap": f"{HOST}:{own_kafka.ports[2]}",
        "kafka_tls": True,
        "kafka_authorities": str(certificate(own_kafka.folder)),
        "kafka_login": KafkaLogin(LOGIN.username, LOGIN.password, "SCRAM-SHA-512"),
    }


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_events_go_there_and_come_back(secured: dict[str, Any], database: Database, mechanism: str) -> None:
    shop = shop_on(**{**secured, "kafka_login": KafkaLogin(LOGIN.username, LOGIN.password, mechanism)})
    await shop.kafka.declare()
    units = await begin(shop, database)
    async with serving(shop, database, units):
        await shop.publish("a", "b", "a")
        seen = await effects(database, 3)
    assert sorted(seen) == [("a", 1), ("a", 2), ("b", 1)]
    assert await shop.kafka.depth(shop.group, database) == 0
    await shop.kafka.reset()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka_login": KafkaLogin(LOGIN.username, "a-wrong-one", "SCRAM-SHA-512")},
        {"kafka_login": None},
        {"kafka_tls": False},
        {"kafka_authorities": None},  # the system's do not know it
    ],
    ids=["a wrong password", "no login", "no TLS", "another authority"],
)
async def test_whoever_is_not_let_in_says_so(secured: dict[str, Any], wrong: dict[str, Any]) -> None:
    shop = shop_on(**{**secured, **wrong})
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BrokerError) as refused:
            await shop.kafka.declare()
        with pytest.raises(BrokerError) as unpublished:
            await shop.publish("a")
    for told in (str(refused.value), str(unpublished.value)):
        assert "Kafka" in told
        assert "\n" not in told
        assert LOGIN.password not in told
        assert "a-wrong-one" not in told
