"""The one HTTP client of the process: its connections to the other processes are kept and used again."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from tradepost.gateway.limits import CALLS_LIMIT, STREAMS_LIMIT, UPLOADS_LIMIT

SPARE: Final = 200  # connections beside those of calls and streams: checks, keys
KEEP_S: Final = 20.0  # unused; shorter than a server keeps them, so that we are the one to close
CONNECT_S: Final = 1.0
NAMES_S: Final = 10  # for which a host's address is remembered
PROBE_AFTER_S: Final = 15  # of silence: is the other machine still there?
PROBES: Final = 3
CROWDED: Final = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS)  # no fault of the other side


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that passes bytes on as they are: no cookies, redirects, proxies, decompression or repeats of its own,
    and no time-out but for connecting."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=CALLS_LIMIT + UPLOADS_LIMIT + STREAMS_LIMIT + SPARE,
            keepalive_timeout=KEEP_S,
            ttl_dns_cache=NAMES_S,
            socket_factory=_watched_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S),
        skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        auto_decompress=False,
        trust_env=False,
    )
    session._retry_connection = False  # there is no public way, and repeats are ours to count
    try:
        yield session
    finally:
        await session.close()


def _watched_socket(address: Any) -> socket.socket:
    """One on which the system notices when the other machine is gone, even while nothing is to be sent."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", PROBE_AFTER_S), ("TCP_KEEPINTVL", PROBE_AFTER_S), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened
