"""Numbers about the service for Prometheus; no path, query or id is among them."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.load import Load

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Numbers of one service, in a registry of their own.

    Args:
        load: Lanes whose requests are counted.
        opened: Function that returns the archives as they are open now, by name; those that are not open are left out.
            A single one has the name "", and its numbers have no label.
    """

    def __init__(self, load: Load, opened: Callable[[], Mapping[str, Archive]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mcmfh_archive_requests",
            "Requests that were answered",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mcmfh_archive_request_seconds",
            "Time from the head of a request to the end of its answer",
            ("route",),
            registry=self._registry,
        )
        self._registry.register(_State(load, opened))
        ProcessCollector(registry=self._registry)  # memory, open files, CPU time; on Linux

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: One of the methods of HTTP.
            route: Template of its path.
            status: Status of its answer.
            seconds: What it took.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Write all numbers in the format of Prometheus."""
        return generate_latest(self._registry)


class _State:
    """Numbers that are looked up when they are asked for."""

    def __init__(self, load: Load, opened: Callable[[], Mapping[str, Archive]]) -> None:
        self._load = load
        self._opened = opened

    def collect(self) -> Iterator[Metric]:
        """Yield what is in progress, what was refused, and the size and version of each archive."""
        progress = GaugeMetricFamily(
            "mcmfh_archive_requests_in_progress", "Requests that wait or are answered", labels=["kind"]
        )
        refused = CounterMetricFamily(
            "mcmfh_archive_refused", "Requests that were refused because too many waited", labels=["kind"]
        )
        for lane in self._load.lanes:
            progress.add_metric([lane.kind], lane.taken)
            refused.add_metric([lane.kind], lane.refused)
        yield progress
        yield refused
        opened = self._opened()
        labels = [] if "" in opened else ["archive"]
        items = GaugeMetricFamily("mcmfh_archive_items", "Items that are searched", labels=labels)
        version = GaugeMetricFamily("mcmfh_archive_version", "Version of the table that is searched", labels=labels)
        for name, archive in opened.items():
            items.add_metric([name] * len(labels), len(archive))
            version.add_metric([name] * len(labels), archive.version)
        if opened:
            yield items
            yield version
