"""The newest events of one log, read once for all the groups of this process that stand at its end."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from tradepost.kernel.log.batch import PIECE_BYTES, PIECE_EVENTS, TICKS_AT_ONCE, Piece, Reach, Tick, read_piece
from tradepost.kernel.tasks import end

if TYPE_CHECKING:
    from tradepost.kernel.log.ticks import Ticks

ALL_SLOTS: Final = (0, 15)
KEPT_PARTS: Final = 32
KEPT_EVENTS: Final = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What lies between two ticks, or the first piece of it."""

    start: Tick
    end: Tick
    task: "asyncio.Task[Piece]"

    @property
    def size(self) -> int:
        """In events, once it is there."""
        return len(self.task.result().events) if self.task.done() else 0

    @property
    def is_cut(self) -> bool:
        """Whether it is there, and not all of it."""
        return self.task.done() and not self.task.result().complete


class Reading:
    """The end of one log, in parts that follow one another. They have all types that anybody here wants, and each takes
    out what is his."""

    def __init__(self, ticks: "Ticks", source: str) -> None:
        self._ticks, self._source = ticks, source
        self._types: set[str] | None = set()
        self._parts: deque[_Part] = deque()
        self._reach = Reach()

    def want(self, types: Sequence[str] | None) -> None:
        """Read these types, too, from now on; None for all."""
        if self._types is None or (types is not None and self._types.issuperset(types)):
            return
        self._types = None if types is None else self._types | set(types)
        self._parts.clear()

    def begin(self, prev: Tick) -> Tick | None:
        """Up to where the parts behind `prev` go that are about a piece together, of which the last is being read from
        now on if it is new; None when there are none: whoever stands further back reads by himself."""
        parts = self._behind(prev)
        near = list(takewhile(lambda part: not part.is_cut, parts)) or parts[:1]
        sizes = accumulate(part.size for part in near)
        together = [part for part, size in zip(near, sizes, strict=True) if size <= PIECE_EVENTS] or near[:1]
        is_all = len(together) == len(parts) and not (parts and parts[-1].is_cut)
        if is_all and (new := self._next(parts[-1].end if parts else prev)):
            together.append(new)
        return together[-1].end if together else None

    async def piece(self, prev: Tick, cur: Tick, slots: tuple[int, int], types: Sequence[str] | None) -> Piece | None:
        """What the parts from `prev` to `cur` have for a reader; None when there are no such parts, or when it is more
        than a piece: of one such part, whoever wants all that is read here gets the first. Errors: what reading fails
        with."""
        parts = [part for part in self._behind(prev) if part.end.id <= cur.id]
        if not parts or parts[-1].end is not cur:
            return None
        wants_all = slots == ALL_SLOTS and self._types == (None if types is None else set(types))
        wholes = [await asyncio.shield(part.task) for part in parts]
        if wants_all and len(wholes) == 1:
            return wholes[0]
        if not all(whole.complete for whole in wholes):
            return None
        low, high = slots
        events = [
            event
            for whole in wholes
            for event in whole.events
            if low <= event.slot <= high and (types is None or event.type in types)
        ]
        if len(events) > PIECE_EVENTS or sum(len(event.data) for event in events) > PIECE_BYTES:
            return None
        return Piece(sorted(events, key=attrgetter("position")), len(events), max(whole.last for whole in wholes))

    async def close(self) -> None:
        """Give up what is being read."""
        await end([part.task for part in self._parts])

    def _behind(self, prev: Tick) -> list[_Part]:
        """The parts from there on, which follow one another."""
        for at, part in enumerate(self._parts):
            if part.start.id <= prev.id < part.end.id:
                return list(islice(self._parts, at, None)) if self._is_quiet(part.start.id, prev.id) else []
        return []

    def _next(self, prev: Tick) -> _Part | None:
        """A new part behind `prev`, where the last one ends; None when nothing is new, or too much."""
        newest = self._ticks.newest
        if not prev.id < newest.id <= prev.id + TICKS_AT_ONCE:
            return None
        end = self._ticks.near(prev, self._reach.ticks)
        if end is None or self._is_quiet(prev.id, end.id):
            return None
        if self._parts and not self._is_quiet(self._parts[-1].end.id, prev.id):
            return None
        types = None if self._types is None else sorted(self._types)
        reading = read_piece(self._ticks.pool, self._source, prev, end, after=0, slots=ALL_SLOTS, types=types)
        part = _Part(prev, end, asyncio.ensure_future(reading))
        part.task.add_done_callback(lambda task: self._learn(part, task))
        self._parts.append(part)
        while len(self._parts) > KEPT_PARTS or (
            len(self._parts) > 1 and sum(part.size for part in self._parts) > KEPT_EVENTS
        ):
            self._parts.popleft()
        return part

    def _is_quiet(self, since: int, tick: int) -> bool:
        """Whether the log has nothing between these two."""
        if since >= tick:
            return since == tick
        quiet = self._ticks.silent_until(since, self._source)
        return quiet is not None and quiet.id >= tick

    def _learn(self, part: _Part, task: "asyncio.Task[Piece]") -> None:
        """How far to read next. A part that failed or went too far is forgotten, and with it those behind it: the
        others still follow one another, and nobody gets what lies on both sides of a gap."""
        if task.cancelled() or task.exception() or self._reach.went_too_far(part.start, part.end, task.result()):
            while part in self._parts:
                self._parts.pop()
