"""`tradepost audit` where services have databases of their own: the same answers as in one."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests import databases
from tests.console.audited_shop import Audited, make
from tests.console.plants import PLANTS, UNDONE, Plant
from tradepost.console.audit.drained import NAMES as DRAINED
from tradepost.console.audit.examine import CHECKS, audit
from tradepost.console.instance import NAMES

pytestmark = pytest.mark.xdist_group("audit_apart")  # what they share is made once

CLEAN = f"audit: clean ({len(CHECKS) + len(DRAINED)} checks, 8 orders)"
TRIED = ("log.ids", "log.causes", "stock.units", "outcomes.shipments", "messages.told")


@pytest.fixture(scope="module")
def shop(server: str) -> Iterator[Audited]:
    made = asyncio.run(make(server))
    yield made
    asyncio.run(databases.drop(server, made.url))


@pytest.fixture
async def apart(shop: Audited, server: str) -> AsyncIterator[Mapping[str, str]]:
    """The shop three times over: of one copy order's schema counts, of one payment's, of one those of the others."""
    made = [await copied(server, shop.url) for _ in range(3)]
    yield dict.fromkeys(NAMES, made[2]) | {"order": made[0], "payment": made[1]}
    for url in made:
        await databases.drop(server, url)


async def copied(server: str, url: str) -> str:
    original = url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {(copy := f'test_{uuid4().hex}')} TEMPLATE {original}")
    finally:
        await connection.close()
    return url.replace(original, copy)


async def run(urls: Mapping[str, str], wait_s: float = 10) -> tuple[int, list[str]]:
    lines: list[str] = []
    return await audit(urls, journal=None, wait_s=wait_s, echo=lines.append), lines


async def plant_in(urls: Mapping[str, str], *plants: Plant) -> None:
    """In all of them, though only some of the schemas count in each."""
    for url in set(urls.values()):
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("BEGIN; SET LOCAL session_replication_role = replica")
            for plant in plants:
                await connection.execute(plant.sql)
            await connection.execute("COMMIT")
        finally:
            await connection.close()


def violated(lines: Sequence[str]) -> set[str]:
    return {line.split()[0] for line in lines if " VIOLATED " in line}


async def test_a_shop_at_rest_is_clean_and_nothing_of_the_copy_is_left(
    apart: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    code, lines = await run(apart)

    assert (code, lines[-1]) == (0, CLEAN), lines
    assert list(tmp_path.iterdir()) == []


async def test_violations_across_databases_are_caught(apart: Mapping[str, str]) -> None:
    plants = [plant for plant in PLANTS if plant.check in TRIED]
    await plant_in(apart, *plants)

    code, lines = await run(apart, wait_s=0)

    expected = {name for plant in plants for name in (plant.check, *plant.also)}
    assert (code, violated(lines)) == (1, {*expected, "drained.events"})  # among them are events that nobody has read


async def test_what_is_under_way_in_any_of_them_is_noticed(apart: Mapping[str, str]) -> None:
    await plant_in(apart, *UNDONE)

    code, lines = await run(apart, wait_s=0)

    assert code == 1
    assert violated(lines) >= set(DRAINED)
