"""The parameters of OpenAI's two endpoints: supported ones, those without effect, and those that are refused by name.

Source: the OpenAI API reference for chat completions and completions. `top_k`, `min_p`, `repetition_penalty`,
`stop_token_ids` and `ignore_eos` are vLLM's.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tunewright_server.http.errors import ApiError, invalid
from tunewright_server.http.json_body import read_object


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"the character at {error.start} is half of a surrogate pair, which no text can hold alone"
        raise ValueError(msg) from error
    return text


String = Annotated[str, AfterValidator(_encodable)]
Text = Annotated[String, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StreamOptions(_Closed):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None  # vLLM's: every chunk has the usage so far
    include_obfuscation: bool | None = None  # padding against an observer of encrypted traffic; none is added here


class Generation(_Closed):
    """What both endpoints understand. None means: not given."""

    model: String
    max_tokens: Count | None = None
    min_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    seed: Seed | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    stop_token_ids: Annotated[list[TokenId], Field(fail_fast=True, max_length=1024)] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and (self.stream_options.include_usage or self.stream_options.continuous_usage_stats))

    @property
    def continuous_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.continuous_usage_stats)

    @property
    def alternatives(self) -> int | None:
        """How many alternatives are wanted beside each token's log-probability; None: no log-probabilities."""
        raise NotImplementedError


class TextPart(_Closed):
    type: Literal["text"]
    text: String


class ChatMessage(_Closed):
    """One message. The last fields are those of an answer that a client sends back as it received it, without a value."""

    role: Literal["system", "developer", "user", "assistant"]
    content: String | Annotated[list[TextPart], Field(fail_fast=True)]
    name: String | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    reasoning_content: None = None

    def for_template(self) -> dict[str, str]:
        """What templates expect: plain text, in parts or not."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role  # OpenAI's newer name of it, which templates do not have
        return {"role": role, "content": text, **({"name": self.name} if self.name else {})}


class ChatRequest(Generation):
    messages: Annotated[list[ChatMessage], Field(fail_fast=True, min_length=1)]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Generation):
    prompt: (
        String
        | Annotated[list[String], Field(fail_fast=True, min_length=1)]
        | Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]
        | Annotated[list[Annotated[list[TokenId], Field(fail_fast=True)]], Field(fail_fast=True, min_length=1)]
    )
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
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
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


def parse(model: type[Request], body: bytes, *, longest_prompt: int) -> Request:
    """Read a request. `longest_prompt` is in tokens. Raises `ApiError` 400 naming the first parameter at fault."""
    fields = read_object(body, longest_prompt=longest_prompt)
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
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.islower())
    param = where or None
    if first["type"] == "extra_forbidden":
        return invalid(f"unrecognized parameter: {where}", param=param, code="unknown_parameter")
    if first["type"] == "missing":
        return invalid(f"{where} is required", param=param, code="missing_required_parameter")
    return invalid(f"{where}: {first['msg']}", param=param)
