"""An order service's database, and orders to start from."""

from collections.abc import AsyncIterator

import pytest

from tests import databases
from tradepost.kernel.database import Database, connect
from tradepost.kernel.migrate import role_of, url_as


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with connect(url_as(database_url, role_of("order"), databases.SECRET), "order") as database:
        yield database
