"""Who offers to go on in another protocol is answered in this one, and nothing of what it sends is lost."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.gateway.test_patience import Client
from tests.gateway.test_protocol import turn
from tests.patience import PATIENCE_S

H2C = b"connection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\nupgrade: h2c\r\n"
WEBSOCKET = b"connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAMAAABkAARAAAAAAAIAAA==\r\n"
CALL = b"POST /orders?a=1 HTTP/1.1\r\nhost: here\r\n%bcontent-length: 5\r\n\r\nhello"
CHUNKED = CALL.replace(b"content-length: 5", b"transfer-encoding: chunked")
CHUNKED = CHUNKED.replace(b"hello", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
NEXT = b"GET /next HTTP/1.1\r\nhost: here\r\n\r\n"


def cuts(data: bytes) -> Sequence[Sequence[bytes]]:
    """As it may arrive: at once, in two parts that meet here or there, and byte by byte."""
    return [[data], *([data[:at], data[at:]] for at in range(1, len(data), 7)), [bytes([byte]) for byte in data]]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("call", [CALL, CHUNKED], ids=["length", "chunked"])
async def test_a_body_behind_an_offer_arrives_and_so_does_the_next_call(offer: bytes, call: bytes) -> None:
    for parts in cuts(call % offer + NEXT):
        client = Client()
        await client.send(*parts)
        assert client.seen == [b"POST", b"GET"]
        assert (b"".join(client.pieces), client.answers) == (b"hello", [b"200 OK", b"200 OK"])


async def test_the_application_is_told_nothing_of_the_offer() -> None:
    client = Client()
    await client.send(CALL % H2C)
    assert client.headers == [b"host", b"connection", b"content-length"]


async def test_many_offers_at_once_are_read_one_after_the_other() -> None:
    client = Client()
    await client.send((CALL % H2C) * 2_000)
    async with asyncio.timeout(PATIENCE_S):
        while len(client.seen) < 2_000:
            await turn()
    assert (set(client.answers), b"".join(client.pieces)) == ({b"200 OK"}, b"hello" * 2_000)


async def test_what_is_meant_for_the_gateway_alone_stays_so() -> None:
    client = Client()
    await client.send(CALL % b"connection: Upgrade, X-Hop\r\nx-hop: 1\r\nupgrade: h2c\r\n")
    assert client.headers == [b"host", b"connection", b"x-hop", b"content-length"]


async def test_who_wants_to_leave_after_it_may() -> None:
    client = Client()
    await client.send(CALL % b"connection: close, Upgrade\r\nupgrade: h2c\r\n")
    assert (client.seen, client.closed) == ([b"POST"], True)


async def test_a_body_that_does_not_come_is_waited_for_as_ever() -> None:
    client = Client()
    await client.send((CALL % H2C).removesuffix(b"llo"))
    assert client.seen == []
    assert client.after(1_000) == "closed"
    assert client.answers == [b"408 Request Timeout"]


async def test_a_tunnel_is_refused() -> None:
    client = Client()
    await client.send(b"CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere\r\n\r\nhello")
    assert (client.seen, client.answers, client.closed) == ([], [b"400 Bad Request"], True)
