"""A return follows what becomes of its refund, and shows what went back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.services.order.test_commands import an_event
from tradepost.contracts.payment import PaymentRefunded, PaymentRefundFailed, PaymentRefundWaived
from tradepost.kernel.database import Database
from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.ids import new_id
from tradepost.services.order import consumers, returns

NOW: Final = datetime(2026, 11, 23, 8, tzinfo=UTC)
MIGRATION: Final = Path(returns.__file__).parent / "migrations" / "0006_returns_of_nothing.sql"
ORDER, RETURN, OTHER = new_id(), new_id(), new_id()
MONEY: Final[dict[str, Any]] = {
    "order_id": ORDER, "payment_id": "p", "currency": "USD", "refund_id": "r", "cause": "c", "return_id": RETURN,
}  # fmt: skip
STORE: Final = """
INSERT INTO orders (id, user_id, status, version, currency, total_amount, lines, payment_method, created_at)
VALUES ($1, $1, 'shipped', 4, 'USD', 2000, '[{"product_id": "p", "variant_id": "v", "sku": "MUG-1", "quantity": 4,
        "price": 500}]', 'pm_card_visa', now())
"""
STORE_RETURN: Final = """
INSERT INTO return_ (id, order_id, status, lines, reason, amount, requested_at)
VALUES ($2, $1, $3, '[{"sku": "MUG-1", "quantity": 2}]', 'broken', 1000, now())
"""


def refunded(amount: int, total: int) -> PaymentRefunded:
    return PaymentRefunded(amount=amount, refunded_total=total, **MONEY)


def failed(amount: int, total: int, *, was_refunded: bool) -> PaymentRefundFailed:
    return PaymentRefundFailed(
        amount=amount, refunded_total=total, was_refunded=was_refunded, reason="declined_by_bank", **MONEY
    )


WAIVED: Final = PaymentRefundWaived(order_id=ORDER, payment_id="p", reason="nothing_left", return_id=RETURN)


async def stored(db: Database, status: str = "received") -> None:
    async with db.transaction() as tx:
        await tx.execute(STORE, ORDER)
        await tx.execute(STORE_RETURN, ORDER, RETURN, status)
        await tx.execute(STORE_RETURN, ORDER, OTHER, "received")


async def hear(db: Database, *facts: Fact) -> None:
    async with db.transaction() as tx:
        await consumers.follow(tx, [an_event(fact) for fact in facts])


async def shown(db: Database, return_id: str = RETURN) -> tuple[str, int, bool]:
    """Status and amount, and whether there is a moment of the refund."""
    sql = "SELECT status, amount, refunded_at IS NOT NULL AS told FROM return_ WHERE id = $1"
    row = await db.fetchrow(sql, return_id)
    assert row is not None
    return row["status"], row["amount"], row["told"]


async def noted(db: Database) -> int:
    return int(await db.fetchval("SELECT refunded FROM orders WHERE id = $1", ORDER))


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("facts", "end", "total"),
    [
        ([refunded(1_000, 1_000)], ("refunded", 1_000, True), 1_000),
        ([refunded(600, 2_000)], ("refunded", 600, True), 2_000),  # as much as was left
        ([WAIVED], ("refunded", 0, True), 0),
        ([failed(1_000, 0, was_refunded=False)], ("received", 1_000, False), 0),
        ([refunded(1_000, 1_000), failed(1_000, 0, was_refunded=True)], ("received", 1_000, False), 0),
        (
            [refunded(1_000, 1_000), failed(1_000, 0, was_refunded=True), refunded(1_000, 1_000)],
            ("refunded", 1_000, True),
            1_000,
        ),
        ([failed(1_000, 0, was_refunded=False), WAIVED], ("refunded", 0, True), 0),
    ],
)
async def test_a_return_follows_its_refund(
    db: Database, facts: list[Fact], end: tuple[str, int, bool], total: int, at_once: bool
) -> None:
    await stored(db)
    for piece in [facts] if at_once else [[fact] for fact in facts]:
        await hear(db, *piece)

    assert await shown(db) == end
    assert await noted(db) == total
    assert await shown(db, OTHER) == ("received", 1_000, False)
    assert await db.fetchval("SELECT version FROM orders") == 4
    assert await db.fetchval("SELECT count(*) FROM event") == 0


async def test_a_return_whose_refund_came_back_is_not_received_twice(db: Database) -> None:
    await stored(db)
    await hear(db, refunded(1_000, 1_000))
    for fact in (None, failed(1_000, 0, was_refunded=True)):
        if fact is not None:
            await hear(db, fact)
        with pytest.raises(Conflict) as refused:
            async with db.transaction() as tx:
                await returns.receive(tx, RETURN, None, Cause("c"), NOW)
        assert refused.value.error == "illegal_return_move"

    assert await db.fetchval("SELECT count(*) FROM event") == 0


@pytest.mark.parametrize("status", ["requested", "approved", "rejected"])
async def test_what_has_not_come_back_is_not_refunded(db: Database, status: str) -> None:
    await stored(db, status)
    await hear(db, refunded(1_000, 1_000))

    assert await shown(db) == (status, 1_000, False)


@pytest.mark.parametrize(
    ("worth", "gone", "end"), [(0, 0, "refunded"), (500, 2_000, "refunded"), (500, 1_999, "received")]
)
async def test_returns_of_older_versions_that_had_nothing_to_give_back_end(
    db: Database, worth: int, gone: int, end: str
) -> None:
    await stored(db)
    async with db.transaction() as tx:
        await tx.execute("UPDATE return_ SET amount = $2 WHERE id = $1", RETURN, worth)
        await tx.execute("UPDATE orders SET refunded = $1", gone)
        await tx.execute("DELETE FROM return_ WHERE id = $1", OTHER)
        await tx.execute(MIGRATION.read_text())

    assert await shown(db) == (end, 0 if end == "refunded" else worth, end == "refunded")


async def test_a_refund_of_no_return_moves_none(db: Database) -> None:
    await stored(db)
    await hear(db, PaymentRefundWaived(order_id=ORDER, payment_id="p", reason="not owed", refund_id="r"))

    assert await shown(db) == await shown(db, OTHER) == ("received", 1_000, False)
