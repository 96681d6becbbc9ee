"""The figures of the services in other processes, by instance."""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tradepost.gateway.instances import State
from tradepost.gateway.upstreams import Upstream

LABELS: Final = ("service", "instance")


class UpstreamFigures(Collector):
    """Read whenever Prometheus asks."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = upstreams

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "tradepost_upstream_requests", "Requests sent, by how they ended.", labels=[*LABELS, "outcome"]
        )
        under_way = GaugeMetricFamily(
            "tradepost_upstream_requests_in_flight", "Requests under way.", labels=[*LABELS, "kind"]
        )
        out = GaugeMetricFamily("tradepost_upstream_ejected", "1 while it gets no requests.", labels=LABELS)
        repeats = CounterMetricFamily("tradepost_upstream_retries", "Requests sent once more.", labels=["service"])
        for upstream in self._upstreams:
            repeats.add_metric([upstream.service.name], upstream.repeats)
            for instance in upstream.instances.all:
                place = [upstream.service.name, instance.url]
                for outcome, count in instance.outcomes.items():
                    requests.add_metric([*place, outcome.value], count)
                under_way.add_metric([*place, "call"], instance.calls)
                under_way.add_metric([*place, "stream"], instance.streams)
                out.add_metric(place, int(instance.state in (State.OUT, State.STOPPING)))
        yield from (requests, under_way, out, repeats)
