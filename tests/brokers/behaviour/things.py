"""What the publisher of these tests publishes: facts about things, under a name that is the test's own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Event, Fact

Handler = Callable[[Tx, Sequence[Event[Any]]], Awaitable[None]]

_RECORD = """
INSERT INTO effect ("group", event_id, type, key, sequence, note)
SELECT $1, id, type, key, sequence, note
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[]) WITH ORDINALITY
     AS e (id, type, key, sequence, note, n) ORDER BY n
"""


class Moved(Fact, frozen=True, kw_only=True):
    """As today's version writes it."""

    type: ClassVar[str] = "probe.moved"
    key_field: ClassVar[str] = "thing"
    thing: str
    poison: bool = False
    text: str = ""


class Turned(Fact, frozen=True, kw_only=True):
    """Another one."""

    type: ClassVar[str] = "probe.turned"
    key_field: ClassVar[str] = "thing"
    thing: str


class Vanished(Fact, frozen=True, kw_only=True):
    """What only the next version publishes, and no group knows."""

    type: ClassVar[str] = "probe.vanished"
    key_field: ClassVar[str] = "thing"
    thing: str


class MovedLately(Fact, frozen=True, kw_only=True):
    """As the next version writes it: with a field more."""

    type: ClassVar[str] = "probe.moved"
    key_field: ClassVar[str] = "thing"
    thing: str
    place: str = "unknown"


class Facts(NamedTuple):
    """The facts of one publisher."""

    moved: type[Moved]
    turned: type[Turned]
    vanished: type[Vanished]
    moved_lately: type[MovedLately]


def facts_of(publisher: str) -> Facts:
    """The same facts as `publisher` publishes them."""

    class MovedThere(Moved, frozen=True, kw_only=True):
        type: ClassVar[str] = f"{publisher}.moved"

    class TurnedThere(Turned, frozen=True, kw_only=True):
        type: ClassVar[str] = f"{publisher}.turned"

    class VanishedThere(Vanished, frozen=True, kw_only=True):
        type: ClassVar[str] = f"{publisher}.vanished"

    class MovedLatelyThere(MovedLately, frozen=True, kw_only=True):
        type: ClassVar[str] = f"{publisher}.moved"

    return Facts(MovedThere, TurnedThere, VanishedThere, MovedLatelyThere)


class PoisonError(ValueError):
    """What the handler can't digest."""


def recording(group: str, by: str = "") -> Handler:
    """A handler that writes down what it was handed, for `group`, with a note of who did it."""

    async def record(tx: Tx, events: Sequence[Event[Any]]) -> None:
        if any(getattr(event.data, "poison", False) for event in events):
            raise PoisonError("poison")
        await note(tx, group, events, [by for _ in events])

    return record


async def note(tx: Tx, group: str, events: Sequence[Event[Any]], notes: Sequence[str]) -> None:
    """Write the effect of `events` down, each with a note."""
    await tx.execute(
        _RECORD,
        group,
        [event.id for event in events],
        [event.type.partition(".")[2] for event in events],
        [event.key for event in events],
        [event.sequence for event in events],
        list(notes),
    )
