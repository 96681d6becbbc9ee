"""What order's handlers and jobs work with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tradepost.kernel.batcher import Batcher
from tradepost.kernel.database import Database
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.service import Room
from tradepost.services.order import commands
from tradepost.services.order.commands import Placed
from tradepost.services.order.domain.placement import Placement


@dataclass(frozen=True)
class Desk:
    """`placements` collects what arrives together; `watch` wakes who waits for an order."""

    db: Database
    watch: Watch
    placements: Batcher[Placement, Placed]


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """At the end, what waits in the batcher is finished first."""
    placements: Batcher[Placement, Placed] = Batcher(room.db, commands.place)
    try:
        yield Desk(room.db, room.watch, placements)
    finally:
        await placements.close()
