"""What the server sends, read in large pieces, and each message made into one frame.

The library reads each frame in three parts, hands each message on in three frames, and makes objects of all of its
properties, at which nobody here looks. That is most of what receiving costs.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from struct import Struct
from typing import Final

import pamqp.frame
from aiormq import connection
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException

READ_BYTES: Final = 256 * 1024
METHOD, HEADER, BODY = 1, 2, 3
END: Final = 0xCE
DELIVER: Final = b"\x00\x3c\x00\x3c"  # class 60, method 60

_HEAD: Final = Struct(">BHI")  # kind, channel, size
_TAG: Final = Struct(">Q")
_SIZE: Final = Struct(">xxxxQ")  # behind a class and a weight

Received = tuple[int, int, pamqp.frame.FrameTypes]


class Arrived(Basic.Deliver):
    """A message that is there as a whole, without its properties; `exchange` is the one that it was published to."""

    def __init__(self, tag: int, exchange: str, body: bytes) -> None:
        self.delivery_tag = self.tag = tag
        self.exchange = exchange
        self.body = body

    def __repr__(self) -> str:
        return f"<message {self.tag}, {len(self.body)} bytes>"


class _Arriving:
    """A message of which tag and exchange are known, then the size, then more and more of its body."""

    def __init__(self, deliver: bytes) -> None:
        """Behind class and method the frame has the consumer's name, the tag, a flag, and the exchange's name."""
        tag_at = 5 + deliver[4]
        exchange_at = tag_at + _TAG.size + 2
        self._tag = _TAG.unpack_from(deliver, tag_at)[0]
        self._exchange = deliver[exchange_at : exchange_at + deliver[exchange_at - 1]].decode(errors="replace")
        self._missing: int | None = None
        self._parts: list[bytes] = []

    def take(self, kind: int, payload: bytes) -> Arrived | None:
        """The message when this was the last of it. Errors: InvalidFrameError."""
        if kind == HEADER and self._missing is None:
            self._missing = _SIZE.unpack_from(payload)[0]
        elif kind == BODY and self._missing is not None:
            self._missing -= len(payload)
            self._parts.append(payload)
        else:
            raise InvalidFrameError(f"a frame of kind {kind} within a message")
        return None if self._missing > 0 else Arrived(self._tag, self._exchange, b"".join(self._parts))


class Frames(FrameReceiver):
    """The library's reader of one connection, with less work for each message."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._buffer, self._at = b"", 0
        self._arriving: dict[int, _Arriving] = {}  # by channel

    async def get_frame(self) -> Received:
        """The next one. Errors: AMQPConnectionError at the end, too; InvalidFrameError."""
        if not self.started:  # a server of another protocol would say so here
            return await super().get_frame()
        while (frame := self._next()) is None:
            await self._read_on()
        return frame

    def _next(self) -> Received | None:
        """What is there already as a whole."""
        buffer = self._buffer
        while len(buffer) - self._at > _HEAD.size:
            start = self._at + _HEAD.size
            kind, channel, size = _HEAD.unpack_from(buffer, self._at)
            end = start + size
            if len(buffer) <= end:
                return None
            if buffer[end] != END:
                raise InvalidFrameError("a frame does not end where it should")
            at, self._at = self._at, end + 1
            if kind == METHOD and buffer[start : start + 4] == DELIVER:
                self._arriving[channel] = _Arriving(buffer[start:end])
            elif kind == METHOD or channel not in self._arriving:
                return self._made(buffer[at : end + 1])
            elif arrived := self._arriving[channel].take(kind, buffer[start:end]):
                del self._arriving[channel]
                return len(arrived.body), channel, arrived
        return None

    def _made(self, frame: bytes) -> Received:
        try:
            return pamqp.frame.unmarshal(frame)
        except PAMQPException as error:
            raise InvalidFrameError(str(error)) from error

    async def _read_on(self) -> None:
        try:
            more = await self.reader.read(READ_BYTES)
        except OSError as error:
            raise AMQPConnectionError(f"the connection to the server was lost: {error!r}") from error
        if not more:
            raise AMQPConnectionError("the server has closed the connection")
        self._buffer, self._at = self._buffer[self._at :] + more, 0


_OURS: Final = ContextVar("ours", default=False)


@contextmanager
def read_fast() -> Iterator[None]:
    """A connection that is opened meanwhile is read by Frames. What others open with the library is read as ever."""
    connection.FrameReceiver = _reader_of  # type: ignore[assignment,misc]
    token = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(token)


def _reader_of(reader: asyncio.StreamReader) -> FrameReceiver:
    return Frames(reader) if _OURS.get() else FrameReceiver(reader)
