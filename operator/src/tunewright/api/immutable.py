"""Immutability of a job's inputs without an API server: the same rule as the CRD's `self == oldSelf`."""

from collections.abc import Mapping
from typing import Any

from tunewright.api.crdgen import IMMUTABLE_FIELDS
from tunewright.api.v1alpha1.job import FineTuneJob


def changed_inputs(before: FineTuneJob, after: FineTuneJob) -> tuple[str, ...]:
    """Return the paths of immutable fields in which two versions of a job differ; defaults count as written."""
    old, new = (job.spec.model_dump(mode="json", by_alias=True, exclude_none=True) for job in (before, after))
    return tuple(f"spec.{field}" for field in IMMUTABLE_FIELDS if _at(old, field) != _at(new, field))


def _at(spec: Mapping[str, Any], path: str) -> Any:
    value: Any = spec
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
