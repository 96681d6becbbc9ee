"""Real PostgreSQL for every test: one server per run, a fresh database per test from a template."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from tests import databases
from tradepost.kernel.database import Database, connect
from tradepost.kernel.migrate import role_of, url_as

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test by the clock
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole systems first: they take longest, and spend it waiting."""
    items.sort(key=lambda item: "tests/system/" not in item.nodeid)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the run's PostgreSQL, as its superuser."""
    given = os.environ.get("TRADEPOST_TEST_SERVER")
    if given:
        yield given
        return
    from tests.postgres_fixture import session_server

    root = tmp_path_factory.getbasetemp()
    yield session_server(root.parent if "PYTEST_XDIST_WORKER" in os.environ else root)


@pytest.fixture
async def database_url(server: str) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database of this test's own, as the superuser."""
    url = await databases.create(server)
    yield url
    await databases.drop(server, url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the kernel's tables, as the role of a service called `probe`."""
    async with connect(url_as(database_url, role_of("probe"), databases.SECRET), "probe") as db:
        yield db


@pytest.fixture
async def superuser(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to the test's database that may do everything."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


SHARED = Path(__file__).parents[2] / "shared"
