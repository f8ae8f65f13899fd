"""An encoder that is ready to answer: folder, tokenizer and running engine, put together and tried once."""

import queue
from dataclasses import dataclass

import numpy as np

from tunewright_contract.model_manifest import EncoderGraph
from tunewright_contract.smoke_test import SmokeTest
from tunewright_server import machine
from tunewright_server.capacity import DEFAULT_LENGTH, check_length_fits, check_weights_fit
from tunewright_server.engine.decoder import open_session, resolve_providers
from tunewright_server.engine.encoder import Encoder, Logits
from tunewright_server.engine.encoder_loop import RUN_ROWS, EncoderEngine
from tunewright_server.engine.request import Failed
from tunewright_server.engine.row_queue import EncoderEvent
from tunewright_server.http.metrics import EncoderMetrics, Metrics
from tunewright_server.model_folder import ModelFolder, verify_contents
from tunewright_server.refusal import RefusalError, self_test_failed, smoke_test_failed
from tunewright_server.served import ServedModel
from tunewright_server.settings import ServerSettings
from tunewright_server.text.tokenizer import load_tokenizer

_RUN_SECONDS = 300.0  # for one row


@dataclass(frozen=True, kw_only=True)
class ServedEncoder(ServedModel):
    """Classifies texts."""

    engine: EncoderEngine
    graph: EncoderGraph
    metrics: EncoderMetrics
    shares_runs: bool

    @property
    def facts(self) -> dict[str, object]:
        return {**super().facts, "sharesRuns": self.shares_runs}

    @property
    def description(self) -> dict[str, object]:
        return {"labels": self.graph.labels, "problem_type": self.graph.problem_type}

    def probabilities(self, logits: Logits) -> list[float]:
        """Softmax over the labels, or a sigmoid for each of several that may hold at once."""
        exact = logits.astype(np.float64)
        if self.graph.problem_type == "multi_label_classification":
            return [float(each) for each in np.exp(-np.logaddexp(0, -exact))]
        shares = np.exp(exact - exact.max())
        return [float(each) for each in shares / shares.sum()]

    def label(self, logits: Logits) -> str:
        """The likeliest label, also of several that may hold at once."""
        return self.graph.labels[int(logits.argmax())]


def load_encoder(folder: ModelFolder, settings: ServerSettings, metrics: Metrics, *, name: str, memory_bytes: int) -> ServedEncoder:
    """Verify, load and try the model. `memory_bytes` are for its weights and what a run needs beside them.

    Blocks for seconds. Raises `RefusalError`; leaves no thread behind then.
    """
    providers = resolve_providers(settings.execution_providers)
    manifest = folder.manifest
    graph = manifest.graph
    assert isinstance(graph, EncoderGraph)  # noqa: S101 - by the table of graph kinds
    check_length_fits(settings.max_length, context=manifest.context_length)
    check_weights_fit(folder.weight_bytes, memory_bytes=memory_bytes)
    verify_contents(folder)
    tokenizer = load_tokenizer(folder.path)
    threads = machine.cpu_limit()
    session = open_session(folder.graph, providers=providers, threads=threads)
    encoder = Encoder(
        session,
        graph,
        max_length=settings.max_length or min(manifest.context_length, DEFAULT_LENGTH),
        vocab_size=manifest.vocab_size,
        pad_token_id=manifest.pad_token_id or 0,
    )
    engine = EncoderEngine(encoder, run_rows=settings.max_slots or RUN_ROWS, queue_seconds=settings.queue_seconds)
    engine.start()
    model = ServedEncoder(
        name=name,
        manifest=manifest,
        created=folder.created,
        tokenizer=tokenizer,
        engine=engine,
        threads=threads,
        graph=graph,
        metrics=EncoderMetrics(metrics, engine, name),
        shares_runs=encoder.shares_runs,
    )
    try:
        try_out(model, settings.smoke_test)
    except RefusalError:
        engine.stop()
        raise
    return model


def try_out(model: ServedEncoder, test: SmokeTest | None) -> None:
    """Run one row, and classify the text of the smoke test.

    Raises `RefusalError` (65) when the graph cannot be run or the label does not contain what the test wants.
    """
    _logits(model, (0,))
    if test is None:
        return
    tokens = model.tokenizer.encode(test.prompt, add_special_tokens=True)
    if not 0 < len(tokens) <= model.engine.max_length:
        raise smoke_test_failed(f"the text has {len(tokens)} tokens, and the server takes 1 to {model.engine.max_length}")
    label = model.label(_logits(model, tokens))
    if test.contains is not None and test.contains.casefold() not in label.casefold():
        raise smoke_test_failed(f"the model gives {test.prompt[:200]!r} the label {label!r}, which does not contain {test.contains!r}")


def _logits(model: ServedEncoder, tokens: tuple[int, ...]) -> Logits:
    events: queue.Queue[EncoderEvent] = queue.Queue()
    model.engine.submit([tokens], lambda _, event: events.put(event))
    try:
        event = events.get(timeout=_RUN_SECONDS)
    except queue.Empty:
        event = Failed(f"no answer within {_RUN_SECONDS:.0f} seconds")
    if isinstance(event, Failed):
        raise self_test_failed(f"the model cannot be run: {event.message}")
    return event.logits
