"""What the gateway passes on and what it does not, over real connections: bytes as they are, ends as they come."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.gateway.apart import Double, Scope, Wire, answer, narrow, open_front, serving, whole, wired
from tests.patience import PATIENCE_S
from tests.shop import eventually
from tradepost.gateway import forwarding, pool
from tradepost.gateway.seal import Seal
from tradepost.kernel.ids import is_id

SECRET = "of-the-tests"


async def raw(port: int, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def head(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        return await reader.readuntil(b"\r\n\r\n")


async def soon(look: Any, holds: Any) -> None:
    await eventually(lambda: asyncio.sleep(0, look()), holds)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (b"/goods/things/a%20b+c", b"q=a+b&q=%2B&&empty=&x"),
        (b"/goods/things/50%25", b"redirect=http://elsewhere/?a=b/../c"),
        (b"/goods/things/%E2%82%AC", b"%e2%82%ac=%E2%82%AC"),
        (b"/goods/things/x", b""),
        (b"/goods/stock/1%2f2%5CB%252F%2F", b"a=%2F"),
    ],
)
async def test_path_and_query_arrive_byte_for_byte(path: bytes, query: bytes) -> None:
    double = Double()
    async with serving(double) as url, open_front(url) as front:
        target = path + (b"?" + query if query else b"")
        reader, writer = await raw(front.port, b"GET " + target + b" HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        told = await head(reader)
        writer.close()

    assert told.startswith(b"HTTP/1.1 200 ")
    assert (double.seen[0].path, double.seen[0].query) == (path, query)


async def test_headers_go_on_without_those_between_neighbours() -> None:
    double = Double()
    sent = {
        "Connection": "close, X-Private",
        "X-Private": "1",
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "Upgrade": "h2c",
        "X-Internal-Client": "203.0.113.9 0",
        "X-User-Id": "root",
        "Accept-Language": "de",
        "Cookie": "a=b",
        "X-Euro": "€",
    }
    async with serving(double) as url, open_front(url) as front:
        await front.call("GET", "/goods/things/x", headers=sent, skip_auto_headers=("accept", "user-agent"))

    seen = double.seen[0]
    kept = {"accept-encoding", "accept-language", "cookie", "x-euro"}
    assert seen.names == sorted({*kept, "host", "traceparent", "x-internal-client", "x-request-id"})
    assert seen.header("host") == url.removeprefix("http://")
    assert dict(seen.headers)[b"x-euro"].decode() == "€"
    assert Seal(SECRET).address_in(seen.headers) == "127.0.0.1"


async def test_a_call_has_one_identity_in_both_processes() -> None:
    double = Double()
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    async with serving(double) as url, open_front(url) as front:
        await front.call("GET", "/goods/things/x", headers={"traceparent": trace, "x-request-id": "mine"})
        await front.call("GET", "/goods/things/x", headers={"traceparent": "junk", "x-request-id": "not safe\t"})

    given, made = double.seen
    assert (given.header("traceparent"), given.header("x-request-id")) == (trace, "mine")
    assert is_id(made.header("x-request-id"))
    assert made.header("traceparent").startswith("00-")


async def test_the_answer_goes_back_as_it_is() -> None:
    async def respond(double: Double, scope: Scope, receive: Any, send: Any) -> None:
        headers = [(b"content-encoding", b"gzip"), (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"x-end", b"1")]
        headers += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"location", b"/elsewhere")]
        await answer(send, 302, b"\x1f\x8bnot really", headers)

    async with serving(Double(respond=respond)) as url, open_front(url) as front:
        status, body, headers = await front.call("GET", "/goods/things/x", allow_redirects=False)

    assert (status, body, headers["content-encoding"]) == (302, b"\x1f\x8bnot really", "gzip")
    assert (headers["location"], headers["x-end"], headers.getall("set-cookie")) == ("/elsewhere", "1", ["a=1", "b=2"])
    assert ("x-hop" in headers, len(headers.getall("date"))) == (False, 1)


async def test_head_options_and_unknown_methods_are_the_services_to_answer() -> None:
    async def respond(double: Double, scope: Scope, receive: Any, send: Any) -> None:
        double.note(scope, await whole(receive))
        status = {"HEAD": 200, "OPTIONS": 204, "PATCH": 405}[scope["method"]]
        length = [(b"content-length", b"1234")] if scope["method"] == "HEAD" else []
        headers = [(b"allow", b"GET"), *length]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    double = Double(respond=respond)
    async with serving(double) as url, open_front(url) as front:
        told = {method: await front.call(method, "/goods/things/x") for method in ("HEAD", "OPTIONS", "PATCH")}
        nowhere, _, _ = await front.call("GET", "/goods/nothing/here")

    assert {method: (status, body) for method, (status, body, _) in told.items()} == {
        "HEAD": (200, b""),
        "OPTIONS": (204, b""),
        "PATCH": (405, b""),
    }
    assert told["HEAD"][2]["content-length"] == "1234"
    assert (nowhere, [seen.method for seen in double.seen]) == (404, ["HEAD", "OPTIONS", "PATCH"])


async def stream(double: Double, scope: Scope, receive: Any, send: Any) -> None:
    """One event, and then nothing until the client leaves."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    double.left += 1


async def test_an_event_passes_at_once_and_who_leaves_ends_the_stream_behind_too() -> None:
    double = Double(respond=stream)
    async with serving(double) as url, open_front(url) as front:
        reader, writer = await raw(front.port, b"GET /goods/feed HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        assert (await head(reader)).startswith(b"HTTP/1.1 200 ")
        async with asyncio.timeout(PATIENCE_S):
            event = await reader.readuntil(b"\n\n")
        instance = front.upstream.instances.all[0]
        streams = instance.streams
        writer.transport.abort()
        await soon(lambda: double.left, lambda left: left == 1)
        await soon(lambda: instance.streams, lambda streams: streams == 0)

    assert (event.partition(b"\r\n")[2], streams, instance.calls) == (b"data: 1\n\n", 1, 0)


async def test_a_stream_has_a_proper_end_when_the_gateway_stops() -> None:
    async with (
        serving(Double(respond=stream)) as url,
        open_front(url) as front,
        front.client.get(front.url + "/goods/feed") as response,
    ):
        first = await response.content.readuntil(b"\n\n")
        front.gateway.stop()

        assert (response.status, first, await response.read()) == (200, b"data: 1\n\n", b"")


async def test_who_leaves_while_waiting_is_not_waited_for_behind() -> None:
    async def wait(double: Double, scope: Scope, receive: Any, send: Any) -> None:
        await whole(receive)
        double.note(scope, b"")
        while (await receive())["type"] != "http.disconnect":
            pass
        double.left += 1

    double = Double(respond=wait)
    async with serving(double) as url, open_front(url) as front:
        sent = b"POST /goods/things HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\n{}"
        _, writer = await raw(front.port, sent)
        await soon(lambda: len(double.seen), lambda seen: seen == 1)
        writer.transport.abort()
        await soon(lambda: double.left, lambda left: left == 1)

        assert front.upstream.instances.all[0].state.value == "ready"


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked"])
async def test_an_answer_that_breaks_off_breaks_off_for_the_client(framing: bytes) -> None:
    async def react(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with wired(Wire(react)) as url, open_front(url) as front:
        with pytest.raises(aiohttp.ClientPayloadError):
            await front.call("GET", "/goods/things/x")


async def test_an_upload_passes_through_in_little_memory_and_its_report_comes_back_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size, most, open_socket = 0, 0, pool._watched_socket
    monkeypatch.setattr(pool, "_watched_socket", lambda address: narrow(open_socket(address)))

    async def report(double: Double, scope: Scope, receive: Any, send: Any) -> None:
        nonlocal size, most
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            most = max(most, produced - size)
            if size == len(PIECE):
                await send({"type": "http.response.body", "body": b"begun,", "more_body": True})
        await send({"type": "http.response.body", "body": b"done"})

    produced = 0
    reported = asyncio.Event()

    async def lines() -> Any:
        nonlocal produced
        produced += len(PIECE)
        yield PIECE
        await asyncio.wait_for(reported.wait(), PATIENCE_S)
        for _ in range(1_000):
            produced += len(PIECE)
            yield PIECE

    async with (
        serving(Double(respond=report)) as url,
        open_front(url) as front,
        front.client.post(front.url + "/goods/imports", data=lines()) as response,
    ):
        first = await response.content.readexactly(6)
        reported.set()
        rest = await response.read()

    assert (first, rest, size) == (b"begun,", b"done", 1_001 * len(PIECE))
    assert most < 4 * 1024 * 1024  # of 64 MiB, what lies in sockets and buffers of both hops


PIECE = b"x" * 65_536


async def test_an_upload_of_known_length_keeps_it() -> None:
    double = Double()
    async with serving(double) as url, open_front(url) as front:
        await front.call("POST", "/goods/imports", data=b"x" * 3_000_000)

    (seen,) = double.seen
    assert (seen.header("content-length"), len(seen.body)) == ("3000000", 3_000_000)
    assert "transfer-encoding" not in seen.names


async def test_an_upload_that_is_cut_short_is_cut_short_behind_too() -> None:
    came, ends = b"", list[str]()

    async def swallow(double: Double, scope: Scope, receive: Any, send: Any) -> None:
        nonlocal came
        while True:
            message = await receive()
            came += message.get("body", b"")
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                ends.append(message["type"])
                return

    async with serving(Double(respond=swallow)) as url, open_front(url) as front:
        sent = b"POST /goods/imports HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        _, writer = await raw(front.port, sent)
        await soon(lambda: came, lambda came: came == b"hello")
        writer.transport.abort()
        await soon(lambda: len(ends), lambda count: count == 1)
        state = front.upstream.instances.all[0].state.value

    assert (ends, state) == (["http.disconnect"], "ready")


async def test_an_upload_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "IDLE_S", 0.3)
    async with serving(Double(hold=asyncio.Event())) as url, open_front(url) as front:
        status, _, _ = await front.call("POST", "/goods/imports", data=b"x" * 10)
        assert status == 504


async def test_a_client_that_asks_before_it_uploads_is_told_by_the_service() -> None:
    async def refuse(double: Double, scope: Scope, receive: Any, send: Any) -> None:
        if (b"x-wanted", b"1") in scope["headers"]:
            double.note(scope, await whole(receive))
            await answer(send, 200, b"taken")
        else:
            await answer(send, 401, b"no")

    request = b"POST /goods/imports HTTP/1.1\r\nhost: shop.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n"
    double = Double(respond=refuse)
    async with serving(double) as url, open_front(url) as front:
        unwanted, _ = await raw(front.port, request + b"\r\n")
        wanted, writer = await raw(front.port, request + b"x-wanted: 1\r\n\r\n")
        told = await head(unwanted), await head(wanted)
        writer.write(b"hello")
        answered = await head(wanted)

    assert (told[0].split(b" ")[1], told[1].split(b" ")[1], answered.split(b" ")[1]) == (b"401", b"100", b"200")
    assert double.seen[0].body == b"hello"


async def test_a_small_body_that_was_asked_about_goes_on_whole() -> None:
    double = Double()
    async with serving(double) as url, open_front(url) as front:
        sent = b"POST /goods/things HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
        reader, writer = await raw(front.port, sent)
        first = await head(reader)
        writer.write(b"{}")
        second = await head(reader)

    assert (first.split(b" ")[1], second.split(b" ")[1]) == (b"100", b"200")
    assert (double.seen[0].body, "expect" in double.seen[0].names) == (b"{}", False)


async def test_a_body_in_chunks_goes_on_with_a_length() -> None:
    double = Double()
    async with serving(double) as url, open_front(url) as front:
        sent = b"POST /goods/things HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        reader, _ = await raw(front.port, sent)
        await head(reader)

    assert (double.seen[0].header("content-length"), double.seen[0].body) == ("2", b"{}")
