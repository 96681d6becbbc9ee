"""A shop for each test, on each of the three in turn."""

from collections.abc import AsyncIterator

import pytest

from tests.brokers.behaviour import rig
from tests.brokers.behaviour.pace import hurry
from tests.brokers.behaviour.rig import Shop

BOTH = ("rabbitmq", "kafka")
ALL = ("log", *BOTH)


@pytest.fixture(params=ALL)
def kind(request: pytest.FixtureRequest) -> str:
    """What carries the events; a test that makes sense for the brokers only says so by `on_brokers`."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _pace(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch.setattr)


@pytest.fixture
def address(kind: str, request: pytest.FixtureRequest) -> str:
    """Of the broker that the shop is on: shared, with a virtual host or topics of the test's own."""
    fixture = {"rabbitmq": "rabbitmq_vhost_url", "kafka": "kafka_bootstrap"}.get(kind)
    return str(request.getfixturevalue(fixture)) if fixture else ""


@pytest.fixture
async def shop(kind: str, address: str, server: str) -> AsyncIterator[Shop]:
    async with rig.opened(kind, server, address) as opened:
        yield opened
