"""The figures for Prometheus: requests, consumers, and the process."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, Info, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tradepost.gateway.app import Gateway
from tradepost.gateway.lag import LogFigures
from tradepost.gateway.routes import Routes
from tradepost.gateway.traffic import BOUNDS_S, Traffic
from tradepost.gateway.upstream_figures import UpstreamFigures
from tradepost.gateway.upstreams import Upstream
from tradepost.kernel.log.retention import IDS_AHEAD
from tradepost.kernel.log.ticks import Rebased
from tradepost.kernel.runtime import Running
from tradepost.kernel.service import Service
from tradepost.kernel.telemetry import FIGURES

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Everything that is measured in this process."""

    def __init__(
        self,
        routes: Routes,
        gateway: Gateway,
        services: Sequence[Service],
        running: Running,
        remote: Sequence[Upstream] = (),
    ) -> None:
        self._log = LogFigures(services, running)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(routes, gateway, running))
        self._registry.register(self._log)
        self._registry.register(UpstreamFigures(remote))
        Info("tradepost_build", "Who runs, by version.", registry=self._registry).info(
            {"version": version("tradepost")}
        )
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(IDS_AHEAD)

    async def render(self) -> str:
        """The text that Prometheus reads."""
        await self._log.refresh()
        return generate_latest(self._registry).decode() + generate_latest(FIGURES).decode()


class _Figures(Collector):
    def __init__(self, routes: Routes, gateway: Gateway, running: Running) -> None:
        self._routes, self._gateway, self._running = routes, gateway, running

    def collect(self) -> Iterator[Metric]:
        yield from _requests([route.traffic for route in self._routes if route.traffic.statuses])
        yield from self._under_way()
        yield from self._consumers()

    def _under_way(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("tradepost_http_requests_in_flight", "Calls under way.", labels=["kind"])
        family.add_metric(["call"], self._gateway.calls.inside)
        family.add_metric(["upload"], self._gateway.uploads.inside)
        family.add_metric(["stream"], self._gateway.streams.inside)
        yield family

    def _consumers(self) -> Iterator[Metric]:
        labels = ["source", "group", "first_slot"]
        lag = GaugeMetricFamily("tradepost_consumer_lag_ticks", "Ticks still to be read.", labels=labels)
        stopped = GaugeMetricFamily("tradepost_consumer_stopped", "1 when it won't go on by itself.", labels=labels)
        for consumer in self._running.consumers:
            place = [consumer.place.source, consumer.place.group, str(consumer.place.slots[0])]
            stopped.add_metric(place, int(consumer.stopped is not None))
            with suppress(Rebased):  # there is no newest one then, and all else must be told all the more
                if consumer.position is not None:
                    newest = self._running.clocks[consumer.place.source].newest.id
                    lag.add_metric(place, newest - consumer.position.tick)
        for receiver in self._running.receivers:
            stopped.add_metric(["broker", receiver.group.name, ""], int(receiver.stopped is not None))
        yield lag
        yield stopped


def _requests(traffic: list[Traffic]) -> Iterator[Metric]:
    labels = ["service", "method", "route"]
    requests = CounterMetricFamily("tradepost_http_requests", "Calls answered.", labels=[*labels, "status"])
    seconds = HistogramMetricFamily("tradepost_http_request_seconds", "From call to answer.", labels=labels)
    for one in traffic:
        route = [one.service, one.method, one.route]
        for status, count in one.statuses.items():
            requests.add_metric([*route, str(status)], count)
        seconds.add_metric(route, _cumulative(one.buckets), one.seconds)
    yield requests
    yield seconds


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
    return [(bound, float(sum(buckets[: at + 1]))) for at, bound in enumerate(bounds)]
