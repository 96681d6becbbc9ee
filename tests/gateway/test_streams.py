"""A stream of events goes on for no longer than the session that asked for it, and a file to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.gateway.pair import GOOD, Pair
from tests.kernel.http.driver import Client, Response, collector, receiver, scope
from tests.patience import PATIENCE_S
from tests.shop import eventually
from tradepost.gateway import server, streams
from tradepost.gateway.server import Server, listen
from tradepost.gateway.streams import Stream
from tradepost.gateway.wire import Message

PATH = f"/goods/goods/{GOOD}/stream"
LOOK_S = 0.01


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", LOOK_S)


@asynccontextmanager
async def following(client: Client) -> AsyncIterator[tuple["asyncio.Task[None]", Response]]:
    """A stream of which the first event is here."""
    response = Response()
    call = scope("GET", PATH, client.headers), receiver([b""], asyncio.Event()), collector(response)
    task = asyncio.create_task(client.app(*call))
    await eventually(lambda: asyncio.sleep(0, response.body), bool)
    yield task, response
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_ends_with_the_session_and_others_of_the_same_user_go_on(pair: Pair) -> None:
    async with (
        following(pair.as_("alice", "s-1")) as (ended, response),
        following(pair.as_("alice", "s-2")) as (another, _),
        following(pair.anyone) as (nobodys, _),
    ):
        for verifier in pair.verifiers:
            verifier.revoke(session_id="s-1")
        await asyncio.wait_for(ended, PATIENCE_S)
        closed = await eventually(lambda: asyncio.sleep(0, list(pair.goods.closed)), bool)
        await asyncio.sleep(LOOK_S * 5)

        assert (response.body, closed) == (b"data: 1\n\n", ["follow"])
        assert (another.done(), nobodys.done(), pair.gateway.streams.inside) == (False, False, 2)


class Connection:
    """The client's side of a stream, of which `media` is sent."""

    def __init__(self, media: bytes, *, ended: bool) -> None:
        self.ended = ended
        self.stopping = asyncio.Event()
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        self.stream = Stream(self.coming.get, self._send, self.stopping, lambda: self.ended)
        self._start: Message = {"type": "http.response.start", "headers": [(b"content-type", media)]}

    async def receive(self) -> Any:
        await self.stream.send(self._start)
        async with asyncio.timeout(LOOK_S * 20):
            return await self.stream.receive()

    async def _send(self, message: Message) -> None:
        assert message is self._start


async def test_who_goes_on_sending_does_not_go_on_reading() -> None:
    connection = Connection(b"text/event-stream; charset=utf-8", ended=False)
    sent = {"type": "http.request", "body": b"more", "more_body": True}
    for _ in range(2):
        connection.coming.put_nowait(sent)
    first, connection.ended = await connection.receive(), True

    assert (first, await connection.receive()) == (sent, {"type": "http.disconnect"})


async def test_who_reads_a_file_is_there_until_it_is_read() -> None:
    connection = Connection(b"text/csv", ended=True)
    connection.stopping.set()
    with pytest.raises(TimeoutError):
        await connection.receive()
    connection.coming.put_nowait({"type": "http.disconnect"})

    assert await connection.receive() == {"type": "http.disconnect"}


@asynccontextmanager
async def cut_off(pair: Pair, path: str) -> AsyncIterator[aiohttp.StreamReader]:
    """What is answered at `path`, after its first line, by a process that stops then."""
    listening = listen("127.0.0.1", 0)
    serving = Server(pair.gateway)
    task = await serving.begin(listening)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.content.readline()
        pair.gateway.stop()
        serving.end()
        yield answer.content
    await asyncio.wait_for(task, PATIENCE_S)


async def test_a_process_that_stops_ends_events(pair: Pair) -> None:
    async with cut_off(pair, PATH) as events:
        assert await events.read() == b"\n"


async def test_a_process_that_stops_finishes_a_file(pair: Pair) -> None:
    async with cut_off(pair, "/goods/exports") as file:
        await asyncio.sleep(LOOK_S * 5)
        pair.goods.go_on.set()
        assert await file.read() == b"2\n"


async def test_a_file_that_a_stop_can_not_wait_for_does_not_look_whole(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FINISH_S", LOOK_S)
    async with cut_off(pair, "/goods/exports") as file:
        with pytest.raises(aiohttp.ClientPayloadError):
            await file.read()
