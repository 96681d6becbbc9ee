"""A TCP proxy on loopback before a broker, which cuts, holds or refuses what runs through it."""

import asyncio
import struct
from pathlib import Path
from typing import Final, Literal

from brokers.node import HOST

Way = Literal["up", "down"]  # toward the broker, toward its client

OTHER: Final[dict[Way, Way]] = {"up": "down", "down": "up"}


class Proxy:
    """Before the broker that listens on `to`. With `renames` the broker's answers name the proxy's port in place of
    its own, as a Kafka's must: its clients connect to what it tells them."""

    def __init__(self, to: int, *, renames: bool = False) -> None:
        self.to, self.port = to, 0
        self.cuts = 0
        self.passed: dict[Way, int] = {"up": 0, "down": 0}  # bytes
        self._renames = renames
        self._refuses = self._holds = False
        self._left: dict[Way, int | None] = {"up": None, "down": None}
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Link(self).near, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.refuse()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def cut(self) -> None:
        """All connections end at once, on both sides; new ones are let through."""
        self.cuts += 1
        for link in list(self._links):
            link.end()

    def cut_after(self, way: Way, count: int) -> None:
        """Cut everything once, as soon as `count` bytes more have passed that way."""
        self._left[way] = count

    def refuse(self) -> None:
        """Cut, and let nobody through any more."""
        self._refuses = True
        self.cut()

    def hold(self) -> None:
        """Connections stay open, and nothing passes."""
        self._holds = True
        for link in self._links:
            link.flow()

    def heal(self) -> None:
        """Let everything through, and what was held back first."""
        self._refuses = self._holds = False
        for link in self._links:
            link.flow()

    def unread(self) -> int:
        """Bytes that passed down and that no client has read: here, and in the sockets' buffers, as Linux tells."""
        port = f":{self.port:04X}"
        count = sum(link.near.waiting for link in self._links)
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, here, there, _, queues, *_ = line.split()
            sent, received = (int(size, 16) for size in queues.split(":"))
            count += sent * here.endswith(port) + received * there.endswith(port)
        return count

    def renamed(self, data: bytes) -> bytes:
        """What the client gets to read. An answer that tells addresses is short and comes in one piece."""
        return data.replace(_address(self.to), _address(self.port)) if self._renames else data

    def admitted(self, way: Way, data: bytes) -> bytes:
        """The part of `data` that passes before the cut that is due."""
        left = self._left[way]
        if left is not None:
            data = data[:left]
            self._left[way] = left - len(data)
        self.passed[way] += len(data)
        return data

    def is_due(self, way: Way) -> bool:
        """Whether the cut is due; said once."""
        due = self._left[way] == 0
        if due:
            self._left[way] = None
        return due


class _Link:
    """A connection of a client, and the one that was made to the broker for it."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.near, self.far = _Side(self, "up"), _Side(self, "down")
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The client is there."""
        if self.proxy._refuses:
            self.end()
            return
        self.proxy._links.add(self)
        self.flow()
        self._task = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, HOST, self.proxy.to)
        except OSError:
            self.end()
        if self not in self.proxy._links:
            self.end()  # the client has left meanwhile
        self.flow()

    def flow(self) -> None:
        """Read where there is someone who takes it."""
        for side in (self.near, self.far):
            side.read(not self.proxy._holds and self.of(OTHER[side.way]).takes)

    def of(self, way: Way) -> "_Side":
        return self.near if way == "up" else self.far

    def pass_on(self, way: Way, data: bytes) -> None:
        other = self.of(OTHER[way])
        if other.transport is not None:
            other.transport.write(self.proxy.admitted(way, data if way == "up" else self.proxy.renamed(data)))
        if self.proxy.is_due(way):
            self.proxy.cut()

    def end(self) -> None:
        self.proxy._links.discard(self)
        for side in (self.near, self.far):
            if side.transport is not None:
                side.transport.abort()


class _Side(asyncio.Protocol):
    """One end of a link; `way` is where what it reads goes."""

    def __init__(self, link: _Link, way: Way) -> None:
        self.link, self.way = link, way
        self.transport: asyncio.Transport | None = None
        self._full = False

    @property
    def takes(self) -> bool:
        return self.transport is not None and not self._full

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def read(self, wanted: bool) -> None:
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.resume_reading if wanted else self.transport.pause_reading)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.way == "up":
            self.link.begin()

    def data_received(self, data: bytes) -> None:
        self.link.pass_on(self.way, data)

    def pause_writing(self) -> None:
        self._full = True
        self.link.flow()

    def resume_writing(self) -> None:
        self._full = False
        self.link.flow()

    def connection_lost(self, _error: Exception | None) -> None:
        self.link.end()


def _address(port: int) -> bytes:
    """As Kafka's protocol writes it: the host, and four bytes for the port."""
    return HOST.encode() + struct.pack(">i", port)
