"""Loads a decoder: folder, tokenizer, template and running engine, and the self-test."""

from dataclasses import dataclass
from pathlib import Path

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import GenerationConfigError, GenerationDefaults, generation_defaults_in
from tunewright_contract.model_manifest import DecoderGraph
from tunewright_server import machine
from tunewright_server.capacity import DecoderCapacity, plan_capacity
from tunewright_server.engine.decoder import Decoder, check_graph, open_session, resolve_providers
from tunewright_server.engine.dynamic_cache import DynamicCacheDecoder
from tunewright_server.engine.gqa import GqaDecoder
from tunewright_server.engine.loop import Engine
from tunewright_server.http.metrics import DecoderMetrics, Metrics
from tunewright_server.model_folder import ModelFolder, verify_contents
from tunewright_server.refusal import RefusalError
from tunewright_server.served import ServedModel
from tunewright_server.settings import ServerSettings
from tunewright_server.text.chat_template import load_chat_template
from tunewright_server.text.template_process import Template, TemplateProcess
from tunewright_server.text.tokenizer import load_tokenizer
from tunewright_server.trial import ask, self_test

DECODERS: dict[str, type[GqaDecoder] | type[DynamicCacheDecoder]] = {"gqa": GqaDecoder, "dynamic_cache": DynamicCacheDecoder}
QUEUED_PER_SLOT = 16  # answers that may wait; further requests get an error, so that clients retry
QUEUED_CACHES = 8  # tokens that may wait (prompts and answers), as a multiple of the cache's tokens


@dataclass(frozen=True, kw_only=True)
class ServedDecoder(ServedModel):
    """Generates text."""

    engine: Engine
    template: Template | None
    defaults: GenerationDefaults  # for parameters that a request does not set
    capacity: DecoderCapacity
    metrics: DecoderMetrics

    @property
    def facts(self) -> dict[str, object]:
        return {**super().facts, "slots": self.capacity.slots, "cacheBytes": self.capacity.cache_bytes}

    @property
    def description(self) -> dict[str, object]:
        return {"default_sampling_params": self.defaults.model_dump(exclude={"eos_token_ids"}, by_alias=False, exclude_none=True)}


def load_decoder(folder: ModelFolder, settings: ServerSettings, metrics: Metrics, *, name: str, memory_bytes: int) -> ServedDecoder:
    """Verify, load and try the model. `memory_bytes` are for its weights and its cache.

    Blocks for seconds to minutes. Raises `RefusalError`, after it has ended its threads.
    """
    providers = resolve_providers(settings.execution_providers)
    graph = folder.manifest.graph
    assert isinstance(graph, DecoderGraph)  # noqa: S101 - by the table of graph kinds
    capacity = plan_capacity(
        graph,
        context=folder.manifest.context_length,
        weight_bytes=folder.weight_bytes,
        memory_bytes=memory_bytes,
        max_slots=settings.max_slots,
        max_length=settings.max_length,
    )
    verify_contents(folder)
    defaults = generation_defaults(folder.path)
    tokenizer = load_tokenizer(folder.path)
    template = TemplateProcess(folder.path) if load_chat_template(folder.path) else None
    threads = machine.cpu_limit()
    session = open_session(folder.graph, providers=providers, threads=threads)
    check_graph(session, graph)
    decoder: Decoder = DECODERS[graph.cache](session, graph, slots=capacity.slots, max_length=capacity.max_length)
    engine = Engine(
        decoder,
        tokenizer.decode,
        long_rope_switch=folder.manifest.long_rope_switch,
        queue_limit=QUEUED_PER_SLOT * capacity.slots,
        queue_tokens=QUEUED_CACHES * capacity.slots * capacity.max_length,
        queue_seconds=settings.queue_seconds,
    )
    engine.start()
    try:
        self_test(engine, folder.manifest)
        if settings.smoke_test is not None:
            ask(settings.smoke_test, engine, folder.manifest, tokenizer, template, defaults=defaults)
    except RefusalError:
        engine.stop()
        raise
    return ServedDecoder(
        name=name,
        manifest=folder.manifest,
        created=folder.created,
        tokenizer=tokenizer,
        template=template,
        engine=engine,
        defaults=defaults,
        capacity=capacity,
        metrics=DecoderMetrics(metrics, engine, name),
        threads=threads,
    )


def generation_defaults(folder: Path) -> GenerationDefaults:
    """Return the defaults of a request's parameters. Raises `RefusalError` (65)."""
    try:
        return generation_defaults_in(folder)
    except GenerationConfigError as error:
        raise RefusalError("GenerationConfigInvalid", str(error), suggestion=error.way_out.rstrip("."), exit_code=ExitCode.DATA) from error
