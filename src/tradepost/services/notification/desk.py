"""What the handlers and jobs of notification work with."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Final

from tradepost.kernel.database import Database
from tradepost.kernel.service import Room
from tradepost.services.notification.domain import Channel
from tradepost.services.notification.providers import Mailbox, Transport, open_transports
from tradepost.settings import NotificationSettings

_SET_TRANSPORTS: Final = """
UPDATE transport SET mailbox = new.mailbox FROM unnest($1::text[], $2::boolean[]) AS new (channel, mailbox)
WHERE transport.channel = new.channel AND transport.mailbox <> new.mailbox
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """`transports` are the way out of each channel."""

    db: Database
    transports: Mapping[Channel, Transport]
    settings: NotificationSettings

    @property
    def domain(self) -> str:
        """What the ids of our messages end in."""
        return parseaddr(self.settings.sender)[1].rpartition("@")[2] or "localhost"

    @property
    def shows_mailbox(self) -> bool:
        """Whether anybody who can reach us may read what was sent."""
        return self.settings.mailbox and self.settings.smtp_url is None


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """A desk with the ways out of the settings; the handlers, which have no desk, find in the database which of them
    end in the mailbox."""
    async with open_transports(room.settings) as transports:
        async with room.db.transaction() as tx:
            in_mailbox = [isinstance(transport, Mailbox) for transport in transports.values()]
            await tx.execute(_SET_TRANSPORTS, list(transports), in_mailbox)
        yield Desk(room.db, transports, room.settings)
