"""The figures of the log: how far groups and relays are behind, what was set aside, and who has not been heard of."""

import asyncio
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tradepost.kernel.brokers.dead import KeepsDeadLetters, PassesOver
from tradepost.kernel.log.lag import RELAY, Behind, behind
from tradepost.kernel.log.ticks import Ticks
from tradepost.kernel.runtime import Running
from tradepost.kernel.service import Service

FRESH_S: Final = 5.0  # for so long a look is good enough for the next page
PATIENCE_S: Final = 2.0  # then the page goes out with what is known
KEPT_S: Final = 60.0  # for so long a figure is shown that can't be had again
DEAD_FRESH_S: Final = 30.0  # the broker is asked over a connection of its own
COUNTED: Final = 100_000  # events; whoever is further behind than that is far behind

_PARKED: Final = 'SELECT source, "group", count(*) AS events FROM parked GROUP BY source, "group"'
_SILENT: Final = """
SELECT source, "group", extract(epoch FROM clock_timestamp() - min(at))::float8 AS seconds
FROM log.reader GROUP BY source, "group"
"""

Place = tuple[str, str]  # source and group

logger = structlog.get_logger()


class _Figure:
    """A gauge by source and group, of which each value is shown while it is new."""

    def __init__(self, name: str, what: str) -> None:
        self._name, self._what = name, what
        self._values: dict[Place, tuple[float, float]] = {}

    def set(self, place: Place, value: float) -> None:
        self._values[place] = value, monotonic()

    def family(self) -> Metric:
        family = GaugeMetricFamily(self._name, self._what, labels=["source", "group"])
        for place, (value, at) in self._values.items():
            if monotonic() - at < KEPT_S:
                family.add_metric(place, value)
        return family


class LogFigures(Collector):
    """Of the groups and relays of this process. `refresh` looks, at most every 5 seconds."""

    def __init__(self, services: Sequence[Service], running: Running) -> None:
        self._running = running
        self._groups = [(service.name, group) for service in services for group in service.groups]
        self._events = _Figure("tradepost_consumer_lag_events", "Events that are not in effect yet, up to 100,000.")
        self._seconds = _Figure("tradepost_consumer_lag_seconds", "Age of the oldest event that is not in effect yet.")
        self._lost = _Figure("tradepost_consumer_lost", "1 when its position is not one in the log.")
        self._parked = _Figure("tradepost_parked_events", "Events set aside.")
        self._silent = _Figure("tradepost_reader_silent_seconds", "Since a reader of a log was last heard of.")
        self._dead = _Figure("tradepost_dead_letters", "Messages that the broker gave up on.")
        self._looking = asyncio.Lock()
        self._looked_at = self._dead_at = -KEPT_S

    async def refresh(self) -> None:
        """Look again. What can't be had in 2 seconds stays as it was, for a minute."""
        async with self._looking:
            if monotonic() - self._looked_at < FRESH_S:
                return
            self._looked_at = monotonic()
            databases = list(self._running.databases)
            looks = [*(self._look(name) for name in databases), *map(self._hear, self._clocks()), self._mourn()]
            try:
                async with asyncio.timeout(PATIENCE_S):
                    found = await asyncio.gather(*looks, return_exceptions=True)
            except TimeoutError:
                logger.warning("figures_late", seconds=PATIENCE_S)
                return
            for why in [str(error) or type(error).__name__ for error in found if isinstance(error, Exception)]:
                logger.warning("figures_missing", why=why)

    def collect(self) -> Iterator[Metric]:
        for figure in (self._events, self._seconds, self._lost, self._parked, self._silent, self._dead):
            yield figure.family()
        broker: Any = self._running.broker
        skipped = CounterMetricFamily("tradepost_not_events", "Messages that were passed over.", labels=["topic"])
        for topic, count in broker.skipped.items() if isinstance(broker, PassesOver) else ():
            skipped.add_metric([topic], count)
        yield skipped

    async def _look(self, name: str) -> None:
        """What lies in the schema of one service."""
        database = self._running.databases[name]
        parked = {(row["source"], row["group"]): row["events"] for row in await database.fetch(_PARKED)}
        for group in [group for home, group in self._groups if home == name]:
            for source in group.sources():
                self._parked.set((source, group.name), parked.get((source, group.name), 0))
                if source in self._running.clocks:
                    await self._measure(source, name, group.name, list(group.of(source)))
        if self._running.broker is not None:
            await self._measure(name, name, RELAY, None)

    async def _measure(self, source: str, name: str, group: str, types: Sequence[str] | None) -> None:
        publisher, consumer = self._running.clocks[source].pool, self._running.databases[name]
        lag: Behind = await behind(publisher, consumer, source, name, group, types, at_most=COUNTED)
        self._events.set((source, group), lag.events)
        self._seconds.set((source, group), lag.seconds)
        self._lost.set((source, group), not lag.stands)

    def _clocks(self) -> list[Ticks]:
        return list({id(ticks): ticks for ticks in self._running.clocks.values()}.values())

    async def _hear(self, ticks: Ticks) -> None:
        for row in await ticks.pool.fetch(_SILENT):
            self._silent.set((row["source"], row["group"]), max(0.0, row["seconds"]))

    async def _mourn(self) -> None:
        broker: Any = self._running.broker
        if not isinstance(broker, KeepsDeadLetters) or monotonic() - self._dead_at < DEAD_FRESH_S:
            return
        self._dead_at = monotonic()
        for _, group in self._groups:
            self._dead.set(("broker", group.name), await broker.dead(group))
