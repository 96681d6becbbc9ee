"""What steps leave behind beside the rows themselves: history, ledger and events, each written once."""

from collections.abc import Sequence
from typing import Final

from tradepost.kernel.database import Tx
from tradepost.kernel.ids import new_id
from tradepost.services.payment.domain.model import Step

_INSERT_RECORDS: Final = """
INSERT INTO payment_transaction (payment_id, id, type, status, amount, currency, provider_reference, refund_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::uuid[])
"""
_INSERT_ENTRIES: Final = """
WITH entered AS (
    INSERT INTO ledger_transaction (id, kind, order_id, payment_id, cause)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[])
)
INSERT INTO ledger_posting (transaction_id, account, currency, amount)
SELECT id, account, currency, signed
FROM unnest($1::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[]) AS new (id, debit, credit, currency, amount)
CROSS JOIN LATERAL (VALUES (debit, amount), (credit, -amount)) AS posting (account, signed)
"""


async def follow(tx: Tx, steps: Sequence[Step]) -> None:
    """Everything that the steps led to; their payments are written and locked."""
    await _insert_entries(tx, steps)
    _insert_records(tx, steps)
    for step in steps:
        first = step.payment.version - len(step.facts) + 1
        for sequence, (fact, cause) in enumerate(step.facts, first):
            tx.append(fact, sequence=sequence, cause=cause)


def _insert_records(tx: Tx, steps: Sequence[Step]) -> None:
    rows = [
        (
            step.payment.id,
            new_id(),
            record.type,
            record.status,
            record.amount,
            step.payment.currency,
            record.reference,
            record.refund_id,
        )
        for step in steps
        for record in step.records
    ]
    if rows:
        tx.later(_INSERT_RECORDS, *zip(*rows, strict=True))


async def _insert_entries(tx: Tx, steps: Sequence[Step]) -> None:
    """One statement, so that a transaction's postings are checked together."""
    rows = [
        (
            new_id(),
            entry.kind,
            step.payment.order_id,
            step.payment.id,
            entry.cause,
            entry.debit,
            entry.credit,
            entry.currency,
            entry.amount,
        )
        for step in steps
        for entry in step.entries
    ]
    if rows:
        await tx.execute(_INSERT_ENTRIES, *zip(*rows, strict=True))
