"""`tradepost log dead` and `redrive`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tradepost import settings
from tradepost.console.databases import GROUPS, group_named
from tradepost.console.trouble import Unknown, failing, say
from tradepost.kernel.brokers.dead import KeepsDeadLetters
from tradepost.kernel.brokers.opening import open_broker
from tradepost.kernel.brokers.port import Topology
from tradepost.main import SERVICES
from tradepost.settings import Settings

NOTHING_DONE = 1


def dead() -> None:
    """Count the messages that RabbitMQ gave up on, by group: what was no event, or was delivered too often."""
    with failing():
        asyncio.run(_dead(settings.read()))


def redrive(group: str) -> None:
    """Send a group's dead letters back to the queues that they came from, in order.

    Parameters
    ----------
    group
        Such as `shipping`.
    """
    with failing():
        code = asyncio.run(_redrive(settings.read(), group))
    raise SystemExit(code)


async def _dead(now: Settings) -> None:
    async with _opened(now) as broker:
        for name, (_, group) in GROUPS.items():
            print(f"{name}: {await broker.dead(group)}")


async def _redrive(now: Settings, name: str) -> int:
    _, group = group_named(name)
    async with _opened(now) as broker:
        count = await broker.redrive(group)
    if not count:
        return say(f"{name} has no dead letters", NOTHING_DONE)
    print(f"{name}: {count} sent back")
    return 0


@asynccontextmanager
async def _opened(now: Settings) -> AsyncIterator[KeepsDeadLetters]:
    """Errors: Unknown where no broker keeps dead letters."""
    groups = tuple(group for service in SERVICES for group in service.groups)
    broker = open_broker(now.broker, Topology(tuple(service.name for service in SERVICES), groups))
    if not isinstance(broker, KeepsDeadLetters):
        raise Unknown(f"only RabbitMQ keeps dead letters, and TRADEPOST_BROKER is {now.broker.kind}")
    yield broker
