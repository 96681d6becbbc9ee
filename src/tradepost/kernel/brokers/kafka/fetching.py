"""A consumer at work on partitions that are assigned to it by hand, and its records as events."""

import asyncio
import time
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from tradepost.kernel.brokers.envelope import NotAnEvent, decode
from tradepost.kernel.brokers.kafka.connection import told
from tradepost.kernel.brokers.port import TOGETHER_S, BrokerError
from tradepost.kernel.log.batch import PIECE_EVENTS, Raw
from tradepost.kernel.log.rest import ENOUGH

WAIT_S: Final = 1.0  # for records
SILENT_S: Final = 15.0  # without an answer for a partition, where the broker answers twice a second

Positions = Mapping[TopicPartition, int]


class Record(NamedTuple):
    """One record, of so many bytes: its event, or why it is none."""

    offset: int
    size: int
    event: Raw | NotAnEvent


Records = Mapping[TopicPartition, Sequence[Record]]


class Fetching:
    """Errors of all: BrokerError, caused by OffsetOutOfRangeError where a partition has no such record."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._asked_at = 0.0  # when we began to ask for what we ask for
        self._held: set[TopicPartition] = set()

    def assign(self, at: Positions) -> None:
        """Fetch from there on, and nothing else."""
        self._consumer.assign(list(at))
        for place, offset in at.items():  # at once: an assignment begins without any position
            self._consumer.seek(place, offset)
        self._asked_at, self._held = time.time(), set()

    def hold(self, places: Set[TopicPartition]) -> None:
        """Fetch nothing from these of them for now, and from the others again."""
        if places != self._held:
            self._consumer.pause(*places - self._held)
            self._consumer.resume(*self._held - places)
            self._asked_at, self._held = time.time(), set(places)

    async def fetched(self, wait_s: float = WAIT_S) -> Mapping[TopicPartition, Sequence[Any]]:
        """What is there, and a moment later what was published with it, up to 1,000 of the library's records; nothing
        after so many seconds without."""
        with told("fetch"):
            records = await self._consumer.getmany(timeout_ms=int(wait_s * 1_000), max_records=PIECE_EVENTS)
            if 0 < (count := sum(map(len, records.values()))) < ENOUGH:
                await asyncio.sleep(TOGETHER_S)
                more = await self._consumer.getmany(timeout_ms=0, max_records=PIECE_EVENTS - count)
                for place, run in more.items():
                    records[place] = [*records.get(place, ()), *run]
        if not records:
            self._check_answers()
        return cast("Mapping[TopicPartition, Sequence[Any]]", records)

    def _check_answers(self) -> None:
        for place in self._consumer.assignment() - self._held:
            at_ms = self._consumer.last_poll_timestamp(place) or 0
            if time.time() - max(self._asked_at, at_ms / 1000) > SILENT_S:
                raise BrokerError(f"Kafka does not answer: fetch {place.topic}/{place.partition}")


def read(source: str, records: Sequence[Any]) -> list[Record]:
    """The library's records of a topic of `source`."""
    return [Record(record.offset, len(record.value or b""), _event(source, record.value or b"")) for record in records]


def _event(source: str, value: bytes) -> Raw | NotAnEvent:
    try:
        publisher, event = decode(value)
    except NotAnEvent as error:
        return error
    if publisher != source:
        return NotAnEvent(f"an event of {publisher}, which does not publish here")
    return event
