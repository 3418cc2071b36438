"""What the server measures of itself, for Prometheus (GET /metrics): every application in a registry of its own.

With several worker processes the numbers lie in files in a folder that all share (`PROMETHEUS_MULTIPROC_DIR`), and
whichever is asked tells the sum.
"""

import os
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128)
_WORDS = (16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """Counters of one server; `text` is what /metrics answers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter, histogram = partial(Counter, registry=self._registry), partial(Histogram, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry, multiprocess_mode="livesum")
        self.in_progress = gauge("elmokit_requests_in_progress", "Requests in work")
        self._waiting = gauge("elmokit_waiting_words", "Words in the queue")
        self._requests = counter("elmokit_requests", "Requests answered", ("route", "status"))
        self._seconds = histogram("elmokit_request_seconds", "Time to answer", ("route",), buckets=_SECONDS)
        self._texts = counter("elmokit_texts", "Texts encoded")
        self._words = counter("elmokit_words", "Words encoded, ends of texts counted too")
        self._model_seconds = counter("elmokit_model_seconds", "Time that the model computed")
        self._batch_requests = histogram("elmokit_batch_requests", "Requests merged", buckets=_REQUESTS)
        self._batch_words = histogram("elmokit_batch_words", "Words computed together", buckets=_WORDS)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request by its route, as declared."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, n_requests: int, n_texts: int, n_words: int, seconds: float) -> None:
        """Count what was computed together."""
        self._texts.inc(n_texts)
        self._words.inc(n_words)
        self._model_seconds.inc(seconds)
        self._batch_requests.observe(n_requests)
        self._batch_words.observe(n_words)

    def text(self, waiting_words: int) -> bytes:
        """All numbers, and the length of the queue, in Prometheus' text format."""
        self._waiting.set(waiting_words)
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(registry))
