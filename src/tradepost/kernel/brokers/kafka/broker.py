"""The broker of Tradepost's port, by Kafka."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from tradepost.kernel.brokers.kafka import offsets, topics
from tradepost.kernel.brokers.kafka.connection import Cluster, ends_of, firsts_of, reading
from tradepost.kernel.brokers.kafka.feed import Feed
from tradepost.kernel.brokers.kafka.publisher import KafkaPublisher
from tradepost.kernel.brokers.kafka.reception import Reception
from tradepost.kernel.brokers.kafka.topics import topic_of
from tradepost.kernel.brokers.port import Intake, Moved, Topology, Unit
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.settings_error import SettingsError

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx
    from tradepost.settings import BrokerSettings

KIND: Final = "kafka"


class Kafka:
    """A topic for each publisher, keyed by aggregate. Receptions share one connection; every other belongs to who uses
    it. `skipped` counts what was found that is no event, by topic."""

    kind = KIND
    together = True

    def __init__(self, cluster: Cluster, partitions: int, topology: Topology) -> None:
        self._cluster, self._partitions, self._topology = cluster, partitions, topology
        self.skipped = Counter({topic_of(publisher): 0 for publisher in topology.publishers})
        self._feed = Feed(cluster)

    async def declare(self) -> None:
        """Make the topics that are missing; one that is other than wanted is told, and used as it is. Errors:
        BrokerError."""
        await topics.declare(self._cluster, self._topology.publishers, self._partitions)

    async def reset(self) -> None:
        """Remove the topics with all that is in them, and return when they are gone. Errors: BrokerError."""
        await topics.reset(self._cluster, self._topology.publishers)

    async def units(self, group: Group) -> Sequence[Unit]:
        """The partitions of the topics of all publishers that the group reads. Errors: BrokerError."""
        counts = await topics.partitions(self._cluster, group.sources())
        return [Unit(source, number) for source, count in counts.items() for number in range(count)]

    async def begin(self, group: Group, *, fresh: bool = False) -> Moved:  # noqa: ARG002 - an offset leaves all before it
        """Look where the topics end now; the answer stores that as where the group begins. Errors: BrokerError."""
        places = _places(await self.units(group))
        async with reading(self._cluster) as consumer:
            ends = {places[place]: end for place, end in (await ends_of(consumer, places)).items()}

        async def begun(tx: "Tx") -> None:
            await offsets.begin(tx, group.name, ends)

        return begun

    def publisher(self) -> KafkaPublisher:
        """For one relay."""
        return KafkaPublisher(self._cluster, self.declare)

    async def receive(self, units: Sequence[Unit], intake: Intake) -> None:
        """Take in what comes in these partitions, until cancelled. Errors: BrokerError; OffsetGone; Fenced; whatever
        `intake.take` says."""
        async with self._feed.follower(intake.group) as follower:
            await Reception(self._cluster, follower, units, intake, self.skipped).run()

    async def release(self, units: Sequence[Unit], intake: Intake) -> None:
        """Leave the partitions to whoever comes, whatever the end of the reception has achieved."""
        async with intake.db.transaction() as tx:
            await offsets.release(tx, intake.group.name, units, intake.owner)

    async def depth(self, group: Group, db: "Database") -> int:
        """How many records lie before the group, whose offsets are in `db`. Errors: BrokerError."""
        places = _places(await self.units(group))
        stored = await offsets.stored(db, group.name)
        async with reading(self._cluster) as consumer:
            firsts = await firsts_of(consumer, [place for place, unit in places.items() if unit not in stored])
            ends = await ends_of(consumer, places)
        return sum(max(0, end - stored.get(places[place], firsts.get(place, end))) for place, end in ends.items())

    async def close(self) -> None:
        """Nothing is held between calls."""


def _places(units: Sequence[Unit]) -> dict[TopicPartition, Unit]:
    return {TopicPartition(topic_of(unit.source), unit.number): unit for unit in units}


def open_broker(settings: "BrokerSettings", topology: Topology) -> Kafka:
    """The Kafka of the settings; nothing is connected yet. Errors: SettingsError."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs each attempt; what fails is told by our errors
    cluster = Cluster(settings.kafka_bootstrap, settings.kafka_tls, settings.kafka_authorities, settings.kafka_login)
    try:
        cluster.options()
    except OSError as error:
        told = f"TRADEPOST_KAFKA_TLS is {settings.kafka_authorities!r}, in which no authorities are: {error}"
        raise SettingsError(told) from error
    return Kafka(cluster, settings.partitions, topology)
