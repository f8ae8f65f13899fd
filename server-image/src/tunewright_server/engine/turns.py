"""The time for which an answer keeps its row while others wait.

An answer that loses its row must read and decode all of its tokens again later. So its turn is at least `FACTOR` times the steps of that
rereading, and at least two thirds of a row's steps make new tokens. Feedback queues of other LLM servers bound the wait in a similar way
(Wu et al. 2023, arXiv:2305.05920).

A request that has never had a row has priority for a while: a paused answer gives way to it, also during its rereading, when little is
lost. It does so at most for the time of the rereading. Then it has its turn, so a stream of short requests cannot starve it.
"""

from dataclasses import dataclass

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
