"""Orders over HTTP: place, read, list, cancel."""

from typing import Final

import msgspec

from tradepost.contracts.order import Address as Destination
from tradepost.contracts.order import Guest
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Conflict, Forbidden
from tradepost.kernel.http.body import ListOf
from tradepost.kernel.http.endpoint import Answer, Caller, Encoded, Request
from tradepost.kernel.http.idempotency import scope_of
from tradepost.kernel.ids import new_id
from tradepost.services.order import commands, queries
from tradepost.services.order.api.bodies import CancelOrder, OrderList, PlaceOrder
from tradepost.services.order.api.waiting import READ, anyones, mine, settled, until_known
from tradepost.services.order.desk import Desk
from tradepost.services.order.domain.placement import Item, Placement
from tradepost.services.order.newest import Newest
from tradepost.services.order.views import OrderView, of_placed

WRITE: Final = "order:write"


async def place_order(request: Request[PlaceOrder, None], desk: Desk) -> Answer[OrderView]:
    """Place an order at the server's prices. With `Prefer: wait=N` the answer waits until it is paid or cancelled."""
    placement = _placement(request)
    placed = await desk.placements.submit(
        placement, caller=placement.scope, key=(placement.scope, placement.key), size=len(placement.items) * 100
    )
    headers: dict[str, str] = {}
    if isinstance(placed, str):
        headers["Idempotent-Replayed"] = "true"
        view = (await anyones(placed, desk)).view
    else:
        view = of_placed(placed)
    if request.wait_s:
        view = settled(await until_known(desk, view.id, request.wait_s))
    return Answer(view, headers=headers)


async def read_order(request: Request[None, None], desk: Desk) -> OrderView:
    """An order with its story."""
    return (await mine(request.path["order_id"], request.caller, desk)).view


async def list_orders(request: Request[None, OrderList], desk: Desk) -> ListOf[OrderView] | Encoded[ListOf[OrderView]]:
    """Orders, newest first: a customer's own, everyone's for staff."""
    caller, query = request.caller, request.query
    user_id = query.user_id if caller.may(READ) else caller.user_id
    if user_id is not None and query == OrderList(limit=query.limit, user_id=query.user_id):
        page = await desk.newest.get(Newest(user_id, query.limit))
        assert page is not None
        return Encoded(page)
    return await queries.listing(desk.db, query, user_id, query.status)


async def cancel_order(request: Request[CancelOrder | None, None], desk: Desk, tx: Tx) -> OrderView:
    """Cancel: at once before payment; a paid order is stopped if its parcel has not left."""
    caller, order_id = request.caller, request.path["order_id"]
    owner = None if caller.may(WRITE) else caller.user_id
    asked = (request.body.reason if request.body else None) or "requested"
    await commands.cancel(tx, order_id, owner, asked, request.cause, now())
    return await queries.view_in(tx, order_id)


def _placement(request: Request[PlaceOrder, None]) -> Placement:
    body, caller = request.body, request.caller
    user_id, guest = _buyer(body, caller)
    address = body.shipping_address
    return Placement(
        order_id=new_id(),
        scope=scope_of(caller.user_id, "POST", "/order/orders"),
        key=request.idempotency_key or new_id(),
        body_hash=request.body_hash,
        user_id=user_id,
        guest=guest,
        items=tuple(Item(**msgspec.structs.asdict(item)) for item in body.items),
        currency=body.currency,
        shipping_address=Destination(**msgspec.structs.asdict(address)) if address else None,
        payment_method=body.payment_method,
        cause=request.cause,
        now=now(),
    )


def _buyer(body: PlaceOrder, caller: Caller) -> tuple[str | None, Guest | None]:
    """Whose order it is. Errors: Forbidden when a customer names somebody else."""
    if body.guest is None and body.user_id in (None, caller.user_id):
        return caller.user_id, None
    if not caller.may(WRITE):
        raise Forbidden("Only staff may order for somebody else.")
    if body.guest is None:
        return body.user_id, None
    if body.user_id is not None:
        raise Conflict("Name user_id or guest, not both.", code="two_buyers")
    return None, Guest(email=body.guest.email, name=body.guest.name)
