"""A warehouse on a database of its own, and its doors."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import databases
from tests.kernel.http.driver import Client
from tests.services.inventory.warehouse import Warehouse
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.database import connect
from tradepost.kernel.http.app import build
from tradepost.kernel.ids import new_id
from tradepost.kernel.keys import load_or_create_keys
from tradepost.kernel.migrate import role_of, url_as
from tradepost.services.inventory import api

ISSUER = "http://tradepost.test"


@pytest.fixture
async def warehouse(database_url: str) -> AsyncIterator[Warehouse]:
    """An empty one."""
    async with connect(url_as(database_url, role_of("inventory"), databases.SECRET), "inventory") as db:
        yield Warehouse(db)


@pytest.fixture
def staff(warehouse: Warehouse, tmp_path: Path) -> Client:
    """The HTTP door of the warehouse, with a token that may read and write."""
    key = load_or_create_keys(tmp_path).current
    app = build(api.endpoints, warehouse.db, warehouse.db, Verifier({key.kid: key.public}, ISSUER))
    permissions = ["inventory:read", "inventory:write"]
    token = Signer(key.private_pem, key.kid, ISSUER).issue(new_id(), ["staff"], permissions, "s", datetime.now(UTC))
    return Client(app, {"authorization": f"Bearer {token}"})
