"""A till with empty drawers, and its doors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from tests import databases
from tests.kernel.http.driver import Client
from tests.services.payment.till import BUYER, Till
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.database import connect
from tradepost.kernel.http.app import build
from tradepost.kernel.ids import new_id
from tradepost.kernel.keys import load_or_create_keys
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.service import Room
from tradepost.services.payment import service
from tradepost.services.payment.desk import open_desk
from tradepost.services.payment.domain import model
from tradepost.services.payment.simulator import bank

ISSUER = "http://tradepost.test"
Door = Callable[..., Client]


_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica; -- the books are written once, but for this
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'payment' AND tablename <> 'migration' LOOP
        EXECUTE format('DELETE FROM payment.%I', name);
    END LOOP;
END
$$
"""


@pytest.fixture(scope="session")
def shared_url(server: str) -> Iterator[str]:
    """One database for all of these tests, since to copy one takes longer than any of them."""
    url = asyncio.run(databases.create(server))
    yield url
    asyncio.run(databases.drop(server, url))


@pytest.fixture
async def till(shared_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Till]:
    """An empty one. What is to happen later happens when the test waits for it."""
    monkeypatch.setattr(model, "FIRST_PAUSE_S", 60.0)
    monkeypatch.setattr(bank, "LATER_S", 60.0)
    superuser = await asyncpg.connect(shared_url)
    await superuser.execute(_EMPTY)
    await superuser.close()
    async with connect(url_as(shared_url, role_of("payment"), databases.SECRET), "payment") as db:
        room = Room(db, cast(Any, None), None, tmp_path)
        async with open_desk(room) as desk:
            yield Till(desk)


@pytest.fixture
def door(till: Till, tmp_path: Path) -> Door:
    """A client with the token of `user_id` (someone else's without one) and permissions."""
    key = load_or_create_keys(tmp_path / "keys").current
    app = build(service.endpoints, till.desk, till.db, Verifier({key.kid: key.public}, ISSUER))
    signer = Signer(key.private_pem, key.kid, ISSUER)

    def enter(*permissions: str, user_id: str | None = None) -> Client:
        roles = ["staff"] if permissions else ["customer"]
        token = signer.issue(user_id or new_id(), roles, list(permissions), "s", datetime.now(UTC))
        return Client(app, {"authorization": f"Bearer {token}"})

    return enter


@pytest.fixture
def buyer(door: Door) -> Client:
    return door(user_id=BUYER)


@pytest.fixture
def staff(door: Door) -> Client:
    return door("payment:read", "payment:write")


@pytest.fixture
def stranger(door: Door) -> Client:
    return Client(door().app)
