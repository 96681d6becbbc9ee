"""What the service works with: its database, and the news that products can be ordered."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from tradepost.kernel.database import Database
from tradepost.kernel.service import Room
from tradepost.services.product.catalogue import Catalogue

LOOK_EVERY_S: Final = 0.02

# Drafts and archived products are not waited for: nobody will be able to order them.
_STILL_CLOSED: Final = """
SELECT DISTINCT variant.product_id::text AS id
FROM variant JOIN product ON product.id = variant.product_id
WHERE variant.product_id = ANY ($1::uuid[]) AND product.status = 'active'
  AND NOT EXISTS (SELECT FROM offer WHERE offer.variant_id = variant.id)
"""

_log = structlog.get_logger(__name__)


class Openings:
    """Wakes those who wait for products to become orderable. Order's news may be consumed by another process and is
    on no log of ours, so one statement looks for all who wait, and none when nobody does."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._wanted = asyncio.Event()

    async def wait(self, product_id: str, timeout_s: float) -> None:
        """Until all variants of the product can be ordered, or the time is up."""
        opened = asyncio.Event()
        self._waiters[product_id].add(opened)
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s):
                await opened.wait()
        except TimeoutError:
            return
        finally:
            self._waiters[product_id].discard(opened)
            if not self._waiters[product_id]:
                del self._waiters[product_id]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self._waiters:
                self._wanted.clear()
                await self._wanted.wait()
            try:
                await self._look()
            except Exception as error:
                _log.warning("openings_interrupted", why=str(error) or type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        asked = list(self._waiters)
        closed = {row["id"] for row in await self._db.fetch(_STILL_CLOSED, asked)}
        for product_id in asked:
            if product_id not in closed:
                for opened in self._waiters.get(product_id, ()):
                    opened.set()


@dataclass(frozen=True)
class Desk:
    """The second argument of every handler."""

    db: Database
    openings: Openings
    catalogue: Catalogue


@asynccontextmanager
async def open_desk(room: Room) -> AsyncIterator[Desk]:
    """A desk that looks for openings while it is open."""
    openings = Openings(room.db)
    task = asyncio.create_task(openings.run())
    try:
        yield Desk(room.db, openings, Catalogue(room.db))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
