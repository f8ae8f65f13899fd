"""A sequence-to-sequence model that is ready to answer: folder, tokenizer and running engine, put together and tried once."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from tunewright_contract.folders import SequenceToSequenceGraph
from tunewright_contract.generation_config import GENERATION_CONFIG_NAME
from tunewright_server import machine
from tunewright_server.capacity import plan_source_and_target
from tunewright_server.engine.decoder import open_session, resolve_providers
from tunewright_server.engine.sequence_to_sequence import SequenceToSequenceDecoder, Sharing, start_of
from tunewright_server.generators import ServedGenerator, engine_over, generation_defaults
from tunewright_server.metrics import GeneratorMetrics, Metrics
from tunewright_server.model_folder import ModelFolder, verify_contents
from tunewright_server.refusal import RefusalError
from tunewright_server.settings import ServerSettings
from tunewright_server.text.tokenizer import load_tokenizer
from tunewright_server.trial import ask, self_test

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServedSequenceToSequence(ServedGenerator):
    """Answers a source with a target: a translation, or a summary."""

    continues_prompts: ClassVar[bool] = False

    sharing: Sharing

    @property
    def facts(self) -> dict[str, object]:
        return {**super().facts, "maxAnswer": self.engine.lengths.answer, "sharesRuns": self.sharing.value}

    @property
    def description(self) -> dict[str, object]:
        """`max_model_len` is the source's bound."""
        return {**super().description, "max_answer_len": self.engine.lengths.answer, "not_honoured": self.defaults.departures}


def load_sequence_to_sequence(
    folder: ModelFolder, settings: ServerSettings, metrics: Metrics, *, name: str, memory_bytes: int
) -> ServedSequenceToSequence:
    """Verify, load and try the model. `memory_bytes` are for its weights and its caches.

    Blocks for seconds to minutes. Raises `RefusalError`; leaves no thread behind then.
    """
    providers = resolve_providers(settings.execution_providers)
    manifest = folder.manifest
    graph = manifest.graph
    assert isinstance(graph, SequenceToSequenceGraph)  # noqa: S101 - by the table of graph kinds
    capacity = plan_source_and_target(
        graph,
        start=len(start_of(graph)),
        context=manifest.context_length,
        weight_bytes=folder.weight_bytes,
        memory_bytes=memory_bytes,
        max_slots=settings.max_slots,
        max_length=settings.max_length,
    )
    verify_contents(folder)
    defaults = generation_defaults(folder.path, encoder=True)
    for departure in defaults.departures:
        log.warning("not honoured", extra={"fields": {"model": name, "file": GENERATION_CONFIG_NAME, "field": departure}})
    tokenizer = load_tokenizer(folder.path)
    threads = machine.cpu_limit()
    encoder_path, decoder_path = folder.graphs
    decoder = SequenceToSequenceDecoder(
        open_session(encoder_path, providers=providers, threads=threads),
        open_session(decoder_path, providers=providers, threads=threads),
        graph,
        slots=capacity.slots,
        lengths=capacity.lengths,
        vocab_size=manifest.vocab_size,
    )
    engine = engine_over(decoder, tokenizer, settings, capacity)
    engine.start()
    try:
        self_test(engine, manifest)
        if settings.smoke_test is not None:
            ask(settings.smoke_test, engine, manifest, tokenizer, None, defaults=defaults)
    except RefusalError:
        engine.stop()
        raise
    return ServedSequenceToSequence(
        name=name,
        manifest=manifest,
        created=folder.created,
        tokenizer=tokenizer,
        engine=engine,
        defaults=defaults,
        capacity=capacity,
        metrics=GeneratorMetrics(metrics, engine, name),
        threads=threads,
        sharing=decoder.sharing,
    )
