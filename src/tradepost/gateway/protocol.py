"""HTTP/1.1 as uvicorn speaks it, except that the head of an answer leaves together with the body: one call of the
system and one packet where there were two."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

JOINED_LIMIT: Final = 64 * 1024  # bytes; copying more than that is no gain


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
    """One connection of a client."""

    def connection_made(self, transport: Any) -> None:
        """The client is there."""
        super().connection_made(Joining(transport, self.loop))  # type: ignore[arg-type]
