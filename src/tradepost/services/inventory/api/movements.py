"""Movements: staff write one at a time, and read the ledger."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.clock import now
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.http.body import Body, ListOf, ListQuery, ShortText
from tradepost.kernel.http.endpoint import Request
from tradepost.services.inventory import commands, queries
from tradepost.services.inventory.domain.movement import StaffReason
from tradepost.services.inventory.queries import MovementView

Delta = Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)]  # units


class MovementQuery(ListQuery, frozen=True, kw_only=True):
    """The ledger of one SKU, or of all."""

    sku: ShortText | None = None


class Move(Body, frozen=True, kw_only=True):
    """Units that come, or that go when `quantity` is negative; the reason says which of the two it must be."""

    sku: ShortText
    quantity: Delta
    reason: StaffReason
    reference: ShortText | None = None


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """The movement, and the stock after it."""

    id: str
    sku: str
    quantity: int
    reason: str
    reference: str | None
    at: datetime
    on_hand: int
    reserved: int
    available: int
    version: int


async def move(request: Request[Move, None], _db: Database, tx: Tx) -> Moved:
    """Errors: WrongSign, UnknownSku, StockReserved, InsufficientStock."""
    sent, at = request.body, now()
    movement_id, stock = await commands.move(
        tx, sent.sku, sent.quantity, sent.reason, sent.reference, request.cause, at
    )
    return Moved(
        id=movement_id,
        sku=sent.sku,
        quantity=sent.quantity,
        reason=sent.reason,
        reference=sent.reference,
        at=at,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        version=stock.version,
    )


async def list_movements(request: Request[None, MovementQuery], db: Database) -> ListOf[MovementView]:
    """Newest first."""
    query = request.query
    return await queries.list_movements(
        db, sku=query.sku, limit=query.limit, after=query.starting_after, before=query.ending_before
    )
