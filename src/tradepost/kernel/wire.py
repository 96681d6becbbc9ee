"""Connections to PostgreSQL on which BEGIN and COMMIT need no round trips of their own: one travels before a statement,
the other behind one.

asyncpg asks one thing at a time and waits for its answer. The server takes several in one packet (the pipeline mode of
its protocol), and asyncpg reads over the answers to what it did not ask. Source: PostgreSQL, "Message Flow".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import asyncpg
from asyncpg.protocol import Protocol, protocol

from tradepost.kernel.pool import Connection

COMMAND_TIMEOUT_S: Final = 60.0
SINCE: Final = {"transaction_timeout": 17}  # the first major version that knows a setting
BIND: Final = ord("B")  # a packet of asyncpg's begins with it when a prepared statement is to be executed, and ...
SYNC: Final = b"S\0\0\0\x04"  # ... ends with it: after a failure the server passes over everything up to there


class Wire:
    """An asyncpg connection's transport."""

    __slots__ = ("_transport", "begins", "commits")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.begins = False  # with the next statement
        self.commits = False  # with the next statement; see `commit_with`

    def write(self, data: Any) -> None:
        """Send it."""
        if (self.begins or self.commits) and data[0] == BIND:
            data = self._extended(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _extended(self, data: Any) -> bytes:
        parts = [_BEGIN, data] if self.begins else [data]
        if self.commits:
            parts[-1:] = data[: -len(SYNC)], _COMMIT, SYNC
        self.begins = self.commits = False
        return b"".join(parts)


class WiredProtocol(Protocol):  # type: ignore[misc]
    """asyncpg's protocol over a `Wire`."""

    wire: Wire

    def connection_made(self, transport: Any) -> None:
        """The connection is there."""
        self.wire = Wire(transport)
        super().connection_made(self.wire)


def wire_of(connection: Any) -> Wire:
    """The wire of a connection."""
    wire: Wire = connection._protocol.wire
    return wire


async def commit_with(connection: Any, sql: str) -> None:
    """Have COMMIT follow this statement, which is asked next. It is prepared first, since asyncpg may have to ask for
    types then."""
    await connection._get_statement(sql, None)
    wire_of(connection).commits = True


def opener(url: str, settings: Mapping[str, str]) -> Callable[[], Awaitable[Connection]]:
    """How a pool opens its connections to `url`, with these settings of the session, as far as the server knows them.
    What was prepared stays so: preparing anew within a transaction is what a process should not be paused at."""
    _adapt_asyncpg()
    at_once = {name: value for name, value in settings.items() if name not in SINCE}

    async def opened() -> Connection:
        connection = await asyncpg.connect(
            url, command_timeout=COMMAND_TIMEOUT_S, server_settings=at_once, max_cached_statement_lifetime=0
        )
        version = connection.get_server_version().major
        for name in settings.keys() - at_once.keys():
            if version >= SINCE[name]:
                await connection.fetchval("SELECT set_config($1, $2, false)", name, settings[name])
        return connection

    return opened


def _adapt_asyncpg() -> None:
    """From now on it opens connections over a `Wire`, which changes nothing as long as nobody asks. And of each element
    of an array it asks whether it is an array in turn, through abstract classes, which is half of what encoding takes:
    ours are lists and tuples."""
    asyncpg.protocol.Protocol = WiredProtocol
    protocol.IterableABC = protocol.SizedABC = (list, tuple)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (4 + len(body)).to_bytes(4, "big") + body


def _executed(sql: bytes) -> bytes:
    """As a statement without a name: asyncpg names all of its own that are no longer than 15 KB."""
    return _message(b"P", b"\0%b\0\0\0" % sql) + _message(b"B", bytes(8)) + _message(b"E", bytes(5))


_BEGIN: Final = _executed(b"BEGIN")
_COMMIT: Final = _executed(b"COMMIT")
