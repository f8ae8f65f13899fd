"""Loads an encoder: folder, tokenizer and running engine, and the self-test."""

from tunewright_contract.capabilities.tasks import HeadKind
from tunewright_contract.folders import EncoderGraph
from tunewright_server import machine
from tunewright_server.capacity import DEFAULT_LENGTH, check_length_fits, check_weights_fit
from tunewright_server.classifiers import ServedClassifier, ServedTokenClassifier
from tunewright_server.engine.decoder import open_session, resolve_providers
from tunewright_server.engine.encoder import Encoder
from tunewright_server.engine.encoder_loop import RUN_ROWS, EncoderEngine
from tunewright_server.metrics import EncoderMetrics, Metrics
from tunewright_server.model_folder import ModelFolder, verify_contents
from tunewright_server.readers import ServedReader
from tunewright_server.refusal import RefusalError
from tunewright_server.served_encoder import ServedEncoder
from tunewright_server.settings import ServerSettings
from tunewright_server.text.tokenizer import load_tokenizer

# By the kind of head in the manifest. The routes of each are in `graph_kinds`.
HEADS: dict[HeadKind, type[ServedEncoder]] = {
    "sequence_classification": ServedClassifier,
    "question_answering": ServedReader,
    "token_classification": ServedTokenClassifier,
}


def load_encoder(folder: ModelFolder, settings: ServerSettings, metrics: Metrics, *, name: str, memory_bytes: int) -> ServedEncoder:
    """Verify, load and try the model. `memory_bytes` are for its weights and what a run needs beside them.

    Blocks for seconds. Raises `RefusalError`, after it has ended its threads.
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
    model = HEADS[graph.head.kind](
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
        model.try_out(settings.smoke_test)
    except RefusalError:
        engine.stop()
        raise
    return model
