"""Dead letters: messages that a broker gave up on. Only RabbitMQ keeps any; on Kafka they are passed over."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from tradepost.kernel.log.subscription import Group


@runtime_checkable
class KeepsDeadLetters(Protocol):
    """A broker that sets messages aside."""

    async def dead(self, group: Group) -> int:
        """How many dead letters the group has. Errors: BrokerError."""

    async def redrive(self, group: Group) -> int:
        """Send them back, in order; how many went. Errors: BrokerError."""


@runtime_checkable
class PassesOver(Protocol):
    """A broker that leaves what is no event where it is. `skipped` counts by topic, once for each group that met it."""

    skipped: Mapping[str, int]
