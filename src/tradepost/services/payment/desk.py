"""What payment works with: its database, its provider, and the door through which webhooks come in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.kernel.service import Room
from tradepost.services.payment import commands, signatures
from tradepost.services.payment.providers import Provider, Webhook
from tradepost.services.payment.simulator.provider import Simulator

SECRETS_FILE: Final = "payment/webhook-secrets"


@dataclass(frozen=True)
class Desk:
    """The simulator is the provider."""

    db: Database
    simulator: Simulator

    @property
    def provider(self) -> Provider:
        return self.simulator


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """The simulator hands its webhooks in by the same door as everybody, signed, and as many at once as there are."""
    secrets = signatures.load_secrets(room.data / SECRETS_FILE)

    async def post(webhooks: Sequence[Webhook]) -> None:
        await take_in(room.db, simulator, webhooks)

    simulator = Simulator(room.db, secrets, post)
    yield Desk(room.db, simulator)


async def take_in(db: Database, provider: Provider, webhooks: Sequence[Webhook]) -> None:
    """Webhooks that say that they are the provider's. Errors: InvalidSignature, Malformed, Invalid."""
    at = now()
    notices = [provider.read(webhook, at) for webhook in webhooks]
    async with db.transaction() as tx:
        await commands.receive(tx, provider.name, notices)
