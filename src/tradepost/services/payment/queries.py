"""Each read: SQL to a response. A customer sees what is theirs; staff who may read payments see everything."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from tradepost.kernel.database import Database, Row
from tradepost.kernel.errors import FieldError, Invalid, NotFound
from tradepost.kernel.http.body import ListOf, ListQuery, page
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.paging import read_page
from tradepost.services.payment.domain.keys import keys_of

T = TypeVar("T")

READ: Final = "payment:read"
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
REFUNDS_SHOWN: Final = 100


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """What an order costs its buyer, and how far that got. `refunding` is on its way back; `action_url` is where the
    buyer confirms, `failure_reason` the decline code."""

    id: str
    order_id: str
    status: str
    amount: int
    currency: str
    captured: int
    refunded: int
    refunding: int
    method: str
    action_url: str | None
    failure_reason: str | None
    created_at: datetime
    updated_at: datetime


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes back. `closed` is what staff did about it after it failed."""

    id: str
    status: str
    amount: int
    currency: str
    reason: str
    return_id: str | None
    failure_reason: str | None
    closed: str | None
    created_at: datetime


class RefundOfPayment(RefundView, frozen=True, kw_only=True):
    """The same, and whose it is."""

    payment_id: str
    order_id: str


class PaymentInFull(PaymentView, frozen=True, kw_only=True):
    """A payment and its refunds, the newest first."""

    refunds: tuple[RefundView, ...]


class TransactionView(msgspec.Struct, frozen=True, kw_only=True):
    """What became known at `at` of an authorization, capture, void or refund. Of a refund that takes its time there
    are several, with one `provider_reference`."""

    id: str
    type: str
    status: str
    amount: int
    currency: str
    provider_reference: str | None
    refund_id: str | None
    at: datetime


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of an account's postings in a currency; debit is positive."""

    id: str
    account: str
    currency: str
    balance: int


class PostingView(msgspec.Struct, frozen=True, kw_only=True):
    """What an account is debited with, or credited where negative."""

    account: str
    amount: int
    currency: str


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction of the ledger; its postings sum to zero."""

    id: str
    kind: str
    order_id: str
    payment_id: str
    cause: str
    at: datetime
    postings: tuple[PostingView, ...]


_PAYMENT: Final = """
SELECT id::text AS id, order_id::text AS order_id, status, amount, currency, captured, refunded, refunding, method,
       action_url, failure AS failure_reason, created_at, updated_at
FROM payment
"""
_READ: Final = f"{_PAYMENT} WHERE id = $1 AND (user_id = $2 OR $3)"
_OF_ORDER: Final = f"{_PAYMENT} WHERE order_id = $2 AND (user_id = $3 OR $4) AND {{newest}} LIMIT $1"
_ALL: Final = f"{_PAYMENT} WHERE {{newest}} LIMIT $1"
_REFUND: Final = (
    "id::text AS id, status, amount, currency, reason, return_id, failure AS failure_reason, closed, created_at"
)
_REFUNDS: Final = f"""
SELECT {_REFUND}
FROM refund WHERE key >= $1 AND key < $2 ORDER BY refund.id DESC LIMIT {REFUNDS_SHOWN}
"""
_REFUND_OF: Final = f"""
{_REFUND}, payment_id::text AS payment_id,
(SELECT order_id::text FROM payment WHERE payment.id = payment_id) AS order_id
"""
# As the index `refund_failed` has it, and where money is left.
_FAILED: Final = """
(status = 'failed' AND closed IS NULL
 AND EXISTS (SELECT FROM payment WHERE payment.id = payment_id AND captured > refunded + refunding))
"""
_TRANSACTIONS: Final = """
SELECT id::text AS id, type, status, amount, currency, provider_reference, refund_id::text AS refund_id, at
FROM payment_transaction WHERE payment_id = $2 AND {newest} LIMIT $1
"""
_BALANCES: Final = """
SELECT id, account, currency, balance
FROM (SELECT (account || ':' || currency) COLLATE "C" AS id, account, currency, sum(amount)::bigint AS balance
      FROM ledger_balance GROUP BY account, currency) AS kept
WHERE {onwards} LIMIT $1
"""
_ENTRY: Final = """
SELECT id::text AS id, kind, order_id::text AS order_id, payment_id::text AS payment_id, cause, at,
       (SELECT json_agg(json_build_object('account', account, 'amount', amount, 'currency', currency) ORDER BY account)
        FROM ledger_posting WHERE transaction_id = entry.id)::text AS postings
FROM ledger_transaction AS entry
"""
_ENTRIES: Final = f"{_ENTRY} WHERE {{newest}} LIMIT $1"
_ENTRIES_OF_ORDER: Final = f"{_ENTRY} WHERE cause >= $3 AND cause < $4 AND {{newest}} LIMIT $1"
_postings: Final = msgspec.json.Decoder(tuple[PostingView, ...])


async def read_payment(db: Database, payment_id: str, caller: Caller) -> PaymentInFull:
    """With its refunds. Errors: NotFound, also for somebody else's."""
    row = await _read(db, payment_id, caller)
    refunds = await db.fetch(_REFUNDS, *keys_of(row["order_id"]))
    return PaymentInFull(**row, refunds=tuple(RefundView(**refund) for refund in refunds))


async def list_payments(db: Database, caller: Caller, order_id: str | None, asked: ListQuery) -> ListOf[PaymentView]:
    """Those of an order, newest first; all of them for staff. Errors: Invalid `order_id_required`."""
    if order_id is not None:
        arguments: tuple[object, ...] = (order_id, caller.user_id, caller.may(READ))
        rows = await db.fetch(_paged(_OF_ORDER, "payment", asked, 5), asked.limit + 1, *arguments, _cursor(asked))
    elif caller.may(READ):
        rows = await db.fetch(_paged(_ALL, "payment", asked, 2), asked.limit + 1, _cursor(asked))
    else:
        needed = FieldError("?order_id", "Say whose payment.")
        raise Invalid("Payments are listed by order.", code="order_id_required", errors=[needed])
    return _page([PaymentView(**row) for row in rows], asked)


async def list_refunds(db: Database, failed: bool | None, asked: ListQuery) -> ListOf[RefundOfPayment]:
    """Of all payments, newest first. `failed` says which ones only."""
    wanted = [] if failed is None else [_FAILED if failed else f"NOT {_FAILED}"]
    return await read_page(db, "refund", _REFUND_OF, wanted, asked, lambda row: RefundOfPayment(**row))


async def list_transactions(db: Database, payment_id: str, caller: Caller, asked: ListQuery) -> ListOf[TransactionView]:
    """The history of a payment, newest first. Errors: NotFound, also for somebody else's."""
    await _read(db, payment_id, caller)
    rows = await db.fetch(
        _paged(_TRANSACTIONS, "payment_transaction", asked, 3), asked.limit + 1, payment_id, _cursor(asked)
    )
    return _page([TransactionView(**row) for row in rows], asked)


async def list_balances(db: Database, asked: ListQuery) -> ListOf[Balance]:
    """By account and currency. The sums are kept with each posting; nothing is added up here but their few stripes."""
    onwards = "id > $2 ORDER BY id" if asked.ending_before is None else "id < $2 ORDER BY id DESC"
    cursor = asked.ending_before or asked.starting_after or ""
    rows = await db.fetch(_BALANCES.format(onwards=onwards), asked.limit + 1, cursor)
    return _page([Balance(**row) for row in rows], asked)


async def list_entries(db: Database, order_id: str | None, asked: ListQuery) -> ListOf[EntryView]:
    """The ledger, newest first."""
    sql, keys = (_ENTRIES, ()) if order_id is None else (_ENTRIES_OF_ORDER, keys_of(order_id))
    rows = await db.fetch(_paged(sql, "entry", asked, 2), asked.limit + 1, _cursor(asked), *keys)
    return _page([_entry(row) for row in rows], asked)


async def _read(db: Database, payment_id: str, caller: Caller) -> Row:
    row = await db.fetchrow(_READ, payment_id, caller.user_id, caller.may(READ))
    if row is None:
        raise NotFound("There is no payment of this id.")
    return row


def _entry(row: Row) -> EntryView:
    return EntryView(**{**row, "postings": _postings.decode(row["postings"])})


def _cursor(asked: ListQuery) -> str:
    return asked.ending_before or asked.starting_after or LAST_ID


def _paged(sql: str, table: str, asked: ListQuery, parameter: int) -> str:
    """`sql` from the cursor on, which is the `parameter`-th argument: newest first, or backwards."""
    towards, order = (">", "ASC") if asked.ending_before is not None else ("<", "DESC")
    return sql.format(newest=f"{table}.id {towards} ${parameter} ORDER BY {table}.id {order}")


def _page(rows: Sequence[T], asked: ListQuery) -> ListOf[T]:
    return page(rows, asked.limit, backwards=asked.ending_before is not None)
