"""Dead letters: messages that a broker gave up on. Only RabbitMQ keeps any; on Kafka they are passed over."""

from typing import Protocol, runtime_checkable

from tradepost.kernel.log.subscription import Group


@runtime_checkable
class KeepsDeadLetters(Protocol):
    """A broker that sets messages aside."""

    async def dead(self, group: Group) -> int:
        """How many dead letters the group has. Errors: BrokerError."""

    async def redrive(self, group: Group) -> int:
        """Send them back, in order; how many went. Errors: BrokerError."""
