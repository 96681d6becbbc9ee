"""What is no event of ours: dead letters, which only RabbitMQ keeps, and what is passed over."""

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
    """A broker that passes over what is no event of its publisher's. `skipped` counts that by topic, or exchange, once
    for each group that met it; at 0 from the start, so that the first is seen to come."""

    skipped: Mapping[str, int]
