"""Passes one HTTP request to the engine and returns its answers, which have an index."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from tunewright_contract.generation_config import GenerationDefaults
from tunewright_server.engine.loop_thread import EngineStoppedError, QueueFullError
from tunewright_server.engine.request import Event, Failed, GenerationRequest, Group, Progress, Sampling, Ticket, sampling_of
from tunewright_server.generators import ServedGenerator
from tunewright_server.http.errors import ApiError, engine_failed, invalid, too_many_requests, unavailable
from tunewright_server.http.limits import check_room
from tunewright_server.http.parameters import Generation
from tunewright_server.http.state import ServerState
from tunewright_server.served import ServedModel

_SEED_BITS = 2**64
AnyEvent = TypeVar("AnyEvent")


def generation_request(
    prompt: tuple[int, ...],
    asked: Generation,
    model: ServedGenerator,
    *,
    param: str,
    max_tokens: int | None,
    context: tuple[int, ...] = (),
    choice: int = 0,
) -> GenerationRequest:
    """Fill in absent parameters. `max_tokens` None: as many as fit; `param` names the prompt's parameter.

    Raises `ApiError` 400 for a request that does not fit.
    """
    if not prompt:
        raise invalid("the prompt has no tokens", param=param)
    check_vocabulary(prompt, model, param=param)
    check_vocabulary(asked.stop_token_ids or (), model, param="stop_token_ids")
    room = check_room(len(prompt), max_tokens, model.engine.lengths, param=param)
    if (asked.min_tokens or 0) > (max_tokens or room):
        raise invalid(f"min_tokens is {asked.min_tokens}, and the answer has at most {max_tokens or room}", param="min_tokens")
    max_tokens = max_tokens or min(room, model.defaults.max_tokens or room)
    eos = () if asked.ignore_eos else model.manifest.eos_token_ids
    return GenerationRequest(
        prompt=prompt,
        max_tokens=max_tokens,
        min_tokens=min(model.defaults.min_tokens, max_tokens) if asked.min_tokens is None else asked.min_tokens,
        sampling=_sampling(asked, model.defaults, choice),
        stop=asked.stop_strings,
        stop_token_ids=frozenset([*eos, *(asked.stop_token_ids or ())]),
        context=context,
        logprobs=asked.alternatives,
    )


def check_vocabulary(tokens: Sequence[int], model: ServedModel, *, param: str) -> None:
    """Raise `ApiError` 400 for a token id outside the model's vocabulary."""
    highest = max(tokens, default=0)
    if highest >= model.manifest.vocab_size:
        raise invalid(f"token id {highest} is not in the vocabulary of {model.manifest.vocab_size} tokens", param=param)


def _sampling(asked: Generation, defaults: GenerationDefaults, choice: int) -> Sampling:
    """Return the request's parameters over the model folder's. Each of the `n` choices has its own seed, so that they differ."""
    seed = None if asked.seed is None else (asked.seed + choice) % _SEED_BITS
    wanted = {name: getattr(asked, name) for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
    given = {name: value for name, value in wanted.items() if value is not None}
    if "top_k" in given:
        given["top_k"] = max(0, given["top_k"])  # -1 keeps everything, too
    return replace(sampling_of(defaults, seed=seed), **given)


class Answers:
    """The answers to some requests, as they arrive. The caller must `close` them, which frees the rows of unfinished ones."""

    def __init__(self, state: ServerState, model: ServedGenerator, requests: Sequence[GenerationRequest]) -> None:
        """Submit all or none. Raises `ApiError` 429 or 503."""
        state.open()
        self._requests = requests
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._tickets: list[Ticket] = []
        self._metrics = model.metrics
        tokens = sum(len(request.prompt) + request.max_tokens for request in requests)
        if tokens > model.engine.queue_tokens:
            raise invalid(
                f"this request may come to {tokens} tokens, and the queue holds {model.engine.queue_tokens}; lower n or max_tokens",
                param="n",
            )
        deliver, group = bridge(asyncio.get_running_loop(), self._events), Group()
        try:
            for index, request in enumerate(requests):
                self._tickets.append(model.engine.submit(request, partial(deliver, index), group))
        except QueueFullError:
            self._cancel()
            raise too_many_requests() from None
        except EngineStoppedError:
            self._cancel()
            raise unavailable("the engine has stopped", code="engine_stopped") from None

    def close(self) -> None:
        self._cancel()

    async def __aiter__(self) -> AsyncIterator[tuple[int, Progress]]:
        """Yield (index, progress) until every answer has ended. Raises `ApiError` 500 or 503 when one cannot be continued."""
        clock = asyncio.get_running_loop().time
        previous: dict[int, float] = {}
        unfinished = len(self._requests)
        while unfinished:
            index, event = await self._events.get()
            if isinstance(event, Failed):
                raise ended(event)
            now = clock()
            self._metrics.observe_token(since_previous=now - previous[index] if index in previous else None)
            previous[index] = now
            if event.finish:
                unfinished -= 1
                self._metrics.observe_finished(event, prompt_tokens=len(self._requests[index].prompt))
            yield index, event

    def _cancel(self) -> None:
        for ticket in self._tickets:
            ticket.cancel()


def ended(event: Failed) -> ApiError:
    """Why an answer cannot be given, as its HTTP error."""
    if event.timed_out:
        return unavailable(event.message, code="queue_timeout")
    return unavailable(event.message, code="shutting_down") if event.stopping else engine_failed(event.message)


def bridge(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[tuple[int, AnyEvent]]) -> Callable[[int, AnyEvent], None]:
    """Pass events, each with the index of its answer, from the engine's thread to the event loop's."""

    def deliver(index: int, event: AnyEvent) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no client reads the answer
            loop.call_soon_threadsafe(events.put_nowait, (index, event))

    return deliver
