"""How the services do: whether the database answers, whether every consumer goes on by itself, and whether those in
other processes have an instance that is ready."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Final

import asyncpg

from tradepost.gateway.upstreams import Upstream
from tradepost.kernel.runtime import Running
from tradepost.kernel.service import Service

FRESH_S: Final = 1.0  # those who ask more often are told the same
PATIENCE_S: Final = 2.0

Reasons = Mapping[str, Sequence[str]]


class Health:
    """Of the services of this process while they run, and of those that it calls in others."""

    def __init__(self, running: Running, services: Sequence[Service], remote: Sequence[Upstream] = ()) -> None:
        self._running, self._remote = running, remote
        self._own = [service.name for service in services]
        self.services = [*self._own, *(upstream.service.name for upstream in remote)]
        self._service_of = {group.name: service.name for service in services for group in service.groups}
        self.stopping = False
        self._found: Reasons = {}
        self._found_at = float("-inf")
        self._looking = asyncio.Lock()

    def stop(self) -> None:
        """From now on nothing new is to be sent here."""
        self.stopping = True

    async def reasons(self) -> Reasons:
        """Why services are not healthy; nothing when all are."""
        if self.stopping:
            return {name: ["it is being stopped"] for name in self.services}
        remote = {one.service.name: [_none_of(one)] for one in self._remote if not one.is_ready}
        return {**await self._own_reasons(), **remote}

    async def is_ready(self) -> bool:
        """Whether calls may be sent here. A remote service must have been ready once: later, the others go on."""
        seen = all(upstream.is_ready or upstream.was_ready for upstream in self._remote)
        return seen and not self.stopping and not await self._own_reasons()

    async def _own_reasons(self) -> Reasons:
        async with self._looking:
            if monotonic() - self._found_at > FRESH_S:
                self._found = await self._look()
                self._found_at = monotonic()
        return self._found

    async def _look(self) -> Reasons:
        found: dict[str, list[str]] = {}
        for group, source, why in self._stopped():
            name = self._service_of.get(group, group)
            found.setdefault(name, []).append(f"its consumer {group} of {source} has stopped: {why}")
        answers = await asyncio.gather(*(self._database_answers(name) for name in self._own))
        for name, answered in zip(self._own, answers, strict=True):
            if not answered:
                found.setdefault(name, []).append("the database does not answer")
        return found

    def _stopped(self) -> Iterator[tuple[str, str, str]]:
        for consumer in self._running.consumers:
            if consumer.stopped is not None:
                yield consumer.place.group, consumer.place.source, consumer.stopped
        for receiver in self._running.receivers:
            if receiver.stopped is not None:
                yield receiver.group.name, "the broker", receiver.stopped

    async def _database_answers(self, name: str) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._running.clocks[name].pool.fetchval("SELECT 1")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True


def _none_of(upstream: Upstream) -> str:
    """Without their addresses, which are nobody's business outside."""
    return f"none of its {len(upstream.instances.all)} instances is ready"
