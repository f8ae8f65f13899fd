"""A fault in a job: field, value, reason, way out, and its position in the file."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong. `line` and `column` count from 1; they are None for a job that did not come from a file."""

    code: str  # E102, or a word such as `unknown field`
    path: str  # spec.method.lora.r
    message: str  # names the value and the reason
    way_out: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Write `path: message [code]` and the way out on a line of its own."""
        head = f"{self.path}: {self.message} [{self.code}]" if self.path else f"{self.message} [{self.code}]"
        return f"{head}\n  way out: {self.way_out}" if self.way_out else head


class InvalidJob(ValueError):  # noqa: N818 - the name of a state, as in status
    """A job that cannot be accepted, with everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
