"""A connection to RabbitMQ: opened when it is needed, with a limit on every wait, and never mended. Who loses it opens
another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aio_pika
from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import AMQPError, ConnectionCommandInvalid
from pamqp.exceptions import PAMQPException

from tradepost.kernel.brokers.port import BrokerError
from tradepost.kernel.brokers.rabbitmq.frames import read_fast
from tradepost.kernel.settings_error import SettingsError

LIMIT_S: Final = 20  # for one thing that is asked of the server
LEAVE_S: Final = 3.0
HEARTBEAT_S: Final = 10  # twice of it without a sign of life, and the server gives us up
OLDEST: Final = (3, 10)  # the first that dead-letters at least once
FRAMES: Final = 100  # of a channel that wait to be looked at, none of them a message; then the server has to wait
SCHEMES: Final = ("amqp", "amqps")

C = TypeVar("C", bound=Channel)


class Link:
    """An open connection."""

    def __init__(self, server: "Server", connection: aio_pika.abc.AbstractConnection) -> None:
        self.server, self._connection = server, connection

    async def channel(self, kind: type[C], *, publisher_confirms: bool = False) -> C:
        """A new channel; one that publishes is told of every message that no queue took."""
        wire = self._wire
        number = max(wire.channels, default=0) + 1
        channel = kind(wire, number, publisher_confirms=publisher_confirms, frame_buffer=FRAMES)
        wire.channels[number] = channel
        await channel.open()
        return channel

    async def empty(self, queue: str) -> None:
        """Remove what waits in the queue. Errors: BrokerError."""
        async with self.server.asked(f"emptying {queue}"):
            await (await self.channel(Channel)).queue_purge(queue)

    async def close(self) -> None:
        """What a channel of it has not acknowledged goes back to its queue."""
        with suppress(Exception):
            async with asyncio.timeout(LEAVE_S):
                await self._connection.close()

    @property
    def version(self) -> str:
        return str(self._wire.server_properties.get("version"))

    @property
    def _wire(self) -> AbstractConnection:
        transport = self._connection.transport
        if transport is None:
            raise BrokerError(f"{self.server}: the connection is closed")
        return transport.connection


class Server:
    """A RabbitMQ by its URL. As text it is its host and port: what is in the URL beside that is nobody's business."""

    def __init__(self, url: str) -> None:
        """Errors: SettingsError."""
        try:
            parts = urlsplit(url)
            self._named = f"RabbitMQ at {parts.hostname}:{parts.port or 5672}"
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise SettingsError("TRADEPOST_RABBITMQ_URL is not of the form amqp://user:password@host:5672/vhost")
        self._url, self._secret = url, parts.password

    def __str__(self) -> str:
        return self._named

    async def connect(self, name: str) -> Link:
        """A connection that the server lists under `name`. Errors: BrokerError."""
        async with self.asked("connecting"):
            with read_fast():
                link = Link(self, await aio_pika.connect(self._url, name=name, heartbeat=HEARTBEAT_S))
        if tuple(int(part) for part in link.version.split(".")[:2] if part.isdecimal()) < OLDEST:
            await link.close()
            raise BrokerError(f"{self} is {link.version}: it must be 3.10 or newer")
        return link

    @asynccontextmanager
    async def asked(self, what: str, limit_s: float | None = LIMIT_S) -> AsyncIterator[None]:
        """Errors: BrokerError in one line, whatever happens to the connection, or when it takes too long."""
        try:
            async with asyncio.timeout(limit_s):
                yield
        except BrokerError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise BrokerError(f"{self}: {what}: the connection ended") from error  # which cancels all that wait for it
        except TimeoutError as error:
            raise BrokerError(f"{self}: {what}: no answer for {limit_s} s") from error
        except (AMQPError, PAMQPException, OSError, RuntimeError, StopAsyncIteration) as error:
            raise BrokerError(f"{self}: {what}: {self._line(error)}") from error

    def _line(self, error: Exception) -> str:
        if isinstance(error, ConnectionCommandInvalid) and "x-consistent-hash" in str(error):
            return "shards need a plugin: rabbitmq-plugins enable rabbitmq_consistent_hash_exchange"
        said = " ".join(" ".join(str(part) for part in error.args).split()) or type(error).__name__
        return said.replace(self._secret, "***") if self._secret else said


def end_of(ended: "asyncio.Future[object]") -> BaseException:
    """Why a channel is closed: `ended` is its `closing`."""
    error = None if ended.cancelled() else ended.exception()
    return error or ConnectionError("the channel is closed")
