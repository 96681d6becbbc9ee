"""One process of a shop, in this one: its own owner id, connections and client of the broker, which can be killed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from tests import databases
from tests.brokers.proxy import Proxy
from tradepost.kernel.brokers.enrolment import check
from tradepost.kernel.brokers.kafka.broker import Kafka
from tradepost.kernel.brokers.kafka.connection import Cluster
from tradepost.kernel.brokers.port import Broker, BrokerError, Intake, Moved, Publisher, Topology, Unit
from tradepost.kernel.brokers.rabbitmq import RabbitMQ
from tradepost.kernel.brokers.rabbitmq.topology import LIMITS, Limits
from tradepost.kernel.database import connect
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.effects import Pieces
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.log.team import Team
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.right_of_way import RightOfWay
from tradepost.kernel.staff import consumers_of, receivers_of, relays_of
from tradepost.kernel.tasks import end

SHARDS: Final = 4
PARTITIONS: Final = 6
CLOSING_S: Final = 5.0

Hook = Callable[[], Awaitable[None]]


async def nowhere() -> None:
    """Nothing happens there."""


@dataclass(frozen=True)
class Hooks:
    """What happens at three moments: a part of a piece was `published` and confirmed, and the relay's place did not
    move yet; a broker has `brought` events, and nothing was done yet; what it brought `took` effect, and the broker
    does not know yet."""

    published: Hook = nowhere
    brought: Hook = nowhere
    took: Hook = nowhere


class Part:
    """`relays` publishes the log, and `serves` takes events in for `groups`; `declares` names the groups that are
    deployed, those that it serves where nothing is said. `limits` are those of RabbitMQ's queues, `cuts` the number
    of units that a group's work is cut into."""

    def __init__(
        self,
        kind: str,
        url: str,
        name: str,
        broker: str,
        groups: Sequence[Group],
        hooks: Hooks,
        *,
        relays: bool = True,
        serves: bool = True,
        declares: Sequence[Group] | None = None,
        limits: Limits = LIMITS,
        cuts: int | None = None,
    ) -> None:
        self.kind, self.url, self.name, self.groups = kind, url, name, tuple(groups)
        self.owner = new_id()
        self.teams: list[Team[Any]] = []
        self.proxy: Proxy | None = None
        self._address, self._hooks, self._limits, self._cuts = broker, hooks, limits, cuts
        self.relays, self.serves = relays, serves
        self._topology = Topology((name,), self.groups if declares is None else tuple(declares))
        self._broker: Broker | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._gone = False

    async def start(self) -> None:
        """As a process does. Errors: WrongBroker."""
        await self.open()
        await self.work()

    async def open(self) -> None:
        """Connect and declare."""
        self.clocks = Clocks({self.name: self.url}, databases.SECRET, self.owner, frozenset({self.name}))
        self._stack.push_async_callback(self.clocks.close)
        url = url_as(self.url, role_of(self.name), databases.SECRET)
        self.db = await self._stack.enter_async_context(connect(url, self.name))
        self.db.on_events = (await self.clocks.of(self.name)).poke
        if self.kind != "log":
            self._broker = await self._open_broker()

    async def work(self) -> None:
        """From now on. Errors: WrongBroker."""
        if self.serves:
            for group in self.groups:
                await check(self.db, group, self._broker)
        self.teams = self._hired()
        self._tasks = [asyncio.create_task(team.run()) for team in self.teams]

    @property
    def workers(self) -> list[Any]:
        return [worker for team in self.teams for worker in team.workers]

    @property
    def net(self) -> Proxy:
        """What lies between it and the broker."""
        assert self.proxy is not None
        return self.proxy

    async def stop(self) -> None:
        """In order: what is under way is given up, and the units are left to others."""
        if not self._gone:
            self._gone = True
            await self._end()

    async def kill(self) -> None:
        """Without a goodbye: all of its connections end first, and whatever it says after that, nobody hears."""
        if self._gone:
            return
        if self.proxy is not None:
            self.proxy.refuse()
        if hasattr(self, "db"):
            self.db.terminate()
        if hasattr(self, "clocks"):
            for ticks in self.clocks.values():
                ticks.pool.terminate()
        self._gone = True
        await self._end()

    async def _end(self) -> None:
        await end(self._tasks)
        if self._broker is not None:
            with suppress(BrokerError):
                await asyncio.wait_for(self._broker.close(), CLOSING_S)
        await self._stack.aclose()
        if self.proxy is not None:
            await self.proxy.stop()

    def _hired(self) -> list[Team[Any]]:
        if self._broker is None:
            return [consumers_of(self.name, self.groups, self.db, self.clocks, RightOfWay())] if self.serves else []
        hooked = Hooked(self._broker, self._hooks)
        hired: list[Team[Any]] = []
        if self.serves:
            hired.append(receivers_of(self.name, self.groups, self.db, self.clocks, hooked, RightOfWay()))
        if self.relays:
            hired.append(relays_of(self.name, self.db, self.clocks, hooked))
        return hired

    async def _open_broker(self) -> Broker:
        if self.kind == "rabbitmq":
            parts = urlsplit(self._address)
            self.proxy = Proxy(parts.port or 5672)
            await self.proxy.start()
            user, _, _ = parts.netloc.rpartition("@")
            url = parts._replace(netloc=f"{user}@127.0.0.1:{self.proxy.port}").geturl()
            broker: Broker = RabbitMQ(url, self._topology, self._cuts or SHARDS, self._limits)
        else:
            self.proxy = Proxy(int(self._address.rpartition(":")[2]), renames=True)
            await self.proxy.start()
            broker = Kafka(Cluster(f"127.0.0.1:{self.proxy.port}"), self._cuts or PARTITIONS, self._topology)
        await broker.declare()
        return broker


class Hooked:
    """The broker, with moments at which a test steps in."""

    def __init__(self, broker: Broker, hooks: Hooks) -> None:
        self.kind, self.together = broker.kind, broker.together
        self.declare, self.units, self.begin, self.close = broker.declare, broker.units, broker.begin, broker.close
        self.release = broker.release
        self._broker, self._hooks = broker, hooks

    def publisher(self) -> Publisher:
        return _HookedPublisher(self._broker.publisher(), self._hooks)

    async def receive(self, units: Sequence[Unit], intake: Intake) -> None:
        async def take(pieces: Pieces, moved: Moved) -> bool:
            await self._hooks.brought()
            was_ours = await intake.take(pieces, moved)
            await self._hooks.took()
            return was_ours

        await self._broker.receive(units, replace(intake, take=take))


class _HookedPublisher:
    def __init__(self, publisher: Publisher, hooks: Hooks) -> None:
        self.close = publisher.close
        self._publisher, self._hooks = publisher, hooks

    async def publish(self, source: str, events: Sequence[Raw]) -> None:
        await self._publisher.publish(source, events)
        await self._hooks.published()
