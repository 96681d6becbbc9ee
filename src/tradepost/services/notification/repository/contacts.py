"""Whom to tell: users by id, and the buyers of orders."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from tradepost.contracts.order import OrderCreated
from tradepost.contracts.user import UserRegistered, UserUpdated
from tradepost.kernel.database import Row, Tx
from tradepost.services.notification.domain import Buyer, Contact, Contacts, is_staff

STAFF_LIMIT: Final = 200  # people who hear of one alert

_FIND: Final = "SELECT user_id::text, state, email, name, phone FROM contact WHERE user_id = ANY ($1::uuid[])"
# One question for all that a message depends on.
_FIND_WITH_MAILBOXES: Final = f"""
{_FIND} UNION ALL SELECT channel, 'mailbox', NULL, NULL, NULL FROM transport WHERE mailbox
"""
# The place that is held makes whoever comes with the contact wait for us, and us for them: one of both then sees what
# the other wrote. A lock needs a statement of its own to see what was committed while it waited.
_AWAIT: Final = """
INSERT INTO contact (user_id, state) SELECT user_id, 'awaited' FROM unnest($1::uuid[]) AS new (user_id)
ORDER BY user_id ON CONFLICT DO NOTHING
"""
_FIND_LOCKED: Final = f"{_FIND} ORDER BY user_id FOR SHARE"
_LEARN: Final = """
INSERT INTO contact (user_id, state, email, name, phone, is_staff)
SELECT user_id, 'known', email, name, phone, is_staff
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[])
     AS new (user_id, email, name, phone, is_staff)
ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE
    SET state = 'known', email = excluded.email, name = excluded.name, phone = excluded.phone,
        is_staff = excluded.is_staff
    WHERE contact.state <> 'erased'
"""
_FORGET: Final = """
INSERT INTO contact (user_id, state) SELECT user_id, 'erased' FROM unnest($1::uuid[]) AS new (user_id)
ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET state = 'erased', email = NULL, name = NULL, phone = NULL, is_staff = false
"""
_STAFF: Final = """
SELECT user_id::text, state, email, name, phone FROM contact WHERE is_staff ORDER BY user_id LIMIT $1
"""
_FIND_BUYERS: Final = """
SELECT order_id::text, number, user_id::text, guest_email, guest_name
FROM order_contact WHERE order_id = ANY ($1::uuid[])
"""
_AWAIT_BUYERS: Final = """
INSERT INTO order_contact (order_id) SELECT order_id FROM unnest($1::uuid[]) AS new (order_id)
ORDER BY order_id ON CONFLICT DO NOTHING
"""
_FIND_BUYERS_LOCKED: Final = f"{_FIND_BUYERS} ORDER BY order_id FOR SHARE"
_NEW_BUYERS: Final = "unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[])"
_LEARN_BUYERS: Final = f"""
INSERT INTO order_contact (order_id, number, user_id, guest_email, guest_name)
SELECT * FROM {_NEW_BUYERS} AS new (order_id)
ORDER BY order_id
ON CONFLICT DO NOTHING
"""
_LEARN_AWAITED_BUYERS: Final = f"""
UPDATE order_contact
SET number = new.number, user_id = new.user_id, guest_email = new.guest_email, guest_name = new.guest_name
FROM {_NEW_BUYERS} AS new (order_id, number, user_id, guest_email, guest_name)
WHERE order_contact.order_id = new.order_id AND order_contact.number IS NULL
"""


async def find(tx: Tx, user_ids: Collection[str]) -> tuple[Contacts, frozenset[str]]:
    """The contacts of these users, and the channels that end in the mailbox. Of who is missing it is noted that we
    wait for them, so that whoever comes with the contact sees what this transaction leaves for it."""
    rows = await tx.fetch(_FIND_WITH_MAILBOXES, list(user_ids))
    found, mailboxes = _contacts(rows), frozenset(row["user_id"] for row in rows if row["state"] == "mailbox")
    missing = [user_id for user_id in user_ids if user_id not in found]
    if not missing:
        return found, mailboxes
    await tx.execute(_AWAIT, missing)
    return {**found, **_contacts(await tx.fetch(_FIND_LOCKED, missing))}, mailboxes


async def learn(tx: Tx, profiles: Mapping[str, UserRegistered | UserUpdated]) -> None:
    """Keep how to reach these users, by id; those who were erased stay so."""
    newest = profiles.values()
    await tx.execute(
        _LEARN,
        list(profiles),
        [profile.email for profile in newest],
        [profile.name for profile in newest],
        [profile.phone or None for profile in newest],
        [is_staff(profile.roles) for profile in newest],
    )


async def forget(tx: Tx, user_ids: Collection[str]) -> None:
    """Keep nothing about these users but that they are to be forgotten."""
    await tx.execute(_FORGET, list(user_ids))


async def staff(tx: Tx) -> Mapping[str, Contact]:
    """Those who hear of the shop's own affairs, by user id."""
    rows = await tx.fetch(_STAFF, STAFF_LIMIT)
    return {user_id: contact for user_id, contact in _contacts(rows).items() if contact}


async def find_buyers(tx: Tx, order_ids: Collection[str]) -> Mapping[str, Buyer]:
    """Whose these orders are. Of what is missing it is noted that we wait for it, as in `find`."""
    found = _buyers(await tx.fetch(_FIND_BUYERS, list(order_ids)))
    missing = [order_id for order_id in order_ids if order_id not in found]
    if not missing:
        return found
    await tx.execute(_AWAIT_BUYERS, missing)
    return {**found, **_buyers(await tx.fetch(_FIND_BUYERS_LOCKED, missing))}


async def learn_buyers(tx: Tx, orders: Sequence[OrderCreated]) -> bool:
    """Keep whose these orders are; whether one of them was heard of before, so that something may wait for it."""
    buyers = (
        [order.order_id for order in orders],
        [order.number for order in orders],
        [order.user_id for order in orders],
        [order.guest and order.guest.email for order in orders],
        [order.guest and order.guest.name for order in orders],
    )
    if await tx.execute(_LEARN_BUYERS, *buyers) == f"INSERT 0 {len(orders)}":
        return False
    await tx.execute(_LEARN_AWAITED_BUYERS, *buyers)
    return True


def _contacts(rows: Sequence[Row]) -> dict[str, Contact | None]:
    return {
        row["user_id"]: Contact(row["email"], row["name"], row["phone"]) if row["state"] == "known" else None
        for row in rows
        if row["state"] in {"known", "erased"}
    }


def _buyers(rows: Sequence[Row]) -> dict[str, Buyer]:
    return {row["order_id"]: Buyer(row["number"], row["user_id"], _guest(row)) for row in rows if row["number"]}


def _guest(row: Row) -> Contact | None:
    return Contact(row["guest_email"], row["guest_name"] or "") if row["guest_email"] else None
