"""What a consumer group reads, and which function each type of event is handed to."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tradepost.kernel.events import Event, Fact
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.rest import UNHURRIED_S

if TYPE_CHECKING:
    from tradepost.kernel.database import Tx

F = TypeVar("F", bound=Fact)
Handler = Callable[["Tx", Sequence[Event[Any]]], Awaitable[None]]


@dataclass(frozen=True)
class Subscription:
    """One type of event and its handler, which takes as many events at once as there are. After a batch it rests for
    `rest_s`."""

    fact: type[Fact]
    handler: Handler
    rest_s: float

    @cached_property
    def _decoder(self) -> "msgspec.json.Decoder[Fact]":
        return msgspec.json.Decoder(self.fact)

    def decode(self, raw: Raw) -> Event[Fact]:
        """The event with its fact. Errors: msgspec.ValidationError when the body does not fit the contract."""
        return Event(
            position=raw.position,
            id=raw.id,
            type=raw.type,
            key=raw.key,
            sequence=raw.sequence,
            time=raw.time,
            correlation_id=raw.correlation_id,
            causation_id=raw.causation_id,
            traceparent=raw.traceparent,
            data=self._decoder.decode(raw.data),
        )


def on(fact: type[F], handler: Callable[["Tx", Sequence[Event[F]]], Awaitable[None]]) -> Subscription:
    """Hand every `fact` to `handler`, in batches, in order per key."""
    return Subscription(fact, handler, 0.0)


def later(fact: type[F], handler: Callable[["Tx", Sequence[Event[F]]], Awaitable[None]]) -> Subscription:
    """The same for effects that nobody waits for: between two batches there is a rest, unless the first was large."""
    return Subscription(fact, handler, UNHURRIED_S)


@dataclass(frozen=True)
class Group:
    """Subscriptions that share positions. With `reset`, which empties what they have built, the group may read again
    from the start; without, its effects reach the world and it never may."""

    name: str
    subscriptions: tuple[Subscription, ...]
    reset: Callable[["Tx"], Awaitable[None]] | None = None

    def sources(self) -> tuple[str, ...]:
        """The publishers that the group reads."""
        return tuple(sorted({subscription.fact.publisher() for subscription in self.subscriptions}))

    def of(self, source: str) -> Mapping[str, Subscription]:
        """The subscriptions to one publisher, by type of event."""
        return self._by_source.get(source, {})

    def rest_s(self, sources: Collection[str]) -> float:
        """How long to rest between two batches of what these publishers tell: as long as the most urgent allows."""
        return min((s.rest_s for source in sources for s in self.of(source).values()), default=0.0)

    @cached_property
    def _by_source(self) -> Mapping[str, Mapping[str, Subscription]]:
        return {
            source: {s.fact.type: s for s in self.subscriptions if s.fact.publisher() == source}
            for source in self.sources()
        }


def lanes(events: Sequence[Raw], subscriptions: Mapping[str, Subscription]) -> list[tuple[Subscription, list[Raw]]]:
    """The events as few calls of handlers, each in log order, such that the events of one key keep theirs."""
    made: list[tuple[Subscription, list[Raw]]] = []
    last: dict[str, int] = {}
    for event in events:
        subscription = subscriptions[event.type]
        lane = last.get(event.key, 0)
        while lane < len(made) and made[lane][0].handler is not subscription.handler:
            lane += 1
        if lane == len(made):
            made.append((subscription, []))
        made[lane][1].append(event)
        last[event.key] = lane
    return made
