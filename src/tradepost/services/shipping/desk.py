"""What the handlers and jobs of shipping work with."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tradepost.kernel.database import Database
from tradepost.kernel.service import Room
from tradepost.services.shipping import carrier_clock, providers


@dataclass(frozen=True, slots=True)
class Desk:
    """`secrets` are what each carrier signs its webhooks with."""

    db: Database
    secrets: Mapping[str, bytes]


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """A desk on which the carrier has the pace of the settings and every carrier its secret."""
    await carrier_clock.set_pace(room.db, room.settings.pick_up_s, room.settings.delivery_s)
    folder = room.data / "shipping"
    yield Desk(room.db, {carrier: providers.load_or_create_secret(folder, carrier) for carrier in providers.CARRIERS})
