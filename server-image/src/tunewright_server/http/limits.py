"""What one request may ask for, checked before its prompts are tokenized."""

from tunewright_server.http.errors import invalid
from tunewright_server.http.parameters import Generation
from tunewright_server.served import ServedModel

_WORD = 128  # characters: WordPiece makes one unknown token of a word of any length, and no word has more


def check_answers(prompts: int, asked: Generation, model: ServedModel) -> None:
    """Raises `ApiError` 400 when prompts times choices are more than the queue holds."""
    choices = asked.n or 1
    if prompts * choices > model.engine.queue_limit:
        param = "n" if choices > 1 else "prompt"
        raise invalid(f"{prompts * choices} answers in one request are more than the queue holds ({model.engine.queue_limit})", param=param)


def check_length(prompt: str | list[int], model: ServedModel, *, param: str) -> None:
    """Raises `ApiError` 400 for a prompt that no tokenizer makes short enough."""
    one = max(model.tokenizer.longest_token, _WORD) if isinstance(prompt, str) else 1
    limit = model.engine.max_length * one
    if len(prompt) > limit:
        unit = "characters" if isinstance(prompt, str) else "tokens"
        raise invalid(
            f"this server's maximum context length is {model.engine.max_length} tokens; the {param} has {len(prompt)} {unit}",
            param=param,
            code="context_length_exceeded",
        )
