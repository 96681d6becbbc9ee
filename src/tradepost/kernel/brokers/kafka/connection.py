"""Connections to Kafka: opened, and left within a few seconds whatever state they are in."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tradepost.kernel.brokers.port import BrokerError

if TYPE_CHECKING:
    from tradepost.settings import KafkaLogin

CLIENT: Final = "tradepost"
REQUEST_MS: Final = 10_000
RETRY_MS: Final = 500
LEAVE_S: Final = 3.0
FETCH_WAIT_MS: Final = 500  # how long the broker holds a consumer's question while it has nothing
FETCH_BYTES: Final = 8 * 1024 * 1024
FETCH_PARTITION_BYTES: Final = 1024 * 1024  # a larger record comes alone
LOOK_MS: Final = 2_000  # how often an idle consumer looks around by itself; news wakes it at once


@dataclass(frozen=True)
class Cluster:
    """Where Kafka is and how we are let in: over TLS with the system's authorities or those of the file `authorities`,
    and with a name and a password."""

    bootstrap: str
    tls: bool = False
    authorities: str | None = None
    login: "KafkaLogin | None" = None

    def options(self) -> Mapping[str, Any]:
        """What each of the library's clients is told."""
        login = self.login
        found = {
            "bootstrap_servers": self.bootstrap,
            "client_id": CLIENT,
            "request_timeout_ms": REQUEST_MS,
            "retry_backoff_ms": RETRY_MS,
            "security_protocol": f"{'SASL_' if login else ''}{'SSL' if self.tls else 'PLAINTEXT'}",
            "ssl_context": ssl.create_default_context(cafile=self.authorities) if self.tls else None,
        }
        if login is not None:
            found["sasl_mechanism"] = login.mechanism
            found["sasl_plain_username"], found["sasl_plain_password"] = login.username, login.password
        return found


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Errors: BrokerError, saying what of `doing` did not work."""
    try:
        yield
    except TimeoutError as error:
        raise BrokerError(f"Kafka does not answer: {doing}") from error
    except KafkaError as error:
        raise BrokerError(f"Kafka: {doing}: {error}") from error


@asynccontextmanager
async def reading(cluster: Cluster) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group: what it reads is assigned by hand, and its offsets are stored elsewhere."""
    consumer = AIOKafkaConsumer(
        **cluster.options(),
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=FETCH_PARTITION_BYTES,
        consumer_timeout_ms=LOOK_MS,
    )
    try:
        with told("connect"):
            await consumer.start()
        yield consumer
    finally:
        await leave(consumer.stop(), consumer._client)


@asynccontextmanager
async def administering(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    """Who may look at topics, make and remove them."""
    admin = AIOKafkaAdminClient(**cluster.options())
    try:
        with told("connect"):
            await admin.start()
        yield admin
    finally:
        await leave(admin.close(), admin._client)


async def firsts_of(consumer: AIOKafkaConsumer, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset of the first record that each partition still has. Errors: BrokerError."""
    with told("look for the beginning"):
        return dict(await consumer.beginning_offsets(list(places)))


async def ends_of(consumer: AIOKafkaConsumer, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset that the next record of each partition will have. Errors: BrokerError."""
    with told("look for the end"):
        return dict(await consumer.end_offsets(list(places)))


async def leave(ending: Coroutine[Any, Any, None], client: Any) -> None:
    """Run what ends a connection, for so long; then close its sockets and stop its tasks in any case: aiokafka's own
    stop waits for a silent broker, and is cut short by its own cancellations."""
    task = asyncio.ensure_future(ending)
    try:
        await asyncio.wait([task], timeout=LEAVE_S)
    finally:
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # the broker is left anyway: seen, and of no further use
        await client.close()
