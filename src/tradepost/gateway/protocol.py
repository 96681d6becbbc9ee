"""HTTP/1.1 as uvicorn speaks it, except that the head of an answer leaves together with the body, one call of the
system and one packet where there were two, and that our patience with clients ends: with heads that are long or slow,
with bodies that do not come, and with answers that are not fetched."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

JOINED_LIMIT: Final = 64 * 1024  # bytes; copying more than that is no gain
HEAD_LIMIT: Final = 64 * 1024  # bytes
HEAD_S: Final = 10.0  # from the connection, or the first byte, to the end of the head
BODY_S: Final = 20.0  # for the rest of the body, and a second more for each ...
SLOWEST: Final = 500  # bytes of it
STILL_S: Final = 120.0  # the longest that an upload may stand still
UNREAD_S: Final = 30.0  # and an answer that is not fetched


class Joining:
    """A transport that holds what is written back until more is, for no longer than this turn of the loop."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send it, behind what is held."""
        held, self._held = self._held, b""
        if held and len(data) < JOINED_LIMIT:
            self._transport.write(held + data)
        elif held:
            self._transport.write(held)
            self._transport.write(data)
        else:
            self._held = data
            self._loop.call_soon(self._send_held)

    def close(self) -> None:
        """Send what is held, and close."""
        self._send_held()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_held(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)


class Protocol(HttpToolsProtocol):
    """One connection of a client. A call begins when all of it is here, or too much to wait for: who sends a head and
    no body takes nobody's place. An application may have a method `begins_early`, which says of a scope that it is an
    upload and begins at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._until: float | None = None  # the client must have sent what we wait for
        self._unread_since: float | None = None
        self._head: int | None = None  # bytes of the one that is under way
        self._begin: Callable[[], None] | None = None  # what waits for its body

    def connection_made(self, transport: Any) -> None:
        """The client is there."""
        super().connection_made(Joining(transport, self.loop))  # type: ignore[arg-type]
        self._until = self.loop.time() + HEAD_S

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._until is None and (self.cycle is None or self.cycle.response_complete):
            self._until = self.loop.time() + HEAD_S
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > HEAD_LIMIT:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        """Its end."""
        self._head, self._until = None, self.loop.time() + BODY_S
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        super().on_body(body)
        if self._until is not None:
            self._until = min(self._until + len(body) / SLOWEST, self.loop.time() + STILL_S)
        if len(self.cycle.body) > HIGH_WATER_LIMIT:
            self._release()

    def on_message_complete(self) -> None:
        """All of it."""
        super().on_message_complete()
        self._until = None
        self._release()

    def pause_writing(self) -> None:
        """The client does not fetch what is sent."""
        super().pause_writing()
        self._unread_since = self.loop.time()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._unread_since = None

    def shutdown(self) -> None:
        """No more calls, please."""
        if self._begin is not None:
            self.transport.close()
        super().shutdown()

    def look(self, now: float) -> None:
        """Called about once a second: give up a client that has kept us waiting for too long."""
        if self._unread_since is not None and now > self._unread_since + UNREAD_S:
            self.transport.abort()
        elif self._until is not None and now > self._until:
            if self.flow.read_paused:  # it is we who don't read
                self._until = now + BODY_S
            else:
                self._refuse(b"408 Request Timeout")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        begins_early = getattr(app, "begins_early", None)
        if not cycle.more_body or (begins_early is not None and begins_early(cycle.scope)):
            super()._start_asgi_task(cycle, app)
            return
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        start = super()._start_asgi_task
        self._begin = lambda: start(cycle, app)

    def _release(self) -> None:
        begin, self._begin = self._begin, None
        if begin is not None:
            begin()

    def _refuse(self, status: bytes) -> None:
        """Close the connection, and say why where an answer can still be one."""
        is_between, in_head = self.cycle is None or self.cycle.response_complete, self._head is not None
        if in_head if is_between else not self.cycle.response_started:
            self.transport.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        self._until, self._head, self._begin = None, None, None
        self.transport.close()
