"""The state of one answer: its tokens, its text, the turn for which it keeps its row, and whether it has ended.

It ends before the first complete stop string, even if that spans several tokens.

An answer that loses its row must read and decode all of its tokens again later. So its turn is at least `FACTOR` times the steps of that
rereading, and at least two thirds of a row's steps make new tokens. Feedback queues of other LLM servers bound the wait in a similar way
(Wu et al. 2023, arXiv:2305.05920).

A request that has never had a row has priority for a while: a paused answer gives way to it, also during its rereading, when little is
lost. It does so at most for the time of the rereading. Then it has its turn, so a stream of short requests cannot starve it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright_server.engine.decoder import Logits
from tunewright_server.engine.request import FinishReason, Progress, Ticket, Timing
from tunewright_server.engine.sampling import Sampler, log_probability
from tunewright_server.text.tokenizer import Decode, Detokenizer


class StopStrings:
    """Watches growing text. Text that can be the beginning of a stop string is withheld until that is decided."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """Return the text that may be shown, and whether a stop string was found; after that, push nothing more."""
        text = self._held + piece
        ends = [(at + len(stop), at) for stop in self._stop if (at := text.find(stop)) >= 0]
        if ends:
            self._held = ""
            return text[: min(ends)[1]], True
        safe = len(text) - max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[safe:]
        return text[:safe], False

    def flush(self) -> str:
        """Return the withheld text, when the answer has ended for another reason."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest suffix of `text` that is a prefix of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


TURN_STEPS = 128  # new tokens, at least; most answers are shorter and are never paused
FACTOR = 2
QUIET_STEPS = 32  # rows that come free more often than this are not taken
PROMPT_TOKENS_PER_STEP = 16  # read in the time of one decode step, about (docs/benchmarks.md: 64 tokens against 4 steps)


@dataclass(frozen=True)
class Turns:
    """Bounds in steps of the engine's loop."""

    steps: int = TURN_STEPS
    quiet_steps: int = QUIET_STEPS


@dataclass
class Turn:
    """One answer's turn. `begun_with`: tokens it had generated when it got its row; `paused_at`: the step in which it lost its last row."""

    begun_with: int = 0
    paused_at: int | None = None

    def pause(self, generated: int, step: int) -> None:
        """Record that the answer loses its row. Without a new token since the last time, it is the same pause."""
        if self.paused_at is None or generated > self.begun_with:
            self.paused_at = step
        self.begun_with = generated

    def is_over(self, generated: int, *, steps_to_return: float, turns: Turns) -> bool:
        """Whether it has made the new tokens of a whole turn; `steps_to_return` is what reading its tokens again took."""
        return generated - self.begun_with >= max(turns.steps, FACTOR * steps_to_return)

    def steps_aside(self, generated: int, step: int, *, steps_to_return: float) -> bool:
        """Whether it is paused, or reading its tokens again, and lets a request that has never had a row go first."""
        return self.paused_at is not None and generated == self.begun_with and step - self.paused_at < steps_to_return


class Answer:
    """`tokens` is prompt and answer together; the row of its cache holds the first `cached` of them.

    The first `read_length` of them are read in chunks, the others were decoded one by one. An answer that lost its row is read and decoded
    again in the same two ways, so that its logits are the same to the last bit.
    """

    def __init__(self, ticket: Ticket, decode: Decode, *, admitted: float, continued: Sequence[int] | None = None) -> None:
        """`continued`: the tokens that the answer continues, if these are not the prompt."""
        request = ticket.request
        self.ticket = ticket
        self.tokens = list(request.prompt)
        self.cached = 0
        self.read_length = len(self.tokens)
        self._sequence = list(request.prompt if continued is None else continued)  # which the answer continues, for penalties
        self._turn = Turn()
        self._admitted = admitted
        self._first_token: float | None = None
        self._sampler = Sampler(request.sampling)
        self._text = Detokenizer(decode, request.context)
        self._stops = StopStrings(request.stop)

    @property
    def generated(self) -> int:
        return len(self.tokens) - len(self.ticket.request.prompt)

    @property
    def next_token(self) -> int:
        """The first token that its row does not hold yet."""
        return self.tokens[self.cached]

    @property
    def complete(self) -> bool:
        """Whether its row holds all its tokens, so that the logits give a new one."""
        return self.cached == len(self.tokens)

    @property
    def steps_to_return(self) -> float:
        """The approximate number of steps in which an empty row would reach the tokens of its row."""
        return self._steps_to_read(self.cached)

    def pause(self, step: int) -> None:
        """Lose the row in this step of the engine."""
        self.cached = 0
        self._turn.pause(self.generated, step)

    def had_its_turn(self, turns: Turns) -> bool:
        """Whether it may lose its row to a request that has none."""
        return self._turn.is_over(self.generated, steps_to_return=self._steps_at_start(), turns=turns)

    def steps_aside(self, step: int) -> bool:
        """Whether a request that has never had a row goes before it."""
        return self._turn.steps_aside(self.generated, step, steps_to_return=self._steps_at_start())

    def _steps_at_start(self) -> float:
        return self._steps_to_read(len(self.ticket.request.prompt) + self._turn.begun_with)

    def _steps_to_read(self, tokens: int) -> float:
        return min(tokens, self.read_length) / PROMPT_TOKENS_PER_STEP + max(0, tokens - self.read_length)

    def next_chunk(self, chunk: int, *, first: int = 0) -> list[int]:
        """Return the tokens to be read next: `chunk` of them, at least `first` to begin with.

        The cuts depend on the answer's own length only, and no chunk has one token unless the whole has. Kernels for one token differ from
        those for several in the last bits, which would make an answer depend on other requests.
        """
        size = max(chunk, 2, first if self.cached == 0 else 0)
        left = self.read_length - self.cached
        return self.tokens[self.cached : self.cached + (left if left <= size + 1 else size)]

    def accept(self, logits: Logits, *, now: float) -> bool:
        """Draw the next token from `logits` [vocab], and deliver it. Return whether the answer continues."""
        request = self.ticket.request
        token = self._sampler.choose(self._allowed(logits), self._sequence)
        self.tokens.append(token)
        self._sequence.append(token)
        self._first_token = self._first_token or now
        finish, text = self._read(token)
        timing = Timing(submitted=self.ticket.submitted, admitted=self._admitted, first_token=self._first_token, finished=now)
        self.ticket.deliver(
            Progress(
                token=token,
                text=text,
                tokens=self.generated,
                logprob=None if request.logprobs is None else log_probability(logits, token, request.logprobs),
                finish=finish,
                timing=timing if finish else None,
            )
        )
        return finish is None

    def _allowed(self, logits: Logits) -> Logits:
        """Mask tokens that would end the answer before `min_tokens`."""
        request = self.ticket.request
        if self.generated >= request.min_tokens or not request.stop_token_ids:
            return logits
        allowed = logits.copy()
        allowed[list(request.stop_token_ids)] = -np.inf
        return allowed

    def _read(self, token: int) -> tuple[FinishReason | None, str]:
        request = self.ticket.request
        if token in request.stop_token_ids:
            return FinishReason.STOP, self._ending("")[0]
        text, stopped = self._stops.push(self._text.push(token))
        if stopped:
            return FinishReason.STOP, text
        if self.generated == request.max_tokens:
            text, stopped = self._ending(text)
            return FinishReason.STOP if stopped else FinishReason.LENGTH, text
        return None, text

    def _ending(self, text: str) -> tuple[str, bool]:
        """Return the withheld text, which can still contain a stop string."""
        rest, stopped = self._stops.push(self._text.flush())
        return text + rest + self._stops.flush(), stopped
