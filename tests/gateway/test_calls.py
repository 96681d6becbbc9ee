"""What the gateway adds to a call, how many it lets in, and how it ends them."""

import asyncio

import pytest

from tests.gateway.pair import GOOD, Pair
from tests.kernel.http.driver import Response, collector, receiver, scope
from tests.patience import PATIENCE_S
from tests.shop import eventually
from tradepost.gateway import limits
from tradepost.kernel.ids import is_id


async def test_an_order_without_a_key_gets_one_and_is_told(pair: Pair) -> None:
    response = await pair.anyone.post("/goods/orders")

    assert is_id(response.json["key"])
    assert response.headers["idempotency-key"] == response.json["key"]


async def test_the_clients_own_key_is_kept(pair: Pair) -> None:
    response = await pair.anyone.post("/goods/orders", idempotency_key="mine")

    assert (response.json["key"], response.headers["idempotency-key"]) == ("mine", "mine")


async def test_a_key_that_was_made_is_told_once_and_also_when_the_call_is_refused(pair: Pair) -> None:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    receive = receiver([b"["], asyncio.Event())
    await pair.gateway(scope("POST", "/goods/orders", {}), receive, send)
    headers = sent[0]["headers"]

    assert sent[0]["status"] == 422
    assert isinstance(headers, list)
    assert [name for name, _ in headers].count(b"idempotency-key") == 1


async def test_where_keys_mean_nothing_none_is_made(pair: Pair) -> None:
    response = await pair.anyone.post("/goods/login")

    assert (response.json["key"], "idempotency-key" in response.headers) == (None, False)


async def test_every_answer_has_one_request_id_and_the_clients_own_is_kept(pair: Pair) -> None:
    made = await pair.anyone.get("/goods/goods")
    kept = await pair.anyone.get("/goods/goods", x_request_id="mine-1")
    refused = await pair.anyone.get("/nowhere", x_request_id="mine-2")

    assert is_id(made.headers["x-request-id"])
    assert (kept.headers["x-request-id"], refused.headers["x-request-id"]) == ("mine-1", "mine-2")


async def test_beyond_the_limit_of_calls_under_way_the_next_is_refused_and_room_comes_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.gateway.calls = limits.Gate(2)
    pair.goods.hold = asyncio.Event()
    waiting = [asyncio.create_task(pair.anyone.get("/goods/goods")) for _ in range(2)]
    while pair.goods.arrived < 2:
        await asyncio.sleep(0)

    refused = await pair.anyone.get("/goods/goods")
    pair.goods.hold.set()
    served = [one.status for one in await asyncio.gather(*waiting)]

    assert (refused.error, refused.headers["retry-after"]) == ((503, "overloaded"), "1")
    assert (served, pair.gateway.calls.inside, pair.goods.arrived) == ([200, 200], 0, 2)


async def test_a_stream_takes_no_room_of_calls_and_ends_when_the_gateway_stops(pair: Pair) -> None:
    pair.gateway.calls = limits.Gate(1)
    ended = Response()
    call = scope("GET", f"/goods/goods/{GOOD}/stream", {}), receiver([b""], asyncio.Event()), collector(ended)
    streaming = asyncio.create_task(pair.gateway(*call))
    await eventually(lambda: asyncio.sleep(0, ended.body), bool)
    meanwhile = await pair.anyone.get("/goods/goods")

    pair.gateway.stop()
    await asyncio.wait_for(streaming, PATIENCE_S)
    closed = await eventually(lambda: asyncio.sleep(0, pair.goods.closed), bool)

    assert (meanwhile.status, ended.body, closed) == (200, b"data: 1\n\n", ["follow"])
    assert pair.gateway.streams.inside == 0


async def test_nobody_has_all_the_streams(pair: Pair) -> None:
    stream = f"/goods/goods/{GOOD}/stream"
    inside = lambda: asyncio.sleep(0, pair.gateway.streams.inside)  # noqa: E731
    open_ = [asyncio.create_task(pair.as_("alice").get(stream)) for _ in range(limits.STREAMS_EACH)]
    await eventually(inside, lambda count: count == limits.STREAMS_EACH)
    one_more = await pair.as_("alice").get(stream)
    bobs = asyncio.create_task(pair.as_("bob").get(stream))
    await eventually(inside, lambda count: count == limits.STREAMS_EACH + 1)
    assert one_more.error == (429, "rate_limited")

    pair.gateway.stop()
    ended = await asyncio.wait_for(asyncio.gather(*open_, bobs), PATIENCE_S)
    again = await pair.as_("alice").get(stream)
    assert 429 not in {one.status for one in (*ended, again)}
    assert pair.gateway.streams.inside == 0


async def test_every_answer_is_counted_under_its_route(pair: Pair) -> None:
    for path in (f"/goods/goods/{GOOD}", f"/goods/goods/{GOOD}", "/nowhere", "/shelf/a;b"):
        await pair.anyone.get(path)

    counted = {route.traffic.route: route.traffic.statuses for route in pair.routes if route.traffic.statuses}
    assert counted == {"/goods/goods/{good_id}": {200: 2}, "unrouted": {404: 1, 400: 1}}
