"""A gateway in front of two services."""

from collections.abc import AsyncIterator

import pytest

from tests.gateway.pair import Pair, open_pair, open_pair_apart
from tests.patience import PATIENCE_S
from tradepost.gateway import checks, health, identity, jwks, pool
from tradepost.kernel.keys import SigningKey, load_or_create_keys


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create_keys(tmp_path_factory.mktemp("keys")).current


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that answers late, since the machine is slow, isn't taken for one that is gone."""
    monkeypatch.setattr(pool, "CONNECT_S", PATIENCE_S)
    for patient in (checks, health, identity, jwks):
        monkeypatch.setattr(patient, "PATIENCE_S", PATIENCE_S)


@pytest.fixture(params=["in_process", "apart"])
async def pair(signing_key: SigningKey, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """What clients see is the same, wherever the services run."""
    if request.param == "in_process":
        yield open_pair(signing_key)
        return
    async with open_pair_apart(signing_key) as pair:
        yield pair
