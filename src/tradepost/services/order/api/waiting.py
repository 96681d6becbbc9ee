"""Waiting for an order: until its fate is known, or change by change."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

import msgspec

from tradepost.kernel.errors import Conflict, NotFound, PaymentRequired
from tradepost.kernel.http.endpoint import Caller, Request, Streamed
from tradepost.services.order.desk import Desk
from tradepost.services.order.domain.order import OUT_OF_STOCK, Status
from tradepost.services.order.queries import Asked, Fate
from tradepost.services.order.views import OrderView

READ: Final = "order:read"
STREAM_S: Final = 600.0  # then the client connects again
LOOK_S: Final = 5.0  # longest between two looks, should a wake-up be lost


async def stream_order(request: Request[None, None], desk: Desk) -> Streamed:
    """Server-sent events: the order's state now, and at each change until it is final, for ten minutes at most. The
    gateway ends it within seconds after the caller's session was ended, but not since the token becomes too old."""
    fate = await mine(request.path["order_id"], request.caller, desk)
    return Streamed(_states(desk, fate.view.id), "text/event-stream", headers={"Cache-Control": "no-store"})


async def mine(order_id: str, caller: Caller, desk: Desk) -> Fate:
    """The order if the caller may see it. Errors: NotFound."""
    return await _fate(desk, order_id, None if caller.may(READ) else caller.user_id)


async def anyones(order_id: str, desk: Desk) -> Fate:
    """The order. Errors: NotFound."""
    return await _fate(desk, order_id, None)


async def _fate(desk: Desk, order_id: str, reader: str | None) -> Fate:
    fate = await desk.fates.get(Asked(order_id, reader))
    if fate is None:
        raise NotFound("There is no such order.")
    return fate


async def until_known(desk: Desk, order_id: str, seconds: float) -> Fate:
    """The order when its fate is known, or as it is when the time is up."""
    until = monotonic() + seconds
    with desk.watch.on(order_id) as changed:
        while True:
            changed.clear()
            fate = await anyones(order_id, desk)
            left = until - monotonic()
            if fate.is_known or left <= 0:
                return fate
            await _changed(changed, min(left, LOOK_S))


def settled(fate: Fate) -> OrderView:
    """Errors: Conflict `insufficient_stock`, PaymentRequired, both with the id of the cancelled order. Its reason is no
    sign of either: who cancels it himself may give any."""
    view = fate.view
    named: dict[str, object] = {"order_id": view.id, "number": view.number}
    if fate.missing:
        short = [
            {"sku": missing.sku, "requested": missing.requested, "available": missing.available}
            for missing in fate.missing
        ]
        raise Conflict("There is not enough in stock.", code=OUT_OF_STOCK, extra={**named, "products": short})
    if fate.decline is not None:
        raise PaymentRequired("The payment was declined.", extra={**named, "reason": fate.decline})
    return view


async def _states(desk: Desk, order_id: str) -> AsyncIterator[bytes]:
    until = monotonic() + STREAM_S
    told: int = 0
    with desk.watch.on(order_id) as changed:
        while monotonic() < until:
            changed.clear()
            view = (await anyones(order_id, desk)).view
            for moment in view.timeline[told:]:
                state = msgspec.json.encode({"order_id": order_id, "status": moment.status, "at": moment.at})
                yield b"event: status\ndata: " + state + b"\n\n"
            told = len(view.timeline)
            if view.status in (Status.COMPLETED, Status.CANCELLED):
                return
            if not await _changed(changed, LOOK_S):
                yield b": waiting\n\n"


async def _changed(changed: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await changed.wait()
    except TimeoutError:
        return False
