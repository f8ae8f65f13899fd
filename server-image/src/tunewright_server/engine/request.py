"""A request to the engine, its result, and how many tokens a row of the cache takes for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tunewright_contract.generation_config import GenerationDefaults


@dataclass(frozen=True)
class Lengths:
    """Bounds in tokens. A decoder keeps prompt and answer in one sequence; a model with an encoder bounds source and target separately."""

    prompt: int
    answer: int
    total: int

    @classmethod
    def shared(cls, tokens: int) -> Self:
        """Prompt and answer have so many tokens together."""
        return cls(tokens, tokens, tokens)

    @classmethod
    def separate(cls, *, prompt: int, answer: int) -> Self:
        """Each has a bound of its own."""
        return cls(prompt, answer, prompt + answer)

    @property
    def are_separate(self) -> bool:
        """Whether an answer can be as long after a long prompt as after a short one."""
        return self.total == self.prompt + self.answer

    def room(self, prompt: int) -> int:
        """Return how many tokens an answer can have after a prompt of so many; 0 when the prompt is too long."""
        return max(0, min(self.answer, self.total - prompt)) if prompt <= self.prompt else 0

    def __str__(self) -> str:
        return f"{self.prompt} and {self.answer}" if self.are_separate else str(self.total)


Logits = NDArray[np.float32]


class FinishReason(StrEnum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"  # an end-of-sequence token, a stop token or a stop string
    LENGTH = "length"  # `max_tokens` were generated


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy: always the most likely token."""

    temperature: float = 0.0
    top_p: float = 1.0  # nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751); 1 keeps everything
    top_k: int = 0  # 0 keeps everything
    min_p: float = 0.0  # least share of the most likely token's probability (Nguyen et al. 2024, arXiv:2407.01082); 0 keeps everything
    repetition_penalty: float = 1.0  # of tokens in prompt and answer (Keskar et al. 2019, arXiv:1909.05858); 1: none
    no_repeat_ngram_size: int = 0  # no sequence of so many tokens occurs twice (Paulus et al. 2017, arXiv:1705.04304); 0: any can
    seed: int | None = None  # None: drawn by the engine


def sampling_of(defaults: GenerationDefaults, *, seed: int | None) -> Sampling:
    """Return the sampling of a request that sets at most a seed."""
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "no_repeat_ngram_size")
    return Sampling(**{name: getattr(defaults, name) for name in names}, seed=seed)


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One prompt to continue."""

    prompt: tuple[int, ...]  # token ids, at least one
    max_tokens: int  # at least 1; prompt and answer fit the engine's lengths
    min_tokens: int = 0  # until so many are generated, no token of `stop_token_ids` is drawn
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()  # the answer ends before the first of these
    stop_token_ids: frozenset[int] = frozenset()  # end the answer and are not part of its text
    context: tuple[int, ...] = ()  # tokens before the answer, for decoding it to text
    logprobs: int | None = None  # how many alternatives to report per token; None: no log-probabilities at all


@dataclass(frozen=True)
class TokenLogprob:
    """Natural logarithms of probabilities before temperature and truncation. `top` is ordered, most likely first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds on one monotonic clock."""

    submitted: float
    admitted: float
    first_token: float
    finished: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One more token of an answer. `text` may be empty while a character or a possible stop string is incomplete."""

    token: int  # its id
    text: str
    tokens: int  # generated so far, an ending token included
    logprob: TokenLogprob | None = None
    finish: FinishReason | None = None
    timing: Timing | None = None  # with the last token only


@dataclass(frozen=True)
class Failed:
    """The answer failed: the engine failed, the server is stopping, or the answer has waited too long in the queue."""

    message: str
    stopping: bool = False
    timed_out: bool = False


Event = Progress | Failed
Deliver = Callable[[Event], None]


@dataclass(eq=False)
class Group:
    """The answers of one request. Groups take turns at the rows of the cache."""

    begun: bool = False  # one of its answers has had a row
    read: tuple[tuple[int, ...], Logits] | None = None  # the prompt that was read last, and the logits [vocab] after it


@dataclass
class Ticket:
    """The handle of a submitted request. Setting `cancelled` frees its row before the next step."""

    request: GenerationRequest
    deliver: Deliver
    submitted: float
    group: Group
    cancelled: bool = field(default=False)

    def cancel(self) -> None:
        self.cancelled = True
