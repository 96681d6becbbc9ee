"""Who keeps the server waiting takes nobody's place, and is given up."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from uvicorn.server import ServerState

from tests.gateway.test_protocol import Transport, turn
from tests.patience import PATIENCE_S
from tradepost.gateway import protocol, refusing, server
from tradepost.gateway.protocol import BODY_S, HEAD_LIMIT, HEAD_S, PAUSE_S, SLOWEST, STILL_S, UNREAD_S
from tradepost.gateway.refusing import TOLD_EVERY_S, Ration
from tradepost.gateway.server import KEEP_ALIVE_S, Server, listen
from tradepost.gateway.wire import Message, Receive, Send
from tradepost.kernel.telemetry import FIGURES

NO_CALL = b"no call at all\r\n\r\n"
STRANGERS = """
import asyncio
from tests.gateway.test_patience import NO_CALL, Client
from tradepost.kernel.telemetry import set_up_logs

async def come():
    for _ in range(5):
        await Client().send(NO_CALL)

set_up_logs()
asyncio.run(come())
"""
POST = b"POST /orders HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of each test is logged."""
    monkeypatch.setattr(refusing, "_lines", Ration(TOLD_EVERY_S))


def counted(status: str) -> float:
    return FIGURES.get_sample_value("tradepost_refused_early_total", {"status": status}) or 0.0


class Client(Transport):
    """The other end of a connection; `seen` is what the application was asked."""

    def __init__(self, *, begins_early: bool = False, reads: bool = True, holds: bool = False) -> None:
        super().__init__()
        self.seen: list[bytes] = []
        self.headers: list[bytes] = []
        self.pieces: list[bytes] = []
        self.is_aborted = False
        self.unsent = 0
        self._reads, self._holds = reads, holds

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await self._answer(scope, receive, send)

        vars(app)["begins_early"] = lambda _scope: begins_early
        config = Server(app).config
        config.load()
        made: Any = config.http_protocol_class
        self.connection = made(config=config, server_state=ServerState(), app_state={})
        self.connection.connection_made(self)
        self._began = asyncio.get_running_loop().time()

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.data_received(part)
            for _ in range(4):
                await turn()

    def after(self, seconds: float) -> str:
        """What becomes of the connection when so much time has passed."""
        self.connection.look(self._began + seconds)
        if self.is_aborted:
            return "aborted"
        return "closed" if self.closed else "open"

    @property
    def answers(self) -> Sequence[bytes]:
        return [sent.split(b"\r\n")[0].removeprefix(b"HTTP/1.1 ") for sent in self.sent]

    def abort(self) -> None:
        self.is_aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        self.seen.append(scope["method"].encode())
        self.headers = [name for name, _ in scope["headers"]]
        more = self._reads
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.pieces.append(message["body"])
            more = message["more_body"]
        if self._holds:
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def test_who_connects_and_says_nothing_is_sent_away_without_a_word() -> None:
    client = Client()
    assert client.after(KEEP_ALIVE_S - 1) == "open"
    assert client.after(KEEP_ALIVE_S + 5) == "closed"
    assert client.sent == []


async def test_a_head_that_does_not_end_is_not_waited_for() -> None:
    client = Client()
    await client.send(b"GET / HTTP/1.1\r\nhost: here\r\n", b"x-slow: ", b"1")
    assert client.after(HEAD_S - 1) == "open"
    assert client.after(HEAD_S + 5) == "closed"
    assert (client.answers, client.seen) == ([b"408 Request Timeout"], [])


async def test_a_head_that_is_too_long_is_refused() -> None:
    client = Client()
    await client.send(b"GET / HTTP/1.1\r\nhost: here\r\nx-long: ", *[b"x" * 8_192] * (HEAD_LIMIT // 8_192 + 1))
    assert client.closed
    assert (client.answers, client.seen) == ([b"431 Request Header Fields Too Large"], [])


async def test_a_body_that_does_not_come_takes_nobodys_place() -> None:
    client = Client()
    await client.send(POST % 5, b"hel")
    assert client.seen == []
    assert client.after(BODY_S - 1) == "open"
    assert client.after(BODY_S + 5) == "closed"
    assert (client.answers, client.seen) == ([b"408 Request Timeout"], [])


async def test_what_waited_for_its_body_goes_with_the_connection() -> None:
    client = Client()
    await client.send(POST % 5, b"hel")
    gone = weakref.ref(client.connection)
    client.connection.connection_lost(None)
    gc.disable()
    try:
        client.connection = None
        await turn()
        assert gone() is None
    finally:
        gc.enable()


async def test_who_had_to_wait_for_his_turn_has_all_his_time() -> None:
    client = Client()
    await client.send(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n" + POST % 5)
    client.connection._until = client._began + 0.5
    client.connection.flow.read_paused = True
    assert client.after(0.4) == "open"
    client.connection.flow.read_paused = False
    assert client.after(BODY_S) == "open"


async def test_a_body_in_pieces_is_taken_whole() -> None:
    client = Client()
    await client.send((POST % 5)[:20], (POST % 5)[20:], b"he", b"llo")
    assert (client.answers, client.pieces) == ([b"200 OK"], [b"hello"])
    await client.send(POST % 2 + b"a" + b"b", b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    assert client.answers == [b"200 OK"] * 3
    assert client.after(STILL_S) == "open", "idle between calls is uvicorn's affair"


async def test_who_asks_whether_to_send_a_body_is_told() -> None:
    client = Client()
    await client.send(b"POST / HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert client.answers == [b"100 Continue"]
    await client.send(b"ok")
    assert client.answers == [b"100 Continue", b"200 OK"]


async def test_who_asks_first_and_then_sends_nothing_takes_nobodys_place_either() -> None:
    client = Client()
    await client.send(b"POST / HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert client.seen == []
    assert client.after(BODY_S + 5) == "closed"


async def test_an_upload_begins_at_once() -> None:
    class Uploads:
        seen = 0

        def begins_early(self, scope: Message) -> bool:
            return bool(scope["path"] == "/uploads")

        async def __call__(self, _scope: Message, receive: Receive, _send: Send) -> None:
            self.seen += 1
            while (await receive())["type"] != "http.disconnect":
                pass

    app, client = Uploads(), Client()
    for path, seen in ((b"/uploads", 1), (b"/others", 1)):
        config = Server(app).config
        config.load()
        made: Any = config.http_protocol_class
        connection = made(config=config, server_state=ServerState(), app_state={})
        connection.connection_made(client)
        connection.data_received((POST % 10).replace(b"/orders", path) + b"12345")
        await turn()
        assert app.seen == seen
        connection.connection_lost(None)
        await turn()


async def test_a_large_body_begins_before_it_is_all_here() -> None:
    client, size = Client(), 200_000
    await client.send(POST % size, b"x" * 70_000)
    assert client.seen == [b"POST"]
    assert client.after(PAUSE_S - 1) == "open"
    await client.send(b"x" * 130_000)
    assert b"".join(client.pieces) == b"x" * size
    assert client.answers == [b"200 OK"]


async def test_one_that_then_stands_still_keeps_its_place_for_seconds_only() -> None:
    client = Client()
    await client.send(POST % 200_000, b"x" * 70_000)
    assert client.after(PAUSE_S + 5) == "closed"
    assert client.answers == [b"408 Request Timeout"]


async def test_an_upload_may_stand_still_for_longer() -> None:
    client = Client(begins_early=True)
    await client.send(POST % 200_000, b"x" * 70_000)
    assert client.seen == [b"POST"]
    assert client.after(STILL_S - 1) == "open"
    assert client.after(STILL_S + 5) == "closed"


async def test_trailers_have_an_end_and_reach_nobody() -> None:
    chunked = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    client = Client()
    await client.send(chunked, b"x-user-id: 1\r\n\r\n")
    assert (client.answers, client.headers) == ([b"200 OK"], [b"host", b"transfer-encoding"])
    client = Client()
    await client.send(chunked, b"x-long: ", *[b"x" * 8_192] * (HEAD_LIMIT // 8_192 + 1))
    assert client.closed
    assert client.seen == []


async def test_the_rest_of_a_body_that_was_answered_before_does_not_hold_the_connection() -> None:
    client = Client(begins_early=True, reads=False)
    await client.send(POST % 100_000, b"x" * 70_000)
    assert client.answers == [b"200 OK"]
    await client.send(b"x" * 30_000)
    assert client.after(KEEP_ALIVE_S + 5) == "closed"
    client = Client(begins_early=True, reads=False)
    await client.send(POST % 10, b"x" * 10 + b"GET / HT")
    assert client.after(HEAD_S + 5) == "closed"
    assert client.answers == [b"200 OK", b"408 Request Timeout"]


async def test_a_call_that_waits_behind_another_is_refused_in_nobodys_name() -> None:
    client = Client(holds=True)
    await client.send(POST % 2 + b"ok", POST % 5)
    client.connection.flow.resume_reading()
    assert client.after(BODY_S + 5) == "closed"
    assert client.answers == []


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ([b"there was more than was said\r\n\r\n"], b"400 Bad Request"),
        ([b"GET / HTTP/1.1\r\nx: ", *[b"x" * 8_192] * 9], b"431 Request Header Fields Too Large"),
    ],
)
async def test_a_call_that_was_made_is_not_told_that_it_was_none(more: Sequence[bytes], refusal: bytes) -> None:
    held, answered = Client(holds=True), Client()
    for client in (held, answered):
        await client.send(POST % 2 + b"ok", *more)
        assert (client.closed, client.seen) == (True, [b"POST"])

    assert held.answers == []
    assert answered.answers == [b"200 OK", refusal]


@pytest.mark.parametrize("first", [1_000, 200_000])
async def test_an_upload_may_stand_still_however_much_of_it_came_with_its_head(first: int) -> None:
    client = Client(begins_early=True)
    await client.send(POST % 1_000_000 + b"x" * first)
    assert client.seen == [b"POST"]
    await client.send(b"x" * 100_000)
    assert client.after(PAUSE_S + 5) == "open"
    assert client.after(STILL_S + 5) == "closed"


async def test_drops_do_not_buy_time() -> None:
    client = Client()
    await client.send(POST % 100, *[b"x"] * 50)
    assert client.after(BODY_S + 50 / SLOWEST + 5) == "closed"


async def test_who_is_not_read_from_is_not_blamed() -> None:
    client = Client()
    await client.send(POST % 200_000, b"x" * 70_000)
    client.connection.flow.pause_reading()
    assert client.after(STILL_S + 5) == "open"


async def test_an_empty_line_after_an_answer_does_not_hold_the_connection() -> None:
    client = Client()
    await client.send(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", b"\r\n")
    assert client.answers == [b"200 OK"]
    assert client.after(HEAD_S + 5) == "closed"
    assert client.answers == [b"200 OK"]


async def test_an_answer_that_is_not_fetched_is_given_up() -> None:
    client = Client()
    await client.send(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    client.unsent = 100
    client.connection.pause_writing()
    client.connection.resume_writing()
    assert client.after(UNREAD_S + 5) == "open"
    client.connection.pause_writing()
    for n in range(1, 10):  # slowly, but all the time
        client.unsent -= 1
        assert client.after(20 * n) == "open"
    assert client.after(180 + UNREAD_S - 1) == "open"
    assert client.after(180 + UNREAD_S + 1) == "aborted"


async def test_a_close_that_does_not_come_to_an_end_is_an_abort() -> None:
    client = Client()
    client.connection.transport.close()
    assert client.after(1) == "closed"
    assert client.after(UNREAD_S + 5) == "aborted"


async def test_a_server_that_stops_does_not_wait_for_a_body() -> None:
    client = Client()
    await client.send(POST % 5)
    client.connection.shutdown()
    assert client.closed
    assert (client.seen, client.answers) == ([], [b"503 Service Unavailable"])


@pytest.mark.parametrize(
    ("parts", "status", "error", "instance"),
    [
        ([POST.replace(b"\r\n\r\n", b"\r\nx-request-id: r-1\r\n\r\n") % 5, b"hel"], 408, "request_timeout", "/orders"),
        ([b"GET / HTTP/1.1\r\nhost: here\r\n"], 408, "request_timeout", None),
        ([b"GET / HTTP/1.1\r\nx: ", b"x" * 70_000], 431, "head_too_large", None),
        ([NO_CALL], 400, "malformed_request", None),
    ],
)
async def test_who_is_given_up_is_told_as_everybody_is(
    parts: Sequence[bytes], status: int, error: str, instance: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Client()
    await client.send(*parts)
    assert client.after(BODY_S + 5) == "closed"
    head, _, body = client.sent[-1].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    problem = msgspec.json.decode(body)

    assert (problem["status"], problem["error"], problem.get("instance")) == (status, error, instance)
    assert problem["detail"]
    assert problem["request_id"] == headers["x-request-id"]
    assert instance is None or problem["request_id"] == "r-1"
    assert headers["content-type"] == "application/problem+json"
    assert (headers["content-length"], headers["connection"]) == (str(len(body)), "close")
    assert headers["traceparent"].startswith("00-")
    assert problem["request_id"] in capsys.readouterr().out


async def test_who_is_refused_again_and_again_is_counted_and_does_not_fill_the_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, clock = counted("400"), iter((0.0, 0.1, 0.9, 1.1, 1.2, 3.0))
    monkeypatch.setattr(refusing, "monotonic", lambda: next(clock))
    for _ in range(6):
        client = Client()
        await client.send(NO_CALL)
        assert client.answers == [b"400 Bad Request"]

    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("left_out=")[2][0] for line in lines] == ["0", "2", "1"]
    assert counted("400") - before == 6


async def test_of_a_long_path_the_log_has_the_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    client = Client()
    await client.send(POST.replace(b"/orders", b"/" + b"o" * 60_000) % 5)
    assert client.after(BODY_S + 5) == "closed"

    assert b"o" * 60_000 in client.sent[-1]
    assert len(capsys.readouterr().out) < 500


def test_the_library_has_nothing_to_add_about_strangers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRANGERS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert {json.loads(line)["event"] for line in done.stderr.splitlines()} == {"refused_early"}


async def test_more_silent_clients_than_there_are_places_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_S", 0.2)
    monkeypatch.setattr(server, "LOOK_TICKS", 1)
    inside = 0

    async def app(_scope: Message, receive: Receive, send: Send) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1, "there is one place"
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        inside -= 1

    listening = listen("127.0.0.1", 0)
    port, serving = listening.getsockname()[1], Server(app)
    task = await serving.begin(listening)
    async with asyncio.timeout(PATIENCE_S):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in silent:
            writer.write(POST % 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % 2 + b"ok")
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")
        for refused, _ in silent:
            assert (await refused.read()).startswith(b"HTTP/1.1 408")
        writer.close()
        for _, one in silent:
            one.close()
        serving.end()
        await task
