"""The topics: one for each publisher, made at deployment, never changed."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from tradepost.kernel.brokers.kafka.connection import Cluster, administering, told
from tradepost.kernel.brokers.port import BrokerError

REPLICAS: Final = 3  # fewer where there are fewer brokers
MESSAGE_BYTES: Final = 4 * 1024 * 1024
RETENTION_MS: Final = 7 * 24 * 3_600_000
SEGMENT_MS: Final = 6 * 3_600_000  # records go by the segment: no later than so long after their retention
SETTLE_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.1

CONFIGURATION: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "max.message.bytes": str(MESSAGE_BYTES),
    "retention.ms": str(RETENTION_MS),
    "retention.bytes": "-1",
    "segment.ms": str(SEGMENT_MS),
    "unclean.leader.election.enable": "false",
}

logger = structlog.get_logger()


def topic_of(source: str) -> str:
    """Where the events of a publisher are."""
    return f"{source}_events"


async def declare(cluster: Cluster, sources: Sequence[str], partitions: int) -> None:
    """Make the topics that are missing; where one is other than wanted a line says so. Errors: BrokerError."""
    names = [topic_of(source) for source in sources]
    async with administering(cluster) as admin:
        with told("declare topics"):
            there = await _partitions(admin)
            await _create(admin, [name for name in names if name not in there], partitions)
            there = await _settle(admin, present=names)  # somebody else may have made what was missing, and otherwise
            for name, why in await _differences(admin, {name: there[name] for name in names}, partitions):
                logger.warning("topic_differs", topic=name, why=why)


async def reset(cluster: Cluster, sources: Sequence[str]) -> None:
    """Remove the topics with all that is in them; returns when they are gone. Errors: BrokerError."""
    names = [topic_of(source) for source in sources]
    async with administering(cluster) as admin:
        with told("remove topics"):
            there = await _partitions(admin)
            if doomed := [name for name in names if name in there]:
                answer = await admin.delete_topics(doomed)
                _raise((code for _, code, *_ in answer.topic_error_codes), UnknownTopicOrPartitionError)
            await _settle(admin, absent=names)


async def partitions(cluster: Cluster, sources: Sequence[str]) -> Mapping[str, int]:
    """How many partitions the topic of each publisher has. Errors: BrokerError when one is missing."""
    async with administering(cluster) as admin:
        with told("look at topics"):
            there = await _partitions(admin)
    for source in sources:
        if topic_of(source) not in there:
            raise BrokerError(f"Kafka has no topic {topic_of(source)}")
    return {source: there[topic_of(source)] for source in sources}


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Of all topics: asking for one by its name would make it where the broker makes topics by itself."""
    described = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}


async def _create(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int) -> None:
    if not names:
        return
    replicas = min(REPLICAS, len((await admin.describe_cluster())["brokers"]))
    configuration = {**CONFIGURATION, "min.insync.replicas": str(max(1, replicas - 1))}
    wanted = [NewTopic(name, partitions, replicas, topic_configs=configuration) for name in names]
    answer = await admin.create_topics(wanted)
    _raise((code for _, code, *_ in answer.topic_errors), TopicAlreadyExistsError)


async def _settle(
    admin: AIOKafkaAdminClient, *, present: Sequence[str] = (), absent: Sequence[str] = ()
) -> dict[str, int]:
    """Wait until the broker that we ask knows it as well; the partitions of all topics then."""
    async with asyncio.timeout(SETTLE_S):
        while (there := await _partitions(admin)).keys() & set(absent) or not there.keys() >= set(present):
            await asyncio.sleep(LOOK_AGAIN_S)
    return there


async def _differences(
    admin: AIOKafkaAdminClient, found: Mapping[str, int], partitions: int
) -> Iterable[tuple[str, str]]:
    """By topic, in what it is other than we would have made it."""
    told_of = [(name, f"it has {n} partitions, not {partitions}") for name, n in found.items() if n != partitions]
    for name, have in (await _configurations(admin, list(found))).items():
        told_of += [
            (name, f"its {key} is {have[key]}, not {CONFIGURATION[key]}")
            for key in ("cleanup.policy", "retention.bytes", "unclean.leader.election.enable")
            if have[key] != CONFIGURATION[key]
        ]
        told_of += [
            (name, f"its {key} is {have[key]}, less than {CONFIGURATION[key]}")
            for key in ("max.message.bytes", "retention.ms")
            if -1 < int(have[key]) < int(CONFIGURATION[key])
        ]
    return told_of


async def _configurations(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name, dict(CONFIGURATION)) for name in names]
    )
    read: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, _, _, name, entries in answer.resources:
            _raise([code])
            read[name] = {key: value for key, value, *_ in entries}
    return read


def _raise(codes: Iterable[int], *harmless: type[Exception]) -> None:
    for code in codes:
        error: Any = for_code(code)
        if code and error not in harmless:
            raise error
