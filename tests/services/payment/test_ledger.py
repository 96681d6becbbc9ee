"""What the database itself refuses, whoever asks: unbalanced books, rewritten books, more refunds than captures."""

from collections.abc import Sequence

import asyncpg
import pytest

from tests.services.payment.till import Till
from tradepost.kernel.ids import new_id

_ENTER = "INSERT INTO ledger_transaction (id, kind, order_id, payment_id, cause) VALUES ($1, 'capture', $1, $1, $2)"
_POST = """
INSERT INTO ledger_posting (transaction_id, account, currency, amount)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])
"""
REWRITING = (
    "UPDATE ledger_posting SET amount = 1",
    "DELETE FROM ledger_posting",
    "UPDATE ledger_transaction SET cause = 'x'",
    "DELETE FROM ledger_transaction",
    "UPDATE payment_transaction SET amount = 1",
    "DELETE FROM payment_transaction",
    "UPDATE ledger_balance SET amount = 1",
    "DELETE FROM ledger_balance",
)


async def post(till: Till, cause: str, postings: Sequence[tuple[str, str, int]]) -> None:
    transaction_id = new_id()
    async with till.db.transaction() as tx:
        await tx.execute(_ENTER, transaction_id, cause)
        await tx.execute(_POST, transaction_id, *zip(*postings, strict=True))


async def test_postings_that_do_not_sum_to_zero_per_currency_are_refused(till: Till) -> None:
    for postings in (
        [("sales", "USD", 5)],
        [("sales", "USD", 5), ("provider_receivable", "USD", -4)],
        [("sales", "USD", 5), ("provider_receivable", "EUR", -5)],
    ):
        with pytest.raises(asyncpg.CheckViolationError, match="sum to zero"):
            await post(till, "order:1:charge:1", postings)

    assert await till.db.fetchval("SELECT count(*) FROM ledger_transaction") == 0
    assert await till.balances() == {}


async def test_postings_need_their_transaction_and_a_cause_is_entered_once(till: Till) -> None:
    balanced = [("sales", "USD", -5), ("provider_receivable", "USD", 5)]
    await post(till, "order:1:charge:1", balanced)

    with pytest.raises(asyncpg.UniqueViolationError):
        await post(till, "order:1:charge:1", balanced)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await till.db.fetch(_POST, new_id(), *zip(*balanced, strict=True))

    assert await till.balances() == {"provider_receivable": 5, "sales": -5}


async def test_books_are_written_once(till: Till) -> None:
    await till.pay()

    for statement in REWRITING:
        with pytest.raises(asyncpg.RestrictViolationError, match="written once"):
            await till.db.fetch(statement)

    assert await till.balances() == {"provider_receivable": 2_000, "sales": -2_000}


async def test_the_ceiling_of_refunds_is_a_constraint(till: Till) -> None:
    order_id = await till.pay()

    for change in ("refunded = 2001", "refunding = 2000, refunded = 1", "refunding = -1", "captured = 1999"):
        with pytest.raises(asyncpg.CheckViolationError):
            await till.db.fetch(f"UPDATE payment SET {change}")

    assert await till.payment(order_id) == ("captured", 2_000, 0, 0)
