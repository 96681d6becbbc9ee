"""Double entry: what a capture and a refund mean for the accounts. A debit is positive."""

from enum import StrEnum

import msgspec


class Account(StrEnum):
    """`provider_receivable` is what the provider owes us; `refunds` lessens `sales`. `paid_outside` is what buyers got
    back in another way than by the provider."""

    PROVIDER_RECEIVABLE = "provider_receivable"
    SALES = "sales"
    REFUNDS = "refunds"
    PAID_OUTSIDE = "paid_outside"


class Kind(StrEnum):
    CAPTURE = "capture"
    REFUND = "refund"
    REFUND_REVERSAL = "refund_reversal"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction of the ledger: `amount` moves from `credit` to `debit`. `cause` is unique in the ledger, so the
    same thing can't be entered twice."""

    kind: Kind
    cause: str
    debit: Account
    credit: Account
    amount: int
    currency: str


def captured(cause: str, amount: int, currency: str) -> Entry:
    """The provider took the buyer's money for us."""
    return Entry(
        kind=Kind.CAPTURE,
        cause=cause,
        debit=Account.PROVIDER_RECEIVABLE,
        credit=Account.SALES,
        amount=amount,
        currency=currency,
    )


def refunded(cause: str, amount: int, currency: str, credit: Account = Account.PROVIDER_RECEIVABLE) -> Entry:
    """The buyer got money back: from the provider, or from what `credit` says."""
    return Entry(
        kind=Kind.REFUND,
        cause=cause,
        debit=Account.REFUNDS,
        credit=credit,
        amount=amount,
        currency=currency,
    )


def refund_reversed(cause: str, amount: int, currency: str) -> Entry:
    """A refund that had succeeded came back."""
    return Entry(
        kind=Kind.REFUND_REVERSAL,
        cause=f"{cause}:failed",
        debit=Account.PROVIDER_RECEIVABLE,
        credit=Account.REFUNDS,
        amount=amount,
        currency=currency,
    )
