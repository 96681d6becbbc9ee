"""A stream of events goes on for no longer than the session that asked for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.gateway.pair import GOOD, Pair
from tests.kernel.http.driver import Client, Response, collector, receiver, scope
from tests.patience import PATIENCE_S
from tests.shop import eventually
from tradepost.gateway import streams
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


async def test_a_file_is_sent_to_its_end_unless_we_stop() -> None:
    connection = Connection(b"text/csv", ended=True)
    with pytest.raises(TimeoutError):
        await connection.receive()
    connection.stopping.set()

    assert await connection.receive() == {"type": "http.disconnect"}
