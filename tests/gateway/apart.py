"""A gateway apart from its service: real sockets between them, and instances that behave or misbehave as told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.ports import free_port
from tradepost.gateway.app import Gateway
from tradepost.gateway.pool import open_session
from tradepost.gateway.routes import Routes, Table
from tradepost.gateway.seal import Seal
from tradepost.gateway.server import Server, listen
from tradepost.gateway.upstreams import Upstream, open_upstreams
from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Tx
from tradepost.kernel.http.endpoint import (
    Endpoint,
    Idempotency,
    Rate,
    Request,
    Streamed,
    Upload,
    delete,
    get,
    post,
    public,
    put,
)
from tradepost.kernel.service import Room, Service

SECRET = "of-the-tests"
BUFFER = 256 * 1024  # bytes
Scope = dict[str, Any]


async def serve_nothing(request: Request[None, None], desk: None) -> None:
    raise AssertionError("the double answers")


async def serve_once(request: Request[None, None], desk: None, tx: Tx) -> None:
    raise AssertionError("the double answers")


async def serve_upload(request: Request[Upload, None], desk: None) -> Streamed:
    raise AssertionError("the double answers")


async def serve_stream(request: Request[None, None], desk: None) -> Streamed:
    raise AssertionError("the double answers")


ENDPOINTS: tuple[Endpoint, ...] = (
    get("/goods/things/{name}", serve_nothing, access=public),
    put("/goods/things/{name}", serve_nothing, access=public),
    delete("/goods/things/{name}", serve_nothing, access=public),
    get("/goods/stock/{sku}", serve_nothing, access=public),
    post("/goods/things", serve_once, access=public),
    post("/goods/login", serve_nothing, access=public, rate=Rate.SIGN_IN, idempotency=Idempotency.IGNORED),
    post("/goods/imports", serve_upload, access=public, idempotency=Idempotency.IGNORED),
    get("/goods/feed", serve_stream, access=public),
)


@asynccontextmanager
async def open_nothing(_room: Room) -> AsyncIterator[None]:
    yield None


GOODS = Service(name="goods", package="tests.probe", open=open_nothing, endpoints=ENDPOINTS)


@dataclass
class Seen:
    """What reached an instance."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def names(self) -> list[str]:
        return sorted(name.decode() for name, _ in self.headers)

    def header(self, name: str) -> str:
        return dict(self.headers)[name.encode()].decode("latin-1")


@dataclass
class Double:
    """An instance that answers `respond`, or 200 with its name; `readiness` is what it says of itself."""

    name: str = "one"
    respond: Callable[["Double", Scope, Any, Any], Awaitable[None]] | None = None
    readiness: tuple[int, bytes] = (200, b'{"status":"ready"}')
    seen: list[Seen] = field(default_factory=list)
    hold: asyncio.Event | None = None
    under_way: int = 0
    left: int = 0  # calls whose client went away

    def begins_early(self, _scope: Scope) -> bool:
        return True

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["path"] == "/readyz":
            return await answer(send, *self.readiness)
        self.under_way += 1
        try:
            if self.respond is not None:
                return await self.respond(self, scope, receive, send)
            self.note(scope, await whole(receive))
            if self.hold is not None:
                await self.hold.wait()
            return await answer(send, 200, self.name.encode())
        finally:
            self.under_way -= 1

    def note(self, scope: Scope, body: bytes) -> None:
        self.seen.append(Seen(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body))


async def whole(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Any, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def narrow(opened: socket.socket) -> socket.socket:
    """With buffers that stay small, and those of its connections too."""
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        opened.setsockopt(socket.SOL_SOCKET, buffer, BUFFER)
    return opened


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """`app` on a port of its own; its URL."""
    listening = narrow(listen("127.0.0.1", 0))
    server = Server(app)
    task = await server.begin(listening)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.force_exit = True
        server.end()
        await task


@dataclass
class Wire:
    """An instance below HTTP: `react` gets each request as bytes and the writer. Counts what it got."""

    react: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
    requests: list[bytes] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
                )
                request = head + await reader.readexactly(int(length.partition(b":")[2]))
                if head.startswith(b"GET /readyz "):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    continue
                self.requests.append(request)
                await self.react(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wired(wire: Wire) -> AsyncIterator[str]:
    """`wire` on a port of its own; its URL."""
    server = await asyncio.start_server(wire.talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def nowhere() -> str:
    """The URL of a port on which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@dataclass
class Front:
    """The gateway in front of the instances, served on `url`."""

    gateway: Gateway
    upstream: Upstream
    url: str
    client: aiohttp.ClientSession

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, bytes, Any]:
        """Status, body and headers."""
        async with self.client.request(method, self.url + path, **more) as response:
            return response.status, await response.read(), response.headers

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@asynccontextmanager
async def open_front(*urls: str) -> AsyncIterator[Front]:
    """A gateway without limits whose only service, `goods`, is at `urls`."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        opening = open_upstreams([GOODS], {"goods": urls}, session, Seal(SECRET))
        (upstream,) = await stack.enter_async_context(opening)
        routes = Routes([Table("goods", ENDPOINTS)])
        gateway = Gateway(routes, {"goods": upstream}, Verifier({}, "tradepost"), limited=False)
        connector = aiohttp.TCPConnector(socket_factory=lambda address: narrow(socket.socket(*address[:3])))
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, auto_decompress=False))
        yield Front(gateway, upstream, await stack.enter_async_context(serving(gateway)), client)
