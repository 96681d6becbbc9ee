"""Calls reach an instance that can answer, and nothing is done twice on the way."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
import pytest

from tests.gateway.apart import Double, Scope, Wire, answer, nowhere, open_front, serving, whole, wired
from tests.shop import eventually
from tradepost.gateway import forwarding, pool
from tradepost.gateway.budget import Budget
from tradepost.gateway.instances import State


async def reset(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def saying(answer: bytes) -> Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]:
    async def react(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return react


async def test_busy_instances_get_fewer_calls_than_idle_ones() -> None:
    slow, quick = Double("slow", hold=asyncio.Event()), Double("quick")
    async with serving(slow) as a, serving(quick) as b, open_front(a, b) as front:
        waiting = asyncio.gather(*(front.call("GET", "/goods/things/x") for _ in range(20)))
        await eventually(lambda: asyncio.sleep(0, len(quick.seen) + len(slow.seen)), lambda seen: seen == 20)
        held = slow.under_way
        told = [(await front.call("GET", "/goods/things/x"))[1] for _ in range(10)]
        slow.hold.set() if slow.hold else None
        await waiting

    assert 0 < held < 20
    assert Counter(told) == {b"quick": 10}


async def test_an_instance_that_is_gone_costs_no_client_anything() -> None:
    double = Double()
    async with AsyncExitStack() as dying, serving(double) as alive:
        gone = await dying.enter_async_context(serving(Double()))
        async with open_front(gone, alive) as front:
            assert front.upstream.instances.ready == 2
            await dying.aclose()
            posted = [await front.call("POST", "/goods/login", data=b"{}") for _ in range(10)]

    assert {status for status, _, _ in posted} == {200}
    assert len(double.seen) == 10


async def test_one_that_comes_back_is_used_again() -> None:
    url = nowhere()
    async with open_front(url) as front:
        before = await front.call("GET", "/goods/things/x")
        port = int(url.rpartition(":")[2])
        wire = Wire(saying(b"HTTP/1.1 204 OK\r\n\r\n"))
        server = await asyncio.start_server(wire.talk, "127.0.0.1", port)
        await eventually(lambda: asyncio.sleep(0, front.upstream.instances.ready), lambda ready: ready == 1)
        after = await front.call("GET", "/goods/things/x")
        server.close()

    assert (before[0], after[0]) == (503, 204)


async def test_without_any_instance_the_client_is_told_to_come_back() -> None:
    async with open_front(nowhere(), nowhere()) as front:
        status, body, headers = await front.call("POST", "/goods/things", headers={"x-request-id": "mine"})

    problem = msgspec.json.decode(body)
    assert (status, problem["error"], problem["request_id"]) == (503, "upstream_unavailable", "mine")
    assert (headers["retry-after"], headers["content-type"]) == ("1", "application/problem+json")


async def test_what_was_sent_is_repeated_only_where_that_changes_nothing() -> None:
    outcomes = {}
    for method, path, headers in (
        ("GET", "/goods/things/x", {}),
        ("PUT", "/goods/things/x", {}),
        ("DELETE", "/goods/things/x", {}),
        ("POST", "/goods/things", {"Idempotency-Key": "k"}),
        ("POST", "/goods/things", {}),
        ("POST", "/goods/login", {"Idempotency-Key": "k"}),
    ):
        broken, good = Wire(reset), Double()
        async with wired(broken) as a, serving(good) as b, open_front(a, b) as front:
            front.upstream.instances.all[1].calls = 5  # so that the other one is first
            status, body, _ = await front.call(method, path, headers=headers, data=b"{}" if method == "POST" else None)
            error = msgspec.json.decode(body)["error"] if status != 200 else None
        outcomes[method, path, bool(headers)] = (status, error, len(broken.requests), len(good.seen))

    assert outcomes == {
        ("GET", "/goods/things/x", False): (200, None, 1, 1),
        ("PUT", "/goods/things/x", False): (200, None, 1, 1),
        ("DELETE", "/goods/things/x", False): (200, None, 1, 1),
        ("POST", "/goods/things", True): (200, None, 1, 1),
        ("POST", "/goods/things", False): (502, "upstream_failed", 1, 0),
        ("POST", "/goods/login", True): (502, "upstream_failed", 1, 0),
    }


async def test_a_repeated_call_is_the_same_to_the_last_byte() -> None:
    broken, good = Wire(reset), Double()
    async with wired(broken) as a, serving(good) as b, open_front(a, b) as front:
        front.upstream.instances.all[1].calls = 5
        await front.call("POST", "/goods/things?a=%20", headers={"Idempotency-Key": "k"}, data=b"x" * 100_000)

    (seen,) = good.seen
    assert broken.requests[0].endswith(seen.body)
    assert (seen.body, seen.query) == (b"x" * 100_000, b"a=%20")
    assert f"x-request-id: {seen.header('x-request-id')}".encode() in broken.requests[0]


async def test_repeats_stay_within_their_budget() -> None:
    broken = Wire(reset)
    async with wired(broken) as url, open_front(url) as front:
        front.upstream._budget = Budget(lambda: 0.0)  # in no time, however slow the machine is
        instance = front.upstream.instances.all[0]
        for _ in range(100):
            instance.state = State.READY  # as if it came back each time
            status, _, _ = await front.call("GET", "/goods/things/x")
            assert status in (502, 503)

    a_fifth_and_the_first_ten = 20 + 10
    assert 20 <= len(broken.requests) - 100 <= a_fifth_and_the_first_ten
    assert len(broken.requests) - 100 <= front.upstream.repeats


async def test_one_that_stops_gets_nothing_new_and_finishes_what_it_has() -> None:
    stopping, other = Double("stopping", hold=asyncio.Event()), Double("other")
    async with serving(stopping) as a, serving(other) as b, open_front(a, b) as front:
        first, second = front.upstream.instances.all
        second.calls = 5
        held = asyncio.create_task(front.call("GET", "/goods/things/x"))
        await eventually(lambda: asyncio.sleep(0, stopping.under_way), lambda under_way: under_way == 1)
        stopping.readiness = (503, b'{"status":"stopping"}')
        await eventually(lambda: asyncio.sleep(0, first.state), lambda state: state is State.STOPPING)
        told = [(await front.call("GET", "/goods/things/x"))[1] for _ in range(5)]
        assert stopping.hold is not None
        stopping.hold.set()

        assert (await held)[:2] == (200, b"stopping")
    assert told == [b"other"] * 5
    assert len(stopping.seen) == 1


async def test_an_answer_that_does_not_come_in_time_is_given_up_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarding, "DEADLINE_S", 2)
    double = Double(hold=asyncio.Event())
    async with serving(double) as url, open_front(url) as front:
        status, body, headers = await front.call("GET", "/goods/things/x")
        assert double.hold is not None
        double.hold.set()

    assert (status, msgspec.json.decode(body)["error"], headers["retry-after"]) == (504, "upstream_timeout", "1")
    assert len(double.seen) == 1


async def test_who_asked_to_wait_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "DEADLINE_S", 0.2)

    async def late(double: Double, scope: Scope, receive: object, send: object) -> None:
        await whole(receive)
        await asyncio.sleep(0.5)
        await answer(send, 200, b"late")

    async with serving(Double(respond=late)) as url, open_front(url) as front:
        status, body, _ = await front.call("POST", "/goods/things", headers={"Prefer": "wait=5"}, data=b"{}")

    assert (status, body) == (200, b"late")


async def test_an_instance_that_answers_with_nonsense_is_a_failure() -> None:
    async with wired(Wire(saying(b"nonsense\r\n\r\n"))) as url, open_front(url) as front:
        status, body, _ = await front.call("POST", "/goods/login", data=b"{}")

    assert (status, msgspec.json.decode(body)["error"]) == (502, "upstream_failed")


async def test_running_out_of_files_is_not_taken_for_a_dead_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = False
    open_socket = pool._watched_socket

    def factory(address: object) -> socket.socket:
        if crowded:
            raise OSError(errno.EMFILE, "Too many open files")
        return open_socket(address)

    monkeypatch.setattr(pool, "_watched_socket", factory)
    async with serving(Double(hold=asyncio.Event())) as url, open_front(url) as front:
        waiting = asyncio.create_task(front.call("GET", "/goods/things/x"))  # takes the one open connection
        instance = front.upstream.instances.all[0]
        await eventually(lambda: asyncio.sleep(0, instance.calls), lambda calls: calls == 1)
        crowded = True
        status, body, _ = await front.call("POST", "/goods/login", data=b"{}")
        waiting.cancel()

        assert (status, msgspec.json.decode(body)["error"]) == (503, "overloaded")
        assert instance.state is State.READY
