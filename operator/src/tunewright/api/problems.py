"""A fault in a job: field, value, reason, way out, and its position in the file.

Messages show a value as it stands in a manifest: true and false, camelCase, texts in quotes, numbers without needless digits.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.api.v1alpha1.common import Spec

ABSENT = "absent"


def as_written(value: Any) -> str:
    """Write a value in YAML's flow style, on one line. None is `absent`; of a part, only what the job sets is written."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else _nested(value)


def _nested(value: Any) -> str:
    if isinstance(value, Spec):
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_nested(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_nested, value)) + "]"
    if isinstance(value, float):
        return re.sub(r"e([+-])0*", lambda match: f"e{match[1].strip('+')}", repr(value).removesuffix(".0"))
    return json.dumps(value, ensure_ascii=False)


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
