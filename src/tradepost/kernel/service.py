"""A service is a value: its endpoints, consumer groups, jobs and migrations, and how to open its desk."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tradepost.kernel.database import Database, Tx
from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.http.endpoint import Endpoint
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.right_of_way import RightOfWay


class Unheard(Protocol):
    """As `Hearing.unheard`."""

    async def __call__(self, keys: Sequence[str], /, *facts: type[Fact]) -> set[str]: ...


async def all_heard(_keys: Sequence[str], *_facts: type[Fact]) -> set[str]:
    """Of a service that hears nobody."""
    return set()


@dataclass(frozen=True)
class Room:
    """What a running service is given. `settings` is the service's own frozen struct from `settings.py`."""

    db: Database
    watch: Watch  # of the service's own log
    settings: Any
    data: Path  # the data folder; a service uses a subfolder of its own name
    way: RightOfWay = field(default_factory=RightOfWay)  # of requests, before the rest of the process's work
    unheard: Unheard = all_heard  # of which keys others have published what the service has yet to take in


@dataclass(frozen=True)
class Job:
    """Timed work. `run` does one bounded round and says whether more waits; several processes may run it at once.
    It starts every `every_s` seconds, for the first time `after_s` from the process's own start; and after a commit of
    `tx.wake(name)` in this process: at once, or when it has rested for `rest_s`, where nobody waits for what it does
    and a larger round is cheaper."""

    name: str
    run: Callable[[Any], Awaitable[bool]]
    every_s: float
    rest_s: float = 0.0
    after_s: float = 0.0


@dataclass(frozen=True)
class Announcement:
    """How a service publishes its present state again, for those who missed what its log no longer holds. `table` has a
    row for each thing; `tell` publishes what up to so many of them are now, those that come after a key (None: from the
    first), and returns their keys in order. A reader that knows it all already is told nothing new."""

    table: str
    tell: Callable[[Tx, str | None, int, Cause], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class Service:
    """`open` yields the desk: what the service's handlers and jobs work with, its second argument everywhere. One that
    only tells of what happened, never of what is, has no `announcement`."""

    name: str
    package: str  # where its folder `migrations` lies
    open: Callable[[Room], AbstractAsyncContextManager[Any]]
    endpoints: tuple[Endpoint, ...] = ()
    groups: tuple[Group, ...] = ()
    jobs: tuple[Job, ...] = ()
    announcement: Announcement | None = None
