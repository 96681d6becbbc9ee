"""A catalogue on a database of its own, and its doors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import databases
from tests.services.product.catalogue import Catalogue, open_catalogue
from tradepost.kernel.database import connect
from tradepost.kernel.migrate import role_of, url_as


@pytest.fixture
async def catalogue(database_url: str, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """An empty one."""
    async with (
        connect(url_as(database_url, role_of("product"), databases.SECRET), "product") as db,
        open_catalogue(db, tmp_path) as opened,
    ):
        yield opened
