"""What notification makes of what it hears: who is to be told what, and how they can be reached."""

from collections.abc import Sequence

from msgspec.structs import asdict

from tradepost.contracts.inventory import InventoryAvailable, InventoryLow
from tradepost.contracts.order import OrderCancelled, OrderCompleted, OrderCreated, OrderPaid, OrderShipped
from tradepost.contracts.payment import PaymentRefunded
from tradepost.contracts.user import UserErased, UserRegistered, UserUpdated
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event
from tradepost.kernel.log.subscription import Group, later
from tradepost.services.notification import commands
from tradepost.services.notification.domain import Contact, Notice
from tradepost.services.notification.repository import contacts

Sale = OrderCreated | OrderPaid | OrderShipped | OrderCompleted | OrderCancelled
Alert = InventoryLow | InventoryAvailable


async def tell_of_sale(tx: Tx, events: Sequence[Event[Sale]]) -> None:
    """Tell buyers how their orders are doing. One function for all, so that a piece of the log is one call."""
    created = [event.data for event in events if isinstance(event.data, OrderCreated)]
    if created:
        await commands.learn_buyers(tx, created)
    await commands.tell(tx, [_of_sale(event) for event in events if event.data.user_id or event.data.guest])


async def tell_of_refund(tx: Tx, events: Sequence[Event[PaymentRefunded]]) -> None:
    """Tell buyers that money is on its way back."""
    await commands.tell_buyers(tx, [_of_refund(event) for event in events])


async def alert_staff(tx: Tx, events: Sequence[Event[Alert]]) -> None:
    """Tell staff that a stock crossed its threshold."""
    staff = await contacts.staff(tx)
    await commands.tell(tx, [_alert(event, *one) for event in events for one in staff.items()])


async def learn(tx: Tx, events: Sequence[Event[UserRegistered | UserUpdated]]) -> None:
    """Keep how users can be reached: what was said last."""
    await commands.learn(tx, {event.data.user_id: event.data for event in events})


async def forget(tx: Tx, events: Sequence[Event[UserErased]]) -> None:
    """Keep nothing about erased users."""
    await commands.forget(tx, [event.data.user_id for event in events])


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


def _of_refund(event: Event[PaymentRefunded]) -> Notice:
    return Notice(
        event_id=event.id,
        template=_template(event),
        facts=asdict(event.data),
        cause=event.cause,
        order_id=event.data.order_id,
    )


def _alert(event: Event[Alert], user_id: str, contact: Contact) -> Notice:
    return Notice(
        event_id=event.id,
        template=_template(event),
        facts=asdict(event.data),
        cause=event.cause,
        user_id=user_id,
        contact=contact,
        recipient=user_id,
    )


def _template(event: Event[Sale] | Event[PaymentRefunded] | Event[Alert]) -> str:
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
            later(UserRegistered, learn),
            later(UserUpdated, learn),
            later(UserErased, forget),
            later(InventoryLow, alert_staff),
            later(InventoryAvailable, alert_staff),
        ),
    ),
)
