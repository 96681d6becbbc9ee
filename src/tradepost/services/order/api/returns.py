"""Returns over HTTP."""

import msgspec

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.http.body import ListOf, ListQuery
from tradepost.kernel.http.endpoint import Request
from tradepost.kernel.ids import new_id
from tradepost.services.order import queries, returns
from tradepost.services.order.api.bodies import ReceiveReturn, RequestReturn
from tradepost.services.order.api.orders import WRITE
from tradepost.services.order.api.waiting import READ
from tradepost.services.order.desk import Desk
from tradepost.services.order.domain.return_ import ReturnLine
from tradepost.services.order.views import ReturnView


async def request_return(request: Request[RequestReturn, None], desk: Desk, tx: Tx) -> ReturnView:
    """Ask to send goods back."""
    caller, return_id = request.caller, new_id()
    owner = None if caller.may(WRITE) else caller.user_id
    lines = [ReturnLine(sku=item.sku, quantity=item.quantity) for item in request.body.items]
    await returns.request(tx, return_id, request.path["order_id"], owner, lines, request.body.reason, now())
    return await queries.return_in(tx, return_id)


async def list_returns(request: Request[None, ListQuery], desk: Desk) -> ListOf[ReturnView]:
    """The returns of an order, oldest first."""
    caller, order_id = request.caller, request.path["order_id"]
    return await queries.returns(desk.db, request.query, order_id, caller.user_id, everyones=caller.may(READ))


async def approve_return(request: Request[None, None], desk: Desk, tx: Tx) -> ReturnView:
    """Let the goods come."""
    await returns.approve(tx, request.path["return_id"], now())
    return await queries.return_in(tx, request.path["return_id"])


async def reject_return(request: Request[None, None], desk: Desk, tx: Tx) -> ReturnView:
    """Refuse the return."""
    await returns.reject(tx, request.path["return_id"], now())
    return await queries.return_in(tx, request.path["return_id"])


async def receive_return(request: Request[ReceiveReturn | None, None], desk: Desk, tx: Tx) -> ReturnView:
    """The goods are back: what can be sold is restocked, and what they cost refunded as far as it was not refunded yet
    with all else; a refund that staff made for the same goods by hand is not taken off."""
    items = request.body.items if request.body else None
    arrived = None if items is None else [ReturnLine(**msgspec.structs.asdict(item)) for item in items]
    await returns.receive(tx, request.path["return_id"], arrived, request.cause, now())
    return await queries.return_in(tx, request.path["return_id"])
