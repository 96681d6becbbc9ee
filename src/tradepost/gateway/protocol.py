"""HTTP/1.1 as uvicorn speaks it, except that the head of an answer leaves together with the body, one call of the
system and one packet where there were two, and that our patience with clients ends: with heads that are long or slow,
with bodies that do not come, and with answers that are not fetched."""

import asyncio
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tradepost.gateway.refusing import early

JOINED_LIMIT: Final = 64 * 1024  # bytes; copying more than that is no gain
HEAD_LIMIT: Final = 64 * 1024  # bytes of a head, or between two parts of a body, and a read more
HEAD_S: Final = 10.0  # from its first byte to its end
BODY_S: Final = 20.0  # for the rest of the body, and a second more for each ...
SLOWEST: Final = 500  # bytes of it
PAUSE_S: Final = 10.0  # the longest that a body may stand still whose call has begun,
STILL_S: Final = 120.0  # an upload,
UNREAD_S: Final = 30.0  # and an answer
OFFER: Final = (b"upgrade", b"http2-settings")  # headers; what `connection` names beside them is its own affair


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


class Parser(HttpRequestParser):
    """A call that offers to go on in another protocol (h2c, in the first one of Java's own client) is read on as the
    HTTP/1.1 that it is, and the offer is left out. The parser alone would stop at the end of its head."""

    def __init__(self, protocol: "Protocol") -> None:
        super().__init__(protocol)
        self._protocol = protocol
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Errors: HttpParserError."""
        parser, left = self, memoryview(data)
        while True:
            try:
                return HttpRequestParser.feed_data(parser, left)
            except HttpParserUpgrade as offer:
                head, left = self._protocol.plain_head(), left[offer.args[0] :]
                self._protocol.parser = parser = Parser(self._protocol)
                HttpRequestParser.feed_data(parser, head)


class Protocol(HttpToolsProtocol):
    """One connection of a client. A call begins when all of it is here, or too much to wait for: who sends a head and
    no body takes nobody's place. An application may have a method `begins_early`, which says of a scope that it is an
    upload and begins at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = Parser(self)
        self._until: float | None = None  # the client must have sent what we wait for
        self._still_s = STILL_S
        self._in_head = False
        self._loose = 0  # bytes since the beginning of the head, or the last part of the body
        self._feeding = False  # the parser, from which a call mostly comes out whole
        self._held: tuple[Any, Any] | None = None  # a call that waits for its body, and its application
        self._unread: tuple[float, int] | None = None  # since when so many bytes were not fetched

    def plain_head(self) -> bytes:
        """The one that was read last, without its offer. Errors: HttpParserError for a tunnel, which we don't dig."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise HttpParserError("no tunnels here")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in OFFER]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def _is_offer(self) -> bool:
        return bool(self.parser.should_upgrade())

    @property
    def _is_between(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """The client is there."""
        super().connection_made(Joining(transport, self.loop))  # type: ignore[arg-type]
        self._until = self.loop.time() + self.timeout_keep_alive

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._until is None and self._is_between:
            self._until = self.loop.time() + HEAD_S
        self._loose += len(data)
        self._feeding = True
        super().data_received(data)
        self._feeding = False
        if self._held is not None and not self.transport.is_closing():
            self._consider(*self._held)
        if self._loose > HEAD_LIMIT and (self._in_head or self._until is not None):
            self._refuse(431)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._loose = True, 0
        if self._is_between:
            self._until = self.loop.time() + HEAD_S

    def on_headers_complete(self) -> None:
        """Its end. Whatever comes in trailers is nobody's."""
        if self._is_offer:
            return
        self._in_head, self._loose, self._still_s = False, 0, STILL_S
        self._until = self.loop.time() + BODY_S
        super().on_headers_complete()
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        super().on_body(body)
        self._loose = 0
        if self._until is not None:
            self._until = min(self._until + len(body) / SLOWEST, self.loop.time() + self._still_s)
        if len(self.cycle.body) > HIGH_WATER_LIMIT:
            self._release()

    def on_message_complete(self) -> None:
        """All of it, for a call that may have been answered before."""
        if self._is_offer:
            return
        super().on_message_complete()
        self._loose = 0
        self._until = self.loop.time() + self.timeout_keep_alive if self._is_between else None
        self._release()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, we have our own
        """What came is no call."""
        self._refuse(400)

    def resume_writing(self) -> None:
        """The client fetches again what is sent."""
        super().resume_writing()
        self._unread = None

    def shutdown(self) -> None:
        """No more calls, please."""
        if self._held is not None:
            self._refuse(503)
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and so is what waited: a call that was never begun would hold on to us."""
        super().connection_lost(exc)
        for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.on_response = _nothing
        self.pipeline.clear()
        self._held = None

    def look(self, now: float) -> None:
        """Called about once a second: give up a client that has kept us waiting for too long."""
        if self.transport.is_closing() or self.flow.write_paused:
            left = self.transport.get_write_buffer_size()
            if self._unread is None or left < self._unread[1]:
                self._unread = now, left
            elif now > self._unread[0] + UNREAD_S:
                self.transport.abort()
        elif self._until is not None:
            if self.flow.read_paused or (not self._is_between and self.cycle.waiting_for_100_continue):
                self._until = max(self._until, now + BODY_S)  # it is we who are late
            elif now > self._until:
                self._refuse(408)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if not cycle.more_body:
            super()._start_asgi_task(cycle, app)
            return
        self._held = cycle, app
        if not self._feeding:  # it waited for its turn
            self._until = self.loop.time() + BODY_S
            self._consider(cycle, app)

    def _consider(self, cycle: Any, app: Any) -> None:
        """A call whose body is not here: begin an upload, and say that others may go on."""
        if _begins_early(cycle, app):
            self._held = None
            super()._start_asgi_task(cycle, app)
        elif cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self._until = self.loop.time() + BODY_S
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _release(self) -> None:
        if self._held is None:
            return
        (cycle, app), self._held = self._held, None
        if self._until is not None and not _begins_early(cycle, app):
            self._still_s, self._until = PAUSE_S, min(self._until, self.loop.time() + PAUSE_S)
        super()._start_asgi_task(cycle, app)

    def _refuse(self, status: int) -> None:
        """Close the connection, and say why where that is no answer to a call that was made."""
        if self._is_between:
            is_heard, scope = self._in_head or status == 400, None
        else:
            is_heard, scope = self.cycle.more_body and not self.cycle.response_started, dict(self.cycle.scope)
        if is_heard and not self.pipeline:
            self.transport.write(early(status, scope))
        self._until, self._in_head, self._held = None, False, None
        self.transport.close()


def _begins_early(cycle: Any, app: Any) -> bool:
    begins_early = getattr(app, "begins_early", None)
    return begins_early is not None and begins_early(cycle.scope)


def _nothing() -> None:
    """To be done when nobody is there any more."""
