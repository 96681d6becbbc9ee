"""The newest records of all topics that this process reads, fetched and decoded once for all of its groups."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from tradepost.kernel.brokers.envelope import NotAnEvent
from tradepost.kernel.brokers.kafka.connection import Cluster, ends_of, reading
from tradepost.kernel.brokers.kafka.fetching import WAIT_S, Fetching, Positions, Record, Records, read
from tradepost.kernel.brokers.port import BrokerError, Unit
from tradepost.kernel.log.batch import PIECE_BYTES, PIECE_EVENTS
from tradepost.kernel.tasks import end

if TYPE_CHECKING:
    from tradepost.kernel.log.subscription import Group

KEPT_RECORDS: Final = PIECE_EVENTS // 2  # of each partition
KEPT_BYTES: Final = PIECE_BYTES // 8
LOOK_S: Final = 0.2  # between two looks at the followers, while nothing comes
LOOK_FULL_S: Final = 0.01  # the same while a partition waits for them


class Window:
    """The newest records of one partition, up to where it was fetched; `taken` is how far the foremost follower is."""

    def __init__(self, source: str, end: int) -> None:
        self.source, self.end, self.taken = source, end, 0
        self.records: list[Record] = []
        self._bytes = 0

    def reaches(self, offset: int) -> bool:
        """Whether all from there on is here."""
        return (self.records[0].offset if self.records else self.end) <= offset <= self.end

    def after(self, offset: int) -> Sequence[Record]:
        """From there on."""
        return self.records[bisect_left(self.records, offset, key=attrgetter("offset")) :]

    def add(self, run: Sequence[Record]) -> None:
        """What was fetched."""
        self.records += run
        self.end = run[-1].offset + 1
        self._bytes += sum(record.size for record in run)

    def is_full(self) -> bool:
        """Whether there is too much even without the oldest that somebody has taken, which goes."""
        drop = 0
        for record in self.records:
            if record.offset >= self.taken or not self._is_large(drop):
                break
            drop += 1
            self._bytes -= record.size
        del self.records[:drop]
        return self._is_large(0)

    def _is_large(self, without: int) -> bool:
        return len(self.records) - without > KEPT_RECORDS or self._bytes > KEPT_BYTES


class Follower:
    """A group that takes what it can of what is fetched for all."""

    def __init__(self, group: "Group", feed: "Feed") -> None:
        self._group, self._feed = group, feed
        self.units: Mapping[TopicPartition, Unit] = {}
        self.heard = asyncio.Event()  # that these are fetched
        self.news = asyncio.Event()
        self.failure: BaseException | None = None

    async def follow(self, units: Mapping[TopicPartition, Unit]) -> None:
        """Have these partitions fetched from now on. Errors: BrokerError."""
        self._check()
        self.units = units
        self.heard.clear()
        self._feed.changed.set()
        await self.heard.wait()
        self._check()

    async def after(self, at: Positions) -> Records | None:
        """What comes next at these places, as soon as there is an event for the group, and whatever there is after a
        second without. None when what is kept does not reach back so far, or not up to there yet. Errors:
        BrokerError."""
        self._check()
        self._feed.was_taken(at)
        if not self._feed.reaches(at):
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self.news.wait()
        self._check()
        self.news.clear()
        return self._feed.after(at)

    def wants(self, source: str, records: Sequence[Record]) -> bool:
        """Whether any is of interest, as an event or because it is none."""
        types = self._group.of(source)
        return any(isinstance(record.event, NotAnEvent) or record.event.type in types for record in records)

    def _check(self) -> None:
        if self.failure is not None:
            raise BrokerError(str(self.failure) or "Kafka: the connection ended") from self.failure


class Feed:
    """One consumer for all followers, from the end of each partition on. It keeps up with the foremost of them; whoever
    stands too far back for that reads by himself until he is within reach."""

    def __init__(self, cluster: Cluster) -> None:
        self.changed = asyncio.Event()  # what the followers follow
        self._cluster = cluster
        self._followers: list[Follower] = []
        self._windows: dict[TopicPartition, Window] = {}
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def follower(self, group: "Group") -> AsyncIterator[Follower]:
        """While it lasts, `group` follows."""
        joined = Follower(group, self)
        self._followers.append(joined)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield joined
        finally:
            self._followers.remove(joined)
            self.changed.set()
            if not self._followers:
                last, self._task = self._task, None
                await end([last])

    def reaches(self, at: Positions) -> bool:
        """Whether all that comes next at these places is here, or will be."""
        return all(place in self._windows and self._windows[place].reaches(offset) for place, offset in at.items())

    def was_taken(self, to: Positions) -> None:
        """A follower stands at these places."""
        for place, offset in to.items():
            if window := self._windows.get(place):
                window.taken = max(window.taken, offset)

    def after(self, at: Positions) -> Records | None:
        """What comes next at these places; None when not all of it is here."""
        if not self.reaches(at):
            return None
        return {place: run for place, offset in at.items() if (run := self._windows[place].after(offset))}

    async def _run(self) -> None:
        self._windows = {}
        try:
            async with reading(self._cluster) as consumer:
                fetching = Fetching(consumer)
                while True:
                    await self._assign(consumer, fetching)
                    full = {place for place, window in self._windows.items() if window.is_full()}
                    fetching.hold(full)
                    for place, run in (await fetching.fetched(LOOK_FULL_S if full else LOOK_S)).items():
                        self._add(place, read(self._windows[place].source, run))
        except BaseException as error:  # the library's own cancellations included: nobody may wait for who is gone
            if self._task is asyncio.current_task():
                self._fail(error)
            if not isinstance(error, Exception):
                raise

    def _fail(self, error: BaseException) -> None:
        self._windows = {}
        for follower in self._followers:
            follower.failure = error
            follower.heard.set()
            follower.news.set()

    async def _assign(self, consumer: AIOKafkaConsumer, fetching: Fetching) -> None:
        """Fetch what somebody follows; when nobody does, wait until somebody does."""
        followed = self._followed()
        while not followed:
            await self.changed.wait()
            self.changed.clear()
            followed = self._followed()
        if followed.keys() != self._windows.keys():
            ends = await ends_of(consumer, followed.keys() - self._windows.keys())
            self._windows = {
                place: self._windows.get(place) or Window(unit.source, ends[place]) for place, unit in followed.items()
            }
            fetching.assign({place: window.end for place, window in self._windows.items()})
        for follower in self._followers:
            if follower.units.keys() <= self._windows.keys():
                follower.heard.set()

    def _followed(self) -> Mapping[TopicPartition, Unit]:
        return {place: unit for follower in self._followers for place, unit in follower.units.items()}

    def _add(self, place: TopicPartition, run: Sequence[Record]) -> None:
        window = self._windows[place]
        window.add(run)
        for follower in self._followers:
            if place in follower.units and follower.wants(window.source, run):
                follower.news.set()
