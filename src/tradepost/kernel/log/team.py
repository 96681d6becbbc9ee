"""Sharing work among the processes of a team: who joins gets a part, and what was done by who leaves or dies goes to
the others. Until all see the same members two may want one unit: then fences decide, and nothing happens twice."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar
from zlib import crc32

import structlog

from tradepost.kernel.database import LOST
from tradepost.kernel.log.roster import Roster
from tradepost.kernel.tasks import end

BEAT_S: Final = 1.0
RELEASE_S: Final = 5.0

U = TypeVar("U", bound=Hashable)

logger = structlog.get_logger()


class Worker(Protocol):
    """Does the work of some units."""

    async def run(self) -> None:
        """Until cancelled."""

    async def release(self) -> None:
        """After that: leave the units to whoever comes. Done again when it fails."""


class Team(Generic[U]):
    """`units` lists what there is to do, cut into shares by their first element; `hire` makes the worker for the units
    of one share that are ours, or one for each unit when they are not done `together`."""

    def __init__(
        self,
        roster: Roster,
        units: Callable[[], Awaitable[Mapping[str, Sequence[U]]]],
        hire: Callable[[str, Sequence[U]], Worker],
        *,
        together: bool = False,
    ) -> None:
        self._roster, self._units, self._hire, self._together = roster, units, hire, together
        self._at_work: dict[tuple[str, tuple[U, ...]], tuple[Worker, asyncio.Task[None]]] = {}
        self._leaving: list[Worker] = []  # whose units nobody else gets while we live

    @property
    def workers(self) -> Collection[Any]:
        """Those at work."""
        return [worker for worker, _ in self._at_work.values()]

    async def run(self) -> None:
        """Until cancelled; then what is under way is given up, and the units are left to others."""
        try:
            while True:
                try:
                    await self._roster.beat()
                    await self._leave()
                    await self._change(self._wanted(await self._units()))
                except Exception as error:
                    logger.warning("team_interrupted", why=str(error) or type(error).__name__)
                await asyncio.sleep(BEAT_S)
        finally:
            await self._dismiss(list(self._at_work))
            with suppress(*LOST, TimeoutError):
                async with asyncio.timeout(RELEASE_S):
                    await self._roster.leave()

    def _wanted(self, shares: Mapping[str, Sequence[U]]) -> set[tuple[str, tuple[U, ...]]]:
        ours = {share: part_of(self._roster, share, units) for share, units in shares.items()}
        if self._together:
            return {(share, units) for share, units in ours.items() if units}
        return {(share, (unit,)) for share, units in ours.items() for unit in units}

    async def _change(self, wanted: set[tuple[str, tuple[U, ...]]]) -> None:
        await self._dismiss([key for key in self._at_work if key not in wanted])
        for key in wanted - self._at_work.keys():
            worker = self._hire(*key)
            self._at_work[key] = worker, asyncio.create_task(worker.run())

    async def _dismiss(self, keys: Sequence[tuple[str, tuple[U, ...]]]) -> None:
        gone = [self._at_work.pop(key) for key in keys]
        self._leaving += [worker for worker, _ in gone]
        await end([task for _, task in gone])
        await self._leave()

    async def _leave(self) -> None:
        """Leave the units of those who work no more. What does not succeed is tried again with the next beat."""
        for worker in list(self._leaving):
            try:
                async with asyncio.timeout(RELEASE_S):
                    await worker.release()
            except Exception as error:
                logger.warning("not_left", why=str(error) or type(error).__name__)
            else:
                self._leaving.remove(worker)


def part_of(roster: Roster, share: str, units: Sequence[U]) -> tuple[U, ...]:
    """The units of a share that are the roster's owner's: dealt out in turn, each share beginning with another."""
    members, first = roster.members, crc32(share.encode())
    return tuple(unit for at, unit in enumerate(units) if members[(first + at) % len(members)] == roster.owner)
