"""What it costs to have the gateway in a process of its own: CPU of a call that it forwards, beside one whose service
runs in the gateway's process, in one run.

python bench/gateway_hop.py [--seconds 5] [--connections 32]
"""

import argparse
import asyncio
import multiprocessing as mp
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.connection import Connection
from typing import Annotated, Any, Final, cast

import msgspec
import uvloop

from tradepost.gateway.app import Gateway
from tradepost.gateway.pool import open_session
from tradepost.gateway.routes import Routes, Table
from tradepost.gateway.seal import Seal
from tradepost.gateway.server import Server, listen
from tradepost.gateway.upstreams import open_upstreams
from tradepost.kernel.auth import Verifier
from tradepost.kernel.database import Database
from tradepost.kernel.http.app import build
from tradepost.kernel.http.body import Body
from tradepost.kernel.http.endpoint import Idempotency, Rate, Request, get, post, public
from tradepost.kernel.service import Room, Service

SECRET: Final = "of-the-bench"
WARM_UP_S: Final = 1.0
BODY: Final = msgspec.json.encode({"items": [{"sku": f"SKU-{n}", "quantity": n + 1} for n in range(2)]})
CALL: Final = (
    b"POST /goods/echo HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY) + BODY
)


class Line(Body, frozen=True, kw_only=True):
    """As an order's."""

    sku: Annotated[str, msgspec.Meta(max_length=64)]
    quantity: int


class Order(Body, frozen=True, kw_only=True):
    """A body of the usual size."""

    items: list[Line]


async def echo(request: Request[Order, None], _desk: None) -> Order:
    """The same again."""
    return request.body


async def say_ready(_request: Request[None, None], _desk: None) -> str:
    """For the gateway's checks."""
    return "ready"


ENDPOINTS: Final = (
    post("/goods/echo", echo, access=public, idempotency=Idempotency.IGNORED),
    get("/readyz", say_ready, access=public, rate=Rate.FREE),
)


@asynccontextmanager
async def open_desk(_room: Room) -> AsyncIterator[None]:
    """There is nothing on it."""
    yield None


GOODS: Final = Service(name="goods", package="bench", open=open_desk, endpoints=ENDPOINTS)


def serve(pipe: Connection, url: str | None) -> None:
    """In a process of its own: the service behind its gateway, or a gateway in front of the one at `url`. Tells its
    port, and its CPU seconds whenever it is asked."""
    uvloop.run(_serve(pipe, url))


async def _serve(pipe: Connection, url: str | None) -> None:
    verifier, seal = Verifier({}, "tradepost"), Seal(SECRET)
    async with AsyncExitStack() as stack:
        apps: dict[str, Any] = {"goods": build(ENDPOINTS, None, cast(Database, None), verifier)}
        if url is not None:
            session = await stack.enter_async_context(open_session())
            upstreams = await stack.enter_async_context(open_upstreams([GOODS], {"goods": [url]}, session, seal))
            apps = {"goods": upstreams[0]}
        gateway = Gateway(Routes([Table("goods", ENDPOINTS)]), apps, verifier, limited=False, seal=seal)
        listening = listen("127.0.0.1", 0)
        server = Server(gateway)
        serving = await server.begin(listening)
        pipe.send(listening.getsockname()[1])
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), lambda: _told(pipe, server))
        await serving


def _told(pipe: Connection, server: Server) -> None:
    if pipe.recv() == "stop":
        server.end()
    else:
        pipe.send(time.process_time())


class Process:
    """One of the two, as the bench sees it."""

    def __init__(self, url: str | None = None) -> None:
        self.pipe, theirs = mp.Pipe()
        self._process = mp.get_context("spawn").Process(target=serve, args=(theirs, url))
        self._process.start()
        self.port = cast(int, self.pipe.recv())

    def cpu_s(self) -> float:
        """That it has used so far."""
        self.pipe.send("cpu")
        return cast(float, self.pipe.recv())

    def stop(self) -> None:
        """And wait for it."""
        self.pipe.send("stop")
        self._process.join()


async def load(port: int, connections: int, seconds: float) -> int:
    """Calls answered on so many connections, each with one under way."""
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_one(port, until) for _ in range(connections))))


async def _one(port: int, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    calls = 0
    while time.monotonic() < until:
        writer.write(CALL)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"not answered: {head!r}")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        calls += 1
    writer.close()
    return calls


def measure(title: str, port: int, processes: list[Process], connections: int, seconds: float) -> list[float]:
    """Microseconds of CPU per call in each of `processes`, which are printed."""
    uvloop.run(load(port, connections, WARM_UP_S))
    before = [process.cpu_s() for process in processes]
    began = time.monotonic()
    calls = uvloop.run(load(port, connections, seconds))
    took = time.monotonic() - began
    each = [(process.cpu_s() - start) / calls * 1e6 for process, start in zip(processes, before, strict=True)]
    print(f"{title:24} {calls / took:8,.0f} calls/s   CPU per call: {' + '.join(f'{one:.0f}' for one in each)} us")
    return each


def main() -> None:
    """Print the two, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    service = Process()
    gateway = Process(f"http://127.0.0.1:{service.port}")
    try:
        together = measure("in one process", service.port, [service], given.connections, given.seconds)
        apart = measure("gateway + service", gateway.port, [gateway, service], given.connections, given.seconds)
        print(
            f"the hop costs {sum(apart) - sum(together):.0f} us of CPU a call, of which {apart[0]:.0f} in the gateway"
        )
    finally:
        gateway.stop()
        service.stop()


if __name__ == "__main__":
    main()
