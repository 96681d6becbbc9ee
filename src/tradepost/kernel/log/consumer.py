"""One place of one group: read the next piece, hand it on, move; for ever, and exactly once in effect."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from tradepost.kernel.log import cursor
from tradepost.kernel.log.ahead import Ahead
from tradepost.kernel.log.batch import NOTHING, PIECE_EVENTS, Piece, Raw, Reach, Tick, read_on, read_piece
from tradepost.kernel.log.cursor import Fenced, Place, Position
from tradepost.kernel.log.dispatch import GroupStopped
from tradepost.kernel.log.rest import Rest
from tradepost.kernel.log.ticks import Rebased, Ticks
from tradepost.kernel.right_of_way import RightOfWay

if TYPE_CHECKING:
    from tradepost.kernel.database import Database
    from tradepost.kernel.log.subscription import Group

SAVE_S: Final = 5.0  # how often a place that has nothing to do says that it is alive, and where it stands
STANDBY_S: Final = 0.5
BACK_OFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

logger = structlog.get_logger()


class Work(Protocol):
    """What is done with the events: a group's handlers, or their publication on a broker."""

    def types(self, source: str) -> Sequence[str] | None:
        """The types of event to read; None for all."""

    async def take(
        self, place: Place, events: Sequence[Raw], to: Position, fence: int, *, catching_up: bool
    ) -> Position | None:
        """Do it, and move the place to `to`; where it is stored to be by then, if that is known. Errors: Fenced,
        GroupStopped."""

    async def close(self) -> None:
        """Let go of what it held on to."""


class Consumer:
    """Owns a place while no other process claims it. `others` are the owners known to be alive, where processes share
    the work: without it, the newest process takes everything over. It rests for `rest_s` after a batch. With a place
    that ends, it comes to an end."""

    def __init__(
        self,
        db: "Database",
        ticks: Ticks,
        work: Work,
        place: Place,
        owner: str,
        others: Callable[[], Collection[str]] | None = None,
        way: RightOfWay | None = None,
        rest_s: float = 0.0,
    ) -> None:
        self.place = place
        self.stopped: str | None = None  # why, when it will not go on by itself
        self.position: Position | None = None
        self._db = db
        self._ticks = ticks
        self._work = work
        self._types = work.types(place.source)
        self._reading = ticks.reading(place.source)
        self._reading.want(self._types)
        self._reach = Reach()
        self._owner = owner
        self._others = others
        self._by_force = others is None  # at first; later only from an owner that is gone
        self._until: int | None = None
        self._ahead = Ahead()
        self._way = way or RightOfWay()
        self._rest = Rest(rest_s)
        self._fence = 0
        self._saved_at = 0.0
        self._reported_at = 0.0
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled, or the place has come to its end. A failure that is not an event's fault is waited out."""
        while self.stopped is None:
            try:
                await self.finish()
                return
            except Fenced:
                await asyncio.sleep(STANDBY_S)
            except (GroupStopped, Rebased) as stop:
                self.stopped = str(stop)
                logger.critical("consumer_stopped", group=self.place.group, source=self.place.source, why=str(stop))
            except Exception as error:
                await self._back_off(error)

    async def release(self) -> None:
        """After `run` was cancelled: leave the place to whoever comes."""
        await self._work.close()
        async with self._db.transaction() as tx:
            await cursor.release(tx, self.place, self._owner)

    async def finish(self) -> None:
        """Until the place has come to its end. Errors: Fenced when it is another's."""
        others = None if self._others is None else self._others()
        async with self._db.transaction() as tx:
            claimed = await cursor.claim(tx, self.place, self._owner, by_force=self._by_force, others=others)
        self._by_force = False
        if claimed is None:
            raise Fenced("the owner is alive")
        self.place = replace(self.place, slots=claimed.slots)
        position, self._fence, self._until = claimed.position, claimed.fence, claimed.until
        await self._report(position)
        try:
            while not self._is_over(position):
                self.position = position
                position = await self._step(position, self._fence)
        finally:
            await self._ahead.drop()  # the next time it may be of other slots
        async with self._db.transaction() as tx:
            await cursor.end(tx, self.place, self._fence)
        await self._ticks.forget(self.place.source, self.place.group, self.place.slots[0])

    def _is_over(self, position: Position) -> bool:
        return self._until is not None and position.toward is None and position.tick >= self._until

    async def _step(self, position: Position, fence: int) -> Position:
        """Do the next piece of work, or wait for some; the new position."""
        await self._rest.over()
        if position.toward is None and (quiet := self._ticks.silent_until(position.tick, self.place.source)):
            return await self._skip(position.at(quiet.id, quiet.uuid), fence)
        prev, cur = await self._span(position)
        if cur.id == prev.id:
            return await self._wait(position, fence)
        async with self._way.behind(hurried=self._rest.is_none):
            return await self._go(prev, cur, position, fence)

    async def _go(self, prev: Tick, cur: Tick, position: Position, fence: int) -> Position:
        """Take what lies between, or a piece of it; the new position."""
        piece = await self._piece(prev, cur, position)
        if piece is None:
            return position
        if not piece.events:
            return await self._skip(position.at(cur.id, cur.uuid), fence)
        piece, others = piece.cut(at_once := self._way.at_once)
        last = piece.events[-1].position
        to = position.at(cur.id, cur.uuid) if piece.complete else position.within(cur.id, last)
        if others.events or at_once < PIECE_EVENTS:
            self._ahead.keep(to, others)
        elif others.found:
            self._ahead.read(to, self._read_on(prev, cur, others, last))
        stored = await self._work.take(self.place, piece.events, to, fence, catching_up=self._until is not None)
        if others.events or piece.complete:
            self._rest.begin(len(piece.events))
        if self._until is None:
            self._way.tell(self.place, piece.events[0].time, hurried=self._rest.is_none)
        self._saved_at = monotonic()
        self._failures = 0
        if stored is not None and monotonic() - self._reported_at > SAVE_S:
            await self._report(stored)
        return to

    async def _span(self, position: Position) -> tuple[Tick, Tick]:
        """The two ticks between which to read; the same one twice when there is nothing after it."""
        prev = await self._ticks.get(position.tick)
        if prev is None or prev.uuid != position.tick_uuid:
            raise Rebased(
                f"{self.place.group} stands at a tick that the log of {self.place.source} does not have: "
                "it was restored from a backup; run `tradepost log rebase`"
            )
        if position.toward is None:
            return prev, self._reading.begin(prev) or await self._ticks.beyond(prev, self._reach.ticks)
        cur = await self._ticks.get(position.toward)
        if cur is None:
            raise Rebased(f"the log of {self.place.source} lacks a tick; run `tradepost log rebase`")
        return prev, cur

    async def _piece(self, prev: Tick, cur: Tick, position: Position) -> Piece | None:
        """What comes next; None when it is better to read again, and less."""
        if ahead := await self._ahead.at(position):
            return ahead if ahead.events else await self._read_on(prev, cur, ahead, position.last_id)
        piece = await self._read(prev, cur, position.last_id)
        return None if position.toward is None and self._reach.went_too_far(prev, cur, piece) else piece

    async def _read(self, prev: Tick, cur: Tick, after: int) -> Piece:
        if cur.epoch != prev.epoch:  # the first tick of a new epoch: nothing lies between it and the last of the old
            return NOTHING
        shared = None if after else await self._reading.piece(prev, cur, self.place.slots, self._types)
        return shared or await read_piece(
            self._ticks.pool,
            self.place.source,
            prev,
            cur,
            after=after,
            slots=self.place.slots,
            types=self._types,
        )

    async def _read_on(self, prev: Tick, cur: Tick, rest: Piece, after: int) -> Piece:
        return await read_on(
            self._ticks.pool,
            self.place.source,
            prev,
            cur,
            rest,
            after=after,
            slots=self.place.slots,
            types=self._types,
        )

    async def _skip(self, to: Position, fence: int) -> Position:
        if monotonic() - self._saved_at > SAVE_S:
            await self._save(to, fence)
        return to

    async def _wait(self, position: Position, fence: int) -> Position:
        try:
            async with asyncio.timeout(SAVE_S):
                await self._ticks.after(position.tick)
        except TimeoutError:
            await self._save(position, fence)
            self._failures = 0
        return position

    async def _save(self, position: Position, fence: int) -> None:
        await cursor.move(self._db, self.place, fence, position)
        self._saved_at = monotonic()
        await self._report(position)

    async def _report(self, position: Position) -> None:
        """Tell the publisher how far we are, for its retention: no further than is stored, where we would go on."""
        await self._ticks.report(self.place.source, self.place.group, self.place.slots[0], position.tick)
        self._reported_at = monotonic()

    async def _back_off(self, error: Exception) -> None:
        pause = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        why = str(error) or type(error).__name__
        logger.warning("consumer_waits", group=self.place.group, source=self.place.source, why=why, seconds=pause)
        await asyncio.sleep(pause)


async def register(db: "Database", ticks: Ticks, group: "Group", sources: Sequence[str] | None = None) -> list[Place]:
    """The places of a group in all logs that it reads, or in those of `sources`; a new group starts at the oldest
    tick."""
    first = await ticks.first()
    found: list[Place] = []
    for source in group.sources() if sources is None else sources:
        async with db.transaction() as tx:
            new = await cursor.create(tx, Place(source, group.name), first.id, first.uuid)
        if new:
            await ticks.report(source, group.name, 0, first.id)
        found += await cursor.places(db, source, group.name)
    return found
