"""A gateway in front of two services."""

import pytest

from tests.gateway.pair import Pair, open_pair
from tradepost.kernel.keys import SigningKey, load_or_create_keys


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create_keys(tmp_path_factory.mktemp("keys")).current


@pytest.fixture
async def pair(signing_key: SigningKey) -> Pair:
    return open_pair(signing_key)
