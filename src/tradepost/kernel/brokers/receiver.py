"""The receiving end of one group: first what it has yet to read in the log, then what the broker brings."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import structlog

from tradepost.kernel.brokers.port import Broker, Intake, Moved, Unit
from tradepost.kernel.log import cursor, inbox
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.consumer import BACK_OFF_S, STANDBY_S, Consumer
from tradepost.kernel.log.cursor import Fenced
from tradepost.kernel.log.dispatch import GroupStopped, park
from tradepost.kernel.log.effects import Application, Pieces, take_effect, without_parked
from tradepost.kernel.log.inbox import CatchUp, NotPlain
from tradepost.kernel.log.rest import Rest
from tradepost.kernel.log.roster import Roster
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.log.ticks import Rebased
from tradepost.kernel.right_of_way import RightOfWay
from tradepost.kernel.tasks import end

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx
    from tradepost.kernel.log.clocks import Clocks

LOOK_S: Final = 1.0  # how long a replay waits for those who have nothing to take in
STEADY_S: Final = 30.0  # a reception that lasted so long was a good one

_CATCHES_UP: Final = 'SELECT EXISTS (SELECT FROM cursor WHERE "group" = $1)'

logger = structlog.get_logger()


class Receiver:
    """Takes in what comes for `units` of the group. `stopped` says why it won't go on by itself."""

    def __init__(
        self,
        db: "Database",
        clocks: "Clocks",
        group: Group,
        broker: Broker,
        units: Sequence[Unit],
        roster: Roster,
        way: RightOfWay,
    ) -> None:
        self.group, self.units = group, units
        self.stopped: str | None = None
        self._db, self._clocks, self._broker, self._roster, self._way = db, clocks, broker, roster, way
        self._rest = Rest(group.rest_s(group.sources()))
        self._intake = Intake(group, db, roster.owner, lambda: roster.others, self._take, self._rest.over)
        self._failures = 0
        self._is_plain = False  # what comes next, as far as we know: fresh, and nothing parked before it

    async def run(self) -> None:
        """Until cancelled. A failure that is not an event's fault is waited out."""
        while self.stopped is None:
            begun = asyncio.get_running_loop().time()
            try:
                self._is_plain = False
                await self._catch_up()
                await self._receive()
            except CatchUp:
                continue
            except Fenced:
                await asyncio.sleep(STANDBY_S)
            except (GroupStopped, Rebased) as stop:
                self.stopped = str(stop)
                logger.critical("consumer_stopped", group=self.group.name, why=str(stop))
            except Exception as error:
                if asyncio.get_running_loop().time() - begun > STEADY_S:
                    self._failures = 0
                await self._back_off(error)

    async def release(self) -> None:
        """Leave to others what we took in from the broker, and the log that we may have been reading."""
        await self._broker.release(self.units, self._intake)
        places = [place for source in self.group.sources() for place in await self._places(source)]
        async with self._db.transaction() as tx:
            for place in places:
                await cursor.release(tx, place, self._roster.owner)

    async def _catch_up(self) -> None:
        """Read in the log what comes before the broker's messages. Others may be at it, too."""
        while places := [place for source in self.group.sources() for place in await self._places(source)]:
            for place in places:
                ticks = await self._clocks.of(place.source)
                work = Application(self._db, self.group)
                reader = Consumer(self._db, ticks, work, place, self._roster.owner, lambda: self._roster.others)
                try:
                    await reader.finish()
                except Fenced:
                    await asyncio.sleep(STANDBY_S)

    async def _receive(self) -> None:
        """Take in what the broker brings. Errors: CatchUp when the log is to be read first, though nothing comes."""
        receiving = asyncio.ensure_future(self._broker.receive(self.units, self._intake))
        try:
            while not receiving.done():
                await asyncio.wait([receiving], timeout=LOOK_S)
                if await self._db.fetchval(_CATCHES_UP, self.group.name):
                    raise CatchUp(self.group.name)
            await receiving
        finally:
            await end([receiving])

    async def _places(self, source: str) -> list[cursor.Place]:
        return await cursor.places(self._db, source, self.group.name)

    async def _take(self, pieces: Pieces, moved: Moved) -> bool:
        """Apply what is new of `pieces`, each publisher's in the order of its log, in one transaction with `moved`;
        False when nothing is for the group. What seems plain is noted in the inbox with the last of its effects, and
        looked at first only if that fails."""
        waits = False

        async def set_aside(tx: "Tx", source: str, failed: Sequence[tuple[Raw, Exception]]) -> None:
            nonlocal waits
            waits = True
            await park(tx, source, self.group.name, failed)

        ours = self._ours(pieces)
        everything = [event for events in ours.values() for event in events]
        if not everything:
            self._rest.begin(0)
            return False

        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple["Tx", Pieces]]:
            nonlocal waits
            is_plain, self._is_plain = self._is_plain, False
            async with self._db.transaction() as tx:
                if is_plain:
                    inbox.enter_last(tx, self.group.name, everything)
                    await moved(tx)
                    yield tx, ours
                    return
                entered = await inbox.enter(tx, self.group.name, everything)
                await moved(tx)
                await tx.flush()
                waits = entered.waits
                fresh = {source: _only(entered.fresh, events) for source, events in ours.items()}
                if waits:
                    fresh = {
                        source: await without_parked(tx, self.group, source, events, set_aside)
                        for source, events in fresh.items()
                    }
                yield tx, fresh

        async with self._way.behind(hurried=self._rest.is_none):
            try:
                await take_effect(opened, self.group, set_aside)
            except NotPlain:
                await take_effect(opened, self.group, set_aside)
            oldest = min(event.time for event in everything)
            self._way.tell((self.group.name, *self.units), oldest, hurried=self._rest.is_none)
        self._is_plain = not waits and self.group.reset is None  # a replay must not meet half of what we write
        self._rest.begin(len(everything))
        self._failures = 0
        return True

    def _ours(self, pieces: Pieces) -> Pieces:
        """What the group subscribes to."""
        return {
            source: sorted(
                (event for event in events if event.type in self.group.of(source)), key=attrgetter("position")
            )
            for source, events in pieces.items()
        }

    async def _back_off(self, error: Exception) -> None:
        pause = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        why = str(error) or type(error).__name__
        logger.warning("receiver_waits", group=self.group.name, why=why, seconds=pause)
        await asyncio.sleep(pause)


def _only(fresh: Collection[str], events: Sequence[Raw]) -> Sequence[Raw]:
    """Each that is fresh, once."""
    return list({event.id: event for event in events if event.id in fresh}.values())
