"""The listening socket and uvicorn on it, without any of its own signals, logs and reloading."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import uvicorn

from tradepost.gateway.protocol import Protocol

BACKLOG: Final = 2048  # connections that wait to be accepted
KEEP_ALIVE_S: Final = 65  # longer than the minute that clients and proxies keep idle connections
FINISH_S: Final = 35  # calls that wait for news may take 30
LOOK_S: Final = 0.01
LOOK_TICKS: Final = 10  # between two looks at who keeps us waiting: about a second


class ListenError(Exception):
    """The address can't be listened on; the message is one line with the way out."""


class Server(uvicorn.Server):
    """Serves `app` on a socket that is listening already."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # whom we believe is for the gateway to say
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=FINISH_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: who runs us sees to them."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if counter % LOOK_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast(Protocol, connection).look(now)
        return await super().on_tick(counter)

    async def begin(self, listening: socket.socket) -> "asyncio.Task[None]":
        """A task that serves until `end`; at this return it accepts connections."""
        serving = asyncio.create_task(self.serve([listening]))
        while not self.started and not serving.done():
            await asyncio.sleep(LOOK_S)
        return serving

    def end(self) -> None:
        """Accept nothing more and finish what is under way."""
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A socket that has the port to itself from now on. Errors: ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ListenError(f"HOST is {host!r}, which is not an address of this machine ({error.strerror})") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ListenError(_why(host, port, error)) from error
    return listening


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or set PORT to another number"
    if error.errno == errno.EACCES:
        return f"port {port} is only for privileged users: set PORT to a number from 1024 on"
    return f"{host}, port {port}, can't be listened on ({error.strerror}): set HOST and PORT"
