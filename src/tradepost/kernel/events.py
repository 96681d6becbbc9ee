"""Facts, and the events that carry them from one service to another."""

from datetime import datetime
from typing import ClassVar, Generic, TypeVar

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as published: data only. A subclass names its `type` and the field that is its key."""

    type: ClassVar[str]
    key_field: ClassVar[str]

    @property
    def key(self) -> str:
        """The aggregate that the fact is about; facts of one key keep their order."""
        return str(getattr(self, self.key_field))

    @classmethod
    def publisher(cls) -> str:
        """The service that publishes facts of this type: the part of `type` before the dot."""
        return cls.type.partition(".")[0]


F_co = TypeVar("F_co", bound=Fact, covariant=True)


class Cause(msgspec.Struct, frozen=True):
    """Why something is written: the story it belongs to, the event that led to it, the trace it is part of."""

    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None


class Event(msgspec.Struct, Generic[F_co], frozen=True, kw_only=True):
    """A fact as read from a log. `sequence` counts per key and publisher, from 1."""

    position: int
    id: str
    type: str
    key: str
    sequence: int
    time: datetime
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    data: F_co

    @property
    def cause(self) -> Cause:
        """What to hand to `Tx.append` for everything that this event leads to."""
        return Cause(self.correlation_id, self.id, self.traceparent)
