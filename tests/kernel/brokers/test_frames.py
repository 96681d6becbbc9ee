"""Frames from RabbitMQ come out as the library would read them, but a message as one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from tradepost.kernel.brokers.rabbitmq.frames import Arrived, Frames

FIRST = frame.marshal(Connection.Start(server_properties={}), 0)
PROPERTIES = Basic.Properties(message_id="m", headers={"subject": "s"})

messages = st.tuples(st.just("message"), st.integers(1, 3), st.integers(1, 2**63 - 1), st.lists(st.binary(min_size=1)))
confirmations = st.tuples(st.just("ack"), st.integers(4, 5), st.integers(1, 2**63 - 1), st.builds(list[bytes]))


def sent(kind: str, channel: int, tag: int, parts: Sequence[bytes]) -> list[bytes]:
    if kind == "ack":
        return [frame.marshal(Basic.Ack(delivery_tag=tag, multiple=True), channel)]
    deliver = Basic.Deliver(consumer_tag="c" * (tag % 9), delivery_tag=tag, exchange="e", routing_key="k")
    header = ContentHeader(body_size=sum(map(len, parts)), properties=PROPERTIES)
    made: tuple[Any, ...] = (deliver, header, *map(ContentBody, parts))
    return [frame.marshal(one, channel) for one in made]


def came(received: tuple[int, int, Any]) -> tuple[str, int, int, bytes]:
    _, channel, made = received
    if isinstance(made, Arrived):
        return "message", channel, made.tag, made.body
    return "ack", channel, made.delivery_tag, b""


async def read(data: bytes, step: int) -> list[tuple[int, int, Any]]:
    reader = asyncio.StreamReader()
    frames = Frames(reader)
    reader.feed_data(FIRST)
    assert isinstance((await frames.get_frame())[2], Connection.Start)
    reading = asyncio.create_task(_all(frames))
    for at in range(0, len(data), step):
        reader.feed_data(data[at : at + step])
        await asyncio.sleep(0)
    reader.feed_eof()
    return await reading


async def _all(frames: Frames) -> list[tuple[int, int, Any]]:
    found = []
    try:
        while True:
            found.append(await frames.get_frame())
    except AMQPConnectionError:
        return found


@given(st.lists(messages | confirmations, max_size=5), st.integers(1, 300))
def test_messages_come_as_a_whole_however_the_network_cuts_them(wanted: list[Any], step: int) -> None:
    data = b"".join(part for one in wanted for part in sent(*one))
    found = asyncio.run(read(data, step))
    assert [came(one) for one in found] == [
        (kind, channel, tag, b"".join(parts)) for kind, channel, tag, parts in wanted
    ]


def test_messages_of_several_channels_come_between_one_another() -> None:
    one, other = sent("message", 1, 7, [b"a", b"b"]), sent("message", 2, 8, [b"c"])
    mixed = [one[0], one[1], other[0], one[2], other[1], frame.marshal(Heartbeat(), 0), other[2], one[3]]
    found = asyncio.run(read(b"".join(mixed), 1_000))
    assert isinstance(found[0][2], Heartbeat)
    assert [came(received) for received in found[1:]] == [("message", 2, 8, b"c"), ("message", 1, 7, b"ab")]


@pytest.mark.parametrize("left", [0, 1, 30])
def test_the_end_of_the_connection_is_an_error_wherever_it_comes(left: int) -> None:
    async def ends() -> None:
        reader = asyncio.StreamReader()
        frames = Frames(reader)
        reader.feed_data(FIRST + b"".join(sent("message", 1, 7, [b"a"]))[:left])
        reader.feed_eof()
        await frames.get_frame()
        with pytest.raises(AMQPConnectionError):
            await frames.get_frame()

    asyncio.run(ends())


@pytest.mark.parametrize(
    "wrong",
    [
        sent("message", 1, 7, [b"a"])[0] + sent("message", 1, 7, [b"a"])[2],
        sent("ack", 1, 7, [])[0][:-1] + b"\x00",
        frame.marshal(Basic.Ack(delivery_tag=1), 1)[:7] + b"\x00\x3c\xff\xff" + frame.marshal(Basic.Ack(1), 1)[11:],
    ],
    ids=["a body without its header", "no end", "an unknown method"],
)
def test_what_is_no_frame_is_refused(wrong: bytes) -> None:
    with pytest.raises(InvalidFrameError):
        asyncio.run(read(wrong, 1_000))
