"""The parameters of OpenAI's two endpoints: supported ones, those without effect, and those that are refused by name.

Source: the OpenAI API reference for chat completions and completions. `top_k`, `min_p`, `repetition_penalty`,
`stop_token_ids` and `ignore_eos` are vLLM's.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tunewright_server.http.errors import ApiError, invalid
from tunewright_server.http.json_body import read_object


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"the character at {error.start} is an unpaired surrogate, which is no valid text"
        raise ValueError(msg) from error
    return text


String = Annotated[str, AfterValidator(_encodable)]
Text = Annotated[String, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class Closed(BaseModel):
    """An object without other fields than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Body(Closed):
    """A request's body. Parameters of `without_effect` do not change an answer.

    Those of `unsupported` are refused unless their value changes nothing.
    """

    without_effect: ClassVar[frozenset[str]] = frozenset()
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {}

    def check_together(self) -> None:
        """Raise `ApiError` 400 for parameters that exclude each other."""


class StreamOptions(Closed):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None  # vLLM's: every chunk has the usage so far
    include_obfuscation: bool | None = None  # padding against an observer of encrypted traffic; none is added here


# Accepted, because they do not change an answer.
WITHOUT_EFFECT = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls"})

# Refused unless their value changes nothing.
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


class Generation(Body):
    """The parameters of both endpoints. None: not given."""

    without_effect = WITHOUT_EFFECT
    unsupported = UNSUPPORTED

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
        """The number of alternatives beside each token's log-probability; None: no log-probabilities."""
        raise NotImplementedError

    def check_together(self) -> None:
        if self.stream_options is not None and not self.stream:
            raise invalid("stream_options is only allowed together with stream", param="stream_options")


class TextPart(Closed):
    type: Literal["text"]
    text: String


class ChatMessage(Closed):
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
        """Return the message for a chat template: plain text, in parts or not."""
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

    def check_together(self) -> None:
        super().check_together()
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs needs logprobs to be true", param="top_logprobs")


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
        return prompts_of(self.prompt)


def prompts_of(found: str | Sequence[str | int | list[int]]) -> list[str | list[int]]:
    """Tell one text, several texts, one list of token ids and several lists apart."""
    if isinstance(found, str):
        return [found]
    tokens = [item for item in found if isinstance(item, int)]
    return [tokens] if tokens else [item for item in found if not isinstance(item, int)]


Request = TypeVar("Request", bound=Body)


def parse(model: type[Request], body: bytes, *, longest_prompt: int) -> Request:
    """Read a request. `longest_prompt` is in tokens. Raises `ApiError` 400 naming the first parameter at fault."""
    fields = read_object(body, longest_prompt=longest_prompt)
    for name, harmless in model.unsupported.items():
        value = fields.pop(name, None)
        if value is not None and value not in harmless:
            raise invalid(f"{name} is not supported by this server; leave it out", param=name, code="unsupported_parameter")
    try:
        request = model.model_validate({name: value for name, value in fields.items() if name not in model.without_effect})
    except ValidationError as error:
        raise _refusal(error) from error
    request.check_together()
    return request


def _refusal(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.islower())
    param = where or None
    if first["type"] == "extra_forbidden":
        return invalid(f"unrecognized parameter: {where}", param=param, code="unknown_parameter")
    if first["type"] == "missing":
        return invalid(f"{where} is required", param=param, code="missing_required_parameter")
    return invalid(f"{where}: {first['msg']}", param=param)
