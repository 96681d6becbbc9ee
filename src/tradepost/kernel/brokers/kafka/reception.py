"""Receiving for one group: partitions are claimed in its database, and their records taken in from where it stands."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from tradepost.kernel.brokers.envelope import NotAnEvent, decode
from tradepost.kernel.brokers.kafka import offsets
from tradepost.kernel.brokers.kafka.connection import ends_of, firsts_of, told
from tradepost.kernel.brokers.kafka.offsets import Held
from tradepost.kernel.brokers.kafka.topics import topic_of
from tradepost.kernel.brokers.port import TOGETHER_S, BrokerError, Intake, Unit
from tradepost.kernel.database import LOST
from tradepost.kernel.log.batch import PIECE_BYTES, PIECE_EVENTS, Raw
from tradepost.kernel.log.cursor import Fenced
from tradepost.kernel.log.dispatch import GroupStopped
from tradepost.kernel.log.rest import ENOUGH

if TYPE_CHECKING:
    from tradepost.kernel.database import Tx

WAIT_MS: Final = 1_000  # for records
STORE_S: Final = 1.0  # between two notes of where we are while nothing is for the group
CLAIM_S: Final = 1.0  # between looks whether the others' partitions are free
SILENT_S: Final = 15.0  # without an answer for a partition, where the broker answers twice a second
RELEASE_S: Final = 3.0

Records = Mapping[TopicPartition, Sequence[Any]]

logger = structlog.get_logger()


class OffsetGone(GroupStopped):
    """A topic does not hold the record that the group has to take next."""


class Reception:
    """The partitions of one group that are ours, from claim to release. What is no event is counted in `skipped`, by
    topic."""

    def __init__(
        self, consumer: AIOKafkaConsumer, units: Sequence[Unit], intake: Intake, skipped: Counter[str]
    ) -> None:
        self._consumer, self._intake, self._skipped = consumer, intake, skipped
        self._units = {TopicPartition(topic_of(unit.source), unit.number): unit for unit in units}
        self._held: dict[Unit, Held] = {}
        self._passed: dict[Unit, Held] = {}  # of those, what is further on than is stored: nothing there was for us
        self._stored_at = 0.0
        self._assigned_at = 0.0
        self._claim_at = 0.0

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
            self._assign()

    async def _earliest(self, units: Sequence[Unit]) -> Mapping[Unit, int]:
        """Where a served group begins whose offsets were forgotten: it gets all that is there."""
        places = [place for place, unit in self._units.items() if unit in units]
        if not places:
            return {}
        firsts = await firsts_of(self._consumer, places)
        return {self._units[place]: first for place, first in firsts.items()}

    def _assign(self) -> None:
        places = [place for place, unit in self._units.items() if unit in self._held]
        self._consumer.assign(places)
        for place in places:  # at once: an assignment begins without any position
            self._consumer.seek(place, self._held[self._units[place]].next)
        self._assigned_at = time.time()

    async def _fetched(self) -> Records:
        """What is there, and a moment later what was published with it, up to 1,000 records. Errors: BrokerError when
        the broker is silent; OffsetGone."""
        try:
            with told("fetch"):
                records = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=PIECE_EVENTS)
                if 0 < (count := sum(map(len, records.values()))) < ENOUGH:
                    await asyncio.sleep(TOGETHER_S)
                    more = await self._consumer.getmany(timeout_ms=0, max_records=PIECE_EVENTS - count)
                    for place, run in more.items():
                        records[place] = [*records.get(place, ()), *run]
        except BrokerError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise await self._gone(error.__cause__) from error
            raise
        if not records:
            self._check_answers()
        return cast("Records", records)

    async def _take(self, records: Records) -> None:
        pieces: dict[str, list[Raw]] = {}
        for place, run in records.items():
            unit = self._units[place]
            pieces.setdefault(unit.source, []).extend(self._events(unit.source, run))
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

    def _events(self, source: str, records: Sequence[Any]) -> Iterator[Raw]:
        """What is no event stays in the topic, and is passed over."""
        for record in records:
            try:
                event = _event(source, record.value)
            except NotAnEvent as error:
                self._skipped[record.topic] += 1
                place = f"{record.topic}/{record.partition}/{record.offset}"
                logger.error("not_an_event", group=self._intake.group.name, record=place, why=str(error))
            else:
                yield event

    def _check_answers(self) -> None:
        for place in self._consumer.assignment():
            at_ms = self._consumer.last_poll_timestamp(place)
            at = self._assigned_at if at_ms is None else at_ms / 1000
            if time.time() - at > SILENT_S:
                raise BrokerError(f"Kafka does not answer: fetch {place.topic}/{place.partition}")

    async def _gone(self, error: OffsetOutOfRangeError) -> OffsetGone:
        ((place, offset),) = error.args[0].items()
        first = (await firsts_of(self._consumer, [place]))[place]
        end = (await ends_of(self._consumer, [place]))[place]
        return OffsetGone(
            f"{self._intake.group.name} goes on at record {offset} of {place.topic}/{place.partition}, which has those"
            f" from {first} up to {end}: they expired, or the topic was emptied or made anew. The events are still"
            " in the log: run `tradepost log recover` and start this process again"
        )


def _event(source: str, value: bytes | None) -> Raw:
    publisher, event = decode(value or b"")
    if publisher != source:
        raise NotAnEvent(f"an event of {publisher}, which does not publish here")
    return event


def parts(records: Records) -> Iterator[Records]:
    """The records in parts of at most 8 MiB, or one record that is larger."""
    part: dict[TopicPartition, list[Any]] = {}
    size = 0
    for place, run in records.items():
        for record in run:
            if size and size + record.serialized_value_size > PIECE_BYTES:
                yield part
                part, size = {}, 0
            part.setdefault(place, []).append(record)
            size += record.serialized_value_size
    if part:
        yield part
