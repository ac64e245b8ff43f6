"""Prometheus metrics, under the names that users of vLLM know, with the prefix `treegram_`.

Timings are recorded by the routes as requests end. Tokens, queue and cache are read from the
engine's own statistics when somebody asks, so that they agree with every other report of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..stats import EngineStats

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

StatsByModel = Mapping[str, EngineStats]

COUNTERS: tuple[tuple[str, str, Callable[[EngineStats], float]], ...] = (
    ("prompt_tokens", "Prompt tokens of all requests", lambda s: s.prompt_tokens),
    ("generation_tokens", "Tokens generated", lambda s: s.completion_tokens),
    ("prefix_cache_queries", "Prompt tokens asked of the cache", lambda s: s.prompt_tokens),
    ("prefix_cache_hits", "Prompt tokens that the cache had", lambda s: s.cached_tokens),
    ("evaluated_tokens", "Tokens that went through the model", lambda s: s.evaluated_tokens),
    ("spec_decode_num_draft_tokens", "Tokens evaluated as a guess", lambda s: s.drafted_tokens),
    ("spec_decode_num_accepted_tokens", "Guesses that were drawn", lambda s: s.accepted_tokens),
    ("decode_seconds", "Time inside llama_decode", lambda s: s.decode_seconds),
    ("draft_seconds", "Time that the draft model took", lambda s: s.draft_seconds),
    ("num_preemptions", "Requests that gave their cells back", lambda s: s.preempted),
)

GAUGES: tuple[tuple[str, str, Callable[[EngineStats], float]], ...] = (
    ("num_requests_running", "Requests in the batch", lambda s: s.running),
    ("num_requests_waiting", "Requests in the queue", lambda s: s.waiting),
    ("kv_cache_usage_perc", "Share of the KV cells in use, 0 to 1", lambda s: _cells_used(s)),
    ("kv_host_bytes", "KV kept in host memory", lambda s: s.cache.host_bytes),
)


def _cells_used(stats: EngineStats) -> float:
    used = stats.cache.live_tokens + stats.cache.private_tokens
    return used / max(used + stats.cache.free_cells, 1)


class EngineCollector(Collector):
    """Reads the engines' statistics at the moment of a scrape."""

    def __init__(self, read: Callable[[], StatsByModel]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """One family per row of COUNTERS and GAUGES."""
        stats = self._read()
        for name, help, value in COUNTERS:
            counter = CounterMetricFamily(f"treegram_{name}", help, labels=["model_name"])
            for model, of_model in stats.items():
                counter.add_metric([model], value(of_model))
            yield counter
        for name, help, value in GAUGES:
            gauge = GaugeMetricFamily(f"treegram_{name}", help, labels=["model_name"])
            for model, of_model in stats.items():
                gauge.add_metric([model], value(of_model))
            yield gauge


class Metrics:
    """One server's metrics, in a registry of their own. Thread-safe.

    `read` gives the statistics of the models that are loaded.
    """

    def __init__(self, read: Callable[[], StatsByModel]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(EngineCollector(read))
        self._first = self._seconds("time_to_first_token", "From submission to the first text")
        self._gap = self._seconds("inter_token_latency", "Between the texts of one generation")
        self._whole = self._seconds("e2e_request_latency", "From submission to the end")
        self._compile = self._seconds("grammar_compilation_time", "Compiling a constraint")
        self._http = Counter(
            "treegram_http_requests",
            "Answers by route and status",
            ("route", "status"),
            registry=self.registry,
        )

    def text(self, model: str, started_s: float, last_s: float | None, now_s: float) -> None:
        """A text delta arrived; `last_s` is when the one before it did."""
        if last_s is None:
            self._first.labels(model).observe(now_s - started_s)
        else:
            self._gap.labels(model).observe(now_s - last_s)

    def finished(self, model: str, started_s: float, now_s: float) -> None:
        """A generation or a program run ended well."""
        self._whole.labels(model).observe(now_s - started_s)

    def compiled(self, model: str, seconds: float) -> None:
        """A constraint was compiled, or found compiled."""
        self._compile.labels(model).observe(seconds)

    def answered(self, route: str, status: int) -> None:
        """A response with this status began."""
        self._http.labels(route, str(status)).inc()

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)

    def _seconds(self, name: str, help: str) -> Histogram:
        return Histogram(
            f"treegram_{name}_seconds",
            f"{help}, in seconds",
            ("model_name",),
            buckets=SECONDS,
            registry=self.registry,
        )
