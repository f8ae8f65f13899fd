"""The self-test of a model before it gets requests: it generates text, and answers the job's smoke test."""

import queue
from collections.abc import Iterator

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import ModelManifest
from tunewright_contract.generation_config import GREEDY, GenerationDefaults
from tunewright_contract.smoke_test import SmokeTest
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import Event, Failed, GenerationRequest, Progress, sampling_of
from tunewright_server.refusal import self_test_failed, smoke_test_failed
from tunewright_server.text import conversation
from tunewright_server.text.chat_template import TemplateRefusedError
from tunewright_server.text.template_process import Template
from tunewright_server.text.tokenizer import TextTokenizer

_SEED = 0
_TOKEN_SECONDS = 300.0  # for one token
_SHOWN = 200  # characters of a text that are repeated in a message


def self_test(engine: Engine, manifest: ModelManifest) -> None:
    """Generate a few tokens, so that a broken model fails before the first request. Raises `RefusalError` (65)."""
    start = manifest.bos_token_id if manifest.bos_token_id is not None else 0
    for _ in _generate(engine, GenerationRequest(prompt=(start,), max_tokens=min(4, engine.lengths.room(1)))):
        pass


def ask(
    test: SmokeTest,
    engine: Engine,
    manifest: ModelManifest,
    tokenizer: TextTokenizer,
    template: Template | None,
    *,
    defaults: GenerationDefaults = GREEDY,
) -> None:
    """Send the smoke test as a client with default parameters does. A model that samples by default gets a fixed seed.

    Raises `RefusalError` (65) if it cannot be sent, or the answer is wrong.
    """
    prompt = _prompt(test.prompt, manifest, tokenizer, template)
    room = engine.lengths.room(len(prompt))
    if room < 1:
        together = "" if engine.lengths.are_separate else " for question and answer together"
        raise smoke_test_failed(f"the question has {len(prompt)} tokens, and the server takes {engine.lengths.prompt}{together}")
    request = GenerationRequest(
        prompt=prompt,
        max_tokens=min(test.max_tokens, room),
        min_tokens=min(test.max_tokens, room, defaults.min_tokens),
        sampling=sampling_of(defaults, seed=_SEED),
        stop_token_ids=frozenset(manifest.eos_token_ids),
    )
    answer = "".join(progress.text for progress in _generate(engine, request)).strip()
    asked = f"asked {_clip(test.prompt)!r}, the model answered {_clip(answer)!r}"
    if not answer:
        raise smoke_test_failed(f"asked {_clip(test.prompt)!r}, the model answered nothing")
    if test.contains is not None and test.contains.casefold() not in answer.casefold():
        raise smoke_test_failed(f"{asked}, which does not hold {_clip(test.contains)!r}")


def _prompt(text: str, manifest: ModelManifest, tokenizer: TextTokenizer, template: Template | None) -> tuple[int, ...]:
    if not TASKS[manifest.task].needs_chat_template or template is None:
        return tokenizer.encode(text, add_special_tokens=True)
    try:
        rendered = conversation.render([{"role": "user", "content": text}], template, tokenizer)
    except TemplateRefusedError as error:
        raise smoke_test_failed(f"the model's chat template refuses the question: {error}") from error
    return conversation.encode(rendered, tokenizer)


def _generate(engine: Engine, request: GenerationRequest) -> Iterator[Progress]:
    events: queue.Queue[Event] = queue.Queue()
    engine.submit(request, events.put)
    while True:
        try:
            event = events.get(timeout=_TOKEN_SECONDS)
        except queue.Empty:
            event = Failed(f"no token within {_TOKEN_SECONDS:.0f} seconds")
        if isinstance(event, Failed):
            raise self_test_failed(f"the model cannot generate: {event.message}")
        yield event
        if event.finish:
            return


def _clip(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
