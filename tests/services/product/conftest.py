"""A catalogue and its doors, on one database for the whole run that each test finds empty: making one takes longer
than most of these tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests import databases
from tests.services.product.catalogue import Catalogue, open_catalogue
from tradepost.kernel.database import connect
from tradepost.kernel.migrate import role_of, url_as

_EMPTY: Final = "".join(
    f"DELETE FROM product.{table};"
    for table in ("variant", "product", "category", "availability", "offer", "idempotency", "event")
)


@pytest.fixture(scope="session")
def product_url(server: str) -> Iterator[str]:
    """The URL of a migrated database, as the superuser."""
    url = asyncio.run(databases.create(server))
    yield url
    asyncio.run(databases.drop(server, url))


@pytest.fixture
async def catalogue(product_url: str, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """An empty one."""
    superuser = await asyncpg.connect(product_url)
    await superuser.execute(_EMPTY)
    await superuser.close()
    async with (
        connect(url_as(product_url, role_of("product"), databases.SECRET), "product") as db,
        open_catalogue(db, tmp_path) as opened,
    ):
        yield opened
