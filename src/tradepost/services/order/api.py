"""Order over HTTP: place, read, list, cancel, return, and a stream of states."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tradepost.contracts.order import Address as Destination
from tradepost.contracts.order import Guest
from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Conflict, Forbidden, PaymentRequired
from tradepost.kernel.http.body import Address, Amount, Body, Currency, Id, ListOf, ListQuery, Quantity, ShortText
from tradepost.kernel.http.endpoint import (
    Answer,
    Caller,
    Idempotency,
    Rate,
    Request,
    Streamed,
    customer,
    get,
    owner_or,
    post,
    staff,
)
from tradepost.kernel.http.idempotency import scope_of
from tradepost.kernel.ids import new_id
from tradepost.services.order import commands, queries, returns
from tradepost.services.order.desk import Desk
from tradepost.services.order.domain.order import NOT_PAID, OUT_OF_STOCK, Status
from tradepost.services.order.domain.placement import Item, Placement
from tradepost.services.order.domain.return_ import ReturnLine
from tradepost.services.order.queries import Fate
from tradepost.services.order.views import OrderView, ReturnView, of_placed

READ: Final = "order:read"
WRITE: Final = "order:write"
DEFAULT_METHOD: Final = "pm_card_visa"  # the simulator's card that succeeds
LINES: Final = 500
STREAM_S: Final = 600.0  # then the client connects again
LOOK_S: Final = 5.0  # longest between two looks, should a wake-up be lost

Sku = Annotated[str, Meta(min_length=1, max_length=255)]


class ItemBody(Body, frozen=True, kw_only=True):
    """Exactly one of `product_id`, `variant_id` and `sku`. With `price` the order is refused if it has changed."""

    quantity: Quantity
    product_id: Id | None = None
    variant_id: Id | None = None
    sku: Sku | None = None
    price: Amount | None = None


class GuestBody(Body, frozen=True, kw_only=True):
    """A buyer without an account."""

    email: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    name: ShortText


class PlaceOrder(Body, frozen=True, kw_only=True):
    """What to buy. `user_id` and `guest` are for staff who order for somebody else."""

    items: Annotated[list[ItemBody], Meta(min_length=1, max_length=LINES)]
    currency: Currency | None = None
    shipping_address: Address | None = None
    payment_method: Annotated[str, Meta(min_length=1, max_length=100)] = DEFAULT_METHOD
    user_id: Id | None = None
    guest: GuestBody | None = None


class CancelOrder(Body, frozen=True, kw_only=True):
    """Why, in a few words."""

    reason: ShortText | None = None


class ReturnItem(Body, frozen=True, kw_only=True):
    """Units that come back; `restock` false for what can't be sold again."""

    sku: Sku
    quantity: Quantity
    restock: bool = True


class RequestReturn(Body, frozen=True, kw_only=True):
    """What comes back, and why."""

    items: Annotated[list[ReturnItem], Meta(min_length=1, max_length=LINES)]
    reason: ShortText


class ReceiveReturn(Body, frozen=True, kw_only=True):
    """What arrived, where it is not what was announced."""

    items: Annotated[list[ReturnItem], Meta(min_length=1, max_length=LINES)] | None = None


class OrderList(ListQuery, frozen=True, kw_only=True):
    """`user_id` is for staff."""

    status: Status | None = None
    user_id: Id | None = None


async def place_order(request: Request[PlaceOrder, None], desk: Desk) -> Answer[OrderView]:
    """Place an order at the server's prices. With `Prefer: wait=N` the answer waits until it is paid or cancelled."""
    placement = _placement(request)
    placed = await desk.placements.submit(
        placement, caller=placement.scope, key=(placement.scope, placement.key), size=len(placement.items) * 100
    )
    replayed = isinstance(placed, str)
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    if isinstance(placed, str):
        fate = await queries.fate(desk.db, placed, None, everyones=True)
        view = fate.view
    else:
        view = of_placed(placed)
    if request.wait_s:
        view = _settled(await _wait(desk, view.id, request.wait_s))
    return Answer(view, headers=headers)


async def read_order(request: Request[None, None], desk: Desk) -> OrderView:
    """An order with its story."""
    return (await _mine(request.path["order_id"], request.caller, desk)).view


async def list_orders(request: Request[None, OrderList], desk: Desk) -> ListOf[OrderView]:
    """Orders, newest first: a customer's own, everyone's for staff."""
    caller, query = request.caller, request.query
    user_id = query.user_id if caller.may(READ) else caller.user_id
    return await queries.listing(desk.db, query, user_id, query.status)


async def cancel_order(request: Request[CancelOrder | None, None], desk: Desk, tx: Tx) -> OrderView:
    """Cancel: at once before payment; a paid order is stopped if its parcel has not left."""
    caller, order_id = request.caller, request.path["order_id"]
    owner = None if caller.may(WRITE) else caller.user_id
    asked = (request.body.reason if request.body else None) or "requested"
    await commands.cancel(tx, order_id, owner, asked, request.cause, now())
    return await queries.view_in(tx, order_id)


async def request_return(request: Request[RequestReturn, None], desk: Desk, tx: Tx) -> ReturnView:
    """Ask to send goods back."""
    caller, return_id = request.caller, new_id()
    owner = None if caller.may(WRITE) else caller.user_id
    lines = _back(request.body.items)
    await returns.request(tx, return_id, request.path["order_id"], owner, lines, request.body.reason, now())
    return await queries.return_in(tx, return_id)


async def list_returns(request: Request[None, None], desk: Desk) -> ListOf[ReturnView]:
    """The returns of an order."""
    caller = request.caller
    return await queries.returns(desk.db, request.path["order_id"], caller.user_id, everyones=caller.may(READ))


async def approve_return(request: Request[None, None], desk: Desk, tx: Tx) -> ReturnView:
    """Let the goods come."""
    await returns.approve(tx, request.path["return_id"], now())
    return await queries.return_in(tx, request.path["return_id"])


async def reject_return(request: Request[None, None], desk: Desk, tx: Tx) -> ReturnView:
    """Refuse the return."""
    await returns.reject(tx, request.path["return_id"], now())
    return await queries.return_in(tx, request.path["return_id"])


async def receive_return(request: Request[ReceiveReturn | None, None], desk: Desk, tx: Tx) -> ReturnView:
    """The goods are back: what can be sold is restocked, the money refunded."""
    arrived = _back(request.body.items) if request.body and request.body.items else None
    await returns.receive(tx, request.path["return_id"], arrived, request.cause, now())
    return await queries.return_in(tx, request.path["return_id"])


async def stream_order(request: Request[None, None], desk: Desk) -> Streamed:
    """Server-sent events: the order's state now, and at each change until it is final."""
    fate = await _mine(request.path["order_id"], request.caller, desk)
    return Streamed(_states(desk, fate.view.id), "text/event-stream", headers={"Cache-Control": "no-store"})


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


async def _mine(order_id: str, caller: Caller, desk: Desk) -> Fate:
    return await queries.fate(desk.db, order_id, caller.user_id, everyones=caller.may(READ))


async def _wait(desk: Desk, order_id: str, seconds: float) -> Fate:
    """The order when its fate is known, or as it is when the time is up."""
    until = monotonic() + seconds
    with desk.watch.on(order_id) as changed:
        while True:
            changed.clear()
            fate = await queries.fate(desk.db, order_id, None, everyones=True)
            left = until - monotonic()
            if fate.is_known or left <= 0:
                return fate
            await _changed(changed, min(left, LOOK_S))


def _settled(fate: Fate) -> OrderView:
    """Errors: Conflict `insufficient_stock`, PaymentRequired, both with the id of the cancelled order."""
    view = fate.view
    named: dict[str, object] = {"order_id": view.id, "number": view.number}
    if view.status is Status.CANCELLED and view.cancel_reason == OUT_OF_STOCK:
        short = [
            {"sku": missing.sku, "requested": missing.requested, "available": missing.available}
            for missing in fate.missing
        ]
        raise Conflict("There is not enough in stock.", code=OUT_OF_STOCK, extra={**named, "products": short})
    if view.status is Status.CANCELLED and view.cancel_reason == NOT_PAID:
        raise PaymentRequired("The payment was declined.", extra={**named, "reason": fate.decline})
    return view


async def _states(desk: Desk, order_id: str) -> AsyncIterator[bytes]:
    until = monotonic() + STREAM_S
    told: int = 0
    with desk.watch.on(order_id) as changed:
        while monotonic() < until:
            changed.clear()
            view = (await queries.fate(desk.db, order_id, None, everyones=True)).view
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


def _back(items: list[ReturnItem]) -> list[ReturnLine]:
    return [ReturnLine(sku=item.sku, quantity=item.quantity, restock=item.restock) for item in items]


endpoints: Final = (
    post("/order/orders", place_order, access=customer, rate=Rate.CHECKOUT, idempotency=Idempotency.OWN, status=201),
    get("/order/orders", list_orders, access=owner_or(staff(READ))),
    get("/order/orders/{order_id}", read_order, access=owner_or(staff(READ))),
    get("/order/orders/{order_id}/stream", stream_order, access=owner_or(staff(READ))),
    post("/order/orders/{order_id}/cancel", cancel_order, access=owner_or(staff(WRITE))),
    post(
        "/order/orders/{order_id}/returns",
        request_return,
        access=owner_or(staff(WRITE)),
        idempotency=Idempotency.REQUIRED,
        status=201,
    ),
    get("/order/orders/{order_id}/returns", list_returns, access=owner_or(staff(READ))),
    post("/order/returns/{return_id}/approve", approve_return, access=staff(WRITE)),
    post("/order/returns/{return_id}/reject", reject_return, access=staff(WRITE)),
    post("/order/returns/{return_id}/receive", receive_return, access=staff(WRITE)),
)
