"""The instances of a remote service: how each of them does, and which one gets the next request."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import Final

from tradepost.kernel.errors import Unavailable

CALLS_LIMIT: Final = 500  # under way at one instance
STREAMS_LIMIT: Final = 500
SERVICE_CALLS_LIMIT: Final = 1_000  # at all instances, so that one slow service leaves the others room
STRIKES: Final = 3  # failures in a row that put an instance out
BACK_OFF_S: Final = 0.5  # doubled each time that an instance is put out again
BACK_OFF_LIMIT_S: Final = 10.0
STEADY_S: Final = 10.0  # after so long in service, old trouble is forgotten
RETRY_AFTER_S: Final = 1


class State(Enum):
    """What an instance said last about itself, or what we found."""

    READY = "ready"
    UNREADY = "unready"  # it answers, but something of it does not work; better than nothing
    STOPPING = "stopping"  # it finishes what it has and is to get nothing new
    OUT = "out"  # it does not answer


class Outcome(Enum):
    """How a request to an instance ended."""

    ANSWERED = "answered"
    NOT_CONNECTED = "not_connected"  # nothing was sent
    BROKEN = "broken"  # the connection ended before the answer
    CUT = "cut"  # the connection ended within the answer
    LATE = "late"
    LEFT = "left"  # the client did not wait


FAILURES: Final = frozenset({Outcome.BROKEN, Outcome.CUT, Outcome.LATE})


@dataclass(eq=False)
class Instance:
    """One process of a service; `on_change` hears when it is put out."""

    url: str
    clock: Callable[[], float] = monotonic
    state: State = State.OUT
    calls: int = 0  # under way
    streams: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None
    _strikes: int = 0
    _ejections: int = 0
    _ready_since: float = 0.0
    _out_until: float = 0.0

    def enter(self, *, is_stream: bool) -> None:
        """One more request is under way."""
        if is_stream:
            self.streams += 1
        else:
            self.calls += 1

    def leave(self, outcome: Outcome, *, is_stream: bool) -> None:
        """It ended. Who does not connect is out at once, who fails several times in a row soon."""
        if is_stream:
            self.streams -= 1
        else:
            self.calls -= 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome is Outcome.NOT_CONNECTED:
            self.eject()
        elif outcome in FAILURES:
            self.strike()
        elif outcome is Outcome.ANSWERED:
            self._strikes = 0

    def strike(self) -> None:
        """It failed once more."""
        self._strikes += 1
        if self._strikes >= STRIKES:
            self.eject()

    def eject(self) -> None:
        """No more requests, until it says that it is ready and its time is over, which is longer each time."""
        self._strikes = 0
        if self.state is State.OUT:
            return
        now = self.clock()
        if now - self._ready_since > STEADY_S:
            self._ejections = 0
        self._out_until = now + min(BACK_OFF_S * 2**self._ejections, BACK_OFF_LIMIT_S)
        self._ejections += 1
        self.state = State.OUT
        self.on_change()

    def says(self, state: State) -> None:
        """It answered the question how it does."""
        now = self.clock()
        if self.state is State.OUT and now < self._out_until:
            return
        if state is State.READY and self.state is not State.READY:
            self._ready_since = now
        self.state = state

    def has_room(self, *, is_stream: bool) -> bool:
        """Whether one more may be sent there."""
        return self.streams < STREAMS_LIMIT if is_stream else self.calls < CALLS_LIMIT


class Instances:
    """All instances of a service, of which the least busy is next."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = monotonic) -> None:
        self.all = tuple(Instance(url, clock) for url in urls)
        self._turn = 0

    def next(self, avoided: Collection[Instance], *, is_stream: bool) -> Instance | None:
        """The one with the fewest requests under way, of those that are ready, or else that answer at all; None when
        there is none. Errors: Unavailable `overloaded` when they have as many as they may."""
        able = self._able(avoided)
        if not able:
            return None
        room = [instance for instance in able if instance.has_room(is_stream=is_stream)]
        if not room or (not is_stream and sum(one.calls for one in self.all) >= SERVICE_CALLS_LIMIT):
            raise Unavailable("Too many requests are under way.", code="overloaded", retry_after_s=RETRY_AFTER_S)
        self._turn += 1
        first = self._turn % len(room)
        return min(room[first:] + room[:first], key=lambda one: one.streams if is_stream else one.calls)

    @property
    def ready(self) -> int:
        """How many are ready."""
        return sum(instance.state is State.READY for instance in self.all)

    def _able(self, avoided: Collection[Instance]) -> list[Instance]:
        for state in (State.READY, State.UNREADY):
            if able := [one for one in self.all if one.state is state and one not in avoided]:
                return able
        return []
