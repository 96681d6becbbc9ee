"""Two tiny services behind a gateway: a shelf, and the goods, part of whose paths the shelf answers for. They run in
the gateway's process, or apart behind sockets of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from tests.gateway.apart import serving
from tests.kernel.http.driver import Client
from tradepost.gateway.app import Gateway
from tradepost.gateway.pool import open_session
from tradepost.gateway.proxies import Proxies
from tradepost.gateway.routes import Routes, Table
from tradepost.gateway.seal import Seal
from tradepost.gateway.upstreams import open_upstreams
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.kernel.http.app import build
from tradepost.kernel.http.endpoint import Idempotency, Rate, Request, Streamed, customer, get, post, public, put
from tradepost.kernel.keys import SigningKey
from tradepost.kernel.service import Room, Service

ISSUER = "tradepost"
GOOD = "0193d8a0-0000-7000-8000-000000000001"


class Told(msgspec.Struct, frozen=True):
    """Which service answered, under which key, and the names of the headers that reached it; what the path named, and
    where the service takes the call to come from."""

    by: str
    key: str | None
    headers: list[str]
    path: dict[str, str] = {}
    address: str = ""


@dataclass
class Desk:
    """`hold` keeps calls waiting, and a file its second line until `go_on`."""

    name: str
    arrived: int = 0
    closed: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


async def tell(request: Request[None, None], desk: Desk) -> Told:
    desk.arrived += 1
    if desk.hold is not None:
        await desk.hold.wait()
    return Told(desk.name, request.idempotency_key, sorted(request.headers), dict(request.path), request.address)


async def follow(_request: Request[None, None], desk: Desk) -> Streamed:
    async def news() -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            await asyncio.Event().wait()
        finally:
            desk.closed.append("follow")

    return Streamed(news(), "text/event-stream")


async def export(_request: Request[None, None], desk: Desk) -> Streamed:
    async def file() -> AsyncIterator[bytes]:
        yield b"1\n"
        await desk.go_on.wait()
        yield b"2\n"

    return Streamed(file(), "text/csv")


GOODS = (
    get("/goods/goods", tell, access=public),
    get("/goods/goods/newest", tell, access=public),
    get("/goods/goods/{good_id}", tell, access=public),
    get("/goods/goods/{good_id}/stream", follow, access=public),
    get("/goods/exports", export, access=public),
    post("/goods/orders", tell, access=public, rate=Rate.CHECKOUT, idempotency=Idempotency.OWN),
    post("/goods/login", tell, access=public, rate=Rate.SIGN_IN, idempotency=Idempotency.IGNORED),
    get("/goods/mine", tell, access=customer),
    get("/goods/live", tell, access=public, rate=Rate.FREE),
)
SHELF = (
    get("/shelf/{name}", tell, access=public),
    get("/shelf/stock/{sku}", tell, access=public),
    put("/shelf/stock/{sku}/threshold", tell, access=public),
    put("/goods/goods/{good_id}/stock", tell, access=public, served_by="shelf"),
    get("/.well-known/jwks.json", tell, access=public),
)


@dataclass
class Pair:
    gateway: Gateway
    routes: Routes
    goods: Desk
    shelf: Desk
    signer: Signer
    verifiers: list[Verifier]  # of the gateway, and of services apart

    @property
    def anyone(self) -> Client:
        return Client(self.gateway)

    def as_(self, user_id: str, session_id: str | None = None) -> Client:
        token = self.signer.issue(user_id, ["customer"], [], session_id, now())
        return Client(self.gateway, {"authorization": f"Bearer {token}"})


async def say_ready(_request: Request[None, None], _desk: Desk) -> str:
    return "ready"


READY = get("/readyz", say_ready, access=public, rate=Rate.FREE)


@asynccontextmanager
async def open_desk(_room: Room) -> AsyncIterator[None]:
    yield None


def open_pair(key: SigningKey, *, limited: bool = True, proxies: Proxies | None = None) -> Pair:
    verifier = Verifier({key.kid: key.public}, ISSUER)
    routes = Routes([Table("goods", GOODS), Table("shelf", SHELF)])
    goods, shelf, no_database = Desk("goods"), Desk("shelf"), cast(Database, None)
    apps: dict[str, Any] = {
        "goods": build(GOODS, goods, no_database, verifier),
        "shelf": build(SHELF, shelf, no_database, verifier),
    }
    gateway = Gateway(routes, apps, verifier, limited=limited, proxies=proxies)
    return Pair(gateway, routes, goods, shelf, Signer(key.private_pem, key.kid, ISSUER), [verifier])


@asynccontextmanager
async def open_pair_apart(key: SigningKey, *, proxies: Proxies | None = None) -> AsyncIterator[Pair]:
    """The same with each service in a gateway of its own, which has no limits and believes the one in front."""
    pair, seal, urls = open_pair(key), Seal("of-the-tests"), {}
    verifier = Verifier({key.kid: key.public}, ISSUER)
    tables = {"goods": (GOODS, pair.goods), "shelf": (SHELF, pair.shelf)}
    async with AsyncExitStack() as stack:
        for name, (endpoints, desk) in tables.items():
            own = (*endpoints, READY)
            apps = {name: build(own, desk, cast(Database, None), verifier)}
            service = Gateway(Routes([Table(name, own)]), apps, verifier, limited=False, seal=seal)
            urls[name] = [await stack.enter_async_context(serving(service))]
        session = await stack.enter_async_context(open_session())
        services = [Service(name, "tests.probe", open_desk, endpoints) for name, (endpoints, _) in tables.items()]
        upstreams = await stack.enter_async_context(open_upstreams(services, urls, session, seal))
        remote = {one.service.name: one for one in upstreams}
        pair.gateway = Gateway(pair.routes, remote, verifier, proxies=proxies)
        pair.verifiers = [verifier]
        yield pair
