"""``GET /_outfitter/metrics``: the numbers of this server for Prometheus. Nothing is kept for it, all is read when asked for."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from outfitter_server.main.metric_families import FAMILIES, Family, Kind, Sources
from outfitter_server.services.meters import Histogram


class Metrics(Collector):
    """Everything of one server, in a registry of its own; with memory, time and files of the process."""

    def __init__(self, sources: Sources) -> None:
        """Nothing is read before somebody asks."""
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def answer(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type: OpenMetrics for who accepts it, else Prometheus's own."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def describe(self) -> list[CounterMetricFamily]:
        """Nothing is told in advance; the registry would read every number to find the names."""
        return []

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """The metrics as they are now."""
        for family in FAMILIES:
            found = family.read(self._sources)
            if isinstance(found, Histogram):
                yield _histogram(family, found)
                continue
            kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            for labels, value in sorted(found):
                metric.add_metric(labels, value)
            yield metric


def _histogram(family: Family, found: Histogram) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    names = [*(str(bound) for bound in found.bounds), "+Inf"]
    metric.add_metric((), list(zip(names, accumulate(found.counts), strict=True)), found.total)
    return metric
