"""The baseline: a bare ASGI application that decodes the JSON it is sent and sends it back, on the same uvicorn.

python -m bench.echo [--quick]
"""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import uvloop

from bench import load
from bench.figures import Figure, Size, command
from bench.shop import await_answer, free_port, post
from tradepost.gateway.server import Server, listen

ORDER: Final = post("/echo", b'{"items":[{"sku":"SKU-00001","quantity":2},{"sku":"SKU-00002","quantity":1}]}')
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Read it all, decode, encode, answer."""
    assert scope["type"] == "http"
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    answer = msgspec.json.encode(msgspec.json.decode(body)) if body else b"{}"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@dataclass(frozen=True)
class Echo:
    """A running one."""

    port: int
    pid: int

    def measure(self, seconds: float, requests: Sequence[tuple[bytes, bytes]] = (ORDER,)) -> load.Outcome:
        """Its answers at 64 connections; `requests` as they are sent to the other side of the comparison."""
        plan = load.Plan([self.port], requests, seconds, keys="echo", watched={"echo": [self.pid]})
        return load.run(plan).only(200)


@contextmanager
def open_echo() -> Iterator[Echo]:
    """In a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.echo", "serve", str(port)])
    try:
        await_answer(f"http://127.0.0.1:{port}/", process)
        yield Echo(port, process.pid)
    finally:
        process.terminate()
        process.wait()


async def serve(port: int) -> None:
    """As `tradepost` serves, until this process is ended."""
    await (await Server(application).begin(listen("127.0.0.1", port)))


def measure(size: Size) -> list[Figure]:
    with open_echo() as echo:
        found = echo.measure(size.seconds)
    return [Figure("echo", found.per_s, {"cpu_us": found.cpu_us("echo"), "load_cpu_us": found.own_us})]


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(int(sys.argv[2])))
    else:
        command(__doc__, measure)
