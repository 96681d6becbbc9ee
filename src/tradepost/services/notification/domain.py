"""What is told to whom and over which channels, and when a message is tried again."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

from tradepost.kernel.errors import Conflict
from tradepost.kernel.events import Cause

TRIES: Final = 8
BACK_OFF_S: Final = (10, 30, 120, 600, 1_800, 3_600, 7_200)
BUYER: Final = "buyer"
ERASED: Final = "recipient_erased"

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 0b11] for digit in "0123456789abcdef"}  # its first two bits are 10
_STAFF_ROLES: Final = frozenset({"staff", "admin"})


class Channel(StrEnum):
    """How a message reaches somebody."""

    EMAIL = "email"
    SMS = "sms"


class Status(StrEnum):
    """`waiting` for the recipient to be known; `pending` until it is handed over."""

    WAITING = "waiting"
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


_EMAIL: Final = (Channel.EMAIL,)
_BOTH: Final = (Channel.EMAIL, Channel.SMS)

CHANNELS: Final[Mapping[str, tuple[Channel, ...]]] = {
    "order_created": _EMAIL,
    "order_paid": _EMAIL,
    "order_shipped": _BOTH,
    "order_completed": _BOTH,
    "order_cancelled": _EMAIL,
    "payment_refunded": _EMAIL,
    "payment_refund_failed": _EMAIL,
    "staff_refund_failed": _EMAIL,
    "inventory_low": _EMAIL,
    "inventory_available": _EMAIL,
}
"""The templates and the channels that each goes over."""


class Contact(msgspec.Struct, frozen=True):
    """How to reach somebody."""

    email: str
    name: str
    phone: str | None = None

    def address(self, channel: Channel) -> str | None:
        """Where a message on this channel goes; None when it can't."""
        return self.email if channel is Channel.EMAIL else self.phone


Contacts = Mapping[str, Contact | None]
"""Contacts by user id: None for who is to be forgotten, and no entry for who is not known yet."""


class Buyer(msgspec.Struct, frozen=True):
    """Whose an order is: a user's or a guest's."""

    number: str
    user_id: str | None
    guest: Contact | None


class Notice(msgspec.Struct, frozen=True):
    """Something to tell a user, by id, or whoever `contact` is; neither while it isn't known whose the order is.
    `recipient` tells those apart who hear of one event."""

    event_id: str
    template: str
    facts: Mapping[str, object]
    cause: Cause
    order_id: str | None = None
    user_id: str | None = None
    contact: Contact | None = None
    recipient: str = BUYER


class Draft(msgspec.Struct, frozen=True):
    """A notice on one channel; without a contact it waits for one."""

    notice: Notice
    channel: Channel
    contact: Contact | None

    @property
    def id(self) -> str:
        return delivery_id(self.notice.event_id, self.channel, self.notice.recipient)

    @property
    def address(self) -> str | None:
        return None if self.contact is None else self.contact.address(self.channel)


class NotResendable(Conflict):
    """The delivery can't be sent again; `code` says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try to send has led to; `pending` ones are tried again after `retry_s`."""

    status: Status
    reason: str | None = None
    retry_s: int = 0


def is_staff(roles: Collection[str]) -> bool:
    """Whether somebody with these roles hears of the shop's own affairs."""
    return not _STAFF_ROLES.isdisjoint(roles)


def drafts_of(notice: Notice, contacts: Contacts) -> Iterator[Draft]:
    """The notice on each channel on which its recipient can be reached, or may turn out to be."""
    contact = notice.contact or contacts.get(notice.user_id or "")
    is_known = contact is not None or notice.user_id in contacts
    for channel in CHANNELS[notice.template]:
        if not is_known or (contact and contact.address(channel)):
            yield Draft(notice, channel, contact)


def status_of(draft: Draft, mailboxes: Collection[str]) -> Status:
    """What its delivery starts as; on a channel that ends in the mailbox it is sent as soon as it is written."""
    if draft.contact is None:
        return Status.WAITING
    return Status.SENT if draft.channel in mailboxes else Status.PENDING


def delivery_id(event_id: str, channel: Channel, recipient: str) -> str:
    """The id of the one delivery there can be: a UUIDv7 as old as its event, its chance made from the arguments."""
    chance = sha256(f"{event_id} {channel} {recipient}".encode()).hexdigest()
    return f"{event_id[:18]}-{_VARIANT[chance[0]]}{chance[1:4]}-{chance[4:16]}"


def message_id(delivery_id: str, version: int, domain: str) -> str:
    """What mail servers know the message by: the same at every try, another one when it is sent again on request."""
    again = f".{version}" if version else ""
    return f"<{delivery_id}{again}@{domain}>"


def decide(attempts: int, failure: str | None, *, for_good: bool) -> Outcome:
    """The outcome of try number `attempts`, which failed because of `failure` unless that is None."""
    if failure is None:
        return Outcome(Status.SENT)
    if for_good or attempts >= TRIES:
        return Outcome(Status.FAILED, failure)
    return Outcome(Status.PENDING, failure, BACK_OFF_S[attempts - 1])


def check_resendable(status: Status, address: str | None) -> None:
    """Errors: NotResendable."""
    if status is Status.WAITING:
        raise NotResendable("Its recipient is not known yet; it goes out by itself.", code="delivery_waiting")
    if status is Status.PENDING:
        raise NotResendable("It is about to be sent.", code="delivery_pending")
    if address is None:
        raise NotResendable("Its recipient was erased.", code=ERASED)
