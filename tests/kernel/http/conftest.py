"""A shop without a database, for what never comes near one, and a shop with one."""

from typing import cast

import pytest

from tests.kernel.http.shop import Shop, open_shop
from tradepost.kernel.database import Database
from tradepost.kernel.keys import SigningKey, load_or_create_keys


class NoDatabase:
    """Whoever opens a transaction here fails the test."""


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create_keys(tmp_path_factory.mktemp("keys")).current


@pytest.fixture
def shop(signing_key: SigningKey) -> Shop:
    return open_shop(cast(Database, NoDatabase()), signing_key)


@pytest.fixture
async def stocked(signing_key: SigningKey, database: Database, superuser: object) -> Shop:
    """A shop with a table `scribble` to write into."""
    await superuser.execute("CREATE TABLE probe.scribble (text text)")  # type: ignore[attr-defined]
    await superuser.execute("GRANT ALL ON probe.scribble TO PUBLIC")  # type: ignore[attr-defined]
    return open_shop(database, signing_key)
