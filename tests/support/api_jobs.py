"""Builders of raw jobs for the API room's tests: a small valid job, and changes named by path."""

import copy
import re
from collections.abc import Mapping
from typing import Any

from tunewright.api.v1alpha1.job import parse


class _Absent:
    """Marks a field to remove. Its name appears in test ids."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
SMALLEST: dict[str, Any] = {
    "apiVersion": "tunewright.io/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "support-bot"},
    "spec": {
        "task": "ChatCompletion",
        "model": {"source": {"huggingFace": {"repo": "microsoft/Phi-3-mini-4k-instruct"}}},
        "data": {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "chat.jsonl"}}}]},
    },
}


def raw_job(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A small valid job with these fields changed: {"training.maxSteps": 5, "data.train[0].format": "text"}, below spec."""
    job = copy.deepcopy(SMALLEST)
    for path, value in (changes or {}).items():
        put(job["spec"], path, value if value is ABSENT else copy.deepcopy(value))
    return job


def as_written(job: Mapping[str, Any]) -> dict[str, Any]:
    """The same job."""
    return copy.deepcopy(dict(job))


def in_full(job: Mapping[str, Any]) -> dict[str, Any]:
    """The same job with every default written out, as API servers stored it while the CRD had defaults."""
    return {**as_written(job), "spec": parse(job).spec.model_dump(mode="json", by_alias=True, exclude_none=True)}


def put(part: Any, path: str, value: Any) -> None:
    """Set one field, making the parts above it; ABSENT removes it."""
    *above, last = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
    for step in above:
        part = part[step] if isinstance(step, int) else part.setdefault(step, {})
    if value is ABSENT:
        del part[last]
    else:
        part[last] = value
