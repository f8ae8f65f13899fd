"""How many tokens a row of the cache takes: of the prompt, of the answer, and of both together."""

from dataclasses import dataclass
from typing import Self


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
