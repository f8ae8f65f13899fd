"""The parameters of OpenAI's two endpoints: what is understood, what has no effect, and what is refused by name.

Source: the OpenAI API reference for chat completions and completions. `top_k`, `stop_token_ids` and `ignore_eos` are vLLM's.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunewright_server.http.errors import ApiError, invalid

Text = Annotated[str, Field(min_length=1)]
TokenId = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StreamOptions(_Closed):
    include_usage: bool = False


class Generation(_Closed):
    """What both endpoints understand. None means: not given."""

    model: str
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    seed: Seed | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    stop_token_ids: list[TokenId] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def alternatives(self) -> int | None:
        """How many alternatives are wanted beside each token's log-probability; None: no log-probabilities."""
        raise NotImplementedError


class TextPart(_Closed):
    type: Literal["text"]
    text: str


class Message(_Closed):
    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def for_template(self) -> dict[str, str]:
        """What templates expect: plain text, in parts or not."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": self.role, "content": text, **({"name": self.name} if self.name else {})}


class ChatRequest(Generation):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Generation):
    prompt: str | Annotated[list[str] | list[TokenId] | list[list[TokenId]], Field(min_length=1)]
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None

    @property
    def alternatives(self) -> int | None:
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """One prompt or several; a prompt is text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        tokens = [item for item in self.prompt if isinstance(item, int)]
        return [tokens] if tokens else [item for item in self.prompt if not isinstance(item, int)]


# Accepted, because they ask for nothing that shows in an answer.
WITHOUT_EFFECT = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls"})

# Refused unless they hold a value that changes nothing.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "min_p": (0,),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "use_beam_search": (False,),
    "verbosity": ("medium",),
    "web_search_options": (),
}

Request = TypeVar("Request", bound=Generation)


def parse(model: type[Request], body: bytes) -> Request:
    """Read a request. Raises `ApiError` 400 naming the first parameter at fault."""
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise invalid(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(fields, dict):
        raise invalid("the body must be a JSON object", code="invalid_json")
    for name, harmless in UNSUPPORTED.items():
        value = fields.pop(name, None)
        if value is not None and value not in harmless:
            raise invalid(f"{name} is not supported by this server; leave it out", param=name, code="unsupported_parameter")
    try:
        request = model.model_validate({name: value for name, value in fields.items() if name not in WITHOUT_EFFECT})
    except ValidationError as error:
        raise _refusal(error) from error
    _check_together(request)
    return request


def _check_together(request: Generation) -> None:
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options is only allowed together with stream", param="stream_options")
    if isinstance(request, ChatRequest) and request.top_logprobs and not request.logprobs:
        raise invalid("top_logprobs needs logprobs to be true", param="top_logprobs")


def _refusal(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.islower())
    param = where or None
    if first["type"] == "extra_forbidden":
        return invalid(f"unrecognized parameter: {where}", param=param, code="unknown_parameter")
    if first["type"] == "missing":
        return invalid(f"{where} is required", param=param, code="missing_required_parameter")
    return invalid(f"{where}: {first['msg']}", param=param)
