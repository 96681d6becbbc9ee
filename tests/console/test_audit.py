"""`tradepost audit`: a shop at rest is clean, and each check catches what it is for."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from tests import databases
from tests.console.audited_shop import Audited, make
from tests.console.plants import PLANTS, UNDONE, Plant
from tradepost.console.audit.check import Finding
from tradepost.console.audit.drained import NAMES as DRAINED
from tradepost.console.audit.drained import undone
from tradepost.console.audit.examine import CHECKS, audit, examine
from tradepost.console.instance import NAMES

pytestmark = pytest.mark.xdist_group("audit")  # what they share is made once


@pytest.fixture(scope="module")
def shop(server: str) -> Iterator[Audited]:
    made = asyncio.run(make(server))
    yield made
    asyncio.run(databases.drop(server, made.url))


async def planted(url: str, plant: Plant, look: Any) -> set[str]:
    """The names of the checks that find something while `plant` is there."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN; SET LOCAL session_replication_role = replica")
        await connection.execute(plant.sql)
        return violated(await look(connection))
    finally:
        await connection.close()


def violated(findings: Sequence[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.violations}


async def run(url: str, journal: Path | None = None, wait_s: float = 10) -> tuple[int, list[str]]:
    lines: list[str] = []
    return await audit(dict.fromkeys(NAMES, url), journal=journal, wait_s=wait_s, echo=lines.append), lines


async def test_a_shop_at_rest_is_clean(shop: Audited) -> None:
    code, lines = await run(shop.url)

    assert (code, lines[-1]) == (0, f"audit: clean ({len(CHECKS) + len(DRAINED)} checks, 8 orders)"), lines


@pytest.mark.parametrize("plant", PLANTS, ids=str)
async def test_each_violation_is_caught_by_its_check_alone(shop: Audited, plant: Plant) -> None:
    assert await planted(shop.url, plant, examine) == {plant.check, *plant.also}


@pytest.mark.parametrize("plant", UNDONE, ids=str)
async def test_what_is_under_way_is_noticed(shop: Audited, plant: Plant) -> None:
    async def look(connection: Any) -> Sequence[Finding]:
        return await undone(dict.fromkeys(NAMES, connection))

    assert await planted(shop.url, plant, look) == {plant.check}


def test_each_check_has_a_violation_to_catch() -> None:
    assert {plant.check for plant in (*PLANTS, *UNDONE)} == {*(check.name for check in CHECKS), *DRAINED}


async def test_a_violation_ends_the_audit_with_one_and_is_shown(shop: Audited, server: str) -> None:
    connection = await asyncpg.connect(shop.url)
    move = "UPDATE inventory.stock SET on_hand = on_hand + $1 WHERE sku = 'TEA-1'"
    try:
        await connection.execute(move, 1)
        code, lines = await run(shop.url)
    finally:
        await connection.execute(move, -1)
        await connection.close()

    assert (code, lines[-1]) == (1, "audit: 1 violation")
    assert "TEA-1: 19 on hand, but movements add up to 18" in "\n".join(lines)


async def test_the_audit_waits_until_all_is_done(shop: Audited) -> None:
    connection = await asyncpg.connect(shop.url)
    status = "UPDATE notification.delivery SET status = $1, address = 'a@b.c' WHERE template = 'order_completed'"
    try:
        await connection.execute(status, "pending")
        code, lines = await run(shop.url, wait_s=0)
        waiting = asyncio.create_task(run(shop.url))
        await asyncio.sleep(0.5)
        assert not waiting.done()
    finally:
        await connection.execute(status, "sent")
        await connection.close()

    assert (code, lines[-1]) == (1, "audit: 2 violations")
    assert (await waiting)[0] == 0


@pytest.mark.parametrize(
    ("answer", "code", "conclusion"),
    [
        ({}, 0, "audit: clean (43 checks, 8 orders)"),
        ({"total_amount": 1}, 1, "audit: 1 violation"),
        ({"order_id": "0193b2f0-0000-7000-8000-000000000001"}, 1, "audit: 2 violations"),  # of one key, and missing
    ],
)
async def test_every_answered_order_exists_once_with_its_total(
    shop: Audited, tmp_path: Path, answer: dict[str, object], code: int, conclusion: str
) -> None:
    journal, asked = tmp_path / "journal.jsonl", {"method": "POST", "path": "/order/orders", "key": shop.answer.key}
    told = {"order_id": shop.answer.order_id, "total_amount": shop.answer.total}
    lines = [
        {"n": 1, **asked, "body": {}},
        {"n": 1, "status": 201, **told},
        {"n": 2, **asked, "body": {}},
        {"n": 2, "status": 201, "body": {**told, **answer}},
    ]
    journal.write_bytes(msgspec.json.Encoder().encode_lines(lines))

    ended, shown = await run(shop.url, journal)

    assert (ended, shown[-1]) == (code, conclusion)


async def test_an_order_under_two_keys_is_caught(shop: Audited, tmp_path: Path) -> None:
    journal, told = tmp_path / "journal.jsonl", {"order_id": shop.answer.order_id, "total_amount": shop.answer.total}
    asked = {"method": "POST", "path": "/order/orders"}
    pairs = [({"n": n, **asked, "key": f"key-{n}"}, {"n": n, "status": 201, **told}) for n in (1, 2)]
    journal.write_bytes(msgspec.json.Encoder().encode_lines([line for pair in pairs for line in pair]))

    assert (await run(shop.url, journal))[0] == 1
