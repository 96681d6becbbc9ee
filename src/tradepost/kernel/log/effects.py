"""What a group does with events: all handlers at once, or halved until the event at fault stands alone and is set
aside. What says that the events were taken moves in the same transaction."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from tradepost.kernel.log import cursor, inbox
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.cursor import Fenced, Place, Position
from tradepost.kernel.log.dispatch import GroupStopped, apply, apply_halving, is_retryable, park
from tradepost.kernel.log.inbox import CatchUp, NotPlain
from tradepost.kernel.log.subscription import Group

if TYPE_CHECKING:
    from tradepost.kernel.database import Database, Tx

Pieces = Mapping[str, Sequence[Raw]]  # by publisher: facts of different publishers have no common order
SetAside = Callable[["Tx", str, Sequence[tuple[Raw, Exception]]], Awaitable[None]]

NOT_OF_AN_EVENT: Final = (Fenced, GroupStopped, CatchUp, NotPlain)

logger = structlog.get_logger()


class KeyParked(Exception):
    """An earlier event of the key was set aside, and this one waits behind it."""


async def take_effect(
    opened: Callable[[], AbstractAsyncContextManager[tuple["Tx", Pieces]]], group: Group, set_aside: SetAside
) -> None:
    """Apply what `opened` yields in its transaction. It is opened a second time when some of it can't be applied, and
    that is handed to `set_aside`. Errors: those that are never an event's fault."""
    try:
        async with opened() as (tx, pieces):
            for source, events in pieces.items():
                await apply(tx, events, group.of(source))
    except NOT_OF_AN_EVENT:
        raise
    except Exception as error:
        if is_retryable(error):
            raise
        logger.warning("halving", group=group.name, why=str(error))
        async with opened() as (tx, pieces):
            for source, events in pieces.items():
                if failed := await apply_halving(tx, events, group.of(source)):
                    await set_aside(tx, source, failed)


async def without_parked(
    tx: "Tx", group: Group, source: str, events: Sequence[Raw], set_aside: SetAside
) -> Sequence[Raw]:
    """The events whose key does not wait; the others are set aside behind what it waits for."""
    stray = await cursor.parked_keys(tx, source, group.name, [event.key for event in events])
    if not stray:
        return events
    await set_aside(tx, source, [(event, KeyParked(event.key)) for event in events if event.key in stray])
    return [event for event in events if event.key not in stray]


class Application:
    """What a consumer of the log does: the group's handlers, and its place moved: with the last of the effects, while
    it is known that nothing is parked, which under one fence nobody changes but us. A group that catches up with a
    broker notes in its inbox what it took, and leaves out what stands there."""

    def __init__(self, db: "Database", group: Group) -> None:
        self._db, self._group = db, group
        self._clear: dict[Place, int] = {}  # those of which nothing is parked, each with its fence then

    def types(self, source: str) -> Sequence[str]:
        """The types of event to read from `source`."""
        return list(self._group.of(source))

    async def take(
        self, place: Place, events: Sequence[Raw], to: Position, fence: int, *, catching_up: bool
    ) -> Position:
        """Apply `events` and move `place` to `to`. Errors: Fenced, GroupStopped, and what is no event's fault."""
        parked = 0

        async def set_aside(tx: "Tx", source: str, failed: Sequence[tuple[Raw, Exception]]) -> None:
            nonlocal parked
            parked += len(failed)
            await park(tx, source, self._group.name, failed)
            await cursor.count_parked(tx, place, len(failed))

        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple["Tx", Pieces]]:
            nonlocal parked
            is_clear = self._clear.pop(place, None) == fence
            async with self._db.transaction() as tx:
                if is_clear:
                    cursor.move_last(tx, place, fence, to)
                else:
                    parked = await cursor.move(tx, place, fence, to)
                fresh = await inbox.take(tx, self._group.name, events) if catching_up else events
                if parked:
                    fresh = await without_parked(tx, self._group, place.source, fresh, set_aside)
                yield tx, {place.source: fresh}
            if not parked and self._group.reset is None:  # a replay empties, and must not meet half of what we write
                self._clear[place] = fence

        await take_effect(opened, self._group, set_aside)
        return to

    async def close(self) -> None:
        """It holds on to nothing."""
