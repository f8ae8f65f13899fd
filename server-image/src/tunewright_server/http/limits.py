"""Limits of one request, checked before its prompts are tokenized completely."""

from tunewright_server.engine.request import Lengths
from tunewright_server.generators import ServedGenerator
from tunewright_server.http.errors import ApiError, invalid
from tunewright_server.http.parameters import Generation
from tunewright_server.served import ServedModel

_WORD = 128  # characters: WordPiece makes one unknown token of a word of any length, and no word has more


def check_answers(prompts: int, asked: Generation, model: ServedGenerator) -> None:
    """Raises `ApiError` 400 when prompts times choices are more than the queue holds."""
    choices = asked.n or 1
    if prompts * choices > model.engine.queue_limit:
        param = "n" if choices > 1 else "prompt"
        raise invalid(f"{prompts * choices} answers in one request are more than the queue holds ({model.engine.queue_limit})", param=param)


def check_room(prompt: int, max_tokens: int | None, lengths: Lengths, *, param: str) -> int:
    """Return how many tokens an answer can have after so many of the prompt.

    Raises `ApiError` 400 if that is less than one, or than `max_tokens`. `param` names the prompt's parameter.
    """
    room = lengths.room(prompt)
    if room >= (max_tokens or 1):
        return room
    code = "context_length_exceeded"
    if not lengths.are_separate:
        answer = f" and {max_tokens} for the answer" if max_tokens else ", which leaves no room for an answer"
        raise invalid(
            f"this server's maximum context length is {lengths.total} tokens; you asked for {prompt} in the {param}{answer}",
            param=param,
            code=code,
        )
    if not room:
        raise invalid(f"this model reads at most {lengths.prompt} tokens; the {param} has {prompt}", param=param, code=code)
    raise invalid(f"this model writes at most {lengths.answer} tokens; max_tokens is {max_tokens}", param="max_tokens", code=code)


def check_length(prompt: str | list[int], model: ServedModel, *, param: str, tokens: int | None = None) -> None:
    """Raises `ApiError` 400 for a prompt that has certainly more than so many tokens; None: than the engine takes.

    Tokenizes only as much as needed. It blocks the event loop.
    """
    most = tokens or model.engine.max_length
    one = max(model.tokenizer.longest_token, _WORD) if isinstance(prompt, str) else 1
    if len(prompt) > most * one:
        raise _too_long(f"{len(prompt)} {'characters' if isinstance(prompt, str) else 'tokens'}", most, param)
    if isinstance(prompt, str) and len(prompt) > 2 * most and model.tokenizer.has_more(prompt, most):
        raise _too_long("more than that", most, param)


def _too_long(length: str, most: int, param: str) -> ApiError:
    return invalid(
        f"this server's maximum context length is {most} tokens; the {param} has {length}",
        param=param,
        code="context_length_exceeded",
    )
