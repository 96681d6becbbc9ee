"""What orders ask of payment."""

from collections.abc import Sequence
from typing import Final

from tradepost.contracts.order import OrderCancelled, OrderPaymentRequested, OrderReturnReceived
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.subscription import Group, on
from tradepost.services.payment import commands
from tradepost.services.payment.commands import Cancellation, Return
from tradepost.services.payment.domain.model import Payment

NEVER_ASKED_FOR: Final = 2  # the number of the cancellation of an order of which nothing was told but that it was made


async def request(tx: Tx, events: Sequence[Event[OrderPaymentRequested]]) -> None:
    """The stock is held: charge the buyer."""
    await commands.request(tx, [_payment_of(event) for event in events])


async def cancel(tx: Tx, events: Sequence[Event[OrderCancelled]]) -> None:
    """Nothing will be sent: void or give back."""
    await commands.cancel(tx, [_cancellation_of(event) for event in events])


async def refund_returns(tx: Tx, events: Sequence[Event[OrderReturnReceived]]) -> None:
    """Goods came back: give back what they are worth."""
    await commands.refund_returns(tx, [_return_of(event) for event in events])


def _payment_of(event: Event[OrderPaymentRequested]) -> Payment:
    asked = event.data
    return Payment(
        id=new_id(),
        order_id=asked.order_id,
        user_id=asked.user_id,
        amount=asked.amount,
        currency=asked.currency,
        method=asked.payment_method,
        cause=event.cause,
    )


def _cancellation_of(event: Event[OrderCancelled]) -> Cancellation:
    was_asked_for = event.sequence > NEVER_ASKED_FOR
    return Cancellation(order_id=event.data.order_id, was_asked_for=was_asked_for, cause=event.cause)


def _return_of(event: Event[OrderReturnReceived]) -> Return:
    back = event.data
    return Return(order_id=back.order_id, return_id=back.return_id, amount=back.amount, cause=event.cause)


payment: Final = Group(
    "payment",
    (
        on(OrderPaymentRequested, request),
        on(OrderCancelled, cancel),
        on(OrderReturnReceived, refund_returns),
    ),
)
