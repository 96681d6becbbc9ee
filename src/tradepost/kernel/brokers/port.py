"""What RabbitMQ and Kafka are to Tradepost: a transport of the log, between its relays and its groups."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.effects import Pieces
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx

TOGETHER_S: Final = 0.001  # that the first waits here for what was published with it

Moved = Callable[["Tx"], Awaitable[None]]  # moves what the broker's messages move beside the inbox


async def at_once() -> None:
    """No rest."""


class BrokerError(ConnectionError):
    """The broker can't be reached or did not confirm: to be tried again. The message names no secret."""


class WrongBroker(RuntimeError):
    """The events of a group travel another way than this process is set to; the message says what to do."""


@dataclass(frozen=True)
class Topology:
    """All that is declared at deployment: a place to publish to for each service, and for each group one to read."""

    publishers: tuple[str, ...]
    groups: tuple[Group, ...]

    def wanted(self, source: str) -> frozenset[str]:
        """The types of event of `source` that some group must get."""
        return frozenset(type_ for group in self.groups for type_ in group.of(source))


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """What one member of a team works on at a time: a queue of a group, or a partition of a topic that it reads."""

    source: str  # empty where the group has one queue for all of its publishers
    number: int


@dataclass(frozen=True)
class Intake:
    """A group's door. `take` applies events in a transaction in which `moved` was called first, and returns after its
    commit: only then may the broker be told. Where nothing is for the group it does nothing, and says False. Its errors
    end the reception: nothing of the pieces was done. `rest` is waited for before more is asked for."""

    group: Group
    db: "Database"
    owner: str
    others: Callable[[], Collection[str]]
    take: Callable[[Pieces, Moved], Awaitable[bool]]
    rest: Callable[[], Awaitable[None]] = at_once


class Publisher(Protocol):
    """A connection to publish on, opened again by itself when it is needed."""

    async def publish(self, source: str, events: Sequence[Raw]) -> None:
        """Returns when the broker has confirmed to have them all, durably. Errors: BrokerError."""

    async def close(self) -> None:
        """Done with it."""


class Broker(Protocol):
    """One of the two; `together` when one reception serves all units of a group that are ours."""

    kind: str
    together: bool

    async def declare(self) -> None:
        """Make what is missing of the topology. Errors: BrokerError, and what can't be changed told in one line."""

    async def units(self, group: Group) -> Sequence[Unit]:
        """What the group's work is cut into."""

    async def begin(self, group: Group, *, fresh: bool = False) -> Moved:
        """For a group that was not served so far: what is published from now on is kept for it. The answer stores where
        that begins. With `fresh` it got nothing before, so what is kept already is of another shop, and goes."""

    def publisher(self) -> Publisher:
        """For one relay."""

    async def receive(self, units: Sequence[Unit], intake: Intake) -> None:
        """Take in what comes for these units, until cancelled. Errors: BrokerError; whatever `intake.take` says."""

    async def release(self, units: Sequence[Unit], intake: Intake) -> None:
        """After `receive` ended: leave the units to whoever comes, where they are claimed in the group's database."""

    async def close(self) -> None:
        """Done."""


async def nothing(_tx: "Tx") -> None:
    """Nothing else moves."""
