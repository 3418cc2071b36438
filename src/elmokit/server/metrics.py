"""What the server measures of itself, for Prometheus (GET /metrics).

Every application has a registry of its own, so two in one process do not mix. With several worker processes the
numbers lie in files in a folder that all share (`PROMETHEUS_MULTIPROC_DIR`), and whichever is asked tells the sum.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from elmokit.server.batching import BatchStats

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WORDS = (16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """Counters of one server; `text` is what /metrics answers."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("elmokit_requests", "Requests answered", ("route", "status"), registry=registry)
        self._seconds = Histogram(
            "elmokit_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=registry
        )
        self.in_progress = Gauge(
            "elmokit_requests_in_progress", "Requests in work", registry=registry, multiprocess_mode="livesum"
        )
        self._texts = Counter("elmokit_texts", "Texts encoded", registry=registry)
        self._words = Counter("elmokit_words", "Words encoded, ends of texts counted too", registry=registry)
        self._model_seconds = Counter("elmokit_model_seconds", "Time that the model computed", registry=registry)
        self._batch_requests = Histogram(
            "elmokit_batch_requests", "Requests merged", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=registry
        )
        self._batch_words = Histogram(
            "elmokit_batch_words", "Words computed together", buckets=_WORDS, registry=registry
        )
        self._waiting = Gauge(
            "elmokit_waiting_words", "Words in the queue", registry=registry, multiprocess_mode="livesum"
        )

    def watch(self, waiting_words: Callable[[], int]) -> None:
        """Tell where the length of the queue can be asked, whenever the numbers are read."""
        self._waiting_words = waiting_words

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request by its route, as declared."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, batch: BatchStats) -> None:
        """Count a computed batch."""
        self._texts.inc(batch.n_texts)
        self._words.inc(batch.n_words)
        self._model_seconds.inc(batch.seconds)
        self._batch_requests.observe(batch.n_requests)
        self._batch_words.observe(batch.n_words)

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        self._waiting.set(self._waiting_words())
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(registry))
