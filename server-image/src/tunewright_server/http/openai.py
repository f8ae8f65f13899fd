"""`/v1/chat/completions`, `/v1/completions` and `/v1/models`."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunewright_server.decoders import ServedDecoder
from tunewright_server.engine.request import GenerationRequest
from tunewright_server.generators import ServedGenerator
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST, invalid
from tunewright_server.http.formats import ChatFormat, Collected, CompletionFormat, Format, usage
from tunewright_server.http.generation import Answers, generation_request
from tunewright_server.http.limits import check_answers, check_length
from tunewright_server.http.parameters import ChatRequest, CompletionRequest, Generation, parse
from tunewright_server.http.state import BODY_LIMIT, read_body, state_of
from tunewright_server.http.stream import EventStream, stream_chunks, unless_disconnected
from tunewright_server.served import ServedModel
from tunewright_server.text import conversation
from tunewright_server.text.chat_template import TemplateRefusedError

_PUBLIC_LINEAGE = ("base", "method", "metrics", "versions")
COMPLETION_MAX_TOKENS = 16  # OpenAI's default for this endpoint; a chat answer and a target may use what fits


async def chat_completions(request: Request) -> Response:
    state = state_of(request)
    state.open()
    asked = parse(ChatRequest, await read_body(request, limit=BODY_LIMIT), longest_prompt=state.registry.longest_prompt)
    model = state.find(asked.model, ServedDecoder)
    check_answers(1, asked, model)
    prompt = await asyncio.to_thread(_chat_prompt, asked, model)
    max_tokens = _max_tokens(asked)
    requests = [
        generation_request(prompt, asked, model, param="messages", max_tokens=max_tokens, choice=choice) for choice in range(asked.n or 1)
    ]
    return await _answer(request, model, asked, ChatFormat(model.tokenizer), requests, prompt_tokens=len(prompt))


async def completions(request: Request) -> Response:
    state = state_of(request)
    state.open()
    asked = parse(CompletionRequest, await read_body(request, limit=BODY_LIMIT), longest_prompt=state.registry.longest_prompt)
    model = state.find(asked.model, ServedGenerator)
    check_answers(len(asked.prompts), asked, model)
    prompts = await asyncio.to_thread(_plain_prompts, asked, model)
    max_tokens = asked.max_tokens or (COMPLETION_MAX_TOKENS if model.continues_prompts else None)
    requests = [
        generation_request(
            prompt,
            asked,
            model,
            param="prompt",
            max_tokens=max_tokens,
            context=prompt if model.continues_prompts else (),
            choice=choice,
        )
        for prompt in prompts
        for choice in range(asked.n or 1)
    ]
    return await _answer(request, model, asked, CompletionFormat(model.tokenizer), requests, prompt_tokens=sum(map(len, prompts)))


async def models(request: Request) -> Response:
    """OpenAI's list, with the model's origin under `tunewright`."""
    state = state_of(request)
    state.open()
    return JSONResponse({"object": "list", "data": [_describe(model, request) for model in state.registry]})


async def one_model(request: Request) -> Response:
    return JSONResponse(_describe(state_of(request).find(request.path_params["model"], ServedModel), request))


def _describe(model: ServedModel, request: Request) -> dict[str, Any]:
    """Describe a model. Its job and the digests of its inputs are shown only if each request needs the API key."""
    origin = model.manifest.model_dump(
        mode="json", exclude_none=True, include={"revision", "task", "architecture", "precision", "lineage", "parity", "evaluation"}
    )
    if not request.app.state.shows_origin:
        del origin["revision"]
        origin["lineage"] = {name: value for name, value in origin["lineage"].items() if name in _PUBLIC_LINEAGE}
        if "@" not in model.manifest.lineage.base:  # a digest of the base model's folder
            del origin["lineage"]["base"]
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "tunewright",
        "max_model_len": model.engine.max_length,
        **model.description,
        "tunewright": origin,
    }


def _chat_prompt(asked: ChatRequest, model: ServedDecoder) -> tuple[int, ...]:
    if model.template is None:
        raise invalid("this model has no chat template; use /v1/completions", param="messages", code="no_chat_template")
    try:
        rendered = conversation.render([message.for_template() for message in asked.messages], model.template, model.tokenizer)
    except TemplateRefusedError as error:
        raise invalid(f"the model's chat template refuses these messages: {error}", param="messages", code="template_refused") from error
    check_length(rendered.text, model, param="messages")
    return conversation.encode(rendered, model.tokenizer)


def _plain_prompts(asked: CompletionRequest, model: ServedGenerator) -> list[tuple[int, ...]]:
    for prompt in asked.prompts:
        check_length(prompt, model, param="prompt")
    return [_tokens(prompt, model) if isinstance(prompt, str) else tuple(prompt) for prompt in asked.prompts]


def _tokens(prompt: str, model: ServedGenerator) -> tuple[int, ...]:
    tokens = model.tokenizer.encode(prompt, add_special_tokens=True)
    if not model.continues_prompts and model.tokenizer.only_special(tokens):
        raise invalid("the prompt has no text", param="prompt")
    return tokens


def _max_tokens(asked: ChatRequest) -> int | None:
    old, new = asked.max_tokens, asked.max_completion_tokens
    if old and new and old != new:
        raise invalid(f"max_tokens is {old} and max_completion_tokens is {new}; give one of them", param="max_completion_tokens")
    return new or old


async def _answer(
    request: Request,
    model: ServedGenerator,
    asked: Generation,
    form: Format,
    requests: Sequence[GenerationRequest],
    *,
    prompt_tokens: int,
) -> Response:
    head = {
        "id": form.prefix + secrets.token_hex(12),
        "object": form.chunk_object if asked.stream else form.object,
        "created": int(time.time()),
        "model": asked.model,
    }
    answers = Answers(state_of(request), model, requests)
    if asked.stream:
        counted = prompt_tokens if asked.include_usage else None
        return EventStream(
            answers,
            stream_chunks(answers, form, head, choices=len(requests), prompt_tokens=counted, continuous_usage=asked.continuous_usage),
        )
    collected = [Collected() for _ in requests]
    with contextlib.closing(answers):
        if not await unless_disconnected(request, lambda: _collect(answers, collected)):
            return Response(status_code=CLIENT_CLOSED_REQUEST)
    return JSONResponse(
        {
            **head,
            "choices": [form.choice(index, each) for index, each in enumerate(collected)],
            "usage": usage(prompt_tokens=prompt_tokens, completion_tokens=sum(each.tokens for each in collected)),
        }
    )


async def _collect(answers: Answers, collected: Sequence[Collected]) -> None:
    async for index, progress in answers:
        collected[index].add(progress)
