"""Answers that are sent as they are made end when nobody listens; bodies are read as they arrive."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kernel.http.driver import Response, collector, receiver, scope
from tests.kernel.http.shop import ORDER, Shop
from tests.patience import PATIENCE_S
from tradepost.kernel.http import streaming
from tradepost.kernel.http.streaming import Stream

STREAM = f"/order/orders/{ORDER}/stream"


async def test_chunks_leave_as_they_are_made(shop: Shop) -> None:
    response, gone = Response(), asyncio.Event()
    client = shop.alice
    call = shop.app(scope("GET", STREAM, client.headers), receiver([b""], gone), collector(response))  # type: ignore[operator]
    task = asyncio.create_task(call)
    while not response.body:
        await asyncio.sleep(0)
    first = response.body
    shop.desk.go_on.set()
    await task

    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert (first, response.body) == (b"data: 1\n\n", b"data: 1\n\ndata: 2\n\n")
    assert shop.desk.closed == ["follow"]


async def test_a_client_that_leaves_ends_the_stream(shop: Shop) -> None:
    response, gone = Response(), asyncio.Event()
    call = shop.app(scope("GET", STREAM, shop.alice.headers), receiver([b""], gone), collector(response))  # type: ignore[operator]
    task = asyncio.create_task(call)
    while not response.body:
        await asyncio.sleep(0)
    gone.set()
    await asyncio.wait_for(task, PATIENCE_S)

    assert (response.body, shop.desk.closed) == (b"data: 1\n\n", ["follow"])


async def test_a_server_that_stops_ends_the_stream(shop: Shop) -> None:
    response = Response()
    call = shop.app(scope("GET", STREAM, shop.alice.headers), receiver([b""], asyncio.Event()), collector(response))  # type: ignore[operator]
    task = asyncio.create_task(call)
    while not response.body:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert shop.desk.closed == ["follow"]


async def test_an_upload_is_reported_on_when_all_of_it_has_arrived(shop: Shop) -> None:
    """What is in front of us sends no more of it once the answer has begun."""
    response, gone = Response(), asyncio.Event()
    arriving = receiver([b"a", b"bc", b"", b"def"], gone)
    early = []

    async def receive() -> Any:
        early.append(response.status)
        return await arriving()

    await shop.app(scope("POST", "/order/imports", shop.staff.headers), receive, collector(response))  # type: ignore[operator]

    assert (response.status, response.body) == (200, b"1\n2\n3\n")
    assert early[:4] == [0] * 4


async def test_a_report_of_any_length_is_kept_until_then(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "IN_MEMORY", 10)
    monkeypatch.setattr(streaming, "PIECE", 7)
    response = await shop.staff.call("POST", "/order/imports", [b"x"] * 100)
    assert response.body == b"1\n" * 100


async def test_an_upload_that_is_cut_short_is_not_taken_for_a_whole_one(shop: Shop) -> None:
    response = await shop.staff.call("POST", "/order/imports", [b"a", b"bc", None])
    assert response.error == (400, "incomplete_body")


async def test_a_slow_reader_slows_the_maker() -> None:
    made = []

    async def chunks() -> AsyncIterator[bytes]:
        for n in range(100):
            made.append(n)
            yield b"x"

    stream = Stream(chunks(), asyncio.Event().wait)
    async for _ in stream:
        await asyncio.sleep(0.01)
        break
    await stream.close()

    assert len(made) <= 3


async def test_an_error_of_the_maker_is_not_swallowed() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError

    sent = aiter(Stream(chunks(), asyncio.Event().wait))
    assert await anext(sent) == b"x"
    with pytest.raises(LookupError):
        await anext(sent)
