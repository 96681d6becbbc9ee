"""What order's handlers and jobs work with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tradepost.kernel.batcher import Batcher
from tradepost.kernel.database import Database
from tradepost.kernel.gatherer import Gatherer
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.service import Room, Unheard
from tradepost.services.order import commands
from tradepost.services.order.commands import Placed
from tradepost.services.order.domain.placement import Placement
from tradepost.services.order.newest import Newest, NewestOrders
from tradepost.services.order.queries import Asked, Fate, fates


@dataclass(frozen=True)
class Desk:
    """`placements` collects what arrives together, `fates` who reads an order and `newest` who lists his own; `watch`
    wakes who waits for an order; `unheard` tells of which orders something is on its way."""

    db: Database
    watch: Watch
    placements: Batcher[Placement, Placed]
    fates: Gatherer[Asked, Fate]
    newest: Gatherer[Newest, bytes]
    unheard: Unheard


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """At the end, what waits in the batcher is finished first."""
    placements: Batcher[Placement, Placed] = Batcher(room.db, partial(commands.place, spare=[]), room.way)
    try:
        gatherers = Gatherer(partial(fates, room.db)), Gatherer(partial(NewestOrders().read, room.db))
        yield Desk(room.db, room.watch, placements, *gatherers, room.unheard)
    finally:
        await placements.close()
