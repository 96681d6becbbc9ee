"""Payments, refunds and the ledger over HTTP, and the door for providers' webhooks."""

from typing import Annotated, Final

import msgspec

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import FieldError, Invalid, NotFound
from tradepost.kernel.http.body import LARGEST_INTEGER, Body, Cursor, Id, ListOf, ListQuery, Quantity, ShortText
from tradepost.kernel.http.endpoint import Idempotency, Request, get, owner_or, post, public, staff
from tradepost.services.payment import commands, queries
from tradepost.services.payment.desk import Desk, take_in
from tradepost.services.payment.domain.model import Refund, RefundItem
from tradepost.services.payment.providers import Webhook
from tradepost.services.payment.queries import (
    Balance,
    EntryView,
    PaymentInFull,
    PaymentView,
    RefundOfPayment,
    TransactionView,
)

Money = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_INTEGER)]  # minor units
ITEMS_LIMIT: Final = 500


class OfOrder(ListQuery, frozen=True, kw_only=True):
    """A page, of one order's where it is named."""

    order_id: Id | None = None


class BalanceQuery(ListQuery, frozen=True, kw_only=True):
    """A page of accounts, by their ids."""

    starting_after: Cursor | None = None
    ending_before: Cursor | None = None


class Item(Body, frozen=True, kw_only=True):
    """What a refund is for; `amount` minor units for all of `quantity`."""

    sku: ShortText
    quantity: Quantity
    amount: Money | None = None


class AskRefund(Body, frozen=True, kw_only=True):
    """Without an `amount` it is that of the items together, and without items all that is left. The items are a note:
    when they are sent back as well, the return is refunded beside it, as far as money is left."""

    reason: ShortText
    amount: Money | None = None
    items: Annotated[tuple[Item, ...], msgspec.Meta(max_length=ITEMS_LIMIT)] = ()

    def wanted(self) -> int | None:
        """Minor units; None for all that is left. Errors: Invalid `amount_required`, `amount_mismatch`."""
        if not self.items:
            return self.amount
        amounts = [item.amount for item in self.items if item.amount is not None]
        if len(amounts) < len(self.items):
            if self.amount is None:
                raise _invalid("amount_required", "Say how much: here, or in each of the items.")
            return self.amount
        if self.amount not in (None, sum(amounts)):
            raise _invalid("amount_mismatch", f"The items come to {sum(amounts)}.")
        return sum(amounts)


class RefundList(ListQuery, frozen=True, kw_only=True):
    """With `failed` true those that failed and wait for staff, while money is left to give back."""

    failed: bool | None = None


class CloseRefund(Body, frozen=True, kw_only=True):
    """`paid` when the buyer got the money in another way, which `note` tells: that is booked. Otherwise nothing goes
    back, and `note` says why. The buyer may read the note."""

    paid: bool
    note: ShortText


class RefundAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as it stands; `payment.refunded` tells that it arrived, `payment.refund_failed` that it did not."""

    refund_id: str
    payment_id: str
    status: str
    amount: int
    currency: str


async def list_payments(request: Request[None, OfOrder], desk: Desk) -> ListOf[PaymentView]:
    """The payments of an order; staff may list all."""
    return await queries.list_payments(desk.db, request.caller, request.query.order_id, request.query)


async def read_payment(request: Request[None, None], desk: Desk) -> PaymentInFull:
    """A payment with its refunds."""
    return await queries.read_payment(desk.db, request.path["payment_id"], request.caller)


async def list_transactions(request: Request[None, ListQuery], desk: Desk) -> ListOf[TransactionView]:
    """What the provider said of a payment, as it became known."""
    return await queries.list_transactions(desk.db, request.path["payment_id"], request.caller, request.query)


async def refund(request: Request[AskRefund, None], desk: Desk, tx: Tx) -> RefundAsked:
    """Give money back, never more than was captured."""
    asked = request.body
    made = await commands.refund_by_staff(
        tx,
        request.path["payment_id"],
        amount=asked.wanted(),
        reason=asked.reason,
        items=tuple(RefundItem(sku=item.sku, quantity=item.quantity, amount=item.amount) for item in asked.items),
        cause=request.cause,
    )
    return _asked(request.path["payment_id"], made)


async def list_refunds(request: Request[None, RefundList], desk: Desk) -> ListOf[RefundOfPayment]:
    """Refunds of all payments, newest first."""
    return await queries.list_refunds(desk.db, request.query.failed, request.query)


async def retry_refund(request: Request[None, None], desk: Desk, tx: Tx) -> RefundAsked:
    """Send a refund that failed once more, as much of it as may still go back; the answer is the new one."""
    return _asked(*await commands.retry(tx, request.path["refund_id"], request.cause))


async def close_refund(request: Request[CloseRefund, None], desk: Desk, tx: Tx) -> RefundAsked:
    """End a refund that failed: paid in another way, where the answer is the refund that says so, or not at all."""
    asked = request.body
    closed = await commands.close(tx, request.path["refund_id"], paid=asked.paid, note=asked.note, cause=request.cause)
    return _asked(*closed)


async def list_balances(request: Request[None, BalanceQuery], desk: Desk) -> ListOf[Balance]:
    """What is on each account of the ledger."""
    return await queries.list_balances(desk.db, request.query)


async def list_entries(request: Request[None, OfOrder], desk: Desk) -> ListOf[EntryView]:
    """The ledger's transactions with their postings."""
    return await queries.list_entries(desk.db, request.query.order_id, request.query)


async def take_webhook(request: Request[bytes, None], desk: Desk) -> None:
    """News from the provider, signed; each takes effect once."""
    if request.path["provider"] != desk.provider.name:
        raise NotFound("There is no provider of this name.")
    await take_in(desk.db, desk.provider, [Webhook(headers=request.headers, body=request.body)])


def _asked(payment_id: str, refund: Refund) -> RefundAsked:
    return RefundAsked(
        refund_id=refund.id,
        payment_id=payment_id,
        status=refund.status,
        amount=refund.amount,
        currency=refund.currency,
    )


def _invalid(code: str, detail: str) -> Invalid:
    return Invalid(detail, code=code, errors=[FieldError("/amount", detail)])


_ours = staff(queries.READ)
_write = staff("payment:write")

endpoints: Final = (
    get("/payment/payments", list_payments, access=owner_or(_ours)),
    get("/payment/payments/{payment_id}", read_payment, access=owner_or(_ours)),
    get("/payment/payments/{payment_id}/transactions", list_transactions, access=owner_or(_ours)),
    post(
        "/payment/payments/{payment_id}/refunds",
        refund,
        access=_write,
        idempotency=Idempotency.REQUIRED,
        status=201,
    ),
    get("/payment/refunds", list_refunds, access=_ours),
    post(
        "/payment/refunds/{refund_id}/retry",
        retry_refund,
        access=_write,
        idempotency=Idempotency.REQUIRED,
        status=201,
    ),
    post("/payment/refunds/{refund_id}/close", close_refund, access=_write, idempotency=Idempotency.REQUIRED),
    get("/payment/ledger/balances", list_balances, access=_ours),
    get("/payment/ledger/transactions", list_entries, access=_ours),
    post("/payment/webhooks/{provider}", take_webhook, access=public, idempotency=Idempotency.IGNORED),
)
