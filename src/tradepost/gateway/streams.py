"""A stream on its way to the client: events end when we stop, and soon after the session that asked was ended."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tradepost.gateway.wire import Message, Receive, Send

EVENTS: Final = b"text/event-stream"
LOOK_S: Final = 3.0  # between two looks at the session, of whose end we hear within another second


class Stream:
    """Stands in for `receive` and `send` of one call. The client of events is gone as soon as we are `stopping`, or the
    session `has_ended`; that of a file is not, since nobody would miss its rest: a stop waits for it, and then breaks
    it off."""

    def __init__(self, receive: Receive, send: Send, stopping: asyncio.Event, has_ended: Callable[[], bool]) -> None:
        self._receive, self._send, self._stopping, self._has_ended = receive, send, stopping, has_ended
        self._is_events = False

    async def receive(self) -> Message:
        """What comes from the client."""
        coming, stop = asyncio.ensure_future(self._receive()), asyncio.ensure_future(self._stopping.wait())
        waiting: set[asyncio.Future[Any]] = {coming, stop}
        try:
            while not (coming.done() or self._is_over):
                _, waiting = await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() and not self._is_over else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            stop.cancel()

    async def send(self, message: Message) -> None:
        """On to the client."""
        if message["type"] == "http.response.start":
            self._is_events = any(name == b"content-type" and EVENTS in value for name, value in message["headers"])
        await self._send(message)

    @property
    def _is_over(self) -> bool:
        return self._is_events and (self._stopping.is_set() or self._has_ended())
