"""The service on a real database, behind its real table of endpoints."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final

import asyncpg
import pytest

from tests import databases
from tests.services.user.house import House, open_house
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.database import Database, connect
from tradepost.kernel.keys import Keys, jwks, load_or_create_keys
from tradepost.kernel.migrate import role_of, url_as
from tradepost.services.user.desk import ISSUER, Desk
from tradepost.services.user.passwords import Passwords
from tradepost.services.user.turns import Turns
from tradepost.settings import UserSettings

TABLES: Final = (
    "letter", "link", "login_failure", "refresh_token", "session", "address", "api_key", "account", "event",
    "idempotency",
)  # fmt: skip


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return load_or_create_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def cheap() -> Passwords:
    """Argon2 with so little work that tests are quick."""
    return Passwords(passes=1, memory_kib=8)


@pytest.fixture(scope="session")
def emptied_url(server: str) -> Iterator[str]:
    """One database for all tests here, since most of them write a row or two: emptying it is quicker than a copy."""
    url = asyncio.run(databases.create(server))
    yield url
    asyncio.run(databases.drop(server, url))


@pytest.fixture
async def db(emptied_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(emptied_url)
    await connection.execute("SET search_path = 'user';" + "".join(f"DELETE FROM {table};" for table in TABLES))
    await connection.close()
    async with connect(url_as(emptied_url, role_of("user"), databases.SECRET), "user") as database:
        yield database


@pytest.fixture
def desk(db: Database, keys: Keys, cheap: Passwords) -> Desk:
    return Desk(
        db=db,
        settings=UserSettings("admin@shop.test", None, public_url="https://shop.test"),
        signer=Signer(keys.current.private_pem, keys.current.kid, ISSUER),
        jwks=jwks(keys.public),
        key=b"k" * 32,
        passwords=cheap,
        turns=Turns(),
    )


@pytest.fixture
def house(desk: Desk, keys: Keys) -> House:
    """Log-in delays and limits on letters are on."""
    return open_house(desk, Verifier(keys.public, ISSUER))


@pytest.fixture
def unlimited(desk: Desk, keys: Keys) -> House:
    """The same with TRADEPOST_RATE_LIMITS=off."""
    settings = UserSettings("admin@shop.test", None, rate_limits=False, public_url="https://shop.test")
    return open_house(replace(desk, settings=settings), Verifier(keys.public, ISSUER))
