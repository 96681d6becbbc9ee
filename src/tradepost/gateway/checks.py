"""Asks every instance how it does, again and again: what is out comes back, and what stops gets nothing new."""

import asyncio
from contextlib import suppress
from typing import Final

import aiohttp
import structlog

from tradepost.gateway.instances import Instance, State
from tradepost.gateway.pool import CROWDED

READY_EVERY_S: Final = 1.0
OTHER_EVERY_S: Final = 0.5
PATIENCE_S: Final = 2.0
READ_LIMIT: Final = 4096  # bytes of the answer
STOPPING: Final = "stopping"  # in the answer of one that takes nothing new
DRAIN_S: Final = READY_EVERY_S + PATIENCE_S  # for which a process that stops still has to accept calls

logger = structlog.get_logger()


class Check:
    """Of one instance."""

    def __init__(self, service: str, instance: Instance, session: aiohttp.ClientSession) -> None:
        self._log = logger.bind(service=service, instance=instance.url)
        self._instance, self._session = instance, session
        self._soon = asyncio.Event()
        instance.on_change = self._hear

    async def run(self) -> None:
        """Look every second, and more often while it isn't ready, until cancelled."""
        while True:
            ready = self._instance.state is State.READY
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_EVERY_S if ready else OTHER_EVERY_S):
                    await self._soon.wait()
            self._soon.clear()
            await self.look()

    async def look(self) -> None:
        """Ask once."""
        before = self._instance.state
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._instance.says(await self._ask())
        except aiohttp.ClientConnectorError as error:
            if error.errno not in CROWDED:
                self._instance.eject()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self._instance.strike()
        if self._instance.state not in (before, State.OUT):
            self._log.info("instance", state=self._instance.state.value)

    def _hear(self) -> None:
        self._log.warning("instance", state=self._instance.state.value)
        self._soon.set()

    async def _ask(self) -> State:
        async with self._session.get(f"{self._instance.url}/readyz", allow_redirects=False) as response:
            if response.status == 200:
                return State.READY
            told = await response.content.read(READ_LIMIT)
            return State.STOPPING if f'"{STOPPING}"'.encode() in told else State.UNREADY
