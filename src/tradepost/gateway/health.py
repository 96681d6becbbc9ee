"""How the services do: whether the database answers, and whether every consumer goes on by itself."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final

import asyncpg

from tradepost.kernel.runtime import Running
from tradepost.kernel.service import Service

FRESH_S: Final = 1.0  # those who ask more often are told the same
PATIENCE_S: Final = 2.0

Reasons = Mapping[str, Sequence[str]]


class Health:
    """Of the services of this process while they run."""

    def __init__(self, running: Running, services: Sequence[Service]) -> None:
        self._running = running
        self.services = [service.name for service in services]
        self._service_of = {group.name: service.name for service in services for group in service.groups}
        self._stopping = False
        self._found: Reasons = {}
        self._found_at = float("-inf")
        self._looking = asyncio.Lock()

    def stop(self) -> None:
        """From now on nothing new is to be sent here."""
        self._stopping = True

    async def reasons(self) -> Reasons:
        """Why services are not healthy; nothing when all are."""
        if self._stopping:
            return {name: ["it is being stopped"] for name in self.services}
        async with self._looking:
            if monotonic() - self._found_at > FRESH_S:
                self._found = await self._look()
                self._found_at = monotonic()
        return self._found

    async def _look(self) -> Reasons:
        found: dict[str, list[str]] = {}
        for consumer in self._running.consumers:
            if consumer.stopped is not None:
                name = self._service_of.get(consumer.place.group, consumer.place.group)
                why = f"its consumer {consumer.place.group} of {consumer.place.source} has stopped: {consumer.stopped}"
                found.setdefault(name, []).append(why)
        if not await self._database_answers():
            for name in self.services:
                found.setdefault(name, []).append("the database does not answer")
        return found

    async def _database_answers(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._running.ticks.pool.fetchval("SELECT 1")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True
