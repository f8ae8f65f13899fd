"""Prometheus metrics under vLLM's names and buckets, so that its dashboards, autoscaling recipes and endpoint pickers work unchanged.

Source: vllm docs/design/metrics.md and vllm/v1/metrics/loggers.py; kubernetes-sigs gateway-api-inference-extension, proposal 003.
Metrics that vLLM does not have start with `tunewright:`. All times in seconds.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from tunewright_server.engine.encoder_loop import EncoderEngine
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import Progress
from tunewright_server.engine.row_queue import RowAnswer

_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560)
_REQUEST = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class _EngineCounter(Collector):
    """A counter whose value is in the engine of each model."""

    def __init__(self, name: str, help_text: str, registry: CollectorRegistry) -> None:
        self._described = (name, help_text)
        self._read: dict[str, Callable[[], int]] = {}  # model -> its count
        registry.register(self)

    def follow(self, model_name: str, read: Callable[[], int]) -> None:
        """Read a model's count at each scrape."""
        self._read[model_name] = read

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(*self._described, labels=["model_name"])
        for model_name, read in list(self._read.items()):
            family.add_metric([model_name], read())
        yield family


class Metrics:
    """The families of the whole process. Each series has the label `model_name`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.running = self._gauge("vllm:num_requests_running", "Requests being run.")
        self.waiting = self._gauge("vllm:num_requests_waiting", "Requests in the queue.")
        self.tokens_waiting = self._gauge("tunewright:num_tokens_waiting", "Prompts and longest answers of waiting requests, in tokens.")
        self.paused = self._gauge("tunewright:num_requests_paused", "Waiting requests that had a row and lost it.")
        self.preemptions = _EngineCounter("vllm:num_preemptions", "Rows taken from requests, which continue later.", self.registry)
        self.timeouts = _EngineCounter("tunewright:queue_timeouts", "Requests that waited too long for a row.", self.registry)
        self.runs = _EngineCounter("tunewright:encoder_runs", "Runs of an encoder's graph, each with one row or several.", self.registry)
        self.cache_usage = self._gauge("vllm:kv_cache_usage_perc", "Share of the key-value cache in use, 0 to 1.")
        self.cache_config = self._gauge("vllm:cache_config_info", "One block is one slot.", "block_size", "num_gpu_blocks")
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens read.")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated.")
        self.success = self._counter("vllm:request_success", "Finished requests.", "finished_reason")
        self.first_token = self._histogram("vllm:time_to_first_token_seconds", "From submission to the first token.", _FIRST_TOKEN)
        self.inter_token = self._histogram("vllm:inter_token_latency_seconds", "Between two tokens of one answer.", _PER_TOKEN)
        self.per_token = self._histogram("vllm:request_time_per_output_token_seconds", "Mean per token after the first.", _PER_TOKEN)
        self.latency = self._histogram("vllm:e2e_request_latency_seconds", "From submission to the last token.", _REQUEST)
        self.queued = self._histogram("vllm:request_queue_time_seconds", "From submission to a slot.", _REQUEST)
        self.prefill = self._histogram("vllm:request_prefill_time_seconds", "From a slot to the first token.", _REQUEST)
        self.decode = self._histogram("vllm:request_decode_time_seconds", "From the first token to the last.", _REQUEST)
        self.prompt_sizes = self._histogram("vllm:request_prompt_tokens", "Prompt tokens per request.", _TOKENS)
        self.answer_sizes = self._histogram("vllm:request_generation_tokens", "Generated tokens per request.", _TOKENS)

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, ["model_name", *labels], registry=self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, ["model_name", *labels], registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_text, ["model_name"], buckets=buckets, registry=self.registry)


class ModelMetrics:
    """The metrics of one model with any graph. Its series exist from the start, and gauges read the engine when they are scraped."""

    def __init__(self, metrics: Metrics, engine: Engine | EncoderEngine, model_name: str) -> None:
        metrics.running.labels(model_name).set_function(lambda: engine.load.running)
        metrics.waiting.labels(model_name).set_function(lambda: engine.waiting)
        metrics.tokens_waiting.labels(model_name).set_function(lambda: engine.waiting_tokens)
        metrics.timeouts.follow(model_name, lambda: engine.load.queue_timeouts)
        self._model = model_name
        self._success = metrics.success
        self._prompt_tokens = metrics.prompt_tokens.labels(model_name)
        self._prompt_sizes = metrics.prompt_sizes.labels(model_name)
        self._latency = metrics.latency.labels(model_name)
        self._queued = metrics.queued.labels(model_name)

    def _finished(self, reason: str, *, prompt_tokens: int, queued: float, latency: float) -> None:
        self._success.labels(self._model, reason).inc()
        self._prompt_tokens.inc(prompt_tokens)
        self._prompt_sizes.observe(prompt_tokens)
        self._latency.observe(latency)
        self._queued.observe(queued)


class EncoderMetrics(ModelMetrics):
    """The metrics of a model with an encoder; a row is a request."""

    def __init__(self, metrics: Metrics, engine: EncoderEngine, model_name: str) -> None:
        super().__init__(metrics, engine, model_name)
        metrics.runs.follow(model_name, lambda: engine.load.runs)

    def observe_row(self, row: RowAnswer, *, tokens: int) -> None:
        """Count a row that was answered."""
        self._finished("stop", prompt_tokens=tokens, queued=row.begun - row.submitted, latency=row.finished - row.submitted)


class GeneratorMetrics(ModelMetrics):
    """The metrics of a model that generates text."""

    def __init__(self, metrics: Metrics, engine: Engine, model_name: str) -> None:
        super().__init__(metrics, engine, model_name)
        metrics.paused.labels(model_name).set_function(lambda: engine.paused)
        metrics.preemptions.follow(model_name, lambda: engine.load.rows_taken)
        capacity = engine.slots * engine.lengths.total
        metrics.cache_usage.labels(model_name).set_function(lambda: engine.load.cached_tokens / capacity)
        metrics.cache_config.labels(model_name, str(engine.lengths.total), str(engine.slots)).set(1)
        self._generation_tokens = metrics.generation_tokens.labels(model_name)
        self._first_token = metrics.first_token.labels(model_name)
        self._inter_token = metrics.inter_token.labels(model_name)
        self._per_token = metrics.per_token.labels(model_name)
        self._prefill = metrics.prefill.labels(model_name)
        self._decode = metrics.decode.labels(model_name)
        self._answer_sizes = metrics.answer_sizes.labels(model_name)

    def observe_token(self, *, since_previous: float | None) -> None:
        """Count a token; `since_previous` is None for the first of an answer."""
        self._generation_tokens.inc()
        if since_previous is not None:
            self._inter_token.observe(since_previous)

    def observe_finished(self, last: Progress, *, prompt_tokens: int) -> None:
        """Count a finished answer."""
        if last.finish is None or last.timing is None:
            return
        timing = last.timing
        self._finished(
            last.finish.value,
            prompt_tokens=prompt_tokens,
            queued=timing.admitted - timing.submitted,
            latency=timing.finished - timing.submitted,
        )
        self._answer_sizes.observe(last.tokens)
        self._first_token.observe(timing.first_token - timing.submitted)
        self._prefill.observe(timing.first_token - timing.admitted)
        self._decode.observe(timing.finished - timing.first_token)
        if last.tokens > 1:
            self._per_token.observe((timing.finished - timing.first_token) / (last.tokens - 1))
