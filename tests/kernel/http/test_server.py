"""The application behind the real server, on a loopback socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import uvicorn

from tests.kernel.http.shop import ORDER, Shop
from tests.patience import PATIENCE_S

BODY = msgspec.json.encode({"items": [{"product_id": ORDER, "quantity": 2}]})


@pytest.fixture
async def port(shop: Shop) -> AsyncIterator[int]:
    app: Any = shop.app
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def ask(port: int, shop: Shop, head: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    token = shop.staff.headers["authorization"]
    writer.write(f"{head} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def status(reader: asyncio.StreamReader) -> int:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    return int(head.split(b" ")[1])


async def test_a_body_with_a_length(port: int, shop: Shop) -> None:
    sent = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
    reader, writer = await ask(port, shop, "POST /order/orders", sent)

    assert (await status(reader), shop.desk.calls) == (201, ["place_order"])
    assert shop.desk.requests[0].address == "127.0.0.1"
    writer.close()


async def test_a_body_in_chunks(port: int, shop: Shop) -> None:
    sent = b"transfer-encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    reader, writer = await ask(port, shop, "POST /order/orders", sent)

    assert (await status(reader), shop.desk.calls) == (201, ["place_order"])
    writer.close()


async def test_a_body_without_an_end_is_refused_at_the_limit(port: int, shop: Shop) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    reader, writer = await ask(port, shop, "POST /order/orders", b"transfer-encoding: chunked\r\n\r\n" + chunk * 17)

    assert (await status(reader), shop.desk.calls) == (413, [])
    writer.close()


async def test_a_client_that_leaves_within_a_body_is_not_served(port: int, shop: Shop) -> None:
    _, writer = await ask(port, shop, "POST /order/orders", b"content-length: 500\r\n\r\n" + BODY)
    writer.close()
    await asyncio.sleep(0.1)

    assert shop.desk.calls == []


async def test_a_client_that_leaves_ends_its_stream(port: int, shop: Shop) -> None:
    reader, writer = await ask(port, shop, f"GET /order/orders/{ORDER}/stream", b"\r\n")
    assert await status(reader) == 200
    assert b"data: 1" in await asyncio.wait_for(reader.readuntil(b"data: 1"), PATIENCE_S)
    writer.close()
    async with asyncio.timeout(PATIENCE_S):
        while not shop.desk.closed:
            await asyncio.sleep(0.01)

    assert shop.desk.closed == ["follow"]


async def test_a_query_that_is_not_utf_8_is_refused_and_not_a_crash(port: int, shop: Shop) -> None:
    reader, writer = await ask(port, shop, "GET /order/orders?tag=%ff", b"\r\n")

    assert (await status(reader), shop.desk.calls) == (400, [])
    writer.close()
