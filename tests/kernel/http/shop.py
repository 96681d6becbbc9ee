"""A small table of endpoints with one of everything, whose handlers write down that they were called."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from tests.kernel.http.driver import Client
from tests.patience import PATIENCE_S
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.database import Database, Tx
from tradepost.kernel.errors import Conflict, PaymentRequired
from tradepost.kernel.http.app import build
from tradepost.kernel.http.body import Address, Amount, Body, Currency, Id, ListOf, ListQuery, Quantity, ShortText, page
from tradepost.kernel.http.endpoint import (
    Answer,
    Idempotency,
    Page,
    Request,
    Streamed,
    Upload,
    customer,
    delete,
    get,
    owner_or,
    patch,
    post,
    public,
    put,
    staff,
)
from tradepost.kernel.keys import SigningKey

ISSUER = "http://tradepost.test"
ALICE = "0193d8a0-0000-7000-8000-00000000a11c"
ORDER = "0193d8a0-0000-7000-8000-000000000001"


class Line(Body, frozen=True, kw_only=True):
    product_id: Id
    quantity: Quantity


class PlaceOrder(Body, frozen=True, kw_only=True):
    items: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=500)]
    shipping_address: Address | None = None
    note: ShortText | None = None
    tags: dict[str, ShortText] = {}  # noqa: RUF012  # msgspec copies it


class Reprice(Body, frozen=True, kw_only=True):
    price: Amount | msgspec.UnsetType = msgspec.UNSET
    currency: Currency | msgspec.UnsetType = msgspec.UNSET
    note: str | msgspec.UnsetType | None = msgspec.UNSET


class OrderQuery(ListQuery, frozen=True, kw_only=True):
    status: Literal["paid", "pending"] | None = None
    tag: list[str] = []  # noqa: RUF012  # msgspec copies it
    low: bool = False


class Placed(msgspec.Struct, frozen=True):
    order_id: str
    units: int


@dataclass
class Desk:
    calls: list[str] = field(default_factory=list)
    requests: list[Request[Any, Any]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    etag: str = "3"

    def note(self, request: Request[Any, Any], name: str) -> None:
        self.calls.append(name)
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure


async def place_order(request: Request[PlaceOrder, None], desk: Desk) -> Placed:
    """Place an order."""
    desk.note(request, "place_order")
    return Placed(ORDER, sum(line.quantity for line in request.body.items))


async def pay(request: Request[Reprice, None], desk: Desk, tx: Tx) -> Answer[Placed]:
    """Write a row, then do as the desk says."""
    await tx.execute("INSERT INTO scribble (text) VALUES ($1)", request.request_id)
    if desk.go_on.is_set():
        desk.note(request, "pay")
    else:
        await asyncio.wait_for(desk.go_on.wait(), PATIENCE_S)
        desk.note(request, "pay")
    return Answer(Placed(ORDER, len(desk.calls)), status=201, headers={"Location": f"/order/{ORDER}"}, etag="7")


async def list_orders(request: Request[None, OrderQuery], desk: Desk) -> ListOf[Placed]:
    desk.note(request, "list_orders")
    return page([Placed(ORDER, n) for n in range(3)], 2)


async def read_order(request: Request[None, None], desk: Desk) -> Answer[Placed]:
    desk.note(request, "read_order")
    return Answer(Placed(request.path["order_id"], 1), etag=desk.etag)


async def edit_order(request: Request[Reprice, None], desk: Desk) -> None:
    desk.note(request, "edit_order")
    request.require_version("3")


async def cancel_order(request: Request[None, None], desk: Desk) -> None:
    desk.note(request, "cancel_order")


async def read_stock(request: Request[None, None], desk: Desk) -> Page:
    desk.note(request, "read_stock")
    return Page(f"<p>{request.path['sku']}</p>")


async def hook(request: Request[bytes, None], desk: Desk) -> None:
    desk.note(request, "hook")


async def import_lines(request: Request[Upload, None], desk: Desk) -> Streamed:
    desk.note(request, "import_lines")

    async def report() -> AsyncIterator[bytes]:
        async for chunk in request.body.chunks:
            yield b"%d\n" % len(chunk)

    return Streamed(report(), "application/x-ndjson")


async def follow(request: Request[None, None], desk: Desk) -> Streamed:
    desk.note(request, "follow")

    async def events() -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            await desk.go_on.wait()
            yield b"data: 2\n\n"
        finally:
            desk.closed.append("follow")

    return Streamed(events(), "text/event-stream")


endpoints = (
    post("/order/orders", place_order, access=customer, idempotency=Idempotency.OWN, status=201),
    get("/order/orders", list_orders, access=owner_or(staff("orders:read"))),
    get("/order/orders/{order_id}", read_order, access=customer),
    patch("/order/orders/{order_id}", edit_order, access=staff("orders:write")),
    delete("/order/orders/{order_id}", cancel_order, access=staff("orders:write")),
    put("/order/orders/{order_id}/cancel", cancel_order, access=customer),
    get("/order/orders/{order_id}/stream", follow, access=customer),
    post("/order/payments", pay, access=customer),
    post("/order/guests", pay, access=public, idempotency=Idempotency.REQUIRED),
    get("/order/stock/{sku}", read_stock, access=public),
    post("/order/webhooks/{provider}", hook, access=public, idempotency=Idempotency.IGNORED),
    post("/order/imports", import_lines, access=staff("orders:write"), idempotency=Idempotency.OWN),
)


@dataclass
class Shop:
    """The application, its desk, and clients with and without a token."""

    desk: Desk
    signer: Signer
    verifier: Verifier
    app: object

    @property
    def anonymous(self) -> Client:
        return Client(self.app)

    @property
    def alice(self) -> Client:
        return self.as_("customer")

    @property
    def staff(self) -> Client:
        return self.as_("staff", "orders:write", "orders:read")

    def as_(self, role: str, *permissions: str, user_id: str = ALICE) -> Client:
        token = self.signer.issue(user_id, [role], permissions, "session-1", datetime.now(UTC))
        return Client(self.app, {"authorization": f"Bearer {token}"})


def open_shop(database: Database, key: SigningKey) -> Shop:
    desk, verifier = Desk(), Verifier({key.kid: key.public}, ISSUER)
    return Shop(desk, Signer(key.private_pem, key.kid, ISSUER), verifier, build(endpoints, desk, database, verifier))


REFUSAL = PaymentRequired("No.", code="card_declined", extra={"order_id": ORDER})
CONFLICT = Conflict("Not now.")
