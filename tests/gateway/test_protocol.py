"""An answer leaves in one piece, and nothing of it is late, lost or out of order."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from tradepost.gateway.protocol import JOINED_LIMIT, Joining
from tradepost.gateway.server import Server
from tradepost.gateway.wire import Message, Receive, Send


class Transport:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return {"peer": "the peer"}.get(name)


async def turn() -> None:
    await asyncio.sleep(0)


@pytest.fixture
def transport() -> Transport:
    return Transport()


async def test_head_and_body_leave_together(transport: Transport) -> None:
    joining = Joining(transport, asyncio.get_running_loop())
    joining.write(b"head ")
    joining.write(b"body")

    assert transport.sent == [b"head body"]
    await turn()
    assert transport.sent == [b"head body"]


async def test_a_head_whose_body_is_not_there_yet_waits_for_one_turn_only(transport: Transport) -> None:
    joining = Joining(transport, asyncio.get_running_loop())
    joining.write(b"head")

    assert transport.sent == []
    await turn()
    assert transport.sent == [b"head"]


async def test_a_large_body_is_not_copied(transport: Transport) -> None:
    joining, body = Joining(transport, asyncio.get_running_loop()), bytes(JOINED_LIMIT)
    joining.write(b"head")
    joining.write(body)

    assert transport.sent == [b"head", body]
    assert transport.sent[1] is body


async def test_what_is_held_leaves_before_the_end(transport: Transport) -> None:
    joining = Joining(transport, asyncio.get_running_loop())
    joining.write(b"head")
    joining.close()
    await turn()

    assert transport.sent == [b"head"]
    assert joining.is_closing()
    assert joining.get_extra_info("peer") == "the peer"


async def test_that_is_how_the_server_speaks(transport: Transport) -> None:
    async def app(_scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    config = Server(app).config
    config.load()
    connection: Any = config.http_protocol_class
    connection = connection(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    await turn()
    await turn()
    connection.connection_lost(None)

    (answer,) = transport.sent
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\nhello")


@given(st.lists(st.none() | st.binary(min_size=1, max_size=3), max_size=12))
def test_all_is_sent_in_order_whenever_it_is_written(steps: list[bytes | None]) -> None:
    """None is a turn of the loop."""
    transport = Transport()

    async def play() -> None:
        joining = Joining(transport, asyncio.get_running_loop())
        for step in steps:
            if step is None:
                await turn()
            else:
                joining.write(step)
        await turn()

    asyncio.run(play())
    assert b"".join(transport.sent) == b"".join(filter(None, steps))
