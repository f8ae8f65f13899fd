"""Loads a decoder: folder, tokenizer, template and running engine, and the self-test."""

from dataclasses import dataclass

from tunewright_contract.folders import DecoderGraph
from tunewright_server import machine
from tunewright_server.capacity import plan_capacity
from tunewright_server.engine.decoder import Decoder, check_graph, open_session, resolve_providers
from tunewright_server.engine.dynamic_cache import DynamicCacheDecoder
from tunewright_server.engine.gqa import GqaDecoder
from tunewright_server.generators import ServedGenerator, engine_over, generation_defaults
from tunewright_server.metrics import GeneratorMetrics, Metrics
from tunewright_server.model_folder import ModelFolder, verify_contents
from tunewright_server.refusal import RefusalError
from tunewright_server.settings import ServerSettings
from tunewright_server.text.chat_template import load_chat_template
from tunewright_server.text.template_process import Template, TemplateProcess
from tunewright_server.text.tokenizer import load_tokenizer
from tunewright_server.trial import ask, self_test

DECODERS: dict[str, type[GqaDecoder] | type[DynamicCacheDecoder]] = {"gqa": GqaDecoder, "dynamic_cache": DynamicCacheDecoder}


@dataclass(frozen=True, kw_only=True)
class ServedDecoder(ServedGenerator):
    """Continues a prompt, which a template can make of a conversation."""

    template: Template | None


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
    decoder: Decoder = DECODERS[graph.cache](session, graph, slots=capacity.slots, max_length=capacity.lengths.total)
    engine = engine_over(decoder, tokenizer, settings, capacity, long_rope_switch=folder.manifest.long_rope_switch)
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
        metrics=GeneratorMetrics(metrics, engine, name),
        threads=threads,
    )
