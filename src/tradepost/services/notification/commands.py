"""Each write of notification: whom to tell what, and what came of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from tradepost.contracts.order import OrderCreated
from tradepost.contracts.user import UserRegistered, UserUpdated
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.events import Cause
from tradepost.services.notification.domain import Buyer, Draft, Notice, Status, check_resendable, drafts_of, status_of
from tradepost.services.notification.rendering import render
from tradepost.services.notification.repository import contacts, deliveries, outbox
from tradepost.services.notification.repository.deliveries import Written

SENDER_JOB: Final = "notification.sender"


async def tell(tx: Tx, notices: Sequence[Notice]) -> None:
    """Write to everybody whom these notices are for; who isn't known yet is written to later."""
    user_ids = {notice.user_id for notice in notices if notice.user_id and not notice.contact}
    known, mailboxes = await contacts.find(tx, sorted(user_ids))
    drafts = [draft for notice in notices for draft in drafts_of(notice, known)]
    if drafts and await deliveries.insert(tx, [_write(draft, status_of(draft, mailboxes)) for draft in drafts]):
        tx.wake(SENDER_JOB)


async def learn_buyers(tx: Tx, orders: Sequence[OrderCreated]) -> None:
    """Keep whose these orders are, and tell them what waited for it."""
    if await contacts.learn_buyers(tx, orders):
        await tell_buyers(tx, await deliveries.take_waiting_for_buyers(tx, [order.order_id for order in orders]))


async def tell_buyers(tx: Tx, notices: Sequence[Notice]) -> None:
    """Write to the buyers of the orders that these notices are about."""
    order_ids = {notice.order_id for notice in notices if notice.order_id}
    buyers = await contacts.find_buyers(tx, sorted(order_ids))
    await tell(tx, list(_to_buyers(notices, buyers)))


async def learn(tx: Tx, profiles: Mapping[str, UserRegistered | UserUpdated]) -> None:
    """Keep how to reach these users, and tell them what waited for it."""
    await contacts.learn(tx, profiles)
    await tell(tx, await deliveries.take_waiting(tx, list(profiles)))


async def forget(tx: Tx, user_ids: Collection[str]) -> None:
    """Forget these users, and what was written to them."""
    await contacts.forget(tx, user_ids)
    await deliveries.redact(tx, user_ids)


async def resend(tx: Tx, delivery_id: str, cause: Cause) -> None:
    """Send a delivery once more. Errors: NotFound, NotResendable."""
    found = await outbox.lock(tx, delivery_id)
    if found is None:
        raise NotFound("There is no delivery of this id.")
    check_resendable(*found)
    await outbox.send_again(tx, delivery_id, cause)
    tx.wake(SENDER_JOB)


def _to_buyers(notices: Sequence[Notice], buyers: Mapping[str, Buyer]) -> Iterator[Notice]:
    """The notices to those whose orders they are about; as they are while that is not known."""
    for notice in notices:
        buyer = buyers.get(notice.order_id or "")
        if buyer is None:
            yield notice
        elif buyer.user_id or buyer.guest:
            facts = {**notice.facts, "number": buyer.number}
            yield replace(notice, facts=facts, user_id=buyer.user_id, contact=buyer.guest)


def _write(draft: Draft, status: Status) -> Written:
    if draft.contact is None:
        return Written(draft, status)
    notice = draft.notice
    subject, body = render(notice.template, draft.channel, notice.facts, draft.contact.name)
    return Written(draft, status, subject, body)
