"""Receiving: what has arrived is applied together, and acknowledged together after that was committed."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import structlog
from aiormq.channel import Channel

from tradepost.kernel.brokers.envelope import NotAnEvent, decode
from tradepost.kernel.brokers.port import TOGETHER_S, Intake, nothing
from tradepost.kernel.brokers.rabbitmq.frames import Arrived
from tradepost.kernel.brokers.rabbitmq.link import FRAMES, Link, end_of
from tradepost.kernel.brokers.rabbitmq.topology import speaks_for
from tradepost.kernel.log.batch import PIECE_BYTES, PIECE_EVENTS, Raw
from tradepost.kernel.log.rest import ENOUGH

OTHERS: Final = "others"  # exchanges that are none of ours
PREFETCH: Final = PIECE_EVENTS  # a quorum queue allows 2,000

logger = structlog.get_logger()


class Delivery(NamedTuple):
    tag: int
    exchange: str
    body: bytes


class _Frames(asyncio.Queue[tuple[int, Any]]):
    """What the connection has read for a channel. Messages pass it by: in it they would wait for a turn of the loop, a
    few at a time."""

    def __init__(self, arrive: Callable[[Arrived], Awaitable[None]]) -> None:
        super().__init__(FRAMES)
        self._arrive = arrive

    async def put(self, item: tuple[int, Any]) -> None:
        """In the connection's reader."""
        if isinstance(item[1], Arrived):
            await self._arrive(item[1])
        else:
            await super().put(item)


class Inlet(Channel):
    """A channel that holds what arrives until it is taken. Beyond 8 MiB it leaves the rest to the server and to the
    network in between."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.frames = _Frames(self._hold)
        self._held: deque[Delivery] = deque()
        self._size = 0
        self._cancelled = False
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._ended = self.closing
        self._ended.add_done_callback(lambda _: self._news.set())
        self.on_consumer_cancel_callbacks.add(self._cancel)

    async def consume(self, queue: str) -> None:
        """Ask for what is in the queue."""
        await self.basic_qos(prefetch_count=PREFETCH)
        await self.basic_consume(queue, _never)

    async def piece(self) -> Sequence[Delivery]:
        """All that has arrived, at most 1,000 and 8 MiB; waits for the first, and a moment for what was published with
        it. Errors: what ended the channel."""
        while True:
            await self._news.wait()
            if self._cancelled:
                raise ConnectionError("the server has ended the subscription: was the queue deleted?")
            if self._ended.done():
                raise end_of(self._ended)
            if self._held:
                if len(self._held) < ENOUGH:
                    await asyncio.sleep(TOGETHER_S)
                return self._take()
            self._news.clear()

    def discard(self) -> None:
        """Take nothing any more."""
        self._held.clear()
        self._size = 0
        self._room.set()

    def _take(self) -> Sequence[Delivery]:
        taken: list[Delivery] = []
        size = 0
        while self._held and len(taken) < PIECE_EVENTS and (not taken or size + len(self._held[0].body) <= PIECE_BYTES):
            taken.append(self._held.popleft())
            size += len(taken[-1].body)
        self._size -= size
        if self._size < PIECE_BYTES:
            self._room.set()
        return taken

    async def _hold(self, arrived: Arrived) -> None:
        self._held.append(Delivery(arrived.tag, arrived.exchange, arrived.body))
        self._size += len(arrived.body)
        self._news.set()
        if self._size >= PIECE_BYTES:
            self._room.clear()
            await self._room.wait()

    def _cancel(self, _frame: object) -> None:
        self._cancelled = True
        self._news.set()


async def receive(link: Link, inlet: Inlet, intake: Intake, skipped: Counter[str]) -> None:
    """Until cancelled; what is passed over is counted in `skipped`, by exchange. Errors: BrokerError; whatever
    `intake.take` says."""
    try:
        while True:
            await intake.rest()
            async with link.server.asked("receiving", None):
                deliveries = await inlet.piece()
            pieces, last = await _read(link, inlet, intake, deliveries, skipped)
            if last is None:
                continue
            await intake.take(pieces, nothing)
            async with link.server.asked("acknowledging"):
                await inlet.basic_ack(last, multiple=True, wait=False)
    finally:
        inlet.discard()


async def _read(
    link: Link, inlet: Inlet, intake: Intake, deliveries: Sequence[Delivery], skipped: Counter[str]
) -> tuple[dict[str, list[Raw]], int | None]:
    """The events by publisher, and the tag of the last. What is none goes to the dead letters, alone; what somebody
    else spoke in a publisher's name is passed over, as over Kafka: from the dead letters it could come back."""
    pieces: dict[str, list[Raw]] = {}
    last = None
    for tag, exchange, body in deliveries:
        try:
            source, event = decode(body)
        except NotAnEvent as error:
            logger.error("dead_letter", group=intake.group.name, why=str(error))
            async with link.server.asked("rejecting"):
                await inlet.basic_reject(tag, requeue=False, wait=False)
            continue
        last = tag
        if speaks_for(exchange, source):
            pieces.setdefault(source, []).append(event)
        else:
            skipped[exchange if exchange in skipped else OTHERS] += 1
            why = f"an event of {source}, which does not publish to {exchange}"
            logger.error("not_an_event", group=intake.group.name, why=why)
    return pieces, last


async def _never(_message: object) -> None:
    """The inlet takes its messages before anyone is called."""
