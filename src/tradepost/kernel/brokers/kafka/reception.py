"""Receiving for one group: partitions are claimed in its database, and their records taken in from where it stands."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from tradepost.kernel.brokers.envelope import NotAnEvent
from tradepost.kernel.brokers.kafka import offsets
from tradepost.kernel.brokers.kafka.connection import Cluster, ends_of, firsts_of, reading
from tradepost.kernel.brokers.kafka.feed import Follower
from tradepost.kernel.brokers.kafka.fetching import Fetching, Positions, Record, Records, read
from tradepost.kernel.brokers.kafka.offsets import Held
from tradepost.kernel.brokers.kafka.topics import topic_of
from tradepost.kernel.brokers.port import BrokerError, Intake, Unit
from tradepost.kernel.database import LOST
from tradepost.kernel.log.batch import PIECE_BYTES, PIECE_EVENTS, Raw
from tradepost.kernel.log.cursor import Fenced
from tradepost.kernel.log.dispatch import GroupStopped

if TYPE_CHECKING:
    from tradepost.kernel.database import Tx

STORE_S: Final = 1.0  # between two notes of where we are while nothing is for the group
CLAIM_S: Final = 1.0  # between looks whether the others' partitions are free
RELEASE_S: Final = 3.0

logger = structlog.get_logger()


class OffsetGone(GroupStopped):
    """A topic does not hold the record that the group has to take next."""


class Reception:
    """The partitions of one group that are ours, from claim to release. What is no event is counted in `skipped`, by
    topic."""

    def __init__(
        self, cluster: Cluster, follower: Follower, units: Sequence[Unit], intake: Intake, skipped: Counter[str]
    ) -> None:
        self._cluster, self._follower, self._intake, self._skipped = cluster, follower, intake, skipped
        self._units = {TopicPartition(topic_of(unit.source), unit.number): unit for unit in units}
        self._held: dict[Unit, Held] = {}
        self._passed: dict[Unit, Held] = {}  # of those, what is further on than is stored: nothing there was for us
        self._stored_at = 0.0
        self._claim_at = 0.0
        self._alone: Fetching | None = None  # while we are out of the others' reach
        self._connection = AsyncExitStack()

    async def run(self) -> None:
        """Until cancelled. Errors: BrokerError; OffsetGone; Fenced when living others hold all partitions; whatever
        `intake.take` says."""
        try:
            await self._claim()
            if not self._held:
                raise Fenced(f"{self._intake.group.name} has other owners for all partitions")
            while True:
                await self._intake.rest()
                records = await self._fetched()
                for part in parts(records):
                    await self._take(part)
                if self._passed and (not records or time.monotonic() - self._stored_at > STORE_S):
                    await self._store()
                if len(self._held) < len(self._units) and time.monotonic() >= self._claim_at:
                    await self._claim()
        finally:
            await self._connection.aclose()
            with suppress(*LOST, asyncpg.PostgresError, TimeoutError):  # it is done again by who ended us
                async with asyncio.timeout(RELEASE_S), self._intake.db.transaction() as tx:
                    await offsets.release(tx, self._intake.group.name, self._units.values(), self._intake.owner)

    async def _claim(self) -> None:
        """Take what is free, and go on there."""
        name, wanted = self._intake.group.name, self._units.values() - self._held.keys()
        known = await offsets.stored(self._intake.db, name)
        fresh = await self._earliest([unit for unit in wanted if unit not in known])
        async with self._intake.db.transaction() as tx:
            await offsets.begin(tx, name, fresh)
            claimed = await offsets.claim(tx, name, wanted, self._intake.owner, self._intake.others())
        self._claim_at = time.monotonic() + CLAIM_S
        if claimed:
            self._held.update(claimed)
            await self._follower.follow({place: unit for place, unit in self._units.items() if unit in self._held})
            await self._join()

    async def _earliest(self, units: Sequence[Unit]) -> Mapping[Unit, int]:
        """Where a served group begins whose offsets were forgotten: it gets all that is there."""
        places = [place for place, unit in self._units.items() if unit in units]
        if not places:
            return {}
        async with reading(self._cluster) as consumer:
            firsts = await firsts_of(consumer, places)
        return {self._units[place]: first for place, first in firsts.items()}

    async def _fetched(self) -> Records:
        """What comes next: of what is fetched for all groups here, or by ourselves where that does not reach. Errors:
        BrokerError when the broker is silent; OffsetGone."""
        at = {place: self._held[unit].next for place, unit in self._units.items() if unit in self._held}
        shared = await self._follower.after(at)
        if shared is None:
            return await self._fetched_alone(at)
        await self._join()
        return shared

    async def _fetched_alone(self, at: Positions) -> Records:
        if self._alone is None:
            self._alone = Fetching(await self._connection.enter_async_context(reading(self._cluster)))
            self._alone.assign(at)
        try:
            records = await self._alone.fetched()
        except BrokerError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise await self._gone(error.__cause__) from error
            raise
        return {place: read(self._units[place].source, run) for place, run in records.items()}

    async def _join(self) -> None:
        """Fetch nothing by ourselves any more."""
        if self._alone is not None:
            self._alone = None
            await self._connection.aclose()

    async def _take(self, records: Records) -> None:
        pieces: dict[str, list[Raw]] = {}
        for place, run in records.items():
            unit = self._units[place]
            pieces.setdefault(unit.source, []).extend(self._events(place, run))
            self._held[unit] = self._passed[unit] = replace(self._held[unit], next=run[-1].offset + 1)
        if await self._intake.take(pieces, self._moved):
            self._is_stored()

    async def _store(self) -> None:
        async with self._intake.db.transaction() as tx:
            await self._moved(tx)
        self._is_stored()

    async def _moved(self, tx: "Tx") -> None:
        offsets.move(tx, self._intake.group.name, self._passed)

    def _is_stored(self) -> None:
        self._passed.clear()
        self._stored_at = time.monotonic()

    def _events(self, place: TopicPartition, records: Sequence[Record]) -> Iterator[Raw]:
        """What is no event stays in the topic, and is passed over."""
        for offset, _, event in records:
            if isinstance(event, NotAnEvent):
                self._skipped[place.topic] += 1
                at = f"{place.topic}/{place.partition}/{offset}"
                logger.error("not_an_event", group=self._intake.group.name, record=at, why=str(event))
            else:
                yield event

    async def _gone(self, error: OffsetOutOfRangeError) -> OffsetGone:
        ((place, offset),) = error.args[0].items()
        async with reading(self._cluster) as consumer:
            first = (await firsts_of(consumer, [place]))[place]
            end = (await ends_of(consumer, [place]))[place]
        return OffsetGone(
            f"{self._intake.group.name} goes on at record {offset} of {place.topic}/{place.partition}, which has those"
            f" from {first} up to {end}: they expired, or the topic was emptied or made anew. The events are still"
            " in the log: run `tradepost log recover` and start this process again"
        )


def parts(records: Records) -> Iterator[Records]:
    """The records in parts of at most 1,000 and 8 MiB, or one record that is larger."""
    part: dict[TopicPartition, list[Record]] = {}
    size = count = 0
    for place, run in records.items():
        for record in run:
            if size and (size + record.size > PIECE_BYTES or count == PIECE_EVENTS):
                yield part
                part, size, count = {}, 0, 0
            part.setdefault(place, []).append(record)
            size += record.size
            count += 1
    if part:
        yield part
