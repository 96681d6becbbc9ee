"""What notification makes of what it hears: who is to be told what, and how they can be reached."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import asdict

from tradepost.contracts.inventory import InventoryAvailable, InventoryLow
from tradepost.contracts.order import OrderCancelled, OrderCompleted, OrderCreated, OrderPaid, OrderShipped
from tradepost.contracts.payment import PaymentRefunded, PaymentRefundFailed
from tradepost.contracts.user import UserErased, UserRegistered, UserUpdated
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, later
from tradepost.services.notification import commands
from tradepost.services.notification.domain import Contact, Notice
from tradepost.services.notification.repository import contacts

Sale = OrderCreated | OrderPaid | OrderShipped | OrderCompleted | OrderCancelled
Alert = InventoryLow | InventoryAvailable
Refund = PaymentRefunded | PaymentRefundFailed

STAFF_REFUND_FAILED: Final = "staff_refund_failed"


async def tell_of_sale(tx: Tx, events: Sequence[Event[Sale]]) -> None:
    """Tell buyers how their orders are doing. One function for all, so that a piece of the log is one call."""
    created = [event.data for event in events if isinstance(event.data, OrderCreated)]
    if created:
        await commands.learn_buyers(tx, created)
    await commands.tell(tx, [_of_sale(event) for event in events if event.data.user_id or event.data.guest])


async def tell_of_refund(tx: Tx, events: Sequence[Event[PaymentRefunded]]) -> None:
    """Tell buyers that money is on its way back."""
    await commands.tell_buyers(tx, [_of_refund(event) for event in events])


async def tell_of_failed_refund(tx: Tx, events: Sequence[Event[PaymentRefundFailed]]) -> None:
    """Tell staff; and buyers, if they had been told that the money was on its way."""
    staff = await contacts.staff(tx)
    numbers = await _numbers(tx, [event.data.order_id for event in events])
    alerts = [
        _alert(event, STAFF_REFUND_FAILED, *one, number=numbers[event.data.order_id])
        for event in events
        for one in staff.items()
    ]
    await commands.tell(tx, alerts)
    await commands.tell_buyers(tx, [_of_refund(event) for event in events if event.data.was_refunded])


async def alert_staff(tx: Tx, events: Sequence[Event[Alert]]) -> None:
    """Tell staff that a stock crossed its threshold."""
    staff = await contacts.staff(tx)
    await commands.tell(tx, [_alert(event, _template(event), *one) for event in events for one in staff.items()])


async def learn(tx: Tx, events: Sequence[Event[UserRegistered | UserUpdated]]) -> None:
    """Keep how users can be reached: what was said last."""
    await commands.learn(tx, {event.data.user_id: event.data for event in events})


async def forget(tx: Tx, events: Sequence[Event[UserErased]]) -> None:
    """Keep nothing about erased users."""
    await commands.forget(tx, [event.data.user_id for event in events])


async def _numbers(tx: Tx, order_ids: Sequence[str]) -> Mapping[str, str]:
    """The orders' numbers, or their ids where they are not known yet."""
    buyers = await contacts.find_buyers(tx, sorted(set(order_ids)))
    return {order_id: buyers[order_id].number if order_id in buyers else order_id for order_id in order_ids}


def _of_sale(event: Event[Sale]) -> Notice:
    sale = event.data
    return Notice(
        event_id=event.id,
        template=_template(event),
        facts=asdict(sale),
        cause=event.cause,
        order_id=sale.order_id,
        user_id=sale.user_id,
        contact=Contact(sale.guest.email, sale.guest.name) if sale.guest else None,
    )


def _of_refund(event: Event[Refund]) -> Notice:
    return Notice(
        event_id=event.id,
        template=_template(event),
        facts=asdict(event.data),
        cause=event.cause,
        order_id=event.data.order_id,
    )


def _alert(
    event: Event[Alert] | Event[PaymentRefundFailed], template: str, user_id: str, contact: Contact, **more: str
) -> Notice:
    return Notice(
        event_id=event.id,
        template=template,
        facts={**asdict(event.data), **more},
        cause=event.cause,
        user_id=user_id,
        contact=contact,
        recipient=user_id,
    )


def _template(event: Event[Sale] | Event[Refund] | Event[Alert]) -> str:
    """`order.created` is told by `order_created`."""
    return event.type.replace(".", "_")


groups = (
    Group(
        "notification",
        (
            later(OrderCreated, tell_of_sale),
            later(OrderPaid, tell_of_sale),
            later(OrderShipped, tell_of_sale),
            later(OrderCompleted, tell_of_sale),
            later(OrderCancelled, tell_of_sale),
            later(PaymentRefunded, tell_of_refund),
            later(PaymentRefundFailed, tell_of_failed_refund),
            later(UserRegistered, learn),
            later(UserUpdated, learn),
            later(UserErased, forget),
            later(InventoryLow, alert_staff),
            later(InventoryAvailable, alert_staff),
        ),
    ),
)
